import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from transformers import AutoTokenizer

from graft.errors import ConfigError, DataError, StoreError
from graft.grow.base import GrowBaseConfig, batch_of, echo, grow_base, note
from graft.models.huggingface import load_model

SUMS = [
    f"Ann has {k} pears and buys {k + 2}.\n{k} + {k + 2} = {2 * k + 2} pears."
    for k in range(60)
]
NOTES = [f"The river Aln is {k} miles long and runs north past the mill." for k in range(60)]

SEEDLING = Path(__file__).parents[2] / "src/graft/models/seedlings/language"


def lines(path: Path, texts: list[str]) -> str:
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    return str(path)


@pytest.fixture
def small(tmp_path: Path) -> GrowBaseConfig:
    return GrowBaseConfig(
        corpora=(lines(tmp_path / "sums.jsonl", SUMS), lines(tmp_path / "notes.jsonl", NOTES)),
        shares=(0.7, 0.3),
        width=16,
        layers=1,
        heads=2,
        inner=24,
        vocabulary=400,
        steps=4,
        rows=4,
        row_tokens=48,
        checkpoint_every=2,
    )


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_a_stopped_growth_goes_on_and_ends_in_the_same_bytes(
    small: GrowBaseConfig, tmp_path: Path
) -> None:
    whole = [progress.done for progress in grow_base(small, tmp_path / "whole")]
    for progress in (stopped := grow_base(small, tmp_path / "stopped")):
        if progress.done == 3:
            stopped.close()
            break
    assert whole == [1, 2, 3, 4]
    assert [progress.done for progress in grow_base(small, tmp_path / "stopped")] == [3, 4]
    assert files(tmp_path / "stopped" / "model") == files(tmp_path / "whole" / "model")
    model = load_model(str(tmp_path / "whole" / "model"))
    assert model.decode(model.encode("Ann has 47 pears.")) == "Ann has 47 pears."


def test_another_recipe_is_refused_in_the_same_folder(
    small: GrowBaseConfig, tmp_path: Path
) -> None:
    next(iter(grow_base(small, tmp_path / "one")))
    with pytest.raises(StoreError, match="width"):
        next(iter(grow_base(replace(small, width=32), tmp_path / "one")))


def test_rows_are_out_of_the_corpora_by_their_shares(small: GrowBaseConfig) -> None:
    tokenizer = AutoTokenizer.from_pretrained(SEEDLING)
    config = replace(small, echoes=0.0, notes=0.0, rows=200)
    batch = batch_of(config, [SUMS, NOTES], tokenizer, 3)
    assert batch.tokens_BT.shape == (200, 48)
    rows = [tokenizer.decode(row) for row in batch.tokens_BT]
    sums = sum("pears" in row for row in rows)
    assert not any("pears" in row and "river" in row for row in rows)
    assert 120 <= sums <= 160  # .7 of 200, three standard deviations
    again = batch_of(config, [SUMS, NOTES], tokenizer, 3)
    assert (batch.tokens_BT == again.tokens_BT).all()
    assert (batch.tokens_BT != batch_of(config, [SUMS, NOTES], tokenizer, 4).tokens_BT).any()


def test_a_text_is_learnt_and_its_notes_are_not(small: GrowBaseConfig) -> None:
    tokenizer = AutoTokenizer.from_pretrained(SEEDLING)
    batch = batch_of(replace(small, echoes=0.0, notes=1.0), [SUMS, NOTES], tokenizer, 0)
    for tokens_T, learnt_T in zip(batch.tokens_BT, batch.learnt_BT, strict=True):
        assert "[" in tokenizer.decode(tokens_T)
        told = tokenizer.decode(tokens_T[learnt_T])
        assert "[" not in told
        assert "Ann has" in told or "The river" in told


def test_an_echo_has_other_signs_the_second_time() -> None:
    drawn = [echo(np.random.default_rng(seed), SUMS[seed]) for seed in range(50)]
    signs = [
        [set(re.sub(r"[\w\[\]().$]|The ", "", text).strip()) for text, _ in one]
        for one in drawn
    ]
    assert sum(first != second for first, second in signs) > 25


def test_an_echo_says_the_same_things_again_and_only_that_is_learnt() -> None:
    for seed in range(50):
        (said, learnt), (again, learnt_again) = echo(np.random.default_rng(seed), SUMS[seed])
        assert (learnt, learnt_again) == (False, True)
        first, second = (re.findall(r"\w+", line.replace("The ", "")) for line in (said, again))
        assert first == second
        assert len(first) >= 3


@pytest.mark.parametrize(
    ("wrong", "error", "said"),
    [
        ({"corpora": (), "shares": ()}, ConfigError, "name at least one file"),
        ({"corpora": ("nowhere.jsonl",), "shares": ()}, DataError, "nowhere.jsonl"),
        ({"shares": (1.0,)}, ValueError, "one number for each"),
        ({"shares": (0.0, 0.0)}, ValueError, "'shares' must be more than 0"),
        ({"width": 32, "heads": 6}, ValueError, "'width' 32 must be an even number"),
        ({"vocabulary": 10}, ValueError, "'vocabulary' begins at 260"),
        ({"steps": 0}, ValueError, "'steps' begins at 1"),
        ({"notes": 1.5}, ValueError, "'notes' lie in"),
    ],
)
def test_what_cannot_be_grown_is_refused_before_anything_is_made(
    small: GrowBaseConfig,
    tmp_path: Path,
    wrong: dict[str, object],
    error: type[Exception],
    said: str,
) -> None:
    with pytest.raises(error, match=said):
        next(iter(grow_base(replace(small, **wrong), tmp_path / "refused")))
    assert not (tmp_path / "refused").exists()


def test_a_note_holds_what_the_text_behind_it_tells() -> None:
    for seed in range(50):
        written = note(np.random.default_rng(seed), SUMS[seed])
        assert re.fullmatch(r"(\[[^\[\]]+\]){1,2}\n", written)
        assert set(re.findall(r"\w+", written)) <= set(re.findall(r"\w+", SUMS[seed]))
    assert note(np.random.default_rng(0), "...") == "\n"
