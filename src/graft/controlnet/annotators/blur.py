"""Gaussian blurs, in pixels or as a share of a picture's side.

Legend: H and W pixels, C channels.
"""

from typing import cast

import cv2
import numpy as np

from graft.controlnet.annotators.given import number
from graft.controlnet.condition import Parameters

LEAST_SHARE, MOST_SHARE = 1e-4, 0.25
"""Of the shorter side, where a blur is a share of it."""


def check_share(blur: float) -> None:
    """Refuse a `blur` that is no share of the picture's side, from 0.0001 to 0.25."""
    if not LEAST_SHARE <= blur <= MOST_SHARE:
        raise ValueError(f"blur is a share of the side, {LEAST_SHARE:g} to {MOST_SHARE:g}")


def shared_blur(name: str, pixels_HWC: np.ndarray, parameters: Parameters) -> float:
    """The parameter `blur` in pixels, where it is a share of the shorter side."""
    share = number(name, parameters, "blur", least=LEAST_SHARE, most=MOST_SHARE)
    return share * min(pixels_HWC.shape[:2])


def smooth(values_HWC: np.ndarray, sigma: float) -> np.ndarray:
    """`values_HWC` blurred by a Gaussian of `sigma` pixels; its border is carried on."""
    if sigma == 0:
        return values_HWC
    blurred_HWC = cv2.GaussianBlur(values_HWC, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE)
    return cast("np.ndarray", blurred_HWC)
