"""How alike two pictures are, and how far apart two sets of them.

Legend: H and W pixels, C channels, N and M pictures, D features.
"""

from typing import cast

import numpy as np
from jaxtyping import Bool, Float, UInt8
from scipy import ndimage
from skimage.metrics import structural_similarity

_WINDOW = 7
"""Pixels along the side of the window in which `ssim` compares."""


def edge_f1(
    found_HW: Bool[np.ndarray, "H W"], wanted_HW: Bool[np.ndarray, "h w"], tolerance: int = 1
) -> float:
    """How well edges match, from 0 to 1; 1 is the same, and where both have no edge.

    The harmonic mean of precision, the share of found edge pixels with a wanted one at most
    `tolerance` rows and columns away (Chebyshev's distance), and recall, the reverse. As in
    Martin et al. 2004, but not one to one: two found pixels may both match one wanted.

    Raises ValueError if they are not of the same size, or `tolerance` is below 0.
    """
    _check_alike(found_HW, wanted_HW)
    if tolerance < 0:
        raise ValueError(f"a tolerance of {tolerance} pixels")
    if not found_HW.any() or not wanted_HW.any():
        return float(found_HW.any() == wanted_HW.any())
    precision = float(_widened(wanted_HW, tolerance)[found_HW].mean())
    recall = float(_widened(found_HW, tolerance)[wanted_HW].mean())
    return 2 * precision * recall / (precision + recall) if precision else 0.0


def ssim(
    found_HWC: UInt8[np.ndarray, "H W C"], wanted_HWC: UInt8[np.ndarray, "h w c"]
) -> float:
    """The structural similarity (Wang et al. 2004), from -1 to 1; 1 is the same.

    The mean over channels and over all places of a square window inside the picture. The
    window's side is 7 pixels, or in a smaller picture the largest odd number that fits; a
    picture with a side below 3 is carried on at its border to 3 pixels.

    Raises ValueError if they are not of the same size, or are empty.
    """
    _check_alike(found_HWC, wanted_HWC)
    found_HWC, wanted_HWC = _at_least_three(found_HWC), _at_least_three(wanted_HWC)
    shortest = min(found_HWC.shape[:2])
    mean = structural_similarity(
        found_HWC,
        wanted_HWC,
        win_size=min(_WINDOW, shortest - (shortest + 1) % 2),
        data_range=255,
        channel_axis=2,
    )
    return float(cast("np.float64", mean))


def one_minus_rmse(found: UInt8[np.ndarray, "..."], wanted: UInt8[np.ndarray, "..."]) -> float:
    """1 less the root of the mean squared difference, as a share of 255; from 0 to 1.

    Arrays of any shape: whole pictures, or some pixels of them.

    Raises ValueError if they are not of the same shape, or are empty.
    """
    _check_alike(found, wanted)
    difference = found.astype(np.float64) - wanted
    return 1.0 - float(np.sqrt(np.mean(difference**2))) / 255


def kernel_distance(
    features_ND: Float[np.ndarray, "N D"], others_MD: Float[np.ndarray, "M d"]
) -> float:
    """The kernel distance of two sets of features (Binkowski et al. 2018, KID).

    The unbiased estimate of the squared maximum mean discrepancy with the kernel
    (x y / D + 1)^3: 0 on average for two samples of one distribution, so it may lie below 0;
    no upper bound. Of all pairs at once, in double precision: takes N x M numbers of memory.

    Raises ValueError if a set has fewer than two rows, or they differ in D.
    """
    n, m = len(features_ND), len(others_MD)
    if n < 2 or m < 2 or features_ND.shape[1] != others_MD.shape[1]:
        raise ValueError(
            f"a kernel distance needs two sets of two or more rows of the same length, not"
            f" {features_ND.shape} and {others_MD.shape}"
        )
    across = _kernel(features_ND, others_MD).mean()
    return float(_mean_of_pairs(features_ND) + _mean_of_pairs(others_MD) - 2 * across)


def _kernel(rows_ND: np.ndarray, columns_MD: np.ndarray) -> np.ndarray:
    """The cubic polynomial kernel [N, M]."""
    product_NM = rows_ND.astype(np.float64) @ columns_MD.astype(np.float64).T
    return (product_NM / rows_ND.shape[1] + 1.0) ** 3


def _mean_of_pairs(features_ND: np.ndarray) -> float:
    """The mean kernel of two different rows."""
    kernel_NN = _kernel(features_ND, features_ND)
    count = len(features_ND)
    return float((kernel_NN.sum() - np.trace(kernel_NN)) / (count * (count - 1)))


def _widened(edges_HW: np.ndarray, tolerance: int) -> np.ndarray:
    """Where there is an edge at most `tolerance` rows and columns away."""
    side = 2 * tolerance + 1
    widened_HW = ndimage.maximum_filter(edges_HW, size=side, mode="constant", cval=0)
    return cast("np.ndarray", widened_HW)


def _at_least_three(pixels_HWC: np.ndarray) -> np.ndarray:
    height, width = pixels_HWC.shape[:2]
    more = ((0, max(0, 3 - height)), (0, max(0, 3 - width)), (0, 0))
    return np.pad(pixels_HWC, more, mode="edge")


def _check_alike(found: np.ndarray, wanted: np.ndarray) -> None:
    if found.shape != wanted.shape or not found.size:
        raise ValueError(f"cannot be compared: {found.shape} with {wanted.shape}")
