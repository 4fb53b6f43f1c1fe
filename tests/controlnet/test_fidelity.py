from dataclasses import dataclass

import numpy as np
import pytest

from graft.controlnet.annotators.annotator import Metric, annotate_picture
from graft.controlnet.annotators.inpaint import HOLE
from graft.controlnet.annotators.kit import NAMES, annotator_by_name
from graft.controlnet.condition import Condition, Parameters
from graft.controlnet.fidelity import fidelities, fidelity
from graft.errors import DataError
from graft.world.pictures import draw_picture

every = pytest.mark.parametrize("name", NAMES)


@dataclass(frozen=True)
class Copy:
    """The picture itself is its condition."""

    metric: Metric
    name = "copy"
    version = "1"

    def choose(self, rng: np.random.Generator) -> Parameters:
        return {"seed": int(rng.integers(9))}

    def draw(self, pixels_HWC: np.ndarray, parameters: Parameters) -> np.ndarray:
        assert "seed" in parameters
        return pixels_HWC


def picture(seed: int) -> np.ndarray:
    return draw_picture(np.random.default_rng(seed)).pixels_HWC


def condition_of(name: str, pixels_HWC: np.ndarray) -> Condition:
    return annotate_picture(annotator_by_name(name), pixels_HWC, np.random.default_rng(0))


def grey(rows: list[list[int]]) -> np.ndarray:
    return np.repeat(np.array(rows, np.uint8)[..., None], 3, axis=2)


@every
def test_a_picture_is_wholly_true_to_its_own_condition(name: str) -> None:
    for seed in range(5):
        condition = condition_of(name, picture(seed))
        assert fidelity(annotator_by_name(name), picture(seed), condition) == pytest.approx(1.0)


@every
def test_another_picture_is_less_true_than_a_grained_copy(name: str) -> None:
    annotator = annotator_by_name(name)
    copies, others = [], []
    for seed in range(20):
        condition = condition_of(name, picture(seed))
        grain_HWC = np.random.default_rng(seed).normal(0, 2, (64, 64, 3))
        copy_HWC = np.clip(picture(seed) + grain_HWC, 0, 255).astype(np.uint8)
        copies.append(fidelity(annotator, copy_HWC, condition))
        others.append(fidelity(annotator, picture(seed + 100), condition))
    assert np.mean(copies) > np.mean(others) + 0.2


@pytest.mark.parametrize(
    ("metric", "expected"),
    # Edges: found 2, one of them within a pixel; wanted 1, found. P = 1/2, R = 1.
    [("edge_f1", 2 / 3), ("one_minus_rmse", 1 - np.sqrt((255**2 + 7**2) / 12) / 255)],
)
def test_the_annotators_metric_compares(metric: Metric, expected: float) -> None:
    wanted_HWC = grey([[255, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 120]])
    found_HWC = grey([[255, 0, 0, 0], [0, 0, 0, 255], [0, 0, 0, 127]])
    condition = Condition("copy", wanted_HWC, {"seed": 1})
    assert fidelity(Copy(metric), found_HWC, condition) == pytest.approx(expected)


def test_structure_is_compared_where_the_annotator_says_so() -> None:
    light, dark = np.full((9, 9, 3), 200, np.uint8), np.full((9, 9, 3), 100, np.uint8)
    condition = Condition("copy", dark, {"seed": 1})
    assert fidelity(Copy("ssim"), light, condition) == pytest.approx(0.8, abs=1e-4)


def test_an_edge_of_one_colour_is_an_edge_and_127_is_none() -> None:
    wanted_HWC = np.zeros((8, 8, 3), np.uint8)
    wanted_HWC[4, 4] = (0, 0, 128)
    found_HWC = np.zeros((8, 8, 3), np.uint8)
    found_HWC[4, 4], found_HWC[0, 0] = (128, 0, 0), (127, 127, 127)
    assert fidelity(Copy("edge_f1"), found_HWC, Condition("copy", wanted_HWC, {"seed": 1})) == 1


def test_what_fills_a_hole_is_not_judged() -> None:
    condition = condition_of("inpaint", picture(1))
    hole_HW = (condition.pixels_HWC == HOLE).all(axis=2)
    filled_HWC = picture(1)
    filled_HWC[hole_HW] = 255 - filled_HWC[hole_HW]
    assert hole_HW.any()
    assert fidelity(annotator_by_name("inpaint"), filled_HWC, condition) == 1.0


def test_what_surrounds_a_hole_is_judged_by_itself_however_large_the_hole() -> None:
    annotator = annotator_by_name("inpaint")
    wanted_HWC = np.full((10, 10, 3), 100, np.uint8)
    for end in (0.2, 0.9):
        box = {"boxes": 1, "top_0": 0.0, "left_0": 0.0, "bottom_0": end, "right_0": end}
        condition = Condition("inpaint", annotator.draw(wanted_HWC, box), box)
        assert fidelity(annotator, wanted_HWC + np.uint8(51), condition) == pytest.approx(0.8)


def test_a_hole_over_all_leaves_nothing_to_judge() -> None:
    annotator = annotator_by_name("inpaint", {"smallest": 1.0, "largest": 1.0})
    condition = annotate_picture(annotator, picture(1), np.random.default_rng(0))
    assert fidelity(annotator, picture(2), condition) == 1.0


def test_each_picture_is_judged_by_its_own_condition() -> None:
    conditions = [condition_of("canny", picture(seed)) for seed in (1, 2)]
    annotator = annotator_by_name("canny")
    same = fidelities(annotator, [picture(1), picture(2)], conditions)
    crossed = fidelities(annotator, [picture(2), picture(1)], conditions)
    assert same == [1.0, 1.0]
    assert max(crossed) < 1.0
    assert fidelities(annotator, [], []) == []


def test_a_picture_without_its_condition_is_a_bug() -> None:
    with pytest.raises(ValueError, match="zip"):
        fidelities(annotator_by_name("canny"), [picture(1)], [])


def test_a_condition_of_another_kind_or_size_is_refused() -> None:
    condition = condition_of("canny", picture(1))
    with pytest.raises(DataError, match="a condition 'canny' cannot be judged by 'tile'"):
        fidelity(annotator_by_name("tile"), picture(1), condition)
    with pytest.raises(DataError, match="a picture of 32x64 pixels has a condition of 64x64"):
        fidelity(annotator_by_name("canny"), picture(1)[:32], condition)
