"""What can be seen of a pair in numbers: is its condition legible, and is it this picture's?

Legend: H and W pixels, C red, green and blue, K cells of a coarse grid, N pairs.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float, UInt8

_CELLS = 16
_OTHERS = 5
"""With so many other pictures a condition is compared."""

_BLOCK = 8
"""Pixels along a block of JPEG."""
_FEWEST_BLOCKS = 256
_CLEARLY_FEWER = 0.84
"""JPEG's grid has 0.5 to 0.7 of the blocks with plain drawings, 0.7 to 0.95 with photographs;
lines that were scaled have 0.855 at least."""


@dataclass(frozen=True, slots=True, eq=False)
class Look:
    """Shares of a condition's pixels, and what is to be seen beside them."""

    lit: float
    """At least 32 of 255 in any channel."""
    bright: float
    """At least 128."""
    dark: float
    """At most 223 in some channel."""
    pitch: float
    """Below 128 in all channels: on a bright ground, the lines."""
    white: float
    """At least 250 in all channels."""
    contrast: float
    """The deviation of the channel that has most of it, in levels."""
    jpeg: bool
    """Whether near-black and near-white values fill the blocks of JPEG."""
    greyscale: bool
    """Whether the picture has no colour."""
    swapped: bool
    """Whether the condition is like the picture once red and blue are swapped."""
    lines_K: Float[np.ndarray, " K"]
    edges_K: Float[np.ndarray, " K"]


def look_at(
    pixels_HWC: UInt8[np.ndarray, "H W 3"], condition_HWC: UInt8[np.ndarray, "h w 3"]
) -> Look:
    """What is seen of a picture and its condition."""
    highest_HW, lowest_HW = condition_HWC.max(axis=2), condition_HWC.min(axis=2)
    return Look(
        lit=float((highest_HW >= 32).mean()),
        bright=float((highest_HW >= 128).mean()),
        dark=float((lowest_HW <= 223).mean()),
        pitch=float((highest_HW < 128).mean()),
        white=float((lowest_HW >= 250).mean()),
        contrast=float(condition_HWC.std(axis=(0, 1)).max()),
        jpeg=has_blocks(condition_HWC),
        greyscale=is_greyscale(pixels_HWC),
        swapped=is_swapped(pixels_HWC, condition_HWC),
        lines_K=_standard(_steps(condition_HWC)),
        edges_K=_standard(_steps(pixels_HWC)),
    )


def is_greyscale(pixels_HWC: UInt8[np.ndarray, "H W 3"]) -> bool:
    """Whether a picture has no colour beyond JPEG's noise: 995 of 1000 pixels within 8 levels.

    It is asked of means of 2 x 2 pixels and more, in which a colour sensor's grain is less.
    """
    height, width = pixels_HWC.shape[:2]
    half = (max(1, width // 2), max(1, height // 2))
    pixels_HWC = cv2.resize(pixels_HWC, half, interpolation=cv2.INTER_AREA)
    spread_HW = pixels_HWC.max(axis=2) - pixels_HWC.min(axis=2)
    return float((spread_HW <= 8).mean()) >= 0.995


def has_blocks(condition_HWC: UInt8[np.ndarray, "H W 3"]) -> bool:
    """Whether a condition of black and white was a JPEG.

    JPEG rings around lines, up to the border of a block and no further. So values that are
    almost black or almost white lie in fewer blocks of JPEG's grid than of a grid beside it.
    Only told from 128 x 128 pixels on, and if it was not scaled since.
    """
    grey_HW = condition_HWC[..., 1]
    near_HW = ((grey_HW > 0) & (grey_HW <= 40)) | ((grey_HW >= 215) & (grey_HW < 255))
    poles = float(((grey_HW <= 40) | (grey_HW >= 215)).mean())
    if grey_HW.size < _FEWEST_BLOCKS * _BLOCK**2 or near_HW.mean() < 0.005 or poles < 0.6:
        return False
    beside = [_touched(near_HW, *moved) for moved in ((4, 0), (0, 4), (4, 4), (3, 5))]
    return _touched(near_HW, 0, 0) < _CLEARLY_FEWER * sum(beside) / len(beside)


def _touched(near_HW: np.ndarray, down: int, along: int) -> int:
    """In how many blocks of a grid that is moved by some pixels there is any such value."""
    moved_HW = np.roll(near_HW, (down, along), axis=(0, 1))
    rows, columns = (side // _BLOCK for side in moved_HW.shape)
    blocks = moved_HW[: rows * _BLOCK, : columns * _BLOCK]
    blocks = blocks.reshape(rows, _BLOCK, columns, _BLOCK).any(axis=(1, 3))
    return int(blocks.sum())


def is_swapped(
    pixels_HWC: UInt8[np.ndarray, "H W 3"], condition_HWC: UInt8[np.ndarray, "h w 3"]
) -> bool:
    """Whether a condition with the picture's colours has red where that has blue.

    It is at most half as far from the picture when swapped back, and was far before.
    """
    picture_KC, condition_KC = _cells(pixels_HWC), _cells(condition_HWC)
    straight = float(np.abs(picture_KC - condition_KC).mean())
    swapped = float(np.abs(picture_KC - condition_KC[:, ::-1]).mean())
    return straight > 6 and swapped < straight / 2


def fitting(looks: Sequence[Look]) -> Iterator[bool]:
    """Of each pair, whether its own condition's lines fit its picture's edges best.

    Compared with the conditions of the next five pairs; of shuffled ones every sixth fits.
    """
    lines_NK = np.stack([look.lines_K for look in looks]).astype(np.float64)
    others = min(_OTHERS, len(looks) - 1)
    for index, look in enumerate(looks):
        candidates = np.arange(index, index + others + 1) % len(looks)
        likeness = lines_NK[candidates] @ look.edges_K.astype(np.float64)
        yield bool(likeness[0] >= likeness.max() - 1e-3)


def _cells(pixels_HWC: np.ndarray) -> np.ndarray:
    """Means [K, C] of 8 x 8 parts."""
    floats_HWC = pixels_HWC.astype(np.float32)
    return cv2.resize(floats_HWC, (8, 8), interpolation=cv2.INTER_AREA).reshape(64, -1)


def _steps(pixels_HWC: np.ndarray) -> np.ndarray:
    """How much the luma changes in each cell."""
    luma_HW = cv2.cvtColor(pixels_HWC, cv2.COLOR_RGB2GRAY).astype(np.float32)
    change_HW = np.hypot(cv2.Sobel(luma_HW, -1, 1, 0), cv2.Sobel(luma_HW, -1, 0, 1))
    return cv2.resize(change_HW, (_CELLS, _CELLS), interpolation=cv2.INTER_AREA)


def _standard(cells_HW: np.ndarray) -> np.ndarray:
    """Cells in a row, without their mean, of length 1; so a product is a correlation."""
    centred_K = (cells_HW - cells_HW.mean()).ravel()
    length = float(np.linalg.norm(centred_K))
    return (centred_K / length if length > 0 else centred_K).astype(np.float16)
