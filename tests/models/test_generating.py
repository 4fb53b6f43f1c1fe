"""Text to text: each kind of model writes what its own greedy decoding writes."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from graft.errors import ModelError
from graft.models.generating import (
    ROWS,
    CausalGenerator,
    Generator,
    SequenceGenerator,
    cut_at,
    load_local,
)
from graft.models.huggingface import HuggingFaceModel, load_model
from small_generators import write_causal, write_t5
from small_models import make_model

PROMPTS = ["Mara had 47", "The river (Osk) flows through", "Today is", "a"]


def continued(model: HuggingFaceModel, prompt: str, count: int) -> str:
    """The slow way: the whole text is read again for every token."""
    tokens = [*model.start, *model.encode(prompt)]
    begun = len(tokens)
    with torch.inference_mode():
        for _ in range(count):
            token = int(model.model(input_ids=torch.tensor([tokens])).logits[0, -1].argmax())
            if token == model.end:
                break
            tokens.append(token)
    return model.decode(tokens[1:])[len(model.decode(tokens[1:begun])) :]


def test_a_causal_model_continues_each_prompt_as_it_would_alone(
    network: HuggingFaceModel,
) -> None:
    found = CausalGenerator(network).generate(PROMPTS, max_tokens=12)
    assert found == [continued(network, prompt, 12) for prompt in PROMPTS]


def test_every_tokenizer_keeps_the_space_between_prompt_and_text(
    reader: HuggingFaceModel,
) -> None:
    found = CausalGenerator(reader).generate(PROMPTS, max_tokens=8)
    assert found == [continued(reader, prompt, 8) for prompt in PROMPTS]


def test_more_prompts_than_rows_come_back_in_their_order() -> None:
    model = make_model("llama", "byte pairs")
    prompts = [f"{'Mara had ' * (count % 5)}{count}" for count in range(ROWS + 7)]
    found = CausalGenerator(model).generate(prompts, max_tokens=3)
    assert found == [continued(model, prompt, 3) for prompt in prompts]


def test_the_text_ends_before_the_first_stop() -> None:
    generator = CausalGenerator(make_model("llama", "byte pairs"))
    [whole] = generator.generate(["Mara had"], max_tokens=12)
    stop = whole[5:7]
    [cut] = generator.generate(["Mara had"], max_tokens=12, stop=[stop, "never"])
    assert cut == whole[: whole.index(stop)]
    assert cut_at("one two three", ["three", "two"]) == "one "
    assert cut_at("one", []) == "one"


def test_the_seedling_is_loaded_once_and_writes() -> None:
    generator = load_local("seedling")
    assert load_local("seedling") is generator
    assert isinstance(generator, CausalGenerator)
    assert isinstance(generator, Generator)
    prompt = "The river Osk"
    [found] = generator.generate([prompt], max_tokens=5)
    assert found == continued(load_model("seedling"), prompt, 5)
    assert found.strip()


def test_a_sequence_to_sequence_folder_writes_as_transformers_does(tmp_path: Path) -> None:
    generator = load_local(str(write_t5(tmp_path / "t5")))
    assert isinstance(generator, SequenceGenerator)
    assert isinstance(generator, Generator)
    for prompt, text in zip(PROMPTS, generator.generate(PROMPTS, max_tokens=6), strict=True):
        alone = generator.model.generate(
            torch.tensor([generator.tokenizer.encode(prompt)]), max_new_tokens=6
        )
        assert text == generator.tokenizer.decode(alone[0], skip_special_tokens=True)
    [whole] = generator.generate(["Today is"], max_tokens=6)
    assert len(whole) > 3
    assert generator.generate(["Today is"], max_tokens=6, stop=[whole[2:4]]) == [whole[:2]]


@pytest.mark.parametrize("write", [write_causal, write_t5])
def test_a_version_is_that_of_the_weights(
    tmp_path: Path, write: Callable[[Path], Path]
) -> None:
    place = write(tmp_path / "model")
    first = load_local(str(place))
    assert load_local(str(place)) is first
    copied = write(tmp_path / "again")
    assert load_local(str(copied)).version == first.version
    with torch.no_grad():
        network = first.model.model if isinstance(first, CausalGenerator) else first.model
        next(iter(network.parameters())).add_(1)
    network.save_pretrained(place)
    changed = load_local(str(place))
    assert changed is not first
    assert changed.version != load_local(str(copied)).version


def test_a_prompt_that_does_not_fit_is_refused_with_its_length(tmp_path: Path) -> None:
    long = "apples " * 3000
    with pytest.raises(ModelError, match="leaves no room for 5 more in its context of 256"):
        CausalGenerator(make_model("gpt2", "byte pairs")).generate(["a", long], max_tokens=5)
    with pytest.raises(ModelError, match="tokens is longer than the"):
        load_local(str(write_t5(tmp_path / "t5"))).generate([long], max_tokens=5)


def test_what_is_no_model_is_told(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no such folder"):
        load_local("./nowhere")
    with pytest.raises(ModelError, match=r"no config\.json"):
        load_local(str(tmp_path))


def test_code_that_a_folder_brings_is_not_run(tmp_path: Path) -> None:
    folder = write_causal(tmp_path / "model")
    config = (folder / "config.json").read_text()
    mapped = '"auto_map": {"AutoConfig": "own.Own"}, "model_type": "own"'
    (folder / "config.json").write_text(config.replace('"model_type": "llama"', mapped))
    (folder / "own.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nclass Own: pass\n")
    with pytest.raises(ModelError, match=r"its config\.json"):
        load_local(str(folder))
    assert not (tmp_path / "ran").exists()
