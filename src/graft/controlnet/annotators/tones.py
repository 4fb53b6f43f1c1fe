"""Tones without colours: grey, and black and white.

Legend: H and W pixels, 3 for red, green and blue.
"""

from dataclasses import dataclass
from typing import cast

import cv2
import numpy as np
from jaxtyping import UInt8

from graft.controlnet.annotators.annotator import Metric
from graft.controlnet.annotators.given import picture, whole
from graft.controlnet.condition import Parameters


@dataclass(frozen=True, kw_only=True)
class Greyscale:
    """The picture's luma (ITU-R BT.601), in all three channels."""

    name = "greyscale"
    version = "1"

    @property
    def metric(self) -> Metric:
        """Structure counts, not how light it is all over."""
        return "ssim"

    def choose(self, rng: np.random.Generator) -> Parameters:  # noqa: ARG002
        """Nothing: there is nothing to set."""
        return {}

    def draw(
        self,
        pixels_HWC: np.ndarray,
        parameters: Parameters,  # noqa: ARG002
    ) -> UInt8[np.ndarray, "H W 3"]:
        """The grey picture."""
        return np.repeat(_luma(picture(self.name, pixels_HWC))[..., None], 3, axis=2)


@dataclass(frozen=True, kw_only=True)
class Threshold:
    """White where the luma is above `level`, else black.

    With `random`, the level is drawn from `lowest` to `highest`.
    """

    level: int = 127
    random: bool = False
    lowest: int = 64
    highest: int = 192

    name = "threshold"
    version = "1"

    def __post_init__(self) -> None:
        if not 0 <= self.level <= 254:
            raise ValueError("level is from 0 to 254")
        if not 0 <= self.lowest <= self.highest <= 254:
            raise ValueError("lowest and highest are from 0 to 254, in this order")

    @property
    def metric(self) -> Metric:
        """The share of wrong pixels, under the root."""
        return "one_minus_rmse"

    def choose(self, rng: np.random.Generator) -> Parameters:
        """The level."""
        if not self.random:
            return {"level": self.level}
        return {"level": int(rng.integers(self.lowest, self.highest + 1))}

    def draw(
        self, pixels_HWC: np.ndarray, parameters: Parameters
    ) -> UInt8[np.ndarray, "H W 3"]:
        """The picture in black and white."""
        luma_HW = _luma(picture(self.name, pixels_HWC))
        level = whole(self.name, parameters, "level", most=254)
        white_HW = np.where(luma_HW > level, 255, 0).astype(np.uint8)
        return np.repeat(white_HW[..., None], 3, axis=2)


def _luma(pixels_HWC: np.ndarray) -> np.ndarray:
    return cast("np.ndarray", cv2.cvtColor(pixels_HWC, cv2.COLOR_RGB2GRAY))
