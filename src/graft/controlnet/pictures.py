"""Reading a folder of pictures, one at a time, and fitting them to the size of a base.

A folder with `metadata.jsonl` or `metadata.csv`, Fill50K's `prompt.json`, a JSON-lines, CSV or
Parquet file, a plain folder with `NAME.txt` beside the pictures, or two folders of the same
names. See `sources` for what their columns may be called, `decoding` for what is mended.

Legend: H and W pixels, S pixels along each side, 3 for red, green and blue.
"""

import hashlib
import math
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from graft.controlnet.dataset import Captioned
from graft.controlnet.decoding import Decoded, Limits, Refused, decode_picture
from graft.controlnet.sources import Found, find_pictures
from graft.errors import DataError

_SAME_SHAPE = 0.02
"""By what share the ratios of width to height may differ, as rounded sizes do."""

Box = tuple[float, float, float, float]
"""Left, top, right and bottom in pixels; whole ones or not."""

_MOST_PLACES = 1000

_REDUCING_GAP = 3.0
"""From three times the size on, pixels are averaged first; cheaper, and hardly to be seen."""


class PictureReader:
    """The pictures of a folder, and after reading them what was left out.

    Args:
        source: a folder, or a list of pictures: a JSON-lines, CSV or Parquet file.
        conditions: a folder of conditions, which have the names of their pictures.
        limit: so many pictures at most.
        limits: pictures with more bytes or pixels, or a shorter side, are skipped.
        kind: what a run drew that is not of this kind is no condition of its pairs.

    `skipped` counts what cannot be used by the reason, `places` has the first thousand places
    of each. A picture is called by its `id` or its path; a name that was there before gets its
    place behind it, `7@metadata.jsonl:12`. Iterating again reads again.

    A condition without a ground lies on black, a picture on white.
    """

    def __init__(
        self,
        source: Path,
        *,
        conditions: Path | None = None,
        limit: int | None = None,
        limits: Limits | None = None,
        kind: str | None = None,
    ) -> None:
        self.source, self.conditions, self.limit, self.kind = source, conditions, limit, kind
        self.limits = limits or Limits()
        self.skipped: Counter[str] = Counter()
        self.places: dict[str, list[str]] = {}

    @property
    def first_skipped(self) -> dict[str, str]:
        """Where what was skipped for a reason stands first."""
        return {reason: places[0] for reason, places in self.places.items()}

    def __iter__(self) -> Iterator[Captioned]:
        """Begin at the first picture.

        Raises:
            DataError: there is nothing to read, a list is damaged, or no picture can be used.
        """
        self.skipped.clear()
        self.places.clear()
        found = find_pictures(self.source, self.conditions, self.kind)
        return islice(self._pictures(found), self.limit)

    def _pictures(self, found: Iterator[Found]) -> Iterator[Captioned]:
        seen: set[int] = set()
        for one in found:
            name = f"{one.name}@{one.place}" if _digest(one.name) in seen else one.name
            read = Refused(one.reason) if one.reason else _read(one, name, self.limits)
            if isinstance(read, Refused):
                self._skip(read.reason, one.place)
                continue
            seen.add(_digest(name))
            yield read
        if not seen:
            raise DataError(
                f"{self.source}: no picture in it that can be used: {self.told() or 'empty'};"
                " name a folder of PNG, JPEG or WebP files, or one with metadata.jsonl"
            )

    def _skip(self, reason: str, place: str) -> None:
        self.skipped[reason] += 1
        places = self.places.setdefault(reason, [])
        if len(places) < _MOST_PLACES:
            places.append(place)

    def told(self) -> str:
        """What was skipped, why, and where first; nothing if nothing was."""
        return "; ".join(
            f"{count} {reason} (first: {self.places[reason][0]})"
            for reason, count in self.skipped.most_common()
        )


def fit_picture(
    pixels_HWC: UInt8[np.ndarray, "H W 3"],
    size: int,
    anchor: Literal["centre"] = "centre",  # noqa: ARG001  # no other place yet
    *,
    nearest: bool = False,
) -> UInt8[np.ndarray, "S S 3"]:
    """The middle of a picture as a square of `size` pixels a side.

    The shorter side is kept whole. A picture and its condition are cut alike if they have the
    same shape, whatever their sizes. Lanczos, or the `nearest` pixel where no new values may
    come about.
    """
    height, width = pixels_HWC.shape[:2]
    if (height, width) == (size, size):
        return pixels_HWC
    side = min(height, width)
    left, top = (width - side) / 2, (height - side) / 2
    fitted = Image.fromarray(pixels_HWC).resize(
        (size, size),
        Image.Resampling.NEAREST if nearest else Image.Resampling.LANCZOS,
        box=(left, top, left + side, top + side),
        reducing_gap=None if nearest else _REDUCING_GAP,
    )
    return np.array(fitted)


def cut_picture(
    pixels_HWC: UInt8[np.ndarray, "H W 3"], box: Box, size: int
) -> UInt8[np.ndarray, "S S 3"]:
    """What lies in a box, as a square of `size` pixels a side; nothing else is looked at."""
    left, top, right, bottom = box
    first, above = int(left), int(top)
    part_HWC = pixels_HWC[above : math.ceil(bottom), first : math.ceil(right)]
    height, width = part_HWC.shape[:2]
    cut = Image.fromarray(part_HWC).resize(
        (size, size),
        Image.Resampling.LANCZOS,
        box=(left - first, top - above, min(right - first, width), min(bottom - above, height)),
        reducing_gap=_REDUCING_GAP,
    )
    return np.array(cut)


def _read(found: Found, name: str, limits: Limits) -> Captioned | Refused:
    picture = decode_picture(found.picture, limits)
    if isinstance(picture, Refused):
        return picture
    faults = [*picture.faults, *found.faults, *([] if found.caption else ["no caption"])]
    condition_HWC = None
    if found.condition is not None:
        condition = decode_picture(found.condition, limits, ground=(0, 0, 0))
        if isinstance(condition, Refused):
            return Refused(f"condition {condition.reason}")
        condition_HWC = condition.pixels_HWC
        faults += _faults_of_condition(condition, picture.pixels_HWC)
    return Captioned(
        name, picture.pixels_HWC, found.caption or "", condition_HWC, tuple(faults)
    )


def _faults_of_condition(condition: Decoded, pixels_HWC: np.ndarray) -> list[str]:
    faults = ["jpeg condition"] if condition.format == "JPEG" else []
    (height, width), (high, wide) = pixels_HWC.shape[:2], condition.pixels_HWC.shape[:2]
    if abs(width * high / (height * wide) - 1) > _SAME_SHAPE:
        faults.append("condition of another shape")
    elif (height, width) != (high, wide):
        faults.append("condition of another size")
    return faults


def _digest(name: str) -> int:
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest())
