"""Pictures cut into tiles: which, where, what they are called, and that keep reads them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from graft.controlnet.annotate import annotate
from graft.controlnet.annotators.kit import annotator_by_name
from graft.controlnet.dataset import Captioned
from graft.controlnet.keep import KeepConfig, choose, examine
from graft.controlnet.pictures import PictureReader, fit_picture
from graft.controlnet.records import PAIR
from graft.controlnet.tiles import cut_tiles, picture_of, place_tiles
from graft.store.shards import Row
from graft.world.pictures import draw_picture
from small_pictures import plain, save

SIDES = st.integers(16, 900)


def photograph(seed: int, height: int = 128, width: int = 192) -> np.ndarray:
    """A picture with something to see in every part of it."""
    side = max(height, width)
    drawn_HWC = draw_picture(np.random.default_rng(seed), size=side).pixels_HWC
    noise_HWC = np.random.default_rng(seed).integers(0, 200, (side // 8, side // 8, 3))
    rough_HWC = noise_HWC.astype(np.uint8).repeat(8, axis=0).repeat(8, axis=1)
    return (drawn_HWC // 2 + rough_HWC // 2)[:height, :width]


def captioned(seed: int, name: str = "01.png") -> Captioned:
    return Captioned(name, photograph(seed), "a caption", None, ("CMYK",))


def test_a_photograph_is_covered_by_rows_of_squares() -> None:
    boxes = place_tiles(512, 768, 4, 64)
    assert len(boxes) == 24
    assert boxes[0, 0] == (0, 0, 128, 128)
    assert boxes[0, 1] == (128, 0, 256, 128)
    assert boxes[3, 5] == (640, 384, 768, 512)
    upright = place_tiles(768, 512, 4, 64)
    assert upright[5, 3] == (384, 640, 512, 768)


def test_what_is_left_over_lies_before_between_and_behind() -> None:
    boxes = place_tiles(100, 230, 1, 64)
    assert list(boxes.values()) == [(10, 0, 110, 100), (120, 0, 220, 100)]


@example(height=288, width=300, tiles=17, size=16)  # eighteen would fit
@given(height=SIDES, width=SIDES, tiles=st.integers(1, 20), size=st.sampled_from([16, 64, 128]))
def test_tiles_are_squares_side_by_side_inside_of_the_picture(
    height: int, width: int, tiles: int, size: int
) -> None:
    boxes = place_tiles(height, width, tiles, size)
    short = min(height, width)
    (side,) = {right - left for left, _, right, _ in boxes.values()}
    rows, columns = (1 + max(place[axis] for place in boxes) for axis in (0, 1))
    assert len(boxes) == rows * columns
    assert min(rows, columns) == max(1, min(tiles, short // size))
    assert side >= min(size, short)
    count_HW = np.zeros((height, width), dtype=int)
    for left, top, right, bottom in boxes.values():
        assert bottom - top == side
        count_HW[int(top) : int(bottom), int(left) : int(right)] += 1
    assert count_HW.sum() == len(boxes) * side**2  # all of each lies inside
    assert count_HW.max() == 1
    for length, count, axis in ((height, rows, 1), (width, columns, 0)):
        assert length - count * side < max(side, count)
        lines = np.flatnonzero(count_HW.max(axis=axis))
        before, behind = int(lines[0]), length - 1 - int(lines[-1])
        assert abs(before - behind) <= 1


def test_nothing_is_enlarged_that_need_not_be() -> None:
    assert len(place_tiles(200, 200, 8, 64)) == 9
    assert len(place_tiles(200, 200, 8, 128)) == 1
    assert place_tiles(40, 40, 8, 64) == {(0, 0): (0, 0, 40, 40)}


def test_tiles_of_the_bases_size_are_the_pictures_own_pixels() -> None:
    one = captioned(0)
    tiles = {tile.id: tile.pixels_HWC for tile in cut_tiles([one], 2, 64)}
    assert list(tiles) == [f"01.png#{row},{column}" for row in (0, 1) for column in (0, 1, 2)]
    assert np.array_equal(tiles["01.png#1,2"], one.pixels_HWC[64:, 128:])
    rows = [np.hstack([tiles[f"01.png#{row},{at}"] for at in range(3)]) for row in (0, 1)]
    assert np.array_equal(np.vstack(rows), one.pixels_HWC)


def test_larger_tiles_are_made_smaller_and_look_at_nothing_beside_them() -> None:
    pixels_HWC = np.zeros((128, 192, 3), dtype=np.uint8)
    pixels_HWC[:, 64:128] = 255
    tiles = list(cut_tiles([replace(captioned(0), pixels_HWC=pixels_HWC)], 2, 32))
    assert [tile.pixels_HWC.shape for tile in tiles] == [(32, 32, 3)] * 6
    assert [np.unique(tile.pixels_HWC).tolist() for tile in tiles] == [[0], [255], [0]] * 2


def test_one_tile_of_a_photograph_is_the_middle_that_is_taken_without_tiles() -> None:
    one = replace(captioned(0), pixels_HWC=photograph(0, 128, 176))
    (tile,) = cut_tiles([one], 1, 128)
    assert np.array_equal(tile.pixels_HWC, fit_picture(one.pixels_HWC, 128))


def test_a_tile_has_the_caption_and_the_faults_of_its_picture() -> None:
    tiles = list(cut_tiles([captioned(0)], 2, 64))
    assert {(tile.caption, tile.faults) for tile in tiles} == {("a caption", ("CMYK",))}
    assert {tile.condition_HWC is None for tile in tiles} == {True}


def test_a_condition_is_cut_in_the_same_places() -> None:
    pixels_HWC = photograph(3)
    one = replace(captioned(0), pixels_HWC=pixels_HWC, condition_HWC=255 - pixels_HWC)
    for tile in cut_tiles([one], 2, 64):
        assert tile.condition_HWC is not None
        assert np.array_equal(tile.condition_HWC, 255 - tile.pixels_HWC)


def test_a_condition_of_another_size_is_cut_in_the_same_places() -> None:
    down, along = np.mgrid[:128, :200]
    pixels_HWC = np.stack([down, along, (down + along) // 2], axis=2).astype(np.uint8)
    stretched_HWC = pixels_HWC.repeat(2, axis=0).repeat(3, axis=1)
    one = replace(captioned(0), pixels_HWC=pixels_HWC, condition_HWC=stretched_HWC)
    tiles = list(cut_tiles([one], 2, 64))
    assert len(tiles) == 6
    for tile in tiles:
        assert tile.condition_HWC is not None
        assert np.abs(tile.condition_HWC.astype(int) - tile.pixels_HWC).max() <= 2


@given(st.lists(st.text(), unique=True, max_size=5))
def test_each_tile_has_a_name_of_its_own_that_tells_its_picture(names: list[str]) -> None:
    pictures = [Captioned(name, np.zeros((32, 48, 3), dtype=np.uint8), "") for name in names]
    tiles = [tile.id for tile in cut_tiles(pictures, 2, 16)]
    assert len(set(tiles)) == len(tiles) == 6 * len(names)
    assert [picture_of(tile) for tile in tiles] == [name for name in names for _ in range(6)]


def draws_of(name: str) -> np.random.Generator:
    return np.random.default_rng(list(name.encode()))


def test_what_is_drawn_for_a_tile_does_not_hang_on_what_stands_beside_it() -> None:
    annotator = annotator_by_name("canny", {"random": True})

    def rows(pictures: list[Captioned]) -> list[Row]:
        tiles = cut_tiles(pictures, 2, 64)
        return [PAIR.to_row(pair) for pair in annotate(tiles, annotator, 64, draws_of)]

    first, second = captioned(1, "1"), captioned(2, "2")
    together = rows([first, second])
    assert together == [*rows([first]), *rows([second])]
    assert len({row["parameters"] for row in together}) == 12


@pytest.fixture(scope="module")
def copied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four photographs, one of them once more as JPEG, each with Canny's edges."""
    folder = tmp_path_factory.mktemp("copied")
    for number in range(4):
        image = plain(size=(192, 128))
        image.frombytes(photograph(number).tobytes())
        save(folder / f"{number}.png", image)
    save(folder / "copy.jpg", image, quality=80)
    return folder


def test_of_a_copy_each_tile_is_found_and_of_no_other_picture(copied: Path) -> None:
    tiles = cut_tiles(PictureReader(copied), 2, 64)
    pairs = list(annotate(tiles, annotator_by_name("canny"), 64, draws_of))
    kept = choose(examine(pairs, KeepConfig()), KeepConfig())
    assert len(pairs) == 30
    dropped = {name: verdict for name, verdict in kept.verdicts.items() if verdict}
    assert dropped == {
        f"copy.jpg#{row},{column}": f"near-duplicate of 3.png#{row},{column}"
        for row in (0, 1)
        for column in (0, 1, 2)
    }


def test_tiles_whose_conditions_were_mixed_up_are_named() -> None:
    annotator = annotator_by_name("canny")
    pictures = [
        replace(
            one, condition_HWC=annotator.draw(one.pixels_HWC, annotator.choose(draws_of("")))
        )
        for one in (captioned(seed, f"{seed}.png") for seed in range(8))
    ]
    wrong = [*pictures[:6], *_exchanged(pictures[6:])]
    found = [_dropped(pictures), _dropped(wrong)]
    assert found[0] == {}
    assert len(found[1]) >= 10  # of 12; an exchange of pictures that look alike is not seen
    assert {picture_of(name) for name in found[1]} == {"6.png", "7.png"}
    assert found[1]["6.png#0,1"] == "condition fits better to 7.png#0,1"


def _exchanged(two: list[Captioned]) -> list[Captioned]:
    one, other = two
    return [
        replace(one, condition_HWC=other.condition_HWC),
        replace(other, condition_HWC=one.condition_HWC),
    ]


def _dropped(pictures: list[Captioned]) -> dict[str, str]:
    tiles = cut_tiles(pictures, 2, 64)
    pairs = annotate(tiles, annotator_by_name("canny"), 64, draws_of)
    kept = choose(examine(pairs, KeepConfig()), KeepConfig())
    return {name: verdict for name, verdict in kept.verdicts.items() if verdict}
