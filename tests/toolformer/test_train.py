import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from itertools import islice
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, models
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

import graft
from graft.config import fill
from graft.errors import ConfigError, DataError, StoreError
from graft.models.huggingface import HuggingFaceModel, load_model
from graft.models.language import Ids
from graft.toolformer.call import Call
from graft.toolformer.dataset import Merged, Text
from graft.toolformer.tools.tool import Tool
from graft.toolformer.train import (
    Progress,
    TrainConfig,
    count_steps,
    divide,
    examples_of,
    finetune,
    read_card,
)

COUNTING = [[1 + (first + k) % 10 for k in range(4 + first % 9)] for first in range(60)]
TRAINING, DEVELOPMENT = COUNTING[:52], COUNTING[52:]
SETTINGS = TrainConfig(
    batch=8, learning_rate=0.02, epochs=2, evaluate_every=4, batch_tokens=40, max_tokens=10
)

# In another process: go on with the training in argv[2] until it is killed at the point that
# argv[3] names, the second checkpoint or the model; their files are left cut or missing.
KILLED = """
import os, signal, sys
from pathlib import Path
from safetensors import torch as files
import graft.train.checkpoint as checkpoint
import graft.toolformer.train as train
from graft.models.huggingface import load_model
import json

base, folder, point = sys.argv[1:4]
settings, training, development = json.loads(sys.argv[4])

def die_in(save):
    def half(tensors, path):
        save(tensors, path)
        if point in str(path.parent):
            os.truncate(path, os.path.getsize(path) // 2)
            os.kill(os.getpid(), signal.SIGKILL)
    return half

def die_in_model(save):
    def half(model, folder, *, dtype):
        save(model, folder, dtype=dtype)
        (folder / "config.json").unlink()
        os.kill(os.getpid(), signal.SIGKILL)
    return half

checkpoint.save_file = die_in(checkpoint.save_file)
if point == "model":
    train.save = die_in_model(train.save)
model = load_model(base, device="cpu")
for step in train.finetune(
    model, training, development, train.TrainConfig(**settings), Path(folder)
):
    print(step.index, flush=True)
"""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> HuggingFaceModel:
    words = {"<e>": 0, **{letter: 1 + k for k, letter in enumerate("abcdefghij")}}
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.WordLevel(words, unk_token="<e>")),
        bos_token="<e>",
        eos_token="<e>",
    )
    config = LlamaConfig(
        vocab_size=11, hidden_size=16, intermediate_size=24, num_hidden_layers=1,
        num_attention_heads=2, max_position_embeddings=32, bos_token_id=0, eos_token_id=0,
    )  # fmt: skip
    with torch.random.fork_rng():
        torch.random.default_generator.manual_seed(3)
        network = LlamaForCausalLM(config)
    folder = tmp_path_factory.mktemp("base")
    network.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return load_model(str(folder), device="cpu")


@pytest.fixture(scope="module")
def undisturbed(model: HuggingFaceModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("undisturbed")
    list(finetune(model, TRAINING, DEVELOPMENT, SETTINGS, folder))
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def record(number: int, *, calls: int = 1) -> Merged:
    call = Call("Calculator", f"{number} + 1", str(number + 1))
    plain, called = (1, 2, number), (1, 50, 2, number)
    text = Text(f"text-{number}", f"1 2 {number}")
    return Merged(text, called if calls else plain, plain, (call,) * calls)


def train(
    model: HuggingFaceModel, folder: Path, settings: TrainConfig = SETTINGS
) -> list[Progress]:
    return list(finetune(model, TRAINING, DEVELOPMENT, settings, folder))


def test_the_defaults_are_those_of_the_paper() -> None:
    settings = TrainConfig()
    assert (settings.batch, settings.learning_rate, settings.warm_up) == (128, 1e-5, 0.1)
    assert (settings.max_steps, settings.evaluate_every) == (2000, 500)
    assert (settings.max_tokens, settings.dev_texts, settings.plain_share) == (1024, 1000, 0)


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"epochs": 0}, "begin at 1"),
        ({"max_tokens": 1}, "begins at 2"),
        ({"plain_share": 1.0}, r"lie in \[0, 1\)"),
        ({"method": "adapter"}, "method"),
        ({"learning_rat": 1e-4}, "did you mean 'learning_rate'"),
    ],
)
def test_settings_that_cannot_be_trained_with_are_refused(
    table: dict[str, object], said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        fill(TrainConfig, table)


def test_the_toolformer_reads_the_calls_and_the_control_does_not() -> None:
    records = [record(3), record(4)]
    assert list(examples_of(records, calls=True)) == [(1, 50, 2, 3), (1, 50, 2, 4)]
    assert list(examples_of(records, calls=False)) == [(1, 2, 3), (1, 2, 4)]


def test_both_trainings_develop_on_the_same_texts_and_learn_from_the_others() -> None:
    records = [record(number) for number in range(40)]
    settings = TrainConfig(dev_share=0.2)
    called, plain = (divide(records, settings, calls=calls) for calls in (True, False))
    assert (len(called.training), len(called.development)) == (32, 8)
    for ours, theirs in zip(
        [*called.training, *called.development],
        [*plain.training, *plain.development],
        strict=True,
    ):
        assert tuple(token for token in ours if token != 50) == theirs
    numbers = [tokens[-1] for tokens in (*plain.training, *plain.development)]
    assert sorted(numbers) == list(range(40))
    assert numbers[-8:] != list(range(32, 40))


def test_who_develops_hangs_on_the_id_and_the_seed_and_not_on_the_order() -> None:
    records = [record(number) for number in range(40)]

    def development(records: list[Merged], seed: int) -> set[Ids]:
        settings = TrainConfig(dev_share=0.2, seed=seed)
        return set(map(tuple, divide(records, settings, calls=True).development))

    assert development(records, 0) == development(records[::-1], 0)
    assert development(records, 0) != development(records, 1)


def test_at_most_so_many_texts_are_held_back_and_at_least_one() -> None:
    records = [record(number) for number in range(40)]
    few = divide(records, TrainConfig(dev_share=0.5, dev_texts=3), calls=True)
    one = divide(records[:2], TrainConfig(), calls=True)
    assert (len(few.training), len(few.development)) == (37, 3)
    assert (len(one.training), len(one.development)) == (1, 1)


def test_texts_without_a_call_are_mixed_in_up_to_their_share() -> None:
    records = [record(number, calls=number % 2) for number in range(200)]
    none = divide(records, TrainConfig(dev_share=0.1), calls=True)
    mixed = divide(records, TrainConfig(dev_share=0.1, plain_share=0.2), calls=True)
    assert all(50 in tokens for tokens in (*none.training, *none.development))
    every = [*mixed.training, *mixed.development]
    assert (len(every), sum(50 not in tokens for tokens in every)) == (125, 25)
    assert sum(50 not in tokens for tokens in mixed.training) > 10


def test_of_texts_without_a_call_those_may_be_chosen_for_which_none_was_proposed() -> None:
    """A text that needs a call and kept none would teach that none is needed."""
    records = [replace(record(n, calls=n % 2), candidates=n % 4) for n in range(200)]
    settings = TrainConfig(dev_share=0.1, plain_share=0.4, plain_from="unproposed")
    mixed = divide(records, settings, calls=True)
    plain = [ids for ids in (*mixed.training, *mixed.development) if 50 not in ids]
    assert len(plain) == 50
    assert all(ids[-1] % 4 == 0 for ids in plain)


def test_too_few_texts_are_refused_with_the_remedy() -> None:
    with pytest.raises(DataError, match="keep with a lower threshold"):
        divide([record(1), record(2, calls=0)], TrainConfig(), calls=True)


def test_training_lowers_the_perplexity_of_texts_that_were_not_read(
    model: HuggingFaceModel, tmp_path: Path
) -> None:
    progress = train(model, tmp_path)
    assert [step.index for step in progress] == list(range(1, len(progress) + 1))
    assert len(progress) == count_steps(model, TRAINING, SETTINGS)
    measured = {step.index: step.perplexity for step in progress if step.perplexity}
    assert list(measured) == [4, 8, 12, 16, 20]
    assert measured[20] < 0.7 * measured[4] < 11


def test_the_result_is_a_model_folder_that_names_its_tools(
    model: HuggingFaceModel, tmp_path: Path
) -> None:
    tools = [Tool(name="Search", answer=lambda _a, _c: "", quoted=True, version="7")]
    steps = list(finetune(model, TRAINING, DEVELOPMENT, SETTINGS, tmp_path, tools=tools))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model"]
    card = read_card(tmp_path / "model")
    assert card is not None
    assert card["base"] == model.name
    assert card["tools"] == [{"name": "Search", "quoted": True, "version": "7"}]
    assert card["perplexity"] == {str(s.index): s.perplexity for s in steps if s.perplexity}
    assert load_model(str(tmp_path / "model"), device="cpu").decode([1, 2]) == "a b"
    assert read_card(Path(model.name)) is None


def test_the_best_evaluation_is_what_is_saved(model: HuggingFaceModel, tmp_path: Path) -> None:
    """Learning too long from texts unlike those to develop on: the first is the best."""
    unlike = [tokens[::-1] for tokens in TRAINING]
    progress = list(finetune(model, unlike, DEVELOPMENT, SETTINGS, tmp_path / "long"))
    measured = {step.index: step.perplexity for step in progress if step.perplexity}
    best = min(measured, key=measured.__getitem__)
    assert best < len(progress)
    card = read_card(tmp_path / "long" / "model")
    assert card is not None
    assert card["step"] == best
    saved = load_model(str(tmp_path / "long" / "model"), device="cpu")
    still = TrainConfig(**{**vars(SETTINGS), "max_steps": 1, "learning_rate": 1e-12})
    [step] = finetune(saved, unlike, DEVELOPMENT, still, tmp_path / "again")
    assert step.perplexity == pytest.approx(measured[best], rel=1e-5)


def test_the_model_that_was_given_is_as_before(model: HuggingFaceModel, tmp_path: Path) -> None:
    before = {name: tensor.clone() for name, tensor in model.model.state_dict().items()}
    for method in ("full", "lora"):
        settings = fill(TrainConfig, {**vars(SETTINGS), "method": method, "lora_rank": 2})
        train(model, tmp_path / method, settings)
        after = model.model.state_dict()
        assert all(torch.equal(before[name], after[name]) for name in before)
        assert all(p.grad is None for p in model.model.parameters())


@pytest.mark.parametrize("method", ["full", "lora"])
def test_the_same_seed_gives_the_same_bytes_and_another_others(
    model: HuggingFaceModel, tmp_path: Path, method: str
) -> None:
    for name, seed in [("first", 0), ("second", 0), ("other", 1)]:
        table = {**vars(SETTINGS), "method": method, "lora_rank": 2, "seed": seed}
        train(model, tmp_path / name, fill(TrainConfig, table))
    first, second, other = (contents(tmp_path / name) for name in ("first", "second", "other"))
    assert first == second
    assert first["model/model.safetensors"] != other["model/model.safetensors"]


def test_a_finished_training_is_not_done_again(
    model: HuggingFaceModel, undisturbed: Path
) -> None:
    before = contents(undisturbed)
    assert train(model, undisturbed) == []
    assert contents(undisturbed) == before


def test_a_finished_training_never_passes_for_another(
    model: HuggingFaceModel, undisturbed: Path
) -> None:
    before = contents(undisturbed)
    for settings, texts in (
        (replace(SETTINGS, learning_rate=0.5), TRAINING),
        (SETTINGS, TRAINING[1:]),
    ):
        with pytest.raises(
            StoreError, match=f"other settings or examples; delete {undisturbed}"
        ):
            list(finetune(model, texts, DEVELOPMENT, settings, undisturbed))
    assert contents(undisturbed) == before


def test_who_was_killed_between_the_model_and_clearing_up_leaves_nothing_behind(
    model: HuggingFaceModel, undisturbed: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(undisturbed, tmp_path / "train"))
    (folder / "checkpoint-8").mkdir()
    (folder / ".checkpoint-4.1234.partial").mkdir()
    assert train(model, folder) == []
    assert contents(folder) == contents(undisturbed)
    assert sorted(path.name for path in folder.iterdir()) == ["model"]


@pytest.mark.slow
def test_a_training_killed_again_and_again_ends_in_the_same_bytes(
    model: HuggingFaceModel, undisturbed: Path, tmp_path: Path
) -> None:
    data = json.dumps([vars(SETTINGS), TRAINING, DEVELOPMENT])
    taken: list[list[int]] = []
    for point in ("checkpoint-8", "model"):
        done = subprocess.run(
            [sys.executable, "-c", KILLED, model.name, str(tmp_path), point, data],
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONPATH": str(Path(graft.__file__).parents[1])},
            check=False,
        )
        assert done.returncode == -signal.SIGKILL, done.stderr
        assert any(path.name.endswith(".partial") for path in tmp_path.iterdir())
        assert not (tmp_path / "model").exists()
        taken.append([int(line) for line in done.stdout.split()])
    assert taken == [list(range(1, 8)), list(range(5, 21))]
    assert train(model, tmp_path) == []
    assert contents(tmp_path) == contents(undisturbed)


def test_a_training_goes_on_from_its_last_checkpoint_whenever_its_caller_stops(
    model: HuggingFaceModel, undisturbed: Path, tmp_path: Path
) -> None:
    first = list(islice(finetune(model, TRAINING, DEVELOPMENT, SETTINGS, tmp_path), 10))
    rest = train(model, tmp_path)
    assert rest[:2] == first[8:]
    assert (rest[0].index, rest[-1].index) == (9, 20)
    assert contents(tmp_path) == contents(undisturbed)


def test_another_training_is_not_continued(model: HuggingFaceModel, tmp_path: Path) -> None:
    list(islice(finetune(model, TRAINING, DEVELOPMENT, SETTINGS, tmp_path), 5))
    fewer = finetune(model, TRAINING[:-1], DEVELOPMENT, SETTINGS, tmp_path)
    with pytest.raises(StoreError, match="checkpoint-4: was begun with other settings"):
        next(fewer)


def test_a_damaged_checkpoint_is_named_and_what_is_before_it_carries_on(
    model: HuggingFaceModel, undisturbed: Path, tmp_path: Path
) -> None:
    list(islice(finetune(model, TRAINING, DEVELOPMENT, SETTINGS, tmp_path), 9))
    damaged = tmp_path / "checkpoint-8" / "model.safetensors"
    damaged.write_bytes(damaged.read_bytes()[:-8])
    with pytest.raises(StoreError, match=r"checkpoint-8/model\.safetensors: is damaged"):
        train(model, tmp_path)
    for file in damaged.parent.iterdir():
        file.unlink()
    damaged.parent.rmdir()
    assert train(model, tmp_path)[0].index == 5
    assert contents(tmp_path) == contents(undisturbed)


def test_nothing_to_learn_from_is_refused(model: HuggingFaceModel, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no examples"):
        list(finetune(model, [], DEVELOPMENT, SETTINGS, tmp_path))


def test_a_share_of_the_texts_with_calls_is_learnt_without_them_too() -> None:
    records = [record(number) for number in range(3, 43)]
    settings = TrainConfig(also_plain=0.5, dev_share=0.0)
    called = divide(records, settings, calls=True)
    control = divide(records, settings, calls=False)
    again = [row for row in called.training if 50 not in row]
    assert len(again) == round(0.5 * (len(records) - len(called.development)))
    assert set(map(tuple, again)) < {one.plain for one in records}
    assert len(control.training) == len(called.training)
    assert sorted(again) == sorted(control.training[-len(again) :])
    assert not any(50 in row for row in control.training)
