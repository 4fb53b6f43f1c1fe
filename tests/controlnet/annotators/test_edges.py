import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from graft.controlnet.annotators.edges import Canny, SoftEdge
from graft.controlnet.condition import Parameters
from graft.measure.image import edge_f1
from graft.world.pictures import COLOURS, Thing, draw_picture, paint

SHARP: Parameters = {"low": 50.0, "high": 103.0, "blur": 0.0}


def step(left: tuple[int, int, int], right: tuple[int, int, int], size: int = 16) -> np.ndarray:
    """A picture of two halves, the border in its middle."""
    pixels_HWC = np.empty((size, size, 3), np.uint8)
    pixels_HWC[:, : size // 2], pixels_HWC[:, size // 2 :] = left, right
    return pixels_HWC


def outline(radius: float, size: int = 64) -> np.ndarray:
    """The pixels through which a circle in the middle goes; `radius` in half widths."""
    line = (np.arange(size) + 0.5) * 2 / size - 1
    far_HW = np.hypot(*np.meshgrid(line, line))
    return np.abs(far_HW - radius) * size / 2 <= 0.71


def test_a_step_is_found_where_four_times_its_height_exceeds_the_threshold() -> None:
    found_HWC = Canny().draw(step((10, 10, 10), (36, 36, 36)), SHARP)  # 4 * 26 = 104
    missed_HWC = Canny().draw(step((10, 10, 10), (35, 35, 35)), SHARP)  # 4 * 25 = 100
    assert found_HWC.any()
    assert not missed_HWC.any()


def test_an_outline_is_one_pixel_thin_white_in_all_channels_and_at_its_place() -> None:
    edges_HWC = Canny().draw(step((0, 0, 0), (255, 255, 255)), Canny().choose(generator()))
    assert sorted({*edges_HWC.ravel().tolist()}) == [0, 255]
    assert (edges_HWC == edges_HWC[..., :1]).all()
    assert (edges_HWC[..., 0] == 255).sum(axis=1).tolist() == [1] * 16
    assert set(np.nonzero(edges_HWC[..., 0])[1].tolist()) <= {7, 8}


def test_a_step_in_one_colour_is_found_as_one_in_all() -> None:
    for channel in range(3):
        left, right = [100, 100, 100], [100, 100, 100]
        right[channel] = 126
        assert Canny().draw(step((*left,), (*right,)), SHARP).any()


def test_a_weak_line_stays_only_where_it_leads_to_a_strong_one() -> None:
    weak_HWC = step((0, 0, 0), (20, 20, 20))  # 80: between 50 and 103
    both_HWC = weak_HWC.copy()
    both_HWC[:5, 8:] = 60
    assert not Canny().draw(weak_HWC, SHARP).any()
    assert Canny().draw(both_HWC, SHARP)[12, 6:9].any()


def test_fixed_thresholds_are_the_settings_and_draw_nothing_from_the_generator() -> None:
    rng = generator()
    assert Canny(low=80, high=90, blur=0).choose(rng) == {"low": 80, "high": 90, "blur": 0}
    assert rng.random() == generator().random()


@given(st.integers(0, 10_000))
def test_random_thresholds_lie_in_their_range_the_high_one_well_above_the_low(
    seed: int,
) -> None:
    parameters = Canny(random=True).choose(generator(seed))
    low, high = parameters["low"], parameters["high"]
    assert isinstance(low, float)
    assert isinstance(high, float)
    assert 50 <= low <= 150
    assert 1.5 * low <= high <= min(3 * low, 300)


def test_random_thresholds_differ_between_pictures_and_not_between_runs() -> None:
    drawn = [Canny(random=True).choose(generator(seed)) for seed in (1, 2, 1)]
    assert drawn[0] == drawn[2] != drawn[1]


@pytest.mark.parametrize(
    "settings",
    [{"low": 200.0}, {"low": -1.0}, {"high": float("nan")}, {"lowest": 150.0}, {"blur": -1.0}],
)
def test_impossible_settings_of_canny_are_refused(settings: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"low|blur"):
        Canny(**settings)


def test_outlines_of_all_colours_on_all_others_are_found_in_the_little_world() -> None:
    scores: dict[tuple[str, str], float] = {}
    for index, (colour, ground) in enumerate(itertools.permutations(COLOURS, 2)):
        thing = Thing("circle", colour, "", "", 0.0, 0.0, 0.5)
        pixels_HWC = paint(generator(index), (thing,), ground, "plain")
        found_HWC = Canny().draw(pixels_HWC, Canny().choose(generator()))
        scores[colour, ground] = edge_f1(
            found_HWC[..., 0] > 127, outline(0.9 * 0.5)
        )  # a disc has 0.9 of its radius
    assert np.mean([*scores.values()]) > 0.95
    assert min(scores.values()) > 0.7, min(scores, key=scores.__getitem__)


def test_grain_alone_has_no_edges_and_every_picture_of_the_little_world_has_some() -> None:
    parameters = Canny().choose(generator())
    grain_HWC = np.rint(generator().normal(128, 3, (64, 64, 3))).astype(np.uint8)
    assert not Canny().draw(grain_HWC, parameters).any()
    for seed in range(40):
        edges_HWC = Canny().draw(draw_picture(generator(seed)).pixels_HWC, parameters)
        assert 0.005 < (edges_HWC > 0).mean() < 0.35


def test_a_soft_edge_has_no_more_tones_than_levels() -> None:
    pixels_HWC = draw_picture(generator(4)).pixels_HWC
    for levels in (2, 4, 6, 8):
        drawn_HWC = SoftEdge(levels=levels).draw(
            pixels_HWC, SoftEdge(levels=levels).choose(generator())
        )
        tones = {round(255 * level / (levels - 1)) for level in range(levels)}
        assert {*drawn_HWC.ravel().tolist()} <= tones


def test_a_flat_or_slowly_rising_picture_has_no_soft_edge() -> None:
    rising_HW = np.repeat(np.arange(64, dtype=np.uint8)[None], 64, axis=0)
    for pixels_HWC in (np.full((64, 64, 3), 200, np.uint8), np.dstack([rising_HW] * 3)):
        assert not SoftEdge().draw(pixels_HWC, SoftEdge().choose(generator())).any()


@pytest.mark.parametrize("size", [64, 256, 512])
def test_a_step_is_as_strong_in_a_picture_of_any_size(size: int) -> None:
    # L* of 99 grey is 42.0 and of 37 grey 14.1: a difference of 28 of the 70 that are white
    parameters = {"blur": 1 / 32, "contrast": 70.0, "levels": 6}
    drawn_HWC = SoftEdge().draw(step((37, 37, 37), (99, 99, 99), size), parameters)
    assert drawn_HWC.max() == 102  # 28 / 70 = 2 of 5 steps
    wide = int((drawn_HWC[0, :, 0] >= 51).sum())
    assert wide / size == pytest.approx(0.097, abs=0.02)


def test_a_step_by_the_contrast_is_white_and_a_harder_one_too() -> None:
    parameters = {"blur": 1 / 16, "contrast": 27.0, "levels": 256}
    for light in (100, 255):
        drawn_HWC = SoftEdge().draw(step((37, 37, 37), (light,) * 3, 64), parameters)
        assert drawn_HWC[32, 31:33].min() == 255


def test_red_on_green_of_the_same_grey_has_a_soft_edge() -> None:
    drawn_HWC = SoftEdge().draw(
        step((200, 0, 0), (0, 102, 0), 64), SoftEdge().choose(generator())
    )
    assert drawn_HWC[32, 30:34].max() == 255


@pytest.mark.parametrize(
    "settings", [{"blur": 0.0}, {"blur": 0.3}, {"contrast": 0.0}, {"contrast": float("nan")}]
)
def test_impossible_settings_of_soft_edges_are_refused(settings: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"blur|contrast"):
        SoftEdge(**settings)


@pytest.mark.parametrize("levels", [1, 257])
def test_one_level_or_more_than_a_byte_holds_are_refused(levels: int) -> None:
    with pytest.raises(ValueError, match="levels"):
        SoftEdge(levels=levels)


def generator(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)
