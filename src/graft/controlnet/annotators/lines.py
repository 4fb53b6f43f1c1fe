"""Scribbles and line art by the extended difference of Gaussians.

Winnemoeller, Kyprianidis, Olsen 2012, "XDoG: An eXtended difference-of-Gaussians compendium":
D = G_sigma - tau G_(k sigma); T = 1 where D >= epsilon, else 1 + tanh(phi (D - epsilon)).

Here tau = 1, so that flat dark areas stay empty and a line asks for the same contrast on any
brightness. D is of the one colour channel in which it is largest, so that red on green has an
outline too. A line lies on the darker side of an edge, and is white on black: 1 - T.

`blur` is sigma, as a share of the picture's shorter side.

Legend: H and W pixels, C channels, 3 for red, green and blue.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8

from graft.controlnet.annotators.annotator import Metric
from graft.controlnet.annotators.blur import check_share, shared_blur, smooth
from graft.controlnet.annotators.given import number, picture
from graft.controlnet.condition import Parameters

_WIDER = 1.6
"""k of the paper: with it the difference is much like a Laplacian of a Gaussian."""


@dataclass(frozen=True, kw_only=True)
class Scribble:
    """Thick strokes, white or nothing, as drawn by hand: 1 pixel of blur for 64, 8 for 512."""

    blur: float = 1 / 64
    contrast: float = 0.02  # -epsilon; a sharp step from black to white reaches 0.11

    name = "scribble"
    version = "1"

    def __post_init__(self) -> None:
        _check(self.blur, self.contrast)

    @property
    def metric(self) -> Metric:
        """Strokes are found again or not."""
        return "edge_f1"

    def choose(self, rng: np.random.Generator) -> Parameters:  # noqa: ARG002
        """The settings."""
        return {"blur": self.blur, "contrast": self.contrast}

    def draw(
        self, pixels_HWC: np.ndarray, parameters: Parameters
    ) -> UInt8[np.ndarray, "H W 3"]:
        """The strokes."""
        below_HW = _below(self.name, pixels_HWC, parameters)
        strokes_HW = np.where(below_HW > 0, 255, 0).astype(np.uint8)
        return np.repeat(strokes_HW[..., None], 3, axis=2)


@dataclass(frozen=True, kw_only=True)
class LineArt:
    """Thin lines, stronger where the edge is: half a pixel of blur for 64, 4 for 512."""

    blur: float = 1 / 128
    contrast: float = 0.01  # -epsilon
    sharpness: float = 30.0  # phi

    name = "lineart"
    version = "1"

    def __post_init__(self) -> None:
        _check(self.blur, self.contrast)
        if not 0 < self.sharpness <= 1e6:
            raise ValueError("sharpness is more than 0 and at most a million")

    @property
    def metric(self) -> Metric:
        """Structure counts, not how strong it is all over."""
        return "ssim"

    def choose(self, rng: np.random.Generator) -> Parameters:  # noqa: ARG002
        """The settings."""
        return {"blur": self.blur, "contrast": self.contrast, "sharpness": self.sharpness}

    def draw(
        self, pixels_HWC: np.ndarray, parameters: Parameters
    ) -> UInt8[np.ndarray, "H W 3"]:
        """The lines."""
        below_HW = _below(self.name, pixels_HWC, parameters)
        sharpness = number(self.name, parameters, "sharpness", most=1e6)
        lines_HW = np.tanh(sharpness * np.maximum(below_HW, 0.0))
        return np.repeat(np.rint(lines_HW * 255).astype(np.uint8)[..., None], 3, axis=2)


def _check(blur: float, contrast: float) -> None:
    check_share(blur)
    if not 0 < contrast <= 1:
        raise ValueError("contrast is more than 0 and at most 1")


def _below(name: str, pixels_HWC: np.ndarray, parameters: Parameters) -> np.ndarray:
    """How far D is below epsilon [H, W]: above zero where there is a line."""
    pixels_HWC = picture(name, pixels_HWC)
    sigma = shared_blur(name, pixels_HWC, parameters)
    contrast = number(name, parameters, "contrast", most=1)
    value_HWC = pixels_HWC.astype(np.float32) / 255
    difference_HWC = smooth(value_HWC, sigma) - smooth(value_HWC, _WIDER * sigma)
    strongest_HW1 = np.abs(difference_HWC).argmax(axis=2)[..., None]
    difference_HW = np.take_along_axis(difference_HWC, strongest_HW1, axis=2)[..., 0]
    return -contrast - difference_HW
