import numpy as np
import pytest

from graft.controlnet.annotators.lines import LineArt, Scribble
from graft.world.pictures import draw_picture

KINDS = (Scribble, LineArt)


def halves(
    left: tuple[int, int, int], right: tuple[int, int, int], size: int = 64
) -> np.ndarray:
    pixels_HWC = np.empty((size, size, 3), np.uint8)
    pixels_HWC[:, : size // 2], pixels_HWC[:, size // 2 :] = left, right
    return pixels_HWC


def drawn(kind: type[Scribble] | type[LineArt], pixels_HWC: np.ndarray) -> np.ndarray:
    annotator = kind()
    return annotator.draw(pixels_HWC, annotator.choose(np.random.default_rng(0)))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("grey", [0, 40, 128, 255])
def test_a_flat_picture_has_no_line_however_dark(
    kind: type[Scribble] | type[LineArt], grey: int
) -> None:
    assert not drawn(kind, np.full((64, 64, 3), grey, np.uint8)).any()


@pytest.mark.parametrize("kind", KINDS)
def test_a_line_is_white_and_lies_on_the_dark_side_of_an_edge(
    kind: type[Scribble] | type[LineArt],
) -> None:
    line_HWC = drawn(kind, halves((0, 0, 0), (255, 255, 255)))
    assert line_HWC[:, 31].min() > 200
    assert not line_HWC[:, 32:].any()
    assert not line_HWC[:, :28].any()


@pytest.mark.parametrize("kind", KINDS)
def test_an_edge_asks_for_the_same_contrast_in_the_dark_and_in_the_light(
    kind: type[Scribble] | type[LineArt],
) -> None:
    dark_HWC = drawn(kind, halves((0, 0, 0), (80, 80, 80)))
    light_HWC = drawn(kind, halves((175, 175, 175), (255, 255, 255)))
    assert dark_HWC.any()
    assert np.abs(dark_HWC.astype(int) - light_HWC).max() <= 1  # rounding in single precision


def test_a_stroke_begins_where_a_ninth_of_a_step_exceeds_the_contrast() -> None:
    # Beside a step by 1, D is at most 0.11; by 40 / 255 it is 0.0175, by 50 / 255 it is 0.022.
    assert not drawn(Scribble, halves((0, 0, 0), (40, 40, 40))).any()
    assert drawn(Scribble, halves((0, 0, 0), (50, 50, 50))).any()


def test_red_on_green_of_the_same_grey_has_one_line_and_not_two() -> None:
    row_W = drawn(Scribble, halves((220, 0, 0), (0, 112, 0)))[32, :, 0]
    assert np.flatnonzero(np.diff(np.pad(row_W, 1).astype(int))).size == 2


def test_scribbles_are_black_and_white_and_line_art_has_tones() -> None:
    pixels_HWC = draw_picture(np.random.default_rng(3)).pixels_HWC
    assert {*drawn(Scribble, pixels_HWC).ravel().tolist()} == {0, 255}
    assert len({*drawn(LineArt, pixels_HWC).ravel().tolist()}) > 20


def test_strokes_are_thicker_than_lines() -> None:
    for seed in range(10):
        pixels_HWC = draw_picture(np.random.default_rng(seed)).pixels_HWC
        assert (drawn(Scribble, pixels_HWC) > 127).mean() > 0
    edge_HWC = halves((0, 0, 0), (90, 90, 90))
    stroke, line = drawn(Scribble, edge_HWC)[32, :, 0], drawn(LineArt, edge_HWC)[32, :, 0]
    assert (stroke > 127).sum() > (line > 127).sum() > 0


@pytest.mark.parametrize("kind", KINDS)
def test_a_line_grows_with_the_picture(kind: type[Scribble] | type[LineArt]) -> None:
    widths = [
        int((drawn(kind, halves((0, 0, 0), (200, 200, 200), size))[0, :, 0] > 127).sum())
        for size in (128, 512)
    ]
    assert widths[1] == pytest.approx(4 * widths[0], abs=3)


def test_line_art_is_the_hyperbolic_tangent_of_the_paper() -> None:
    pixels_HWC = halves((0, 0, 0), (200, 200, 200))
    soft, hard = (
        LineArt().draw(pixels_HWC, {"blur": 1 / 64, "contrast": 0.01, "sharpness": sharpness})[
            32, 31, 0
        ]
        for sharpness in (5.0, 10.0)
    )
    reached = np.arctanh(soft / 255) / 5  # epsilon - D
    assert hard == pytest.approx(255 * np.tanh(10 * reached), abs=2)


@pytest.mark.parametrize("settings", [{"blur": 0.0}, {"blur": 0.5}, {"contrast": 0.0}])
@pytest.mark.parametrize("kind", KINDS)
def test_impossible_settings_are_refused(
    kind: type[Scribble] | type[LineArt], settings: dict[str, float]
) -> None:
    with pytest.raises(ValueError, match=r"blur|contrast"):
        kind(**settings)


def test_lines_without_sharpness_are_refused() -> None:
    with pytest.raises(ValueError, match="sharpness"):
        LineArt(sharpness=0.0)
