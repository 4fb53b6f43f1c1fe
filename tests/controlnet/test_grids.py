import numpy as np
from PIL import Image

from graft.controlnet.grids import file_name, grid, write_picture


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
    assert file_name("00001.png") == "00001"
    assert file_name("../../etc/passwd") == "etc-passwd"
    assert file_name("a/b c.JPG") == "a-b-c"
    assert file_name("///") == "picture"
    assert len(file_name("x" * 500)) == 120
