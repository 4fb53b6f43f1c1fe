"""The little world's pictures as a folder: what the demonstration teaches a control with.

NNNNN.png         a picture
metadata.jsonl    its caption, as Hugging Face's image folders have it

Captions tell what is to be seen and not where: that is for the condition to tell.
"""

import json
from pathlib import Path

import numpy as np
from PIL import Image

from graft.world.pictures import SIZE, Half, draw_picture


def write_gallery(
    folder: Path, count: int, *, seed: int = 1, half: Half = "read", size: int = SIZE
) -> None:
    """Write `count` pictures with captions; the same arguments write the same bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    lines: list[str] = []
    for number in range(count):
        rng = np.random.default_rng((seed, 3, number))
        picture = draw_picture(rng, half, size=size, placed=False)
        name = f"{number:05d}.png"
        Image.fromarray(picture.pixels_HWC).save(folder / name)
        lines.append(json.dumps({"file_name": name, "text": picture.caption}) + "\n")
    (folder / "metadata.jsonl").write_text("".join(lines), encoding="utf-8")
