import csv
import errno
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from graft.controlnet.pictures import PictureReader, fit_picture
from graft.controlnet.workshop import TeachConfig, Workshop
from graft.errors import DataError
from graft.world.pictures import draw_picture
from small_pictures import BLUE, GREEN, RED, WHITE, content, only, plain, save


def lines(path: Path, *records: object) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records), "utf-8")
    return path


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


def test_pictures_that_no_list_names_are_told(tmp_path: Path) -> None:
    for number in range(5):
        save(tmp_path / f"{number}.png")
    for number in range(3):
        save(tmp_path / "hints" / f"{number}.png", plain(WHITE))
    save(tmp_path / "more" / "5.png")
    (tmp_path / "6.png").symlink_to(tmp_path / "gone.png")
    (tmp_path / "7.png").symlink_to(tmp_path / "gone.png")
    lines(
        tmp_path / "metadata.jsonl",
        {"file_name": "0.png", "conditioning_image": "hints/0.png"},
        {"file_name": "1.png", "conditioning_image": "hints/gone.png"},
        {"file_name": "gone.png", "conditioning_image": "hints/1.png"},
        {"file_name": "./2.png", "conditioning_image": "hints//2.png"},
        {"file_name": "6.png"},
    )
    reader = PictureReader(tmp_path)
    assert [one.id for one in reader] == ["0.png", "./2.png"]
    assert reader.places == {
        "condition not there": ["metadata.jsonl:2"],
        "picture not there": ["metadata.jsonl:3", "metadata.jsonl:5"],
        "link that leads nowhere": ["7.png"],
        "not in the list": ["3.png", "4.png", "more/5.png"],
    }
    assert [one.id for one in PictureReader(tmp_path / "metadata.jsonl")] == [
        "0.png",
        "./2.png",
    ]


def test_links_are_followed_and_those_that_lead_nowhere_or_back_are_told(
    tmp_path: Path,
) -> None:
    save(tmp_path / "far" / "1.png")
    (tmp_path / "far" / "home").symlink_to(tmp_path / "in")
    save(tmp_path / "in" / "a" / "2.png")
    for name, to in {
        "a/back": "in",
        "b": "in/a",
        "far": "far",
        "further": "far",
        "gone.png": "gone.png",
        "round": "in/round",
        "up": "",
    }.items():
        (tmp_path / "in" / name).symlink_to(tmp_path / to)
    reader = PictureReader(tmp_path / "in")
    assert [one.id for one in reader] == ["a/2.png", "far/1.png"]
    assert {reason: sorted(places) for reason, places in reader.places.items()} == {
        "link that leads back": ["a/back", "b", "far/home", "further", "up"],
        "link that leads nowhere": ["gone.png", "round"],
    }
    conditions = PictureReader(save(tmp_path / "one" / "a" / "2.png").parents[1])
    conditions.conditions = tmp_path / "in"
    assert [one.id for one in conditions] == ["a/2.png"]
    assert conditions.skipped["link that leads nowhere"] == 2


def test_a_folder_that_may_not_be_read_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(tmp_path / "1.png")
    save(tmp_path / "shut" / "2.png")
    scan = os.scandir

    def refuse(path: str) -> object:
        if str(path) == str(tmp_path / "shut"):
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)
    reader = PictureReader(tmp_path)
    assert [one.id for one in reader] == ["1.png"]
    assert reader.told() == "1 folder that cannot be read (first: shut)"


def run_in(folder: Path) -> Path:
    """A run that was begun there, with a shard, a sheet and a picture that it made."""
    Workshop.begin(folder, TeachConfig(images=folder.parent))
    red = pa.table({"id": ["1.png"], "image": [content(plain())]})
    (folder / "annotate" / "shards").mkdir(parents=True)
    pq.write_table(red, folder / "annotate" / "shards" / "shard-00000.parquet")
    save(folder / "keep" / "sheet.png")
    save(folder / "evaluate" / "controlled" / "1.png")
    return folder


def test_what_a_run_made_below_the_pictures_is_not_read_as_pictures(tmp_path: Path) -> None:
    for name in ("1", "2"):
        save(tmp_path / f"{name}.png")
    save(tmp_path / "soups" / "3.png")
    (tmp_path / "soups" / "recipe.json").write_text('{"images": ["3.png"], "serves": 4}')
    run = run_in(tmp_path / "runs" / "mine")
    reader = PictureReader(tmp_path)
    assert [one.id for one in reader] == ["1.png", "2.png", "soups/3.png"]
    assert reader.told() == ""
    shutil.rmtree(run / "annotate")
    assert [one.id for one in reader] == ["1.png", "2.png", "soups/3.png"]


def test_a_runs_own_pairs_are_read_where_they_are_named(tmp_path: Path) -> None:
    run = run_in(tmp_path / "run")
    assert only(run / "annotate" / "shards").id == "1.png"
    with pytest.raises(DataError, match=r"run: is the folder of a run.*its annotate/shards"):
        iter(PictureReader(run))


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
