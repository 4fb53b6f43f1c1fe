"""What an annotator is given, checked: a picture, and the parameters that draw.

Legend: H and W pixels, 3 for red, green and blue.
"""

import math

import numpy as np
from jaxtyping import UInt8

from graft.controlnet.condition import Parameters, Value
from graft.errors import DataError


def picture(name: str, pixels_HWC: np.ndarray) -> UInt8[np.ndarray, "H W 3"]:
    """The picture, in one piece of memory, for the annotator `name`.

    Raises:
        DataError: it is not an array [H, W, 3] of uint8, or has no pixel.
    """
    shape = pixels_HWC.shape
    sized = len(shape) == 3 and shape[0] > 0 and shape[1] > 0 and shape[2] == 3
    if pixels_HWC.dtype != np.uint8 or not sized:
        raise DataError(
            f"annotator '{name}' needs a picture of uint8 [H, W, 3] with at least one pixel,"
            f" not {pixels_HWC.dtype} {list(shape)}"
        )
    return np.ascontiguousarray(pixels_HWC)


def number(
    name: str, parameters: Parameters, key: str, *, least: float = 0.0, most: float = math.inf
) -> float:
    """The parameter `key` of the annotator `name`, from `least` to `most`.

    Raises:
        DataError: it is missing, no number, or outside.
    """
    value = _value(name, parameters, key)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise DataError(f"annotator '{name}': parameter '{key}' is no number: {value!r}")
    if not least <= value <= most:
        raise DataError(
            f"annotator '{name}': parameter '{key}' is {value!r}, and is to be from"
            f" {least:g} to {most:g}"
        )
    return float(value)


def whole(
    name: str, parameters: Parameters, key: str, *, least: float = 0.0, most: float = math.inf
) -> int:
    """As `number`, and without a fraction."""
    value = number(name, parameters, key, least=least, most=most)
    if not value.is_integer():
        raise DataError(f"annotator '{name}': parameter '{key}' is no whole number: {value!r}")
    return int(value)


def _value(name: str, parameters: Parameters, key: str) -> Value:
    if key not in parameters:
        there = ", ".join(parameters) or "none"
        raise DataError(f"annotator '{name}': parameter '{key}' is missing; there are: {there}")
    return parameters[key]
