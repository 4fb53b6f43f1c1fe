import csv
import io
import json
import struct
import zlib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from graft.controlnet.dataset import Captioned
from graft.controlnet.decoding import Limits
from graft.controlnet.pictures import PictureReader, fit_picture
from graft.errors import DataError
from graft.world.pictures import draw_picture

DATA = Path(__file__).parents[2].parent / "shared" / "data" / "images"
RED, GREEN, BLUE, WHITE = (200, 10, 10), (10, 200, 10), (10, 10, 200), (255, 255, 255)


def plain(colour: tuple[int, int, int] = RED, size: tuple[int, int] = (32, 24)) -> Image.Image:
    return Image.new("RGB", size, colour)


def save(path: Path, image: Image.Image | None = None, **options: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    (image or plain()).save(path, **options)
    return path


def content(image: Image.Image, kind: str = "PNG") -> bytes:
    file = io.BytesIO()
    image.save(file, kind)
    return file.getvalue()


def lines(path: Path, *records: object) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records), "utf-8")
    return path


def only(source: Path) -> Captioned:
    (one,) = PictureReader(source)
    return one


def refused(source: Path) -> str:
    """Why the only picture there cannot be read; a good one lies beside it."""
    save(source / "zz-good.png")
    reader = PictureReader(source)
    assert [one.id for one in reader] == ["zz-good.png"]
    return reader.told()


# --- folders and lists


def test_a_plain_folder_is_read_in_the_order_of_its_names_with_captions_beside(
    tmp_path: Path,
) -> None:
    save(tmp_path / "z.jpg", plain(BLUE))
    save(tmp_path / "a" / "b.webp", plain(GREEN))
    save(tmp_path / "m.PNG")
    save(tmp_path / ".hidden.png")
    save(tmp_path / "__MACOSX" / "m.png")
    (tmp_path / "a" / "b.txt").write_bytes("\ufeff  grün\n".encode())
    (tmp_path / "m.txt").write_bytes(b"\xff\xfe not UTF-8")
    (tmp_path / "notes.txt").write_text("of nothing")
    found = list(PictureReader(tmp_path))
    assert [(one.id, one.caption) for one in found] == [
        ("a/b.webp", "grün"),
        ("m.PNG", ""),
        ("z.jpg", ""),
    ]
    assert [one.faults for one in found] == [
        (),
        ("unreadable caption", "no caption"),
        ("no caption",),
    ]
    assert found[1].pixels_HWC.shape == (24, 32, 3)
    assert found[1].pixels_HWC[0, 0].tolist() == list(RED)
    assert [one.id for one in PictureReader(tmp_path, limit=2)] == ["a/b.webp", "m.PNG"]


def test_metadata_names_pictures_captions_and_conditions(tmp_path: Path) -> None:
    for name in ("one", "two", "three", "four"):
        save(tmp_path / "images" / f"{name}.png")
        save(tmp_path / "hints" / f"{name}.png", plain(WHITE))
    lines(
        tmp_path / "metadata.jsonl",
        {"file_name": "images/two.png", "text": "2", "conditioning_image": "hints/two.png"},
        {"file_name": "images/one.png", "caption": "1"},
        {"file_name": "images\\three.png", "prompt": "3", "id": 33},
        {
            "image": "images/four.png",
            "name": "4",
            "conditioning_image_file_name": "hints/four.png",
        },
    )
    found = list(PictureReader(tmp_path))
    assert [(one.id, one.caption) for one in found] == [
        ("images/two.png", "2"),
        ("images/one.png", "1"),
        ("33", "3"),
        ("images/four.png", "4"),
    ]
    assert [one.condition_HWC is not None for one in found] == [True, False, False, True]
    assert found[0].condition_HWC is not None
    assert found[0].condition_HWC[0, 0].tolist() == [255, 255, 255]


def test_a_list_as_csv_and_a_list_by_itself_are_read_as_well(tmp_path: Path) -> None:
    save(tmp_path / "train" / "1.png")
    with (tmp_path / "train" / "metadata.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["file_name", "text"], ["1.png", 'a "red", wide\nfield']])
    one = only(tmp_path)
    assert (one.id, one.caption) == ("1.png", 'a "red", wide\nfield')
    lines(tmp_path / "mine.jsonl", {"file_name": "train/1.png", "text": ["first", "second"]})
    assert only(tmp_path / "mine.jsonl").caption == "first"


def test_fill50k_calls_the_picture_target_and_its_condition_source(tmp_path: Path) -> None:
    save(tmp_path / "source" / "0.png", plain(WHITE))
    save(tmp_path / "target" / "0.png", plain(GREEN))
    record = {"source": "source/0.png", "target": "target/0.png", "prompt": "a green field"}
    lines(tmp_path / "prompt.json", record)
    one = only(tmp_path)
    assert (one.id, one.caption, one.faults) == ("target/0.png", "a green field", ())
    assert one.pixels_HWC[0, 0].tolist() == list(GREEN)
    assert one.condition_HWC is not None
    assert one.condition_HWC[0, 0].tolist() == [255, 255, 255]


def test_a_source_beside_a_file_name_says_where_a_picture_is_from(tmp_path: Path) -> None:
    save(tmp_path / "1.png")
    lines(tmp_path / "metadata.jsonl", {"file_name": "1.png", "text": "t", "source": "the web"})
    assert only(tmp_path).condition_HWC is None


def test_parquet_holds_pictures_as_bytes_or_as_datasets_writes_them(tmp_path: Path) -> None:
    red, hint = content(plain()), content(plain(WHITE))
    bare = {"image": [red, red], "text": ["a", None], "conditioning_image": [hint, None]}
    pq.write_table(pa.table(bare), tmp_path / "a.parquet")
    structs = {"image": [{"bytes": red, "path": "cat.png"}], "text": ["b"]}
    pq.write_table(pa.table(structs), tmp_path / "b.parquet")
    reader = PictureReader(tmp_path)
    found = list(reader)
    assert [(one.id, one.caption) for one in found] == [("a.parquet:1", "a"), ("cat.png", "b")]
    assert [one.condition_HWC is None for one in found] == [False, True]
    assert reader.told() == "1 without condition (first: a.parquet:2)"


def test_two_folders_of_the_same_names_are_pairs_and_halves_are_told(tmp_path: Path) -> None:
    for name in ("1", "2", "3"):
        save(tmp_path / "pictures" / "a" / f"{name}.jpg")
    save(tmp_path / "hints" / "a" / "1.png", plain(WHITE))
    save(tmp_path / "hints" / "a" / "3.webp", plain(WHITE), lossless=True)
    save(tmp_path / "hints" / "a" / "4.png", plain(WHITE))
    reader = PictureReader(tmp_path / "pictures", conditions=tmp_path / "hints")
    assert [one.id for one in reader] == ["a/1.jpg", "a/3.jpg"]
    assert reader.skipped == {"without condition": 1, "condition without picture": 1}
    assert reader.first_skipped["without condition"] == "a/2.jpg"
    assert reader.first_skipped["condition without picture"] == "a/4.png"


def test_conditions_inside_of_the_folder_are_no_pictures(tmp_path: Path) -> None:
    save(tmp_path / "1.png")
    save(tmp_path / "hints" / "1.png", plain(WHITE))
    reader = PictureReader(tmp_path, conditions=tmp_path / "hints")
    assert [one.id for one in reader] == ["1.png"]
    assert reader.told() == ""


@pytest.mark.parametrize("outside", ["../secret.png", "a/../../secret.png", "..\\secret.png"])
def test_a_list_cannot_reach_out_of_its_folder(tmp_path: Path, outside: str) -> None:
    save(tmp_path / "secret.png")
    save(tmp_path / "in" / "a" / "1.png")
    good = {"file_name": "a/1.png", "text": "in"}
    for number, record in enumerate(
        (
            {"file_name": outside},
            {"file_name": str(tmp_path / "secret.png")},
            {**good, "conditioning_image": outside},
        )
    ):
        lines(tmp_path / "in" / "metadata.jsonl", record, good)
        reader = PictureReader(tmp_path / "in")
        assert [one.id for one in reader] == ["a/1.png"]
        what = "condition" if number == 2 else "picture"
        assert reader.told() == f"1 {what} outside of the folder (first: metadata.jsonl:1)"


def test_what_a_list_names_and_is_not_there_is_told_by_its_kind(tmp_path: Path) -> None:
    save(tmp_path / "1.png")
    lines(
        tmp_path / "metadata.jsonl",
        {"file_name": "none.png"},
        {"file_name": "x" * 5000},
        {"file_name": "nul\0.png"},
        {"file_name": "."},
        {"text": "only words"},
        {"file_name": "1.png", "conditioning_image": "none.png"},
        {"file_name": "1.png", "conditioning_image": None},
        ["no", "record"],
        {"file_name": "1.png", "text": "half a \ud83d character"},
    )
    with (tmp_path / "metadata.jsonl").open("ab") as file:
        file.write(b"{broken\n\xff\xfe\n\n" + b" " * 2**20 + b"x\n")
    reader = PictureReader(tmp_path)
    assert [one.caption for one in reader] == ["half a ? character"]
    assert reader.skipped == {
        "picture not there": 4,
        "without picture": 1,
        "condition not there": 1,
        "without condition": 1,
        "not a record": 1,
        "not JSON": 2,
        "line too long": 1,
    }


def test_a_name_that_was_there_before_gets_its_place_behind_it(tmp_path: Path) -> None:
    save(tmp_path / "1.png")
    lines(tmp_path / "metadata.jsonl", *[{"file_name": "1.png", "text": str(n)} for n in "ab"])
    assert [one.id for one in PictureReader(tmp_path)] == ["1.png", "1.png@metadata.jsonl:2"]


def test_reading_again_reads_the_same_again(tmp_path: Path) -> None:
    save(tmp_path / "1.png")
    save(tmp_path / "tiny.png", plain(size=(15, 40)))
    reader = PictureReader(tmp_path)
    assert [one.id for one in reader] == [one.id for one in reader] == ["1.png"]
    assert reader.told() == "1 too small (first: tiny.png)"


def test_a_folder_without_pictures_is_refused_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no picture in it .*: empty; name a folder of PNG"):
        list(PictureReader(tmp_path))
    save(tmp_path / "tiny.png", plain(size=(1, 1)))
    with pytest.raises(DataError, match=r"1 too small \(first: tiny.png\); name a folder"):
        list(PictureReader(tmp_path))
    with pytest.raises(DataError, match="no such file or folder"):
        iter(PictureReader(tmp_path / "none"))
    with pytest.raises(DataError, match="name a folder of conditions"):
        iter(PictureReader(tmp_path, conditions=tmp_path / "none"))


def test_a_list_that_is_damaged_or_of_something_else_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_bytes(b"PAR1 not really")
    with pytest.raises(DataError, match=r"a\.parquet: damaged"):
        list(PictureReader(tmp_path))
    (tmp_path / "b.csv").write_text("file,words\n1.png,red\n")
    with pytest.raises(DataError, match=r"no column file_name or image .* among file, words"):
        list(PictureReader(tmp_path / "b.csv"))
    with pytest.raises(DataError, match="no list of pictures"):
        list(PictureReader(save(tmp_path / "c.png")))


# --- pictures of every kind


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


# --- fitting


def test_a_picture_that_fits_is_left_as_it_is() -> None:
    pixels_HWC = draw_picture(np.random.default_rng(0)).pixels_HWC
    assert fit_picture(pixels_HWC, 64) is pixels_HWC


@pytest.mark.parametrize(("height", "width"), [(60, 90), (90, 60), (61, 88), (501, 17)])
def test_the_middle_is_kept_and_the_shorter_side_whole(height: int, width: int) -> None:
    pixels_HWC = np.zeros((height, width, 3), dtype=np.uint8)
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    pixels_HWC[top : top + side, left : left + side] = 255
    fitted_HWC = fit_picture(pixels_HWC, 30)
    assert fitted_HWC.shape == (30, 30, 3)
    assert fitted_HWC[1:-1, 1:-1].min() > 240


def test_a_condition_of_half_the_size_is_cut_at_the_same_place() -> None:
    pixels_HWC = draw_picture(np.random.default_rng(1), size=128).pixels_HWC[:, 8:104]
    half_HWC = pixels_HWC.reshape(64, 2, 48, 2, 3).mean((1, 3)).round().astype(np.uint8)
    one, other = fit_picture(pixels_HWC, 32), fit_picture(half_HWC, 32)
    assert np.abs(one.astype(int) - other).mean() < 2


def test_the_nearest_pixel_makes_no_new_values() -> None:
    pixels_HWC = np.zeros((100, 140, 3), dtype=np.uint8)
    pixels_HWC[30:60, 40:90] = 255
    assert set(np.unique(fit_picture(pixels_HWC, 33, nearest=True))) == {0, 255}
    assert len(np.unique(fit_picture(pixels_HWC, 33))) > 2


def test_a_long_strip_is_cut_before_it_is_made_larger() -> None:
    strip_HWC = np.full((16, 200_000, 3), 90, dtype=np.uint8)  # 9 GB if made larger first
    assert fit_picture(strip_HWC, 512).shape == (512, 512, 3)
