import numpy as np
import pytest
from scipy import ndimage

from graft.world.shapes import SHAPES

LINE = np.linspace(-2, 2, 401)
STEP = 0.01
X_HW, Y_HW = np.meshgrid(LINE, LINE)


def distance(shape: str, x: float, y: float) -> float:
    return float(SHAPES[shape](np.array([x]), np.array([y]))[0])


@pytest.mark.parametrize(
    ("shape", "x", "y", "far"),
    [
        ("circle", 0.0, 0.0, -0.9),
        ("circle", 1.5, 2.0, 1.6),
        ("ring", 0.0, 0.0, 0.5),
        ("ring", 0.0, -0.72, -0.22),
        ("ring", 1.94, 0.0, 1.0),
        ("square", 0.0, 0.0, -0.8),
        ("square", 0.7, 0.1, -0.1),
        ("square", 1.1, -1.2, 0.5),
        ("diamond", 0.0, 0.0, -0.59),
        ("diamond", 0.7, 0.0, 0.0),
        ("diamond", 0.0, -1.1, 0.0),
        ("cross", 0.8, 0.0, -0.15),
        ("cross", 0.6, 0.6, 0.3),
        ("cross", 0.0, 1.95, 1.0),
        ("star", 0.0, -1.05, 0.0),
        ("star", 0.0, -2.05, 1.0),
        ("heart", 0.0, 0.88, 0.0),
        ("heart", 0.0, 1.88, 1.0),
    ],
)
def test_a_distance_is_what_a_ruler_says(shape: str, x: float, y: float, far: float) -> None:
    assert distance(shape, x, y) == pytest.approx(far, abs=1e-6)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_shape_is_solid_at_its_middle_and_ends_before_the_corners(shape: str) -> None:
    assert (distance(shape, 0.0, 0.0) < 0) == (shape != "ring")
    for x, y in [(1.6, 1.6), (-1.6, 1.6), (1.6, -1.6), (-1.6, -1.6), (1.6, 0.0), (0.0, 1.6)]:
        assert distance(shape, x, y) > 0


def test_the_triangle_has_three_equal_sides() -> None:
    far_HW = SHAPES["triangle"](X_HW, Y_HW)
    assert far_HW.min() == pytest.approx(-0.95 / 3**0.5, abs=STEP)
    assert np.ptp(X_HW[far_HW < 0]) == pytest.approx(1.9, abs=3 * STEP)
    assert np.ptp(Y_HW[far_HW < 0]) == pytest.approx(0.95 * 3**0.5, abs=3 * STEP)


def test_the_triangle_and_the_star_stand_and_the_heart_hangs() -> None:
    for shape, upper_is_narrower in (("triangle", True), ("heart", False)):
        inside_HW = SHAPES[shape](X_HW, Y_HW) < 0
        rows = np.flatnonzero(inside_HW.any(1))
        upper = inside_HW[rows[len(rows) // 8]].sum()
        lower = inside_HW[rows[-len(rows) // 8]].sum()
        assert (upper < lower) == upper_is_narrower
    assert distance("star", 0.0, -1.0) < 0 < distance("star", 0.0, 1.0)


@pytest.mark.parametrize("shape", [shape for shape in SHAPES if shape != "diamond"])
def test_outside_a_distance_is_that_to_the_nearest_point_of_the_shape(shape: str) -> None:
    far_HW = SHAPES[shape](X_HW, Y_HW)
    slow_HW = ndimage.distance_transform_edt(far_HW > 0) * STEP
    assert np.abs(far_HW - slow_HW)[far_HW > 0].max() < 2 * STEP


@pytest.mark.parametrize("shape", ["circle", "square", "triangle", "star"])
def test_a_distance_grows_by_one_with_each_step_away(shape: str) -> None:
    far_HW = SHAPES[shape](X_HW, Y_HW)
    down_HW, across_HW = np.gradient(far_HW, STEP)
    slope_P = np.hypot(down_HW, across_HW)[far_HW > 2 * STEP]
    assert np.mean(np.abs(slope_P - 1) < 0.01) > 0.97
    assert slope_P.max() <= 1.05


def test_the_diamonds_distance_is_right_at_its_edge_and_never_too_large() -> None:
    far_HW = SHAPES["diamond"](X_HW, Y_HW)
    slow_HW = ndimage.distance_transform_edt(far_HW > 0) * STEP
    assert (far_HW <= slow_HW + 2 * STEP)[far_HW > 0].all()
    near_HW = (far_HW > 0) & (far_HW < 0.05) & (np.abs(X_HW) > 0.1) & (np.abs(Y_HW) > 0.1)
    assert np.abs(far_HW - slow_HW)[near_HW].max() < 2 * STEP


@pytest.mark.parametrize("shape", SHAPES)
def test_a_shape_is_the_same_from_left_and_right(shape: str) -> None:
    far_HW = SHAPES[shape](X_HW, Y_HW)
    assert np.abs(far_HW - SHAPES[shape](-X_HW, Y_HW)).max() < 1e-9


@pytest.mark.parametrize("shape", ["circle", "ring", "square", "cross", "diamond"])
def test_some_shapes_are_the_same_upside_down(shape: str) -> None:
    far_HW = SHAPES[shape](X_HW, Y_HW)
    assert np.abs(far_HW - SHAPES[shape](X_HW, -Y_HW)).max() < 1e-9


@pytest.mark.parametrize("shape", ["circle", "ring", "square", "cross"])
def test_some_shapes_are_the_same_after_a_quarter_turn(shape: str) -> None:
    far_HW = SHAPES[shape](X_HW, Y_HW)
    assert np.abs(far_HW - SHAPES[shape](Y_HW, -X_HW)).max() < 1e-9


@pytest.mark.parametrize("shape", ["triangle", "star", "heart", "diamond"])
def test_other_shapes_are_not(shape: str) -> None:
    far_HW = SHAPES[shape](X_HW, Y_HW)
    assert np.abs(far_HW - SHAPES[shape](Y_HW, -X_HW)).max() > 0.1
