import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from graft.controlnet.annotators.inpaint import HOLE, Inpaint
from graft.errors import DataError

BOX = {"boxes": 1, "top_0": 0.25, "left_0": 0.5, "bottom_0": 0.75, "right_0": 1.0}
GREY_HWC = np.full((4, 8, 3), 90, np.uint8)


def test_a_box_is_filled_with_one_colour_and_the_rest_is_the_picture() -> None:
    drawn_HWC = Inpaint().draw(GREY_HWC, BOX)
    assert (drawn_HWC[1:3, 4:] == HOLE).all()
    drawn_HWC[1:3, 4:] = 90
    assert (drawn_HWC == GREY_HWC).all()


def test_the_picture_itself_is_not_touched() -> None:
    before_HWC = GREY_HWC.copy()
    Inpaint().draw(GREY_HWC, BOX)
    assert (before_HWC == GREY_HWC).all()


def test_what_is_known_lies_outside_of_all_boxes() -> None:
    second = {"top_1": 0.0, "left_1": 0.0, "bottom_1": 0.25, "right_1": 0.125}
    known_HW = Inpaint().known(4, 8, BOX | second | {"boxes": 2})
    assert known_HW.astype(int).tolist() == [
        [0, 1, 1, 1, 1, 1, 1, 1],
        [1, 1, 1, 1, 0, 0, 0, 0],
        [1, 1, 1, 1, 0, 0, 0, 0],
        [1, 1, 1, 1, 1, 1, 1, 1],
    ]


@given(st.integers(0, 10_000), st.integers(1, 4), st.integers(1, 40), st.integers(1, 40))
def test_boxes_are_plain_values_inside_the_picture_that_cover_a_pixel(
    seed: int, boxes: int, height: int, width: int
) -> None:
    parameters = Inpaint(boxes=boxes).choose(np.random.default_rng(seed))
    assert json.loads(json.dumps(parameters)) == parameters
    assert len(parameters) == 1 + 4 * boxes
    assert not Inpaint().known(height, width, parameters).all()


@given(st.integers(0, 10_000))
def test_sides_are_as_long_as_the_settings_say(seed: int) -> None:
    drawn = Inpaint(smallest=0.25, largest=0.5).choose(np.random.default_rng(seed))
    top, left = float(drawn["top_0"]), float(drawn["left_0"])
    height, width = float(drawn["bottom_0"]) - top, float(drawn["right_0"]) - left
    assert top >= 0
    assert left >= 0
    assert 0.25 - 1e-9 <= height <= 0.5 + 1e-9
    assert 0.25 - 1e-9 <= width <= 0.5 + 1e-9


def test_a_box_as_large_as_the_picture_leaves_nothing() -> None:
    parameters = Inpaint(smallest=1.0, largest=1.0).choose(np.random.default_rng(0))
    assert not Inpaint().known(7, 5, parameters).any()


@pytest.mark.parametrize("key", ["boxes", "top_0", "right_0"])
def test_a_missing_side_is_named(key: str) -> None:
    with pytest.raises(DataError, match=f"annotator 'inpaint': parameter '{key}' is missing"):
        Inpaint().draw(GREY_HWC, {name: value for name, value in BOX.items() if name != key})


def test_a_box_that_ends_before_it_begins_is_refused() -> None:
    with pytest.raises(DataError, match=r"'bottom_0' is 0\.1, and is to be from 0\.25 to 1"):
        Inpaint().draw(GREY_HWC, BOX | {"bottom_0": 0.1})


@pytest.mark.parametrize(
    "settings",
    [{"smallest": 0.0}, {"smallest": 0.7}, {"largest": 1.5}, {"smallest": float("nan")}],
)
def test_impossible_sides_are_refused(settings: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="smallest and largest"):
        Inpaint(**settings)


def test_no_box_is_refused() -> None:
    with pytest.raises(ValueError, match="boxes"):
        Inpaint(boxes=0)
