"""Everything that may be wrong with pictures and captions in one folder, through the commands.

The run goes on; what cannot be used is counted and named, what can be borne is told as a fault.
"""

import io
import json
import shutil
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from graft.controlnet.records import PAIR
from graft.store.shards import list_shards, read_shard
from graft.world.gallery import write_gallery
from graft.world.pictures import draw_picture
from processes import Commands
from small_bases import make_pipeline

DATA = Path(__file__).parents[2].parent / "shared" / "data" / "images"
RECIPE = """
size = 32
[train]
steps = 2
batch = 2
validate_every = 2
gap_every = 2
checkpoint_every = 1
[validation]
pictures = 2
run = { steps = 1 }
[evaluate]
pictures = 2
run = { steps = 1 }
"""
GOOD = 16


def picture(seed: int, size: int = 48) -> Image.Image:
    return Image.fromarray(draw_picture(np.random.default_rng(seed), size=size).pixels_HWC)


def content(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def bomb(side: int = 10_001) -> bytes:
    """A header of more than 100 megapixels, with next to nothing behind it."""

    def chunk(name: bytes, data: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(name + data))
        return struct.pack(">I", len(data)) + name + data + check

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
    body = chunk(b"IDAT", zlib.compress(b"\0" * 1000)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + header + body


def deep(image: Image.Image) -> Image.Image:
    return Image.fromarray(np.array(image.convert("L")).astype(np.uint16) * 257)


def clear(image: Image.Image) -> Image.Image:
    image = image.convert("RGBA")
    image.putalpha(image.getchannel("R"))
    return image


def turned(image: Image.Image) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return content(image, "JPEG", exif=exif, quality=95)


def frames(image: Image.Image, kind: str) -> bytes:
    more = [image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)]
    return content(image, kind, save_all=True, append_images=more)


FINE: dict[str, tuple[Callable[[Image.Image], bytes], set[str]]] = {
    "cmyk.jpg": (lambda image: content(image.convert("CMYK"), "JPEG"), {"CMYK"}),
    "deep.png": (lambda image: content(deep(image)), {"greyscale", "more than 8 bits"}),
    "palette.png": (lambda image: content(image.convert("P")), set()),
    "animated.gif": (lambda image: frames(image, "GIF"), {"first of several frames"}),
    "pages.tif": (lambda image: frames(image, "TIFF"), {"first of several frames"}),
    "clear.png": (lambda image: content(clear(image)), {"transparent"}),
    "turned.jpg": (turned, set()),
    "really-a-bmp.png": (lambda image: content(image, "BMP"), set()),
    "large.png": (lambda image: content(image.resize((200, 90))), set()),
}
"""Files that can be used, each with the faults that are told of it."""

OF_NO_USE = {
    "short.png": ("truncated", content(picture(50))[:900]),
    "dot.png": ("too small", content(picture(51).resize((1, 1)))),
    "strip.png": ("too small", content(picture(51).resize((1, 300)))),
    "bomb.png": ("too many pixels", bomb()),
    "page.jpg": ("unreadable", b"<html>404</html>"),
    "empty.png": ("unreadable", b""),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bad")
    make_pipeline("sd1", "v_prediction").save_pretrained(folder / "base")
    (folder / "recipe.toml").write_text(RECIPE)
    pictures = folder / "pictures"
    write_gallery(pictures, GOOD, size=48)
    for number, (name, (make, _)) in enumerate(FINE.items()):
        (pictures / name).write_bytes(make(picture(100 + number)))
    for name, (_, bytes_of) in OF_NO_USE.items():
        (pictures / name).write_bytes(bytes_of)
    (pictures / "hint.png").write_bytes(content(picture(70)))
    (pictures / "half.png").write_bytes(content(picture(71)))
    return folder


@pytest.fixture(scope="module")
def listed(folder: Path) -> Path:
    """The folder with a list of its files, in which there is something wrong as well."""
    rows: list[dict[str, object]] = [
        *({"file_name": name, "text": f"this is {name}"} for name in [*FINE, *OF_NO_USE]),
        {"file_name": "00003.png", "text": "quite another caption"},
        {"file_name": "half.png", "text": "half", "conditioning_image": "gone.png"},
        {"file_name": "gone.png", "text": "not there"},
        {"file_name": "hint.png", "text": ""},
    ]
    with (folder / "pictures" / "metadata.jsonl").open("ab") as file:
        file.write("".join(json.dumps(row) + "\n" for row in rows).encode())
        file.write(b'{"file_name": "half.png", "text": "\xff\xfe"}\n')
    return folder


def words(folder: Path, images: str, out: str, *more: str) -> list[str]:
    flags = ["--base", str(folder / "base"), "--config", str(folder / "recipe.toml")]
    return [str(folder / images), *flags, "--out", str(folder / out), *more]


def faults(run: Path) -> dict[str, set[str]]:
    """The faults of each pair that was read."""
    shards = list_shards(run / "annotate" / "shards")
    pairs = [PAIR.from_row(row) for shard in shards for row in read_shard(shard)]
    return {pair.id: set(pair.faults) for pair in pairs}


def read(run: Path) -> dict[str, dict[str, object]]:
    return json.loads((run / "annotate" / "shards" / "manifest.json").read_text())["summary"]


def test_teach_goes_on_over_all_of_them_and_tells_each(
    commands: Commands, listed: Path
) -> None:
    commands.begin("controlnet", "teach", *words(listed, "pictures", "run"))
    code, said = commands.end()
    assert code == 0, said
    run, told = listed / "run", " ".join(said.split())
    assert (run / "train" / "control").is_dir()
    found = faults(run)
    assert {name: found[name] for name in FINE} == {n: told for n, (_, told) in FINE.items()}
    assert read(run)["skipped"] == {
        "truncated": 1,
        "too small": 2,
        "too many pixels": 1,
        "unreadable": 2,
        "condition not there": 1,
        "picture not there": 1,
        "not JSON": 1,
    }
    places = read(run)["places"]
    line = GOOD + len(FINE)
    number = {name: line + 1 + at for at, name in enumerate(OF_NO_USE)}
    for name, (reason, _) in OF_NO_USE.items():
        assert f"metadata.jsonl:{number[name]}" in places[reason]
        assert reason in told
    report = json.loads((run / "keep" / "report.json").read_text())
    again = f"00003.png@metadata.jsonl:{line + len(OF_NO_USE) + 1}"
    assert report["first"]["near-duplicate"] == {again: "near-duplicate of 00003.png"}
    assert report["first_with_fault"]["no caption"] == ["hint.png"]
    assert report["first_with_fault"]["transparent"] == ["clear.png"]
    assert report["kept"] == len(found) - 1


def test_captions_beside_the_pictures_that_are_no_text_are_told(
    commands: Commands, folder: Path
) -> None:
    beside = folder / "beside"
    beside.mkdir(exist_ok=True)
    for number in range(4):
        (beside / f"{number}.png").write_bytes(content(picture(number)))
        (beside / f"{number}.txt").write_text(f"picture {number}")
    (beside / "1.txt").write_bytes(b"\xff\xfe\x00")
    (beside / "2.txt").write_bytes(b"x" * 2**17)
    (beside / "3.txt").unlink()
    flags = words(folder, "beside", "run-beside")
    commands.run("controlnet", "annotate", *flags)
    commands.run("controlnet", "keep", str(folder / "run-beside"))
    assert faults(folder / "run-beside") == {
        "0.png": set(),
        "1.png": {"unreadable caption", "no caption"},
        "2.png": {"unreadable caption", "no caption"},
        "3.png": {"no caption"},
    }
    report = json.loads((folder / "run-beside" / "keep" / "report.json").read_text())
    assert report["first_with_fault"]["unreadable caption"] == ["1.png", "2.png"]


def test_real_awkward_files_are_read_or_named(commands: Commands, folder: Path) -> None:
    if not (DATA / "awkward").is_dir():
        pytest.skip("the awkward pictures are not here")
    shutil.copytree(DATA / "awkward", folder / "awkward", dirs_exist_ok=True)
    commands.run("controlnet", "annotate", *words(folder, "awkward", "run-awkward"))
    assert read(folder / "run-awkward")["places"] == {
        "too small": [
            *("foo3x5x4indexed.png", "no_time_for_that_tiny.gif"),
            *("palette_color.png", "palette_gray.png"),
        ],
        "unreadable": ["multipage_rgb.tif"],
    }


def fails(commands: Commands, *arguments: str) -> str:
    """The one line that a command ends with which cannot be done."""
    commands.begin("controlnet", *arguments)
    code, said = commands.end()
    assert code == 1, said
    assert "Traceback" not in said
    return said.splitlines()[-1]


@pytest.mark.parametrize("part", ["unet", "vae", "text_encoder", "tokenizer", "scheduler"])
def test_a_base_without_a_part_is_refused_in_one_line(
    part: str, commands: Commands, folder: Path, tmp_path: Path
) -> None:
    base = Path(shutil.copytree(folder / "base", tmp_path / "base"))
    shutil.rmtree(base / part)
    flags = ["--base", str(base), "--set", "size=32", "--out", str(tmp_path / "run")]
    said = fails(commands, "annotate", str(folder / "pictures"), *flags)
    assert f"{base / part} is missing" in said


def test_an_empty_folder_is_refused_in_one_line(commands: Commands, folder: Path) -> None:
    (folder / "none").mkdir(exist_ok=True)
    said = fails(commands, "teach", *words(folder, "none", "run-none"))
    assert "no picture in it that can be used: empty; name a folder of PNG" in said


def test_a_loss_that_is_no_number_stops_saves_nothing_of_it_and_says_what_to_try(
    commands: Commands, folder: Path
) -> None:
    write_gallery(folder / "clean", GOOD, size=32)
    wild = words(folder, "clean", "wild", "--set", "train.learning_rate=1e30")
    said = fails(commands, "teach", *wild)
    assert "step 1: the losses of the validation pictures are not finite" in said
    assert "take a lower learning rate or a longer warm-up" in said
    train = folder / "wild" / "train"
    assert f"delete {train}" in said
    assert not list(train.glob("checkpoint-*"))
    assert not (train / "control").exists()
    calm = ["train", str(folder / "wild"), "--set", "train.learning_rate=1e-4"]
    commands.run("controlnet", *calm)
    assert (train / "control").is_dir()
