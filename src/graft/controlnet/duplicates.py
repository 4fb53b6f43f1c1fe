"""Pictures that are there twice: copied, compressed, made a little smaller or a little lighter.

A picture's signature is its luma in 16 x 16 cells, without its mean and its contrast, and its
two chromas in 8 x 8. Where luma or chroma differ, all over or in one cell, it is another
picture, if only its hue is. So it is where the luma of 32 x 32 cells does, in more than a
hundredth of them: two curves between the same axes are alike but for that. Cells are compared,
and not the signs of their frequencies as in the usual perceptual hash: signs flip by chance in
plain pictures, whose frequencies are near 0.

Who may be alike is asked of the lowest frequencies, which never differ by more than the cells
do, so no pair is overlooked. It is one matrix product for many pictures: a second for 10,000 of
them, ten seconds for 50,000 on one core. The cells of the few that are left are compared.

Legend: N pictures, M of them, F frequencies, L luma cells, K finer ones, C chroma cells, 2 for
red and blue.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float, UInt8
from scipy.fft import dctn

_CELLS, _FINE = 16, 32
_FLAT = 12.0
"""Levels of contrast below which a picture's grain would be taken for what it shows."""
_FREQUENCIES = 8
"""Waves along and down that a first look compares, as the usual perceptual hash does."""
_ROWS_AT_ONCE = 256
_STEEPER, _LOUDER = 1.3, 1.25
"""By so much a picture's contrast and its chroma are stronger where it is made lighter."""


@dataclass(frozen=True, kw_only=True)
class DuplicateConfig:
    """What two pictures may differ by and still be one.

    Measured: every copy in JPEG of quality 80, or of half the size, is closer by far; clipping
    in pictures that were made lighter takes most of it.
    """

    luma: float = 0.3  # root mean square over the picture, in its own contrast
    luma_cell: float = 0.6  # in one cell of 8 x 8, in the same unit
    luma_fine: float = 14.0  # in all but 1% of cells of 32 x 32, in levels, plus half of those
    # between the means, for what is made lighter is clipped
    chroma_cell: float = 16.0  # in one cell of 8 x 8, in levels of 255
    brightness: float = 50.0  # between the means, in levels of 255

    def __post_init__(self) -> None:
        for name in ("luma", "luma_cell", "luma_fine", "chroma_cell", "brightness"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} is to be greater than 0")


@dataclass(frozen=True, slots=True, eq=False)
class Signature:
    """What is compared of a picture; 1.8 KB."""

    luma_L: Float[np.ndarray, " L"]
    fine_K: UInt8[np.ndarray, " K"]
    chroma_C2: Float[np.ndarray, "C 2"]
    brightness: float


def sign(pixels_HWC: UInt8[np.ndarray, "H W 3"]) -> Signature:
    """A picture's signature."""
    ycc_HWC = cv2.cvtColor(pixels_HWC, cv2.COLOR_RGB2YCrCb)
    cells_HWC = _pooled(ycc_HWC, _CELLS)
    luma_HW = cells_HWC[..., 0]
    contrast = max(float(luma_HW.std()), _FLAT)
    return Signature(
        ((luma_HW - luma_HW.mean()) / contrast).astype(np.float16).ravel(),
        np.rint(_pooled(ycc_HWC[..., 0], _FINE)).astype(np.uint8).ravel(),
        (_halved(cells_HWC[..., 1:]) - 128).astype(np.float16).reshape(-1, 2),
        float(luma_HW.mean()),
    )


def find_duplicates(
    signatures: Sequence[Signature], settings: DuplicateConfig
) -> dict[int, int]:
    """The number of the first of its kind for each picture that is like an earlier one.

    Likeness is not passed on: each is like the one that it is said to be a duplicate of.
    """
    if not signatures:
        return {}
    stacked, first = _Stacked.of(signatures), dict[int, int]()
    free_N = np.ones(len(signatures), dtype=np.bool)
    for start in range(0, len(signatures), _ROWS_AT_ONCE):
        rows = start + np.flatnonzero(free_N[start : start + _ROWS_AT_ONCE])
        for index, near_M in stacked.near(rows, settings):
            if not free_N[index]:
                continue
            copies = stacked.alike(index, near_M[free_N[near_M]], settings)
            free_N[copies] = False
            first |= dict.fromkeys(copies.tolist(), index)
    return first


@dataclass(frozen=True, slots=True, eq=False)
class _Stacked:
    """Many signatures: luma [N, L], finer [N, K], chroma [N, C, 2], brightness [N], and waves.

    A product of rows of `left_NF` and `right_NF` is -1/2 of their square distance.
    """

    luma_NL: np.ndarray
    fine_NK: np.ndarray
    chroma_NC2: np.ndarray
    brightness_N: np.ndarray
    left_NF: np.ndarray
    right_NF: np.ndarray

    @classmethod
    def of(cls, signatures: Sequence[Signature]) -> "_Stacked":
        luma_NL = np.stack([one.luma_L for one in signatures])
        waves_NF = _waves(luma_NL)
        halves_N1 = (waves_NF**2).sum(axis=1, keepdims=True) / 2
        ones_N1 = np.ones_like(halves_N1)
        return cls(
            luma_NL,
            np.stack([one.fine_K for one in signatures]),
            np.stack([one.chroma_C2 for one in signatures]),
            np.array([one.brightness for one in signatures]),
            np.concatenate([waves_NF, -halves_N1, ones_N1], axis=1),
            np.concatenate([waves_NF, ones_N1, -halves_N1], axis=1),
        )

    def near(
        self, rows: np.ndarray, settings: DuplicateConfig
    ) -> Iterator[tuple[int, np.ndarray]]:
        """For some pictures, the later ones whose frequencies are as near.

        |a - b|^2 <= t^2 where a b - a^2 / 2 - b^2 / 2 >= -t^2 / 2.
        """
        first = int(rows.min(initial=len(self.left_NF)))
        products_MN = self.left_NF[rows] @ self.right_NF[first:].T
        is_near_MN = products_MN >= -(settings.luma**2) / 2 - 1e-3
        for row, is_near_N in zip(rows.tolist(), is_near_MN, strict=True):
            yield row, row + 1 + np.flatnonzero(is_near_N[row + 1 - first :])

    def alike(self, index: int, others: np.ndarray, settings: DuplicateConfig) -> np.ndarray:
        """Which of some other pictures are as picture `index`."""
        apart_N = np.abs(self.brightness_N[others] - self.brightness_N[index])
        others = others[apart_N < settings.brightness]
        if not others.size:
            return others
        luma_NL = self.luma_NL[others].astype(np.float32) - self.luma_NL[index]
        cells_NHW1 = luma_NL.reshape(-1, _CELLS, _CELLS, 1)
        same_N = np.sqrt((luma_NL**2).mean(axis=1)) < settings.luma
        same_N &= np.abs(_halved(cells_NHW1)).max(axis=(1, 2, 3)) < settings.luma_cell
        same_N &= self._chroma_apart(index, others) < settings.chroma_cell
        others = others[same_N]
        apart_N = np.abs(self.brightness_N[others] - self.brightness_N[index])
        return others[self._fine_apart(index, others) < settings.luma_fine + apart_N / 2]

    def _fine_apart(self, index: int, others: np.ndarray) -> np.ndarray:
        """The largest difference [N] of all but 1% of cells, at one mean and contrast."""
        own_K = self.fine_NK[index].astype(np.float32)
        theirs_NK = self.fine_NK[others].astype(np.float32)
        own_K = own_K - own_K.mean()
        theirs_NK = theirs_NK - theirs_NK.mean(axis=1, keepdims=True)
        along_N = (theirs_NK @ own_K) / np.maximum((theirs_NK**2).sum(axis=1), 1e-6)
        times_N1 = np.clip(along_N, 1 / _STEEPER, _STEEPER)[:, None]
        apart_NK = np.sort(np.abs(own_K - times_N1 * theirs_NK), axis=1)
        return apart_NK[:, -1 - own_K.size // 100]

    def _chroma_apart(self, index: int, others: np.ndarray) -> np.ndarray:
        """The largest difference [N] of a cell, when both are brought to one strength."""
        own_C2 = self.chroma_NC2[index].astype(np.float64)
        theirs_NC2 = self.chroma_NC2[others].astype(np.float64)
        along_N = (theirs_NC2 * own_C2).sum(axis=(1, 2)) / max(float((own_C2**2).sum()), 1e-9)
        times_N = np.clip(along_N, 1 / _LOUDER, _LOUDER)
        left_NC2 = theirs_NC2 - times_N[:, None, None] * own_C2
        return np.sqrt((left_NC2**2).sum(axis=2)).max(axis=1)


def _waves(luma_NL: np.ndarray) -> np.ndarray:
    """The lowest frequencies [N, F]; their difference is at most the cells' mean square one."""
    images_NHW = luma_NL.astype(np.float32).reshape(-1, _CELLS, _CELLS)
    waves_NHW = np.asarray(dctn(images_NHW, axes=(1, 2), norm="ortho")) / _CELLS
    return waves_NHW[:, :_FREQUENCIES, :_FREQUENCIES].reshape(len(luma_NL), -1)


def _pooled(pixels_HWC: np.ndarray, cells: int) -> np.ndarray:
    """Means of `cells` x `cells` parts, as floats."""
    floats_HWC = pixels_HWC.astype(np.float32)
    return cv2.resize(floats_HWC, (cells, cells), interpolation=cv2.INTER_AREA)


def _halved(cells: np.ndarray) -> np.ndarray:
    """Means of 2 x 2 cells; the three last axes are height, width and channels."""
    *more, height, width, channels = cells.shape
    return cells.reshape(*more, height // 2, 2, width // 2, 2, channels).mean(axis=(-4, -2))
