import json
from pathlib import Path

import numpy as np
from PIL import Image

from graft.controlnet.pictures import PictureReader
from graft.world.gallery import write_gallery


def test_the_same_arguments_write_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "other"):
        write_gallery(tmp_path / name, 5)
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "other" / path.name).read_bytes()


def test_a_gallery_is_a_folder_that_annotate_reads(tmp_path: Path) -> None:
    write_gallery(tmp_path, 3, size=48)
    lines = (tmp_path / "metadata.jsonl").read_text().splitlines()
    read = list(PictureReader(tmp_path))
    assert [one.caption for one in read] == [json.loads(line)["text"] for line in lines]
    assert np.array_equal(read[0].pixels_HWC, np.array(Image.open(tmp_path / "00000.png")))
    assert read[0].pixels_HWC.shape == (48, 48, 3)


def test_captions_tell_what_is_there_and_not_where(tmp_path: Path) -> None:
    write_gallery(tmp_path, 40)
    captions = [one.caption for one in PictureReader(tmp_path)]
    assert not any(" at the " in caption or "middle" in caption for caption in captions)
