import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from graft.measure.image import edge_f1, kernel_distance, one_minus_rmse, ssim


def edges(*rows: str) -> np.ndarray:
    """Edges drawn as text: `#` is one."""
    return np.array([[sign == "#" for sign in row] for row in rows])


def noise(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def slow_edge_f1(found_HW: np.ndarray, wanted_HW: np.ndarray, tolerance: int) -> float:
    """As `edge_f1`, pixel against pixel."""
    found, wanted = np.argwhere(found_HW).tolist(), np.argwhere(wanted_HW).tolist()
    if not found or not wanted:
        return 1.0 if not found and not wanted else 0.0

    def share(some: list[list[int]], others: list[list[int]]) -> float:
        near = [
            any(max(abs(y - v), abs(x - u)) <= tolerance for v, u in others) for y, x in some
        ]
        return sum(near) / len(near)

    precision, recall = share(found, wanted), share(wanted, found)
    if precision + recall == 0:
        return 0.0
    return 2 * precision * recall / (precision + recall)


def slow_ssim(found_HW: np.ndarray, wanted_HW: np.ndarray, side: int) -> float:
    """Wang et al. 2004, window by window, with the sample's variances."""
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    values: list[float] = []
    height, width = found_HW.shape
    for y, x in itertools.product(range(height - side + 1), range(width - side + 1)):
        a = found_HW[y : y + side, x : x + side].astype(float).ravel()
        b = wanted_HW[y : y + side, x : x + side].astype(float).ravel()
        (var_a, both), (_, var_b) = np.cov(a, b)
        luminance = (2 * a.mean() * b.mean() + c1) / (a.mean() ** 2 + b.mean() ** 2 + c1)
        values.append(luminance * (2 * both + c2) / (var_a + var_b + c2))
    return float(np.mean(values))


def slow_kernel_distance(x_ND: np.ndarray, y_MD: np.ndarray) -> float:
    """The sums of the estimate, pair by pair."""

    def kernel(a: np.ndarray, b: np.ndarray) -> float:
        return (sum(float(p) * float(q) for p, q in zip(a, b, strict=True)) / len(a) + 1) ** 3

    def inside(rows: np.ndarray) -> float:
        return float(np.mean([kernel(a, b) for a, b in itertools.permutations(rows, 2)]))

    across = float(np.mean([kernel(a, b) for a, b in itertools.product(x_ND, y_MD)]))
    return inside(x_ND) + inside(y_MD) - 2 * across


def test_precision_and_recall_make_the_score() -> None:
    found = edges("##..", "....", "...#")
    wanted = edges("#...", "....", "....")
    # Precision 2 of 3 (the one beside counts), recall 1 of 1: 2 * (2/3) / (5/3).
    assert edge_f1(found, wanted) == pytest.approx(0.8)
    # Exactly, precision is 1 of 3: 2 * (1/3) / (4/3).
    assert edge_f1(found, wanted, tolerance=0) == pytest.approx(0.5)


def test_the_score_is_the_same_both_ways() -> None:
    found, wanted = edges("##..#", "....#"), edges("#....", "....#")
    assert edge_f1(found, wanted, 0) == edge_f1(wanted, found, 0) == pytest.approx(2 / 3)


def test_a_diagonal_neighbour_is_one_pixel_away_and_two_columns_are_two() -> None:
    wanted = edges("#....", ".....")
    assert edge_f1(edges(".....", ".#..."), wanted) == 1.0
    assert edge_f1(edges("..#..", "....."), wanted) == 0.0
    assert edge_f1(edges("..#..", "....."), wanted, tolerance=2) == 1.0


def test_two_found_pixels_may_match_one_wanted() -> None:
    assert edge_f1(edges("###"), edges(".#.")) == 1.0


def test_nothing_found_where_nothing_is_wanted_is_right() -> None:
    nothing, something = edges("...", "..."), edges("..#", "...")
    assert edge_f1(nothing, nothing) == 1.0
    assert edge_f1(something, nothing) == 0.0
    assert edge_f1(nothing, something) == 0.0


@given(
    st.integers(1, 8),
    st.integers(1, 8),
    st.integers(0, 3),
    st.floats(0, 0.5),
    st.integers(0, 1000),
)
def test_the_score_is_that_of_a_slow_loop(
    height: int, width: int, tolerance: int, share: float, seed: int
) -> None:
    found_HW, wanted_HW = np.random.default_rng(seed).random((2, height, width)) < share
    slow = slow_edge_f1(found_HW, wanted_HW, tolerance)
    assert edge_f1(found_HW, wanted_HW, tolerance) == pytest.approx(slow)


def test_edges_of_two_sizes_and_tolerances_below_zero_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\(1, 3\) with \(3, 1\)"):
        edge_f1(edges("..."), edges(".", ".", "."))
    with pytest.raises(ValueError, match="tolerance of -1"):
        edge_f1(edges("..."), edges("..."), tolerance=-1)


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (2, 2), (3, 3), (4, 40), (6, 7), (64, 64)])
def test_a_picture_of_any_size_is_like_itself(size: tuple[int, int]) -> None:
    pixels_HWC = noise((*size, 3))
    assert ssim(pixels_HWC, pixels_HWC) == pytest.approx(1.0)
    assert ssim(pixels_HWC, 255 - pixels_HWC) < 0.9


@pytest.mark.parametrize(
    ("size", "side"),
    [((3, 3), 3), ((4, 9), 3), ((5, 8), 5), ((6, 6), 5), ((7, 7), 7), ((12, 9), 7)],
)
def test_similarity_is_that_of_the_largest_odd_window_up_to_seven(
    size: tuple[int, int], side: int
) -> None:
    found, wanted = noise((*size, 3), 1), noise((*size, 3), 2) // 2
    slow = np.mean([slow_ssim(found[..., c], wanted[..., c], side) for c in range(3)])
    assert ssim(found, wanted) == pytest.approx(float(slow), abs=1e-9)


def test_two_flat_pictures_differ_by_their_lightness_alone() -> None:
    light, dark = np.full((9, 9, 3), 200, np.uint8), np.full((9, 9, 3), 100, np.uint8)
    c1 = 2.55**2
    expected = (2 * 200 * 100 + c1) / (200**2 + 100**2 + c1)
    assert ssim(light, dark) == pytest.approx(expected)


def test_a_negative_is_less_than_nothing_alike() -> None:
    grey_HWC = np.repeat(noise((32, 32, 1)), 3, axis=2)
    assert ssim(grey_HWC, 255 - grey_HWC) < -0.5


def test_black_and_white_are_as_far_apart_as_can_be() -> None:
    black, white = np.zeros((2, 2, 3), np.uint8), np.full((2, 2, 3), 255, np.uint8)
    assert one_minus_rmse(black, white) == 0.0
    assert one_minus_rmse(white, white) == 1.0


def test_the_error_is_the_root_of_the_mean_square() -> None:
    found = np.array([0, 255, 10, 10], np.uint8)
    wanted = np.array([51, 255, 10, 10], np.uint8)
    assert one_minus_rmse(found, wanted) == pytest.approx(1 - math.sqrt(51**2 / 4) / 255)
    assert one_minus_rmse(found, wanted) == pytest.approx(0.9)
    assert one_minus_rmse(wanted, found) == one_minus_rmse(found, wanted)


@pytest.mark.parametrize("measure", [ssim, one_minus_rmse])
def test_pictures_of_two_sizes_or_none_are_refused(measure: type) -> None:
    with pytest.raises(ValueError, match="cannot be compared"):
        measure(np.zeros((4, 4, 3), np.uint8), np.zeros((4, 5, 3), np.uint8))
    with pytest.raises(ValueError, match="cannot be compared"):
        measure(np.zeros((0, 4, 3), np.uint8), np.zeros((0, 4, 3), np.uint8))


def test_the_kernel_distance_of_a_few_numbers_is_that_by_hand() -> None:
    # D = 1: inside (1 * 2 + 1)^3 = 27 and (0 * 1 + 1)^3 = 1; across 1, 8, 1, 27: 37 / 4.
    first, second = np.array([[1.0], [2.0]]), np.array([[0.0], [1.0]])
    assert kernel_distance(first, second) == pytest.approx(27 + 1 - 2 * 37 / 4)


@given(st.integers(2, 6), st.integers(2, 6), st.integers(1, 4), st.integers(0, 1000))
def test_the_kernel_distance_is_that_of_a_slow_loop(n: int, m: int, d: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    first, second = rng.normal(size=(n, d)), rng.normal(1.0, 1.0, (m, d))
    fast = kernel_distance(first, second)
    assert fast == pytest.approx(slow_kernel_distance(first, second), abs=1e-9)
    assert fast == pytest.approx(kernel_distance(second, first), abs=1e-9)


def test_the_kernel_distance_is_unbiased() -> None:
    rng = np.random.default_rng(0)
    same = [kernel_distance(*rng.normal(size=(2, 12, 3))) for _ in range(3000)]
    error = float(np.std(same)) / math.sqrt(len(same))
    assert min(same) < 0
    assert abs(np.mean(same)) < 3 * error


def test_a_shift_moves_the_kernel_distance_by_what_the_moments_say() -> None:
    # D = 1, k = 1 + 3xy + 3x^2y^2 + x^3y^3, so the squared distance is
    # 3 (dm1)^2 + 3 (dm2)^2 + (dm3)^2 with moments 0, 1, 0 of N(0, 1) and 1, 2, 4 of N(1, 1).
    rng = np.random.default_rng(1)
    first, second = rng.normal(size=(4000, 1)), rng.normal(1.0, 1.0, (4000, 1))
    assert kernel_distance(first, second) == pytest.approx(3 + 3 + 16, rel=0.1)


def test_halves_and_singles_are_measured_in_double_precision() -> None:
    rng = np.random.default_rng(2)
    first, second = rng.normal(size=(2, 20, 8)).astype(np.float32) * 100
    assert kernel_distance(first, second) == pytest.approx(
        kernel_distance(first.astype(np.float64), second.astype(np.float64)), rel=1e-12
    )


@pytest.mark.parametrize(
    ("first", "second"), [((1, 3), (4, 3)), ((4, 3), (1, 3)), ((4, 3), (4, 2))]
)
def test_too_few_rows_or_two_kinds_of_features_are_refused(
    first: tuple[int, int], second: tuple[int, int]
) -> None:
    with pytest.raises(ValueError, match="two sets of two or more rows"):
        kernel_distance(np.zeros(first), np.zeros(second))
