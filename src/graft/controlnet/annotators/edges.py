"""Edges: Canny's, and soft ones.

Legend: H and W pixels, C channels, 3 for red, green and blue.
"""

import math
from dataclasses import dataclass
from typing import cast

import cv2
import numpy as np
from jaxtyping import UInt8

from graft.controlnet.annotators.annotator import Metric
from graft.controlnet.annotators.blur import check_share, shared_blur, smooth
from graft.controlnet.annotators.given import number, picture, whole
from graft.controlnet.condition import Parameters

_RATIOS = (1.5, 3.0)
"""High to low threshold; Canny 1986 advises two to three, a little less shows more lines."""

_MOST_BLUR = 64
"""Pixels of Canny's blur."""

_MOST_THRESHOLD = 1e6
"""Far above what any step can have."""


@dataclass(frozen=True, kw_only=True)
class Canny:
    """White outlines, one pixel thin, on black (Canny 1986), of all three colours together.

    `blur` is in pixels, whatever the picture's size, for so are grain and anti-aliasing.
    Thresholds are of the sum of both gradients as `cv2.Canny` has them: a sharp step of one
    channel by D has 4 D. With `random`, the low one is drawn from `lowest` to half of
    `highest`, and the high one is 1.5 to 3 times that, at most `highest`: a control learns to
    follow few lines and many.
    """

    low: float = 100.0
    high: float = 200.0
    blur: float = 0.8  # standard deviation in pixels; 0 for none
    random: bool = False
    lowest: float = 50.0
    highest: float = 300.0

    name = "canny"
    version = "1"

    def __post_init__(self) -> None:
        if not 0 <= self.low < self.high <= _MOST_THRESHOLD:
            raise ValueError(f"low is below high, not {self.low:g} and {self.high:g}")
        if not 0 < 2 * self.lowest < self.highest <= _MOST_THRESHOLD:
            raise ValueError("lowest is more than 0 and less than half of highest")
        if not 0 <= self.blur <= _MOST_BLUR:
            raise ValueError(f"blur is 0 to {_MOST_BLUR} pixels")

    @property
    def metric(self) -> Metric:
        """Lines a pixel thin are found again or not."""
        return "edge_f1"

    def choose(self, rng: np.random.Generator) -> Parameters:
        """Both thresholds and the blur."""
        low, high = self.low, self.high
        if self.random:
            low = float(rng.uniform(self.lowest, self.highest / 2))
            high = float(rng.uniform(_RATIOS[0] * low, min(_RATIOS[1] * low, self.highest)))
        return {"low": low, "high": high, "blur": self.blur}

    def draw(
        self, pixels_HWC: np.ndarray, parameters: Parameters
    ) -> UInt8[np.ndarray, "H W 3"]:
        """The outlines."""
        pixels_HWC = picture(self.name, pixels_HWC)
        low = number(self.name, parameters, "low")
        high = number(self.name, parameters, "high", least=low, most=_MOST_THRESHOLD)
        sigma = number(self.name, parameters, "blur", most=_MOST_BLUR)
        edges_HW = cast("np.ndarray", cv2.Canny(smooth(pixels_HWC, sigma), low, high))
        return np.repeat(edges_HW[..., None], 3, axis=2)


@dataclass(frozen=True, kw_only=True)
class SoftEdge:
    """How strong an edge is at each pixel, without a learnt detector; white on black.

    The gradient's length in CIELab after a Gaussian blur, on a fixed scale: a straight step by
    the colour difference `contrast` is white in its middle. Only so many `levels` are told
    apart: a fine scale would hide a greyscale picture in which a control learns to read
    (ControlNet 1.1).

    `blur` is a share of the picture's shorter side: 0.8 pixels of 64, 6.4 of 512.
    """

    blur: float = 1 / 80
    contrast: float = 50.0  # CIE 1976 colour difference; black and white differ by 100
    levels: int = 6

    name = "softedge"
    version = "1"

    def __post_init__(self) -> None:
        check_share(self.blur)
        if not 1 <= self.contrast <= 1000:
            raise ValueError("contrast is 1 to 1000")
        if not 2 <= self.levels <= 256:
            raise ValueError("levels are 2 to 256")

    @property
    def metric(self) -> Metric:
        """Structure counts, not how strong it is all over."""
        return "ssim"

    def choose(self, rng: np.random.Generator) -> Parameters:  # noqa: ARG002
        """The settings."""
        return {"blur": self.blur, "contrast": self.contrast, "levels": self.levels}

    def draw(
        self, pixels_HWC: np.ndarray, parameters: Parameters
    ) -> UInt8[np.ndarray, "H W 3"]:
        """The edges."""
        pixels_HWC = picture(self.name, pixels_HWC)
        sigma = shared_blur(self.name, pixels_HWC, parameters)
        contrast = number(self.name, parameters, "contrast", least=1, most=1000)
        steps = whole(self.name, parameters, "levels", least=2, most=256) - 1
        lab_HWC = cv2.cvtColor(pixels_HWC.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
        slope_HW = _slope(smooth(cast("np.ndarray", lab_HWC), sigma))
        # In the middle of a step by D that is blurred so, the slope is D / (sigma sqrt(2 pi)).
        strength_HW = slope_HW * (sigma * math.sqrt(2 * math.pi) / contrast)
        level_HW = np.rint(np.minimum(strength_HW, 1.0) * steps)
        edges_HW = np.rint(level_HW * (255 / steps)).astype(np.uint8)
        return np.repeat(edges_HW[..., None], 3, axis=2)


def _slope(values_HWC: np.ndarray) -> np.ndarray:
    """The length [H, W] of the gradient over all channels, by central differences."""
    padded_HWC = np.pad(values_HWC, ((1, 1), (1, 1), (0, 0)), mode="edge")
    across_HWC = (padded_HWC[1:-1, 2:] - padded_HWC[1:-1, :-2]) / 2
    down_HWC = (padded_HWC[2:, 1:-1] - padded_HWC[:-2, 1:-1]) / 2
    return np.sqrt((across_HWC**2 + down_HWC**2).sum(axis=2))
