import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from graft.controlnet.decoding import Limits
from graft.controlnet.pictures import PictureReader
from small_pictures import BLUE, GREEN, RED, content, only, plain, save

DATA = Path(__file__).parents[2].parent / "shared" / "data" / "images"


def refused(source: Path) -> str:
    """Why the only picture there cannot be read; a good one lies beside it."""
    save(source / "zz-good.png")
    reader = PictureReader(source)
    assert [one.id for one in reader] == ["zz-good.png"]
    return reader.told()


def test_a_cmyk_jpeg_is_read_as_colours(tmp_path: Path) -> None:
    save(tmp_path / "1.jpg", Image.new("CMYK", (32, 32), (0, 255, 255, 0)))
    one = only(tmp_path)
    assert one.faults == ("CMYK", "no caption")
    assert np.abs(one.pixels_HWC.astype(int) - [255, 0, 0]).max() <= 3


def test_sixteen_bits_are_scaled_and_not_clipped(tmp_path: Path) -> None:
    grey_HW = np.array([[0, 257, 32896, 65535]] * 4, dtype=np.uint16).repeat(8, 0).repeat(8, 1)
    save(tmp_path / "1.png", Image.fromarray(grey_HW))
    one = only(tmp_path)
    assert one.faults == ("greyscale", "more than 8 bits", "no caption")
    assert one.pixels_HWC[0, ::8].tolist() == [[0] * 3, [1] * 3, [128] * 3, [255] * 3]


def test_numbers_with_a_point_are_from_0_to_1_or_else_stretched(tmp_path: Path) -> None:
    unit_HW = np.linspace(0, 1, 16, dtype=np.float32)[None].repeat(16, 0)
    save(tmp_path / "1.tif", Image.fromarray(unit_HW * 0.5))
    save(tmp_path / "2.tif", Image.fromarray(unit_HW * 40 - 20))
    save(tmp_path / "3.tif", Image.fromarray(np.full((16, 16), np.nan, dtype=np.float32)))
    reader = PictureReader(tmp_path)
    half, stretched = reader
    assert half.pixels_HWC[0, [0, -1], 0].tolist() == [0, 128]
    assert stretched.pixels_HWC[0, [0, -1], 0].tolist() == [0, 255]
    assert reader.told() == "1 unreadable (first: 3.tif)"


def test_a_flat_picture_is_read_whatever_its_numbers(tmp_path: Path) -> None:
    save(tmp_path / "c" / "1.tif", Image.fromarray(np.full((16, 16), 70000, dtype=np.int32)))
    save(tmp_path / "c" / "2.tif", Image.fromarray(np.full((16, 16), 7, dtype=np.float32)))
    save(tmp_path / "c" / "3.tif", Image.fromarray(np.full((16, 16), 0.4, dtype=np.float32)))
    values = [np.unique(one.pixels_HWC).tolist() for one in PictureReader(tmp_path / "c")]
    assert values == [[0], [0], [102]]
    save(tmp_path / "p" / "1.png")
    (one,) = PictureReader(tmp_path / "p", conditions=tmp_path / "c")
    assert one.condition_HWC is not None
    assert np.unique(one.condition_HWC).tolist() == [0]


def test_what_is_transparent_lies_on_white_in_a_picture_and_on_black_in_a_condition(
    tmp_path: Path,
) -> None:
    clear = Image.new("RGBA", (32, 32), (0, 0, 0, 0))
    clear.paste((*RED, 255), (0, 0, 16, 32))
    save(tmp_path / "p" / "1.png", clear)
    save(tmp_path / "c" / "1.png", clear)
    (one,) = PictureReader(tmp_path / "p", conditions=tmp_path / "c")
    assert one.faults == ("transparent", "no caption")
    assert one.pixels_HWC[0, [0, 31]].tolist() == [list(RED), [255, 255, 255]]
    assert one.condition_HWC is not None
    assert one.condition_HWC[0, [0, 31]].tolist() == [list(RED), [0, 0, 0]]


def test_a_palette_with_a_transparent_colour_lies_on_white(tmp_path: Path) -> None:
    image = Image.new("P", (32, 32), 1)
    image.putpalette([*GREEN, *BLUE])
    image.paste(0, (0, 0, 16, 32))
    save(tmp_path / "1.png", image, transparency=b"\x00\xff")
    one = only(tmp_path)
    assert one.faults == ("transparent", "no caption")
    assert one.pixels_HWC[0, [0, 31]].tolist() == [[255, 255, 255], list(BLUE)]


def test_alpha_that_hides_nothing_is_no_fault(tmp_path: Path) -> None:
    save(tmp_path / "1.png", plain().convert("RGBA"))
    assert only(tmp_path).faults == ("no caption",)


@pytest.mark.parametrize("suffix", ["gif", "tif", "webp"])
def test_of_several_frames_the_first_is_taken(tmp_path: Path, suffix: str) -> None:
    more = {"save_all": True, "append_images": [plain(BLUE), plain(GREEN)]}
    save(tmp_path / f"1.{suffix}", plain(RED), **more)
    one = only(tmp_path)
    assert one.faults == ("first of several frames", "no caption")
    assert np.abs(one.pixels_HWC[0, 0].astype(int) - RED).max() <= 12


def test_a_photograph_is_turned_as_its_camera_says(tmp_path: Path) -> None:
    image, exif = plain(size=(40, 20)), Image.Exif()
    image.paste(BLUE, (0, 0, 20, 20))
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    save(tmp_path / "1.jpg", image, exif=exif, quality=95)
    pixels_HWC = only(tmp_path).pixels_HWC
    assert pixels_HWC.shape == (40, 20, 3)
    assert int(pixels_HWC[2, 10].argmax()) == 2
    assert int(pixels_HWC[-3, 10].argmax()) == 0


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "BMP"])
def test_a_picture_that_is_cut_short_is_told(tmp_path: Path, kind: str) -> None:
    noise_HWC = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    whole = content(Image.fromarray(noise_HWC), kind)
    (tmp_path / "1.png").write_bytes(whole[: len(whole) // 2])
    reason = "unreadable" if kind == "WEBP" else "truncated"
    assert refused(tmp_path) == f"1 {reason} (first: 1.png)"


def test_what_is_no_picture_is_told(tmp_path: Path) -> None:
    (tmp_path / "1.png").write_bytes(b"<html>404</html>")
    (tmp_path / "2.png").write_bytes(b"")
    (tmp_path / "3.jpg").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 99 99\n")
    assert refused(tmp_path) == "3 unreadable (first: 1.png)"


@pytest.mark.parametrize("side", [10_001, 30_000])  # Pillow warns of the one, refuses the other
def test_a_header_that_claims_too_many_pixels_is_refused_unread(
    tmp_path: Path, side: int
) -> None:
    def chunk(name: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data))
            + name
            + data
            + struct.pack(">I", zlib.crc32(name + data))
        )

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
    body = chunk(b"IDAT", zlib.compress(b"\0" * 1000)) + chunk(b"IEND", b"")
    (tmp_path / "1.png").write_bytes(b"\x89PNG\r\n\x1a\n" + header + body)
    assert refused(tmp_path) == "1 too many pixels (first: 1.png)"


def test_limits_are_kept(tmp_path: Path) -> None:
    save(tmp_path / "1.png", plain(size=(20, 20)))
    save(tmp_path / "2.bmp", plain(size=(30, 30)))
    save(tmp_path / "3.png", plain(size=(40, 40)))
    limits = Limits(most_pixels=1000, most_bytes=2000, least_side=20)
    reader = PictureReader(tmp_path, limits=limits)
    assert [one.id for one in reader] == ["1.png"]
    assert reader.first_skipped == {"too many bytes": "2.bmp", "too many pixels": "3.png"}


def test_a_wrong_suffix_is_no_fault(tmp_path: Path) -> None:
    (tmp_path / "1.png").write_bytes(content(plain(BLUE), "BMP"))
    one = only(tmp_path)
    assert (one.faults, one.pixels_HWC[0, 0].tolist()) == (("no caption",), list(BLUE))


def test_faults_of_a_condition_are_named(tmp_path: Path) -> None:
    for number in range(4):
        save(tmp_path / "p" / f"{number}.png", plain(size=(64, 48)))
        (tmp_path / "p" / f"{number}.txt").write_text("red")
    save(tmp_path / "c" / "0.jpg", plain(size=(64, 48)))
    save(tmp_path / "c" / "1.png", plain(size=(32, 24)))
    save(tmp_path / "c" / "2.png", plain(size=(48, 48)))
    (tmp_path / "c" / "3.png").write_bytes(b"broken")
    reader = PictureReader(tmp_path / "p", conditions=tmp_path / "c")
    assert [one.faults for one in reader] == [
        ("jpeg condition",),
        ("condition of another size",),
        ("condition of another shape",),
    ]
    assert reader.told() == "1 condition unreadable (first: 3.png)"


def test_awkward_files_are_read_or_refused_by_name() -> None:
    if not (DATA / "awkward").is_dir():
        pytest.skip("the awkward pictures are not here")
    reader = PictureReader(DATA / "awkward")
    found = {one.id: one for one in reader}
    assert {name: one.faults[:-1] for name, one in found.items()} == {
        "camera.png": ("greyscale",),
        "chessboard_GRAY_U16.tif": ("greyscale", "more than 8 bits"),
        "logo.png": (),  # its alpha hides nothing
        "retina.jpg": (),
    }
    assert reader.skipped == {"too small": 4, "unreadable": 1}
    assert found["chessboard_GRAY_U16.tif"].pixels_HWC.max() == 255
    assert found["retina.jpg"].pixels_HWC.shape == (1411, 1411, 3)


def test_emoji_lie_on_white() -> None:
    if not (DATA / "emoji").is_dir():
        pytest.skip("the emoji are not here")
    found = list(PictureReader(DATA / "emoji", limit=50))
    assert len(found) == 50
    assert sum("transparent" in one.faults for one in found) == 50
    assert all(one.pixels_HWC.shape == (128, 128, 3) for one in found)
    assert sum(one.pixels_HWC[0, 0].tolist() == [255, 255, 255] for one in found) == 50
