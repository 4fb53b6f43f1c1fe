"""What can be seen of a pair in numbers: is its condition legible, and is it this picture's?

Legend: H and W pixels, C red, green and blue, K cells of a coarse grid, N pairs.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float, UInt8

_CELLS = 16
_ROWS_AT_ONCE = 1024
_CLEARLY = 0.15
"""By so much a condition fits another picture better. Measured on the little world, emoji and
photographs, 140 to 500 each, drawn by graft and with other settings: at most 0.7% of good ones
fit another picture so much better, and 92% and more of those that were dealt out at random."""
_STEEP = 150.0
"""Of Sobel's gradient, in levels: steeper edges are no more of an edge."""

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
    given_K: Float[np.ndarray, " K"]
    """The condition, coarsely."""
    own_2K: Float[np.ndarray, "2 K"] | None
    """What is to be like it: the condition that its annotator draws of the picture, and the
    picture itself, of lines its edges. None where conditions do not compare."""


def look_at(
    pixels_HWC: UInt8[np.ndarray, "H W 3"],
    condition_HWC: UInt8[np.ndarray, "h w 3"],
    drawn_HWC: UInt8[np.ndarray, "H W 3"] | None = None,
    *,
    lines: bool = False,
) -> Look:
    """What is seen of a picture and its condition, beside the one that is `drawn` of it."""
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
        given_K=_coarse(condition_HWC),
        own_2K=None if drawn_HWC is None else _own(pixels_HWC, drawn_HWC, lines=lines),
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


def find_misfits(looks: Sequence[Look], *, inverted: bool = False) -> dict[int, int]:
    """Of each pair whose condition fits another picture clearly better, that picture's number.

    Fit is a correlation of cells. It need not be high, for another tool may have drawn what was
    brought: it is held against what the same condition has with the other pictures, and both
    with what is drawn of them and with themselves. Where nothing is drawn, nothing is said.
    Two matrix products: a minute for 50,000 pairs on one core. `inverted`: dark lines on white.
    """
    owns = [(n, one.own_2K) for n, one in enumerate(looks) if one.own_2K is not None]
    told = [(n, own_2K) for n, own_2K in owns if own_2K[0].any()]
    if len(told) < 2:
        return {}
    numbers = [n for n, _ in told]
    sign = -1 if inverted else 1
    given_NK = np.stack([sign * looks[n].given_K for n in numbers]).astype(np.float32)
    own_2NK = np.stack([own_2K for _, own_2K in told], axis=1).astype(np.float32)
    found = dict[int, int]()
    for first in range(0, len(told), _ROWS_AT_ONCE):
        part_MK = given_NK[first : first + _ROWS_AT_ONCE]
        fits = [_Fit.of(part_MK @ own_NK.T, first) for own_NK in own_2NK]
        for row in np.flatnonzero(fits[0].is_worse_M & fits[1].is_worse_M).tolist():
            found[numbers[first + row]] = numbers[int(fits[0].best_M[row])]
    return found


@dataclass(frozen=True, slots=True, eq=False)
class _Fit:
    """Of some conditions, whether each fits another picture better, and which fits best."""

    is_worse_M: np.ndarray
    best_M: np.ndarray

    @classmethod
    def of(cls, fit_MN: np.ndarray, first: int) -> "_Fit":
        """From how well each fits each; condition 0 here is pair `first`."""
        rows = np.arange(len(fit_MN))
        own_M = fit_MN[rows, first + rows].copy()
        fit_MN[rows, first + rows] = -1
        best_M = fit_MN.argmax(axis=1)
        return cls(fit_MN[rows, best_M] - own_M > _CLEARLY, best_M)


def _cells(pixels_HWC: np.ndarray) -> np.ndarray:
    """Means [K, C] of 8 x 8 parts."""
    floats_HWC = pixels_HWC.astype(np.float32)
    return cv2.resize(floats_HWC, (8, 8), interpolation=cv2.INTER_AREA).reshape(64, -1)


def _own(pixels_HWC: np.ndarray, drawn_HWC: np.ndarray, *, lines: bool) -> np.ndarray:
    """The condition that is drawn of a picture, and the picture or its edges, [2, K]."""
    seen = _edges(pixels_HWC) if lines else _coarse(pixels_HWC)
    return np.stack([_coarse(drawn_HWC), seen])


def _coarse(pixels_HWC: np.ndarray) -> np.ndarray:
    """Means of cells over all channels, so that swapped ones are the same, made standard."""
    return _standard(_pooled(pixels_HWC.astype(np.float32).mean(axis=2)))


def _edges(pixels_HWC: np.ndarray) -> np.ndarray:
    """How much the luma changes in each cell, made standard."""
    luma_HW = cv2.cvtColor(pixels_HWC, cv2.COLOR_RGB2GRAY).astype(np.float32)
    change_HW = np.hypot(cv2.Sobel(luma_HW, -1, 1, 0), cv2.Sobel(luma_HW, -1, 0, 1))
    return _standard(_pooled(np.minimum(change_HW, _STEEP)))


def _pooled(grey_HW: np.ndarray) -> np.ndarray:
    return cv2.resize(grey_HW, (_CELLS, _CELLS), interpolation=cv2.INTER_AREA)


def _standard(cells_HW: np.ndarray) -> np.ndarray:
    """Cells in a row, without their mean, of length 1; so a product is a correlation."""
    centred_K = (cells_HW - cells_HW.mean()).ravel()
    length = float(np.linalg.norm(centred_K))
    return (centred_K / length if length > 0 else centred_K).astype(np.float16)
