from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerFast

from graft.config import load
from graft.errors import ConfigError, ModelError, StoreError
from graft.grow.language import (
    SIZES,
    GrowConfig,
    grow,
    grow_language,
    new_tokenizer,
    shape_of,
    two_rounds,
)
from graft.grow.model import new_model
from graft.models.huggingface import load_model
from graft.train.loop import Step


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.fixture(scope="module")
def grown(
    tmp_path_factory: pytest.TempPathFactory, tiny: GrowConfig
) -> tuple[Path, list[Step]]:
    folder = tmp_path_factory.mktemp("grown")
    return folder, list(grow(tiny, folder))


def test_growing_lowers_the_loss_step_by_step(grown, tiny) -> None:
    _, steps = grown
    assert [step.index for step in steps] == [1, 2, 3, 4, 5, 6]
    assert steps[0].loss == pytest.approx(6.55, abs=0.3)  # ln 700: it knows nothing yet
    assert min(step.loss for step in steps[1:]) < steps[0].loss
    assert tiny.steps + tiny.again_steps == 6


def test_a_stopped_growth_goes_on_and_ends_in_the_same_bytes(
    grown, tiny: GrowConfig, tmp_path: Path
) -> None:
    for step in grow(tiny, tmp_path):
        if step.index == 3:  # the checkpoint is of step 2
            break
    resumed = list(grow(tiny, tmp_path))
    folder, steps = grown
    assert [step.index for step in resumed] == [3, 4, 5, 6]
    assert [step.loss for step in resumed] == [step.loss for step in steps[2:]]
    assert files(tmp_path / "model") == files(folder / "model")


def test_a_growth_goes_on_from_a_model_without_its_optimizer(
    grown, tiny: GrowConfig, tmp_path: Path
) -> None:
    """The steps are those of the recipe from there on; the rate is led up to its line again."""
    for step in grow(tiny, tmp_path / "first"):
        if step.index == 3:  # what is saved is of step 2
            break
    later = replace(tiny, begin=tmp_path / "first" / "model", begin_step=2)
    steps = list(grow(later, tmp_path / "second"))
    _, whole = grown
    assert [step.index for step in steps] == [3, 4, 5, 6]
    assert steps[0].loss == pytest.approx(whole[2].loss, abs=0.01)  # weights were halved
    assert list(grow(replace(later, begin=tmp_path / "gone"), tmp_path / "second")) == []
    assert two_rounds(replace(later, warm_up=0.0))(2) == two_rounds(replace(tiny, warm_up=0.0))(
        2
    )
    slow = replace(later, warm_up=1.0)
    led = [
        two_rounds(slow)(step) / two_rounds(replace(tiny, warm_up=1.0))(step) for step in (2, 3)
    ]
    assert led == pytest.approx([1 / (tiny.steps + 1), 2 / (tiny.steps + 1)])


def test_half_a_beginning_and_another_models_weights_are_refused(
    grown, tiny: GrowConfig, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match="'begin' and 'begin_step' go together"):
        replace(tiny, begin=tmp_path)
    with pytest.raises(ValueError, match="from 1 to 5"):
        replace(tiny, begin=tmp_path, begin_step=6)
    with pytest.raises(ModelError, match=r"model\.safetensors: cannot be gone on from"):
        grow(replace(tiny, begin=tmp_path, begin_step=1), tmp_path / "out")
    wider = replace(tiny, width=2 * tiny.width, begin=grown[0] / "model", begin_step=1)
    with pytest.raises(ModelError, match=r"of this size: .*size mismatch"):
        list(grow_language(wider, tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_a_finished_growth_is_not_done_again(grown, tiny: GrowConfig) -> None:
    folder, _ = grown
    before = files(folder / "model")
    assert list(grow(tiny, folder)) == []
    assert files(folder / "model") == before


def test_the_folder_loads_anywhere_and_tokenizes_the_same(grown, tokenizer) -> None:
    folder, _ = grown
    loaded = AutoTokenizer.from_pretrained(folder / "model")
    text = "Mara had 47 apples [Calculator(47 + 38) -> 85] and naïve\n\nInput: [Calendar()]"
    assert loaded.encode(text) == tokenizer.encode(text)
    assert loaded.decode(loaded.encode(text)) == text
    network = AutoModelForCausalLM.from_pretrained(folder / "model", dtype=torch.float32)
    tokens_1T = torch.tensor([loaded.encode(text)])
    with torch.no_grad():
        logits = network(tokens_1T).logits
    assert logits.shape[-1] == len(loaded)
    assert network.config.eos_token_id == loaded.eos_token_id
    assert network.get_output_embeddings().weight is network.get_input_embeddings().weight


def test_the_folder_is_a_language_model_whose_markers_are_one_token_each(grown) -> None:
    folder, _ = grown
    model = load_model(str(folder / "model"))
    assert [len(model.encode_after(marker)) for marker in (" [", " ->", "]")] == [1, 1, 1]
    assert model.context == 1024


def test_the_weights_are_written_in_half_the_size(grown, tiny, tokenizer) -> None:
    folder, _ = grown
    parameters = sum(p.numel() for p in new_model(tiny, tokenizer).parameters())
    size = (folder / "model" / "model.safetensors").stat().st_size
    assert size == pytest.approx(2 * parameters, rel=0.1)


def test_a_new_model_hangs_on_its_seed_and_leaves_the_global_one_alone(
    tiny: GrowConfig, tokenizer: PreTrainedTokenizerFast
) -> None:
    before = torch.random.get_rng_state()
    one, again = new_model(tiny, tokenizer), new_model(tiny, tokenizer)
    other = new_model(replace(tiny, seed=8), tokenizer)
    assert torch.equal(torch.random.get_rng_state(), before)
    name = "model.embed_tokens.weight"
    assert torch.equal(one.state_dict()[name], again.state_dict()[name])
    assert not torch.equal(one.state_dict()[name], other.state_dict()[name])


def test_a_tokenizer_hangs_on_its_recipe_alone(tiny: GrowConfig, tokenizer) -> None:
    assert new_tokenizer(tiny).get_vocab() == tokenizer.get_vocab()


def test_progress_tells_steps_and_loss(tiny: GrowConfig, tmp_path: Path) -> None:
    first = next(grow_language(replace(tiny, steps=1, again_steps=0), tmp_path))
    assert (first.done, first.total) == (1, 1)
    assert first.note.startswith("loss ")


@pytest.mark.parametrize("size", SIZES)
def test_a_size_is_named_after_its_parameters(size: str, tokenizer) -> None:
    config = load(GrowConfig, None, [*shape_of(size), "vocabulary=2048"])
    told = float(size[:-1]) * {"k": 1e3, "m": 1e6}[size[-1]]
    model = new_model(config, tokenizer)
    pieces = config.vocabulary - 1 - len(tokenizer)  # those that the small tokenizer lacks
    parameters = sum(p.numel() for p in model.parameters()) + pieces * config.width
    assert parameters == pytest.approx(told, rel=0.05)


def test_the_shipped_seedling_has_a_size_of_the_family() -> None:
    assert load(GrowConfig, None, shape_of("1.6m")) == GrowConfig()


def test_an_unknown_size_is_refused_with_those_there_are() -> None:
    with pytest.raises(ConfigError, match="unknown size '7b'; there are: 90k, 180k"):
        shape_of("7b")


def test_another_seedling_in_the_same_folder_is_refused(
    tiny: GrowConfig, tmp_path: Path
) -> None:
    next(iter(grow_language(tiny, tmp_path)))
    with pytest.raises(StoreError, match="seed"):
        next(iter(grow_language(replace(tiny, seed=tiny.seed + 1), tmp_path)))
