"""Pictures side by side, and pictures as files."""

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from graft.controlnet.records import encode_png
from graft.store.whole import whole_file, writing

_GAP = 2
_LEAST = 96
"""Small pictures are shown at least so many pixels wide."""

_LONGEST = 120
"""Bytes of a file's name; disks allow 255, of which a file that is being written needs more."""


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


def file_names(names: Iterable[str]) -> dict[str, str]:
    """A file's name for each id, without ending; what could lead elsewhere becomes a dash.

    No two are the same, on disks that take `A` for `a` either: those that would be have a hash
    of their id behind them.
    """
    plain = {name: _plain(name) for name in names}
    often = Counter(one.casefold() for one in plain.values())
    return {
        name: one if often[one.casefold()] == 1 else f"{one}-{_digest(name)}"
        for name, one in plain.items()
    }


def _plain(name: str) -> str:
    name = re.sub(r"\.(png|jpe?g|webp|gif|bmp|tiff?)$", "", name, flags=re.IGNORECASE)
    name = re.sub(r"[^\w.-]+", "-", name).strip(".-")
    return name.encode()[:_LONGEST].decode(errors="ignore") or "picture"


def _digest(name: str) -> str:
    content = name.encode(errors="surrogatepass")
    return hashlib.blake2b(content, digest_size=6).hexdigest()
