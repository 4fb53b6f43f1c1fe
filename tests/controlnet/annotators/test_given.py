import numpy as np
import pytest

from graft.controlnet.annotators.given import number, picture, whole
from graft.controlnet.condition import Value
from graft.errors import DataError


@pytest.mark.parametrize(
    "wrong",
    [
        np.zeros((4, 4, 3), np.float32),
        np.zeros((4, 4, 3), np.int64),
        np.zeros((4, 4), np.uint8),
        np.zeros((4, 4, 1), np.uint8),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((1, 4, 4, 3), np.uint8),
        np.zeros((0, 4, 3), np.uint8),
        np.zeros((4, 0, 3), np.uint8),
    ],
)
def test_what_is_no_picture_is_refused_by_the_annotators_name(wrong: np.ndarray) -> None:
    with pytest.raises(DataError, match=r"annotator 'canny' needs a picture of uint8"):
        picture("canny", wrong)


def test_the_refusal_tells_what_was_given() -> None:
    with pytest.raises(DataError, match=r"not float32 \[2, 5, 3\]"):
        picture("tile", np.zeros((2, 5, 3), np.float32))


def test_a_turned_picture_comes_in_one_piece_of_memory_with_the_same_pixels() -> None:
    turned_HWC = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)[::-1, ::-1]
    read_HWC = picture("canny", turned_HWC)
    assert read_HWC.flags.c_contiguous
    assert (read_HWC == turned_HWC).all()


def test_a_missing_parameter_is_named_beside_those_that_are_there() -> None:
    with pytest.raises(
        DataError, match="annotator 'canny': parameter 'low' is missing; there are: high, blur"
    ):
        number("canny", {"high": 3.0, "blur": 0.0}, "low")
    with pytest.raises(DataError, match="there are: none"):
        number("canny", {}, "low")


@pytest.mark.parametrize("value", ["3", True, float("nan"), float("-inf"), -0.5, 10.5])
def test_a_parameter_that_cannot_be_is_refused_by_name(value: Value) -> None:
    with pytest.raises(DataError, match="annotator 'tile': parameter 'factor' is"):
        number("tile", {"factor": value}, "factor", most=10)


def test_bounds_belong_to_what_is_allowed() -> None:
    assert number("tile", {"factor": 1}, "factor", least=1, most=2) == 1.0
    assert number("tile", {"factor": 2.0}, "factor", least=1, most=2) == 2.0


def test_a_whole_number_may_be_written_with_a_point_but_not_with_a_fraction() -> None:
    assert whole("tile", {"factor": 8.0}, "factor") == 8
    for fraction in (8.5, float("inf")):
        with pytest.raises(DataError, match="'factor' is no whole number"):
            whole("tile", {"factor": fraction}, "factor")
