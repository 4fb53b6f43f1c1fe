"""Pairs whose condition was brought and is another picture's: named, and no other."""

import re
from collections.abc import Callable, Sequence
from dataclasses import replace

import cv2
import numpy as np
import pytest

from graft.controlnet import legibility
from graft.controlnet.annotate import annotate
from graft.controlnet.annotators.annotator import Annotator
from graft.controlnet.annotators.kit import annotator_by_name
from graft.controlnet.dataset import Captioned, Pair
from graft.controlnet.keep import KeepConfig, Kept, choose, examine, short_reason
from graft.controlnet.legibility import find_misfits
from graft.world.pictures import draw_picture

CANNY = annotator_by_name("canny")
MISFIT = "condition fits another picture better"
OTHERS = {
    "canny": {"low": 40.0, "high": 90.0, "blur": 1.5},
    "softedge": {"blur": 1 / 40, "contrast": 100.0, "levels": 256},
    "scribble": {"blur": 1 / 100, "contrast": 0.01},
    "lineart": {"blur": 1 / 64, "contrast": 0.02, "sharpness": 10.0},
    "tile": {"factor": 4},
    "palette": {"cells": 16},
}
"""What another tool draws with."""


Draw = Callable[[np.ndarray], np.ndarray]


def opencv(pixels_HWC: np.ndarray) -> np.ndarray:
    """Edges as most folders have them."""
    return np.repeat(cv2.Canny(pixels_HWC, 100, 200)[..., None], 3, axis=2)


def brought(count: int, annotator: Annotator = CANNY, draw: Draw = opencv) -> list[Pair]:
    """Pairs with finished conditions that somebody else drew."""
    pictures: list[Captioned] = []
    for seed in range(count):
        pixels_HWC = draw_picture(np.random.default_rng(seed), size=64).pixels_HWC
        pictures.append(Captioned(str(seed), pixels_HWC, f"picture {seed}", draw(pixels_HWC)))
    return list(annotate(pictures, annotator, 64, lambda _: np.random.default_rng(0)))


def moved_on(pairs: Sequence[Pair], places: int = 1) -> list[Pair]:
    """The same pairs, each with the condition of one before it."""
    count = len(pairs)
    return [
        replace(one, condition=pairs[(index - places) % count].condition)
        for index, one in enumerate(pairs)
    ]


def kept(pairs: Sequence[Pair], settings: KeepConfig | None = None) -> Kept:
    settings = settings or KeepConfig()
    return choose(examine(pairs, settings), settings)


def dropped(found: Kept) -> dict[str, str]:
    return {name: verdict for name, verdict in found.verdicts.items() if verdict}


@pytest.mark.parametrize("share", [0.02, 0.1, 0.5])
def test_each_pair_with_the_condition_of_another_one_is_named_and_no_other(
    share: float,
) -> None:
    pairs = brought(200)
    wrong = int(share * 200)
    found = kept([*moved_on(pairs[:wrong]), *pairs[wrong:]])
    named = dropped(found)
    assert named.keys() <= {str(n) for n in range(wrong)}
    assert len(named) >= 0.95 * wrong
    assert len(found.ids) == 200 - len(named)
    better = [
        verdict == f"condition fits better to {(int(name) - 1) % wrong}"
        for name, verdict in named.items()
    ]
    assert np.mean(better) >= 0.9
    assert set(map(short_reason, named.values())) == {MISFIT}


def test_of_two_pairs_that_exchanged_their_conditions_both_are_named() -> None:
    pairs = brought(12)
    pairs[3:8:4] = moved_on([pairs[3], pairs[7]])
    assert set(dropped(kept(pairs))) == {"3", "7"}


def test_dark_lines_on_white_are_compared_as_lines() -> None:
    pairs = brought(60, draw=lambda pixels_HWC: 255 - opencv(pixels_HWC))
    found = kept([*moved_on(pairs[:6]), *pairs[6:]])
    assert set(dropped(found)) == {"0", "1", "2", "3", "4", "5"}


@pytest.mark.parametrize("rows_at_once", [7, 1024])
def test_the_matrix_products_find_what_comparing_one_by_one_finds(
    rows_at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(legibility, "_ROWS_AT_ONCE", rows_at_once)
    pairs = brought(40)
    looks = [one.look for one in examine([*moved_on(pairs[:15]), *pairs[15:]], KeepConfig())]
    slow = dict[int, int]()
    for number, look in enumerate(looks):
        betters: list[int] = []
        for kind in (0, 1):  # what is drawn of the pictures, and the pictures' own edges
            fits = [float(look.given_K @ other.own_2K[kind]) for other in looks]
            others = [fit if n != number else -1.0 for n, fit in enumerate(fits)]
            if max(others) - fits[number] > 0.15:
                betters.append(others.index(max(others)))
        if len(betters) == 2:
            slow[number] = betters[0]
    assert slow
    assert find_misfits(looks) == slow


def test_what_was_drawn_here_is_not_drawn_again_to_be_compared() -> None:
    mixed = moved_on(brought(12))
    own = [replace(one, condition=replace(one.condition, brought=False)) for one in mixed]
    assert [one.look.own_2K for one in examine(own, KeepConfig())] == [None] * 12
    assert all(one.look.own_2K is not None for one in examine(mixed, KeepConfig()))


def test_where_most_conditions_are_of_other_pictures_the_set_is_told_and_none_dropped() -> None:
    pairs = brought(60)
    mixed = moved_on(pairs, 7)
    found = kept(mixed)
    assert len(found.ids) == 60
    assert found.faults[MISFIT] == found.ids
    (warning,) = found.warnings
    assert re.match(r"the conditions do not fit their pictures: 100% of them", warning)
    assert kept(mixed, KeepConfig(most_misfits=1)).ids == ()
    few = [*moved_on(pairs[:6]), *pairs[6:]]
    borne = kept(few, KeepConfig(drop_misfits=False))
    assert borne.faults[MISFIT] == ("0", "1", "2", "3", "4", "5")
    assert dropped(borne) == {}


@pytest.mark.parametrize("kind", OTHERS)
def test_conditions_that_another_tool_drew_are_known_from_those_of_other_pictures(
    kind: str,
) -> None:
    annotator = annotator_by_name(kind)
    theirs = {**annotator.choose(np.random.default_rng(0)), **OTHERS[kind]}
    pairs = brought(200, annotator, lambda pixels_HWC: annotator.draw(pixels_HWC, theirs))
    good = set(kept(pairs).ids)
    assert len(good) >= 0.99 * 200
    found = kept([*moved_on(pairs[:20]), *pairs[20:]])
    named = set(dropped(found)) & good  # a condition may be empty, whoever's it is
    assert len(named & set(map(str, range(20)))) >= 18
    assert named <= set(map(str, range(20)))
