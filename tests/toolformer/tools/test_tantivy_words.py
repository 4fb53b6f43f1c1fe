"""tantivy's lists rank as BM25 is written down, and of equal passages the first comes first."""

import math
import random
from collections import Counter
from pathlib import Path

import pytest

from graft.toolformer.tools import tantivy_words
from graft.toolformer.tools.tantivy_words import WordLists, add_rows

WORDS = [f"w{n}x" for n in range(12)]
K1, B = 1.2, 0.75


def texts(seed: int, count: int = 400) -> list[str]:
    """At most forty words each: the lengths of longer texts are kept roughly."""
    draw = random.Random(seed)
    weights = [1 / (n + 1) for n in range(len(WORDS))]
    return [" ".join(draw.choices(WORDS, weights, k=draw.randint(1, 40))) for _ in range(count)]


def listed(folder: Path, rows: list[str]) -> WordLists:
    for _ in add_rows(folder, lambda row: list(enumerate(rows, 1))[row:]):
        pass
    return WordLists(folder)


def bm25(rows: list[str], asked: list[str]) -> list[int]:
    """Robertson and Zaragoza 2009, Section 3; every row looked at."""
    counts = [Counter(row.split()) for row in rows]
    mean = sum(count.total() for count in counts) / len(counts)
    scores = list[tuple[float, int]]()
    for row, count in enumerate(counts, 1):
        score = 0.0
        for word in asked:
            holding = sum(word in one for one in counts)
            rarity = math.log(1 + (len(rows) - holding + 0.5) / (holding + 0.5))
            length = K1 * (1 - B + B * count.total() / mean)
            score += rarity * count[word] * (K1 + 1) / (count[word] + length)
        if score:
            scores.append((-round(score, 4), row))
    return [row for _, row in sorted(scores)]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("step", [37, 1000])
def test_the_best_rows_are_those_of_the_formula(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int, step: int
) -> None:
    monkeypatch.setattr(tantivy_words, "ROWS_PER_STEP", step)
    rows, draw = texts(seed), random.Random(seed)
    lists = listed(tmp_path / "words", rows)
    assert lists.rows == len(rows)
    for _ in range(30):
        asked = draw.sample(WORDS, draw.randint(1, 5))
        assert lists.best(asked, 10) == bm25(rows, asked)[:10]
        assert lists.count(asked[0]) == sum(asked[0] in row.split() for row in rows)


def test_words_are_found_in_every_form_and_nothing_in_a_query_is_a_command(
    tmp_path: Path,
) -> None:
    lists = listed(tmp_path / "words", ["The R\u00edvers of Tovel_Osk", "A hill", "river"])
    assert lists.best(["river"], 5) == [3, 1]
    assert lists.best(["RIVERS", "running"], 5) == [3, 1]
    assert lists.best(["tovel_osk"], 5) == [1]
    for one in ('"', "text:river", "row:1", "-river", "river*", "a" * 100_000, "\x00", ""):
        assert set(lists.best([one], 5)) <= {1, 3}
    assert lists.best([], 5) == []
    assert lists.count("") == 0


@pytest.mark.parametrize("step", [1, 3, 1000])
def test_of_equal_rows_the_first_ones_are_found_however_the_lists_are_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    monkeypatch.setattr(tantivy_words, "ROWS_PER_STEP", step)
    lists = listed(tmp_path / "words", ["river"] * 50)
    assert lists.best(["river"], 5) == [1, 2, 3, 4, 5]
