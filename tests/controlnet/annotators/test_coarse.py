import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from graft.controlnet.annotators.coarse import Palette, Tile

RNG = np.random.default_rng(0)


def grey(rows: list[list[int]]) -> np.ndarray:
    return np.repeat(np.array(rows, np.uint8)[..., None], 3, axis=2)


def noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def slow_palette(pixels_HWC: np.ndarray, cells: int) -> np.ndarray:
    """Pixel by pixel: the mean of all pixels in the same cell."""
    height, width = pixels_HWC.shape[:2]
    rows, columns = min(cells, height), min(cells, width)
    cell_of = {
        (y, x): (
            max(r for r in range(rows) if r * height // rows <= y),
            max(c for c in range(columns) if c * width // columns <= x),
        )
        for y in range(height)
        for x in range(width)
    }
    drawn_HWC = np.empty_like(pixels_HWC)
    for (y, x), cell in cell_of.items():
        inside = [
            pixels_HWC[at].astype(float) for at, other in cell_of.items() if other == cell
        ]
        drawn_HWC[y, x] = np.rint(np.mean(inside, axis=0))
    return drawn_HWC


def test_each_cell_has_the_mean_of_its_pixels() -> None:
    pixels_HWC = grey([[0, 10, 100, 100], [20, 30, 100, 104], [7, 7, 1, 2], [7, 7, 3, 255]])
    grid_HWC = Palette().draw(pixels_HWC, {"cells": 2})
    # 60 / 4; 404 / 4; 28 / 4; 261 / 4 = 65.25
    assert grid_HWC[..., 1].tolist() == [[15, 15, 101, 101]] * 2 + [[7, 7, 65, 65]] * 2


def test_cells_that_do_not_divide_the_side_cover_it_without_a_gap() -> None:
    pixels_HWC = grey([[0, 2, 10, 20, 60]])
    assert Palette().draw(pixels_HWC, {"cells": 2})[0, :, 0].tolist() == [1, 1, 30, 30, 30]


@given(st.integers(1, 7), st.integers(1, 7), st.integers(1, 9), st.integers(0, 1000))
def test_the_grid_is_that_of_a_slow_loop(
    height: int, width: int, cells: int, seed: int
) -> None:
    pixels_HWC = noise(height, width, seed)
    fast_HWC = Palette().draw(pixels_HWC, {"cells": cells})
    assert (fast_HWC == slow_palette(pixels_HWC, cells)).all()


def test_a_grid_finer_than_the_picture_is_the_picture() -> None:
    pixels_HWC = noise(3, 5)
    assert (Palette().draw(pixels_HWC, Palette().choose(RNG)) == pixels_HWC).all()


def test_a_grid_drawn_again_of_itself_does_not_change() -> None:
    grid_HWC = Palette().draw(noise(64, 64), {"cells": 8})
    assert len(np.unique(grid_HWC.reshape(-1, 3), axis=0)) <= 64
    assert (Palette().draw(grid_HWC, {"cells": 8}) == grid_HWC).all()


def test_a_tile_of_factor_one_is_the_picture() -> None:
    pixels_HWC = noise(9, 14)
    assert (Tile().draw(pixels_HWC, {"factor": 1}) == pixels_HWC).all()


def test_a_tile_is_the_mean_of_its_areas_and_between_them_a_slope() -> None:
    pixels_HWC = grey([[0, 0, 0, 0, 80, 80, 80, 80]] * 4)
    drawn = Tile().draw(pixels_HWC, {"factor": 4})[0, :, 0].tolist()
    # Two pixels, 0 and 80, in the middles 1.5 and 5.5 of what they stand for: 20 a pixel.
    assert drawn == [0, 0, 10, 30, 50, 70, 80, 80]


def test_a_factor_beyond_the_picture_leaves_its_mean() -> None:
    pixels_HWC = grey([[0, 100], [100, 200], [50, 150]])
    assert (Tile().draw(pixels_HWC, {"factor": 99}) == 100).all()


@given(st.integers(0, 10_000))
def test_a_random_factor_lies_in_its_range(seed: int) -> None:
    drawn = Tile(random=True, lowest=3, highest=4).choose(np.random.default_rng(seed))
    assert drawn["factor"] in {3, 4}


def test_without_random_the_factor_is_the_setting() -> None:
    assert Tile(factor=5).choose(RNG) == {"factor": 5}
    assert Palette(cells=5).choose(RNG) == {"cells": 5}


@pytest.mark.parametrize("settings", [{"factor": 0}, {"lowest": 0}, {"lowest": 17}])
def test_impossible_factors_are_refused(settings: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=r"factor|lowest"):
        Tile(**settings)


def test_a_grid_without_cells_is_refused() -> None:
    with pytest.raises(ValueError, match="cells"):
        Palette(cells=0)
