"""What is true of every annotator."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from graft.controlnet.annotators.annotator import Annotator, annotate_again, annotate_picture
from graft.controlnet.annotators.blur import smooth
from graft.controlnet.annotators.edges import Canny
from graft.controlnet.annotators.kit import NAMES, annotator_by_name
from graft.controlnet.condition import Value
from graft.errors import ConfigError, DataError
from graft.world.pictures import draw_picture

BESIDE = Path(__file__).parents[4] / "shared" / "data" / "images"
RANDOM = ("canny", "threshold", "tile")

every = pytest.mark.parametrize("name", NAMES)


def generator(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def real_pictures() -> list[np.ndarray]:
    """A few photographs, emoji and awkward files, as they are after their conversion."""
    paths = [
        path
        for folder in ("photographs", "emoji", "awkward")
        for path in sorted((BESIDE / folder).glob("*.[pgj]*"))[:4]
    ]
    if not paths:
        pytest.skip("the pictures are not beside this checkout")
    pictures: list[np.ndarray] = []
    for path in paths:
        with Image.open(path) as image:
            shown = image.convert("RGBA").convert("RGB")
            shown.thumbnail((256, 256))
            pictures.append(np.asarray(shown))
    return pictures


def test_there_are_nine_kinds() -> None:
    assert (
        *("canny", "softedge", "scribble", "lineart", "threshold"),
        *("greyscale", "palette", "tile", "inpaint"),
    ) == NAMES


@every
def test_an_annotator_has_the_name_by_which_it_is_asked_for(name: str) -> None:
    annotator = annotator_by_name(f" {name.upper()} ")
    assert isinstance(annotator, Annotator)
    assert annotator.name == name
    assert annotator.version == "1"


def test_metrics_are_those_that_fit_the_kind() -> None:
    by_metric: dict[str, set[str]] = {}
    for name in NAMES:
        by_metric.setdefault(annotator_by_name(name).metric, set()).add(name)
    assert by_metric == {
        "edge_f1": {"canny", "scribble"},
        "ssim": {"softedge", "lineart", "greyscale"},
        "one_minus_rmse": {"threshold", "palette", "tile", "inpaint"},
    }


@every
@given(size=st.tuples(st.integers(1, 20), st.integers(1, 20)), seed=st.integers(0, 1000))
def test_a_picture_of_any_size_is_annotated_to_the_same_bytes_again(
    name: str, size: tuple[int, int], seed: int
) -> None:
    annotator = annotator_by_name(name)
    pixels_HWC = generator(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
    condition = annotate_picture(annotator, pixels_HWC, generator(seed))
    assert condition.kind == name
    assert condition.pixels_HWC.shape == pixels_HWC.shape
    again = annotate_again(annotator_by_name(name), pixels_HWC.copy(), condition)
    assert again.pixels_HWC.tobytes() == condition.pixels_HWC.tobytes()


@every
@pytest.mark.parametrize("size", [(1, 1), (1, 300), (300, 1), (2, 2), (3, 200)])
def test_the_thinnest_pictures_do_not_break_an_annotator(
    name: str, size: tuple[int, int]
) -> None:
    pixels_HWC = generator().integers(0, 256, (*size, 3), dtype=np.uint8)
    condition = annotate_picture(annotator_by_name(name), pixels_HWC, generator())
    assert condition.pixels_HWC.shape == (*size, 3)


@every
def test_parameters_come_back_from_json_and_draw_the_same(name: str) -> None:
    annotator = annotator_by_name(name, {"random": True} if name in RANDOM else {})
    parameters = annotator.choose(generator(5))
    read: dict[str, Value] = json.loads(json.dumps(parameters))
    pixels_HWC = draw_picture(generator(1)).pixels_HWC
    assert read == parameters
    assert (annotator.draw(pixels_HWC, read) == annotator.draw(pixels_HWC, parameters)).all()


@every
def test_drawing_reads_the_parameters_and_not_the_settings(name: str) -> None:
    others: dict[str, dict[str, Value]] = {
        "canny": {"low": 10.0, "blur": 3.0},
        "softedge": {"levels": 3, "contrast": 5.0},
        "scribble": {"contrast": 0.3},
        "lineart": {"sharpness": 1.0},
        "threshold": {"level": 3},
        "palette": {"cells": 2},
        "tile": {"factor": 31},
        "inpaint": {"boxes": 5},
    }
    annotator, other = annotator_by_name(name), annotator_by_name(name, others.get(name))
    pixels_HWC = draw_picture(generator(2)).pixels_HWC
    condition = annotate_picture(annotator, pixels_HWC, generator())
    assert (other.draw(pixels_HWC, condition.parameters) == condition.pixels_HWC).all()
    if name in others:
        own_HWC = annotate_picture(other, pixels_HWC, generator()).pixels_HWC
        assert (own_HWC != condition.pixels_HWC).any()


@every
def test_a_picture_that_may_not_be_written_is_read_and_not_touched(name: str) -> None:
    pixels_HWC = draw_picture(generator(3)).pixels_HWC
    before = pixels_HWC.tobytes()
    pixels_HWC.setflags(write=False)
    drawn_HWC = annotate_picture(annotator_by_name(name), pixels_HWC, generator()).pixels_HWC
    assert drawn_HWC.flags.writeable
    assert not np.shares_memory(drawn_HWC, pixels_HWC)
    assert pixels_HWC.tobytes() == before


@every
def test_a_mirrored_view_is_drawn_as_its_copy(name: str) -> None:
    annotator = annotator_by_name(name)
    view_HWC = draw_picture(generator(4)).pixels_HWC[:, ::-1]
    parameters = annotator.choose(generator())
    assert (
        annotator.draw(view_HWC, parameters) == annotator.draw(view_HWC.copy(), parameters)
    ).all()


@every
def test_what_is_no_picture_is_refused(name: str) -> None:
    annotator = annotator_by_name(name)
    with pytest.raises(DataError, match=f"annotator '{name}' needs a picture"):
        annotator.draw(np.zeros((4, 4, 3), np.float32), annotator.choose(generator()))


@every
def test_every_parameter_is_needed_and_named_where_it_is_missing(name: str) -> None:
    annotator = annotator_by_name(name)
    parameters = annotator.choose(generator())
    for key in parameters:
        fewer = {other: value for other, value in parameters.items() if other != key}
        with pytest.raises(
            DataError, match=f"annotator '{name}': parameter '{key}' is missing"
        ):
            annotator.draw(np.zeros((4, 4, 3), np.uint8), fewer)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("cany", r"unknown annotator 'cany' \(did you mean 'canny'\?\); there are canny, "),
        ("line art", r"\(did you mean 'lineart'\?\)"),
        ("depth", r"unknown annotator 'depth'; there are .*, palette, tile, inpaint"),
    ],
)
def test_an_unknown_name_is_refused_beside_the_known_ones(name: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        annotator_by_name(name)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"hihg": 3}, r"annotator 'canny': unknown setting 'hihg' \(did you mean 'high'\?\)"),
        ({"low": "weak"}, "setting 'low' should be a valid number, not 'weak'"),
        ({"random": 1}, "setting 'random' should be a valid boolean"),
        ({"low": 300}, "annotator 'canny': low is below high, not 300 and 200"),
        ({"name": "other"}, "unknown setting 'name'"),
    ],
)
def test_a_wrong_setting_is_refused_by_name(settings: dict[str, Value], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        annotator_by_name("canny", settings)


def test_settings_change_the_defaults_that_they_name() -> None:
    assert annotator_by_name("canny", {"low": 20}) == Canny(low=20.0)
    assert annotator_by_name("canny") == Canny()


def test_more_threads_draw_the_same_bytes() -> None:
    pixels_HWC = draw_picture(generator(6), size=256).pixels_HWC
    before = cv2.getNumThreads()
    drawn: list[list[bytes]] = []
    try:
        for threads in (1, 2):
            cv2.setNumThreads(threads)
            drawn.append(
                [
                    annotate_picture(
                        annotator_by_name(name), pixels_HWC, generator()
                    ).pixels_HWC.tobytes()
                    for name in NAMES
                ]
            )
    finally:
        cv2.setNumThreads(before)
    assert drawn[0] == drawn[1]


def test_no_blur_leaves_the_picture_and_a_blur_its_sum() -> None:
    spot_HWC = np.zeros((21, 21, 3), np.float32)
    spot_HWC[10, 10] = 1.0
    assert smooth(spot_HWC, 0.0) is spot_HWC
    blurred_HWC = smooth(spot_HWC, 1.5)
    assert blurred_HWC.sum() == pytest.approx(3.0, rel=1e-5)
    assert blurred_HWC[10, 10, 0] == pytest.approx(1 / (2 * np.pi * 1.5**2), rel=0.01)


@every
def test_real_pictures_are_annotated_and_found_again(name: str) -> None:
    annotator = annotator_by_name(name)
    for index, pixels_HWC in enumerate(real_pictures()):
        condition = annotate_picture(annotator, pixels_HWC, generator(index))
        again = annotate_again(annotator, pixels_HWC, condition)
        assert condition.pixels_HWC.shape == pixels_HWC.shape
        assert (again.pixels_HWC == condition.pixels_HWC).all()


@pytest.mark.parametrize("name", ["canny", "softedge", "scribble", "lineart"])
def test_photographs_have_some_lines_and_are_not_full_of_them(name: str) -> None:
    annotator = annotator_by_name(name)
    for pixels_HWC in real_pictures()[:4]:
        drawn_HWC = annotate_picture(annotator, pixels_HWC, generator()).pixels_HWC
        assert 0.005 < (drawn_HWC > 127).mean() < 0.35
