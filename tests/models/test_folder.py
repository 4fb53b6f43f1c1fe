import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from graft.errors import ModelError
from graft.models.huggingface import HuggingFaceModel, load_model
from small_models import make_model

WEIGHT = "model.layers.0.mlp.gate_proj.weight"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    model = make_model("llama", "byte pairs")
    model.model.save_pretrained(folder)
    model.tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def folder(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "model"))


def change_weights(folder: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def cut(path: Path, share: float) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])


def test_a_whole_folder_loads(folder: Path) -> None:
    assert isinstance(load_model(str(folder)), HuggingFaceModel)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda tensors: tensors.pop(WEIGHT), f"tensor {WEIGHT} is missing from its weights"),
        (
            lambda tensors: tensors.update({WEIGHT: torch.zeros(3, 3)}),
            f"tensor {WEIGHT} has another shape than its config.json says",
        ),
        (
            lambda tensors: tensors[WEIGHT][0].fill_(float("nan")),
            f"tensor {WEIGHT} holds values that are no numbers",
        ),
    ],
)
def test_weights_that_would_be_drawn_at_random_are_refused_by_the_tensors_name(
    folder: Path, change: Callable[[dict[str, torch.Tensor]], object], said: str
) -> None:
    change_weights(folder, change)
    with pytest.raises(ModelError, match=f"{said}; fetch the model again, or save it"):
        load_model(str(folder))


def test_several_missing_tensors_are_counted(folder: Path) -> None:
    change_weights(folder, lambda tensors: [tensors.pop(name) for name in sorted(tensors)[:3]])
    with pytest.raises(ModelError, match="is missing from its weights, and 2 more"):
        load_model(str(folder))


def test_weights_as_pickle_only_are_refused_by_the_files_name(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    torch.save(tensors, folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    with pytest.raises(ModelError, match=r"only pytorch_model\.bin, a pickle, .*; save"):
        load_model(str(folder))


@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.99])
def test_a_weights_file_that_was_cut_is_one_clear_line(folder: Path, share: float) -> None:
    cut(folder / "model.safetensors", share)
    with pytest.raises(ModelError, match=f"cannot load the model '{folder}': its weights: "):
        load_model(str(folder))


@pytest.mark.parametrize("name", ["tokenizer.json", "config.json"])
@pytest.mark.parametrize("content", [b"", b"{", b"{}", b"\xff\0"])
def test_a_damaged_tokenizer_or_config_is_one_clear_line(
    folder: Path, name: str, content: bytes
) -> None:
    (folder / name).write_bytes(content)
    with pytest.raises(ModelError, match=f"cannot load the model '{folder}': its "):
        load_model(str(folder))


def test_a_tokenizer_config_alone_is_no_tokenizer(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()
    with pytest.raises(ModelError, match="has no tokenizer; save it with"):
        load_model(str(folder))


def test_the_tokenizer_of_a_larger_model_is_refused_with_the_numbers(folder: Path) -> None:
    written = json.loads((folder / "config.json").read_text())
    size = written["vocab_size"]
    written["vocab_size"] = 7
    (folder / "config.json").write_text(json.dumps(written))

    def shrink(tensors: dict[str, torch.Tensor]) -> None:
        for name in ("model.embed_tokens.weight", "lm_head.weight"):
            tensors[name] = tensors[name][:7].clone()

    change_weights(folder, shrink)
    with pytest.raises(ModelError, match=f"tokenizer has {size} tokens and its network 7;"):
        load_model(str(folder))


@pytest.mark.parametrize("place", ["/nowhere/at/all", "./nowhere", "runs/one/model"])
def test_a_folder_that_is_not_there_is_not_taken_for_a_hub_id(place: str) -> None:
    with pytest.raises(ModelError, match=f"{place}: no such folder"):
        load_model(place)


def test_a_text_that_spells_a_special_token_says_so_letter_by_letter(
    reader: HuggingFaceModel,
) -> None:
    spelt = "a <|end|> b"
    for tokens in (reader.encode(spelt), reader.encode_after(spelt)):
        assert reader.end not in tokens
        assert reader.decode(tokens).strip() == spelt
    assert reader.token_at(spelt, len(spelt) - 1) == len(reader.encode(spelt)) - 1
