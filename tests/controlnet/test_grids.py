import numpy as np
import pytest
from PIL import Image

from graft.controlnet.grids import file_names, grid, write_picture


def test_a_grid_shows_each_picture_in_its_place_and_white_between() -> None:
    red, blue = (
        np.full((96, 96, 3), colour, np.uint8) for colour in ((255, 0, 0), (0, 0, 255))
    )
    shown = grid([[red, blue], [blue]])
    assert shown.shape == (2 * 98 + 2, 2 * 98 + 2, 3)
    assert shown[50, 50].tolist() == [255, 0, 0]
    assert shown[50, 150].tolist() == [0, 0, 255]
    assert shown[150, 50].tolist() == [0, 0, 255]
    assert shown[150, 150].tolist() == [255, 255, 255]
    assert shown[0, 0].tolist() == [255, 255, 255]


def test_small_pictures_are_enlarged_without_new_colours() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    shown = grid([[pixels]])
    assert shown.shape == (100, 100, 3)
    assert np.array_equal(shown[2:98:3, 2:98:3], pixels)


def test_a_written_picture_is_that_picture(tmp_path) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (9, 7, 3), dtype=np.uint8)
    write_picture(tmp_path / "deep" / "one.png", pixels)
    assert np.array_equal(np.array(Image.open(tmp_path / "deep" / "one.png")), pixels)


def test_an_id_cannot_lead_out_of_a_folder() -> None:
    names = {
        "00001.png": "00001",
        "../../etc/passwd": "etc-passwd",
        "a/b c.JPG": "a-b-c",
        "///": "picture",
        "01.png#0,2": "01.png-0-2",
    }
    assert file_names(names) == names


@pytest.mark.parametrize("letter", ["x", "猫", "\U0001d54f"])
def test_a_long_id_is_cut_to_what_a_disk_allows(tmp_path, letter: str) -> None:
    [name] = file_names([letter * 500]).values()
    assert len(name.encode()) in range(117, 121)
    write_picture(tmp_path / f"{name}.png", np.zeros((8, 8, 3), np.uint8))


ALIKE = [
    *("1.png", "1.jpg", "1", "a/1.png", "a-1.png", "a b1.png", "a-b1.png", "///", "???"),
    *("Z.png", "z.png", "\ud800", "x" * 500, "x" * 501, "x" * 120),
]


def test_ids_that_are_alike_as_files_stay_apart() -> None:
    """And those that are not are called as ever."""
    found = file_names([*ALIKE, "00001.png"])
    assert len({name.casefold() for name in found.values()}) == len(found)
    assert found["00001.png"] == "00001"
    assert found["1.jpg"].startswith("1-")
    assert file_names([*ALIKE[::-1], "00001.png"]) == found
    assert all(len(name) < 140 and "/" not in name for name in found.values())
