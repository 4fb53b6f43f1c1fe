"""A base in a folder: what is missing, broken or of another kind is told by name."""

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from diffusers import DDPMPipeline, DDPMScheduler, UNet2DModel
from safetensors.torch import load_file, save_file
from torch import Tensor

from graft.errors import ModelError
from graft.models.diffusion import DiffusionModel, load_diffusion


def test_an_empty_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"model_index\.json"):
        load_diffusion(str(tmp_path))


@pytest.mark.parametrize("part", ["unet", "vae", "text_encoder", "tokenizer", "scheduler"])
def test_a_folder_without_a_part_is_refused_by_the_parts_name(broken: Path, part: str) -> None:
    shutil.rmtree(broken / part)
    with pytest.raises(ModelError, match=f"^{broken}: {broken / part} is missing"):
        load_diffusion(str(broken))


def test_pickled_weights_are_not_read(broken: Path, small: DiffusionModel) -> None:
    (broken / "unet" / "diffusion_pytorch_model.safetensors").unlink()
    small.unet.save_pretrained(broken / "unet", safe_serialization=False)
    assert (broken / "unet" / "diffusion_pytorch_model.bin").exists()
    with pytest.raises(ModelError, match=f"^{broken}: .*no file named .*safetensors"):
        load_diffusion(str(broken))


@pytest.mark.parametrize("file", ["unet/diffusion_pytorch_model", "text_encoder/model"])
def test_a_truncated_file_is_refused(broken: Path, file: str) -> None:
    path = broken / f"{file}.safetensors"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ModelError, match=f"^{broken}: cannot be loaded"):
        load_diffusion(str(broken))


def change_weights(folder: Path, change: Callable[[dict[str, Tensor], str], object]) -> str:
    """Change a weight in the middle of a part's file; gives its name."""
    [path] = folder.glob("*.safetensors")
    weights = load_file(path)
    name = sorted(weights)[len(weights) // 2]
    change(weights, name)
    save_file(weights, path, metadata={"format": "pt"})
    return name


@pytest.mark.parametrize("part", ["unet", "vae", "text_encoder"])
def test_a_weight_that_is_missing_is_named_and_not_drawn(broken: Path, part: str) -> None:
    name = change_weights(broken / part, lambda weights, name: weights.pop(name))
    with pytest.raises(ModelError, match=f"{broken / part}: the tensor {name} is missing"):
        load_diffusion(str(broken))


@pytest.mark.parametrize("part", ["unet", "vae", "text_encoder"])
def test_a_weight_that_is_no_number_is_named(broken: Path, part: str) -> None:
    name = change_weights(broken / part, lambda weights, name: weights[name].fill_(math.nan))
    with pytest.raises(ModelError, match=f"{broken / part}: the tensor {name} holds values"):
        load_diffusion(str(broken))


@pytest.mark.parametrize("part", ["unet", "text_encoder"])
def test_a_weight_of_another_shape_is_named(broken: Path, part: str) -> None:
    def widen(weights: dict[str, Tensor], name: str) -> None:
        weights[name] = torch.cat([weights[name], weights[name]])

    name = change_weights(broken / part, widen)
    with pytest.raises(ModelError, match=f"{broken / part}: the tensor {name} has another"):
        load_diffusion(str(broken))


def test_position_ids_as_older_checkpoints_have_them_are_passed_over(broken: Path) -> None:
    def add_positions(weights: dict[str, Tensor], _: str) -> None:
        weights["text_model.embeddings.position_ids"] = torch.arange(32)[None]

    before = load_diffusion(str(broken)).digest()
    change_weights(broken / "text_encoder", add_positions)
    assert load_diffusion(str(broken)).digest() == before


def test_a_weight_that_is_missing_when_encoders_are_read_again_is_named(broken: Path) -> None:
    loaded = load_diffusion(str(broken))
    loaded.rest_encoders()
    name = change_weights(broken / "text_encoder", lambda weights, name: weights.pop(name))
    with pytest.raises(ModelError, match=f"the tensor {name} is missing"):
        loaded.embed(["a red circle"])


def test_a_tokenizer_without_its_words_is_refused(broken: Path) -> None:
    for path in (broken / "tokenizer").iterdir():
        if path.name != "tokenizer_config.json":
            path.unlink()
    with pytest.raises(ModelError, match=f"{broken / 'tokenizer'} has neither tokenizer"):
        load_diffusion(str(broken))


def test_an_index_that_is_no_object_is_refused(broken: Path) -> None:
    (broken / "model_index.json").write_text("[1]")
    with pytest.raises(ModelError, match=r"model_index\.json does not tell its parts"):
        load_diffusion(str(broken))


def test_a_part_of_an_unknown_class_is_named(broken: Path) -> None:
    index = json.loads((broken / "model_index.json").read_text())
    index["vae"] = ["diffusers", "TomorrowsVAE"]
    (broken / "model_index.json").write_text(json.dumps(index))
    with pytest.raises(ModelError, match=f"^{broken}: its vae is a TomorrowsVAE, no network"):
        load_diffusion(str(broken))


def test_an_index_that_is_no_json_is_refused(broken: Path) -> None:
    (broken / "model_index.json").write_text("{")
    with pytest.raises(ModelError, match=f"^{broken}: cannot be loaded"):
        load_diffusion(str(broken))


def test_another_kind_of_pipeline_is_refused_by_its_name(tmp_path: Path) -> None:
    unet = UNet2DModel(
        sample_size=8,
        block_out_channels=(8, 8),
        down_block_types=("DownBlock2D",) * 2,
        up_block_types=("UpBlock2D",) * 2,
        norm_num_groups=4,
        layers_per_block=1,
    )
    DDPMPipeline(unet, DDPMScheduler()).save_pretrained(tmp_path / "other")
    with pytest.raises(ModelError, match=f"^{tmp_path / 'other'}: is a DDPMPipeline; take"):
        load_diffusion(str(tmp_path / "other"))


def test_a_pipeline_that_diffusers_does_not_know_is_refused_by_its_name(broken: Path) -> None:
    index = json.loads((broken / "model_index.json").read_text())
    index["_class_name"] = "TomorrowsPipeline"
    (broken / "model_index.json").write_text(json.dumps(index))
    with pytest.raises(ModelError, match=f"^{broken}: is a TomorrowsPipeline"):
        load_diffusion(str(broken))


def test_a_base_that_cannot_be_controlled_is_refused_by_its_name(broken: Path) -> None:
    config = json.loads((broken / "unet" / "config.json").read_text())
    config["class_embed_type"] = "timestep"
    (broken / "unet" / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match=f"^{broken}: .*class_embed_type = 'timestep'"):
        load_diffusion(str(broken))
