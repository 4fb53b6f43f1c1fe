"""Pictures side by side, and pictures as files."""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from graft.controlnet.records import encode_png
from graft.store.whole import whole_file, writing

_GAP = 2
_LEAST = 96
"""Small pictures are shown at least so many pixels wide."""


def grid(rows: Sequence[Sequence[UInt8[np.ndarray, "S S 3"]]]) -> UInt8[np.ndarray, "H W 3"]:
    """Rows of equally large pictures as one picture, white between them."""
    side = rows[0][0].shape[0]
    times = max(1, -(-_LEAST // side))
    cell = side * times + _GAP
    height, width = len(rows) * cell + _GAP, max(map(len, rows)) * cell + _GAP
    canvas_HWC = np.full((height, width, 3), 255, dtype=np.uint8)
    for down, row in enumerate(rows):
        for along, pixels_HWC in enumerate(row):
            shown_HWC = pixels_HWC.repeat(times, axis=0).repeat(times, axis=1)
            top, left = down * cell + _GAP, along * cell + _GAP
            canvas_HWC[top : top + side * times, left : left + side * times] = shown_HWC
    return canvas_HWC


def write_picture(path: Path, pixels_HWC: UInt8[np.ndarray, "H W 3"]) -> None:
    """Write a PNG, whole or not at all."""
    content = encode_png(pixels_HWC)
    with whole_file(path) as file, writing(path):
        file.write(content)


def file_name(name: str) -> str:
    """An id as a file's name: no ending, and what could lead elsewhere becomes a dash."""
    name = re.sub(r"\.(png|jpe?g|webp|gif|bmp|tiff?)$", "", name, flags=re.IGNORECASE)
    return re.sub(r"[^\w.-]+", "-", name).strip(".-")[:120] or "picture"
