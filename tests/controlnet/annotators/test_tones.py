import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from graft.controlnet.annotators.tones import Greyscale, Threshold

RNG = np.random.default_rng(0)


def test_grey_is_the_luma_of_the_standard() -> None:
    colours_HWC = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255], [10, 20, 30]]], np.uint8)
    grey_HWC = Greyscale().draw(colours_HWC, {})
    # 0.299 R + 0.587 G + 0.114 B
    assert grey_HWC[0].tolist() == [[76] * 3, [150] * 3, [29] * 3, [18] * 3]


def test_a_grey_picture_is_its_own_greyscale() -> None:
    grey_HWC = np.repeat(np.arange(256, dtype=np.uint8).reshape(16, 16, 1), 3, axis=2)
    assert (Greyscale().draw(grey_HWC, Greyscale().choose(RNG)) == grey_HWC).all()


def test_only_what_is_above_the_level_is_white() -> None:
    greys_HWC = np.repeat(np.array([[[126], [127], [128]]], np.uint8), 3, axis=2)
    assert Threshold().choose(RNG) == {"level": 127}
    white_HWC = Threshold().draw(greys_HWC, {"level": 127})
    assert white_HWC[0].tolist() == [[0] * 3, [0] * 3, [255] * 3]


def test_the_highest_level_leaves_white_and_the_lowest_takes_only_black() -> None:
    greys_HWC = np.repeat(np.array([[[0], [1], [254], [255]]], np.uint8), 3, axis=2)
    assert Threshold().draw(greys_HWC, {"level": 0})[0, :, 0].tolist() == [0, 255, 255, 255]
    assert Threshold().draw(greys_HWC, {"level": 254})[0, :, 0].tolist() == [0, 0, 0, 255]


@given(st.integers(0, 10_000))
def test_a_random_level_lies_in_its_range(seed: int) -> None:
    drawn = Threshold(random=True, lowest=100, highest=102).choose(np.random.default_rng(seed))
    assert drawn["level"] in {100, 101, 102}


def test_all_levels_of_the_range_come() -> None:
    threshold = Threshold(random=True, lowest=100, highest=102)
    assert {threshold.choose(np.random.default_rng(seed))["level"] for seed in range(40)} == {
        100,
        101,
        102,
    }


@pytest.mark.parametrize(
    "settings", [{"level": 255}, {"level": -1}, {"lowest": 193}, {"highest": 255}]
)
def test_impossible_settings_are_refused(settings: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=r"level|lowest"):
        Threshold(**settings)
