"""A picture with holes, to be filled.

Legend: H and W pixels, 3 for red, green and blue.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, UInt8

from graft.controlnet.annotators.annotator import Metric
from graft.controlnet.annotators.given import number, picture, whole
from graft.controlnet.condition import Parameters, Value

HOLE = (255, 0, 255)
"""The colour of what is to be filled; pure magenta is rare in pictures."""

_MOST_BOXES = 64


@dataclass(frozen=True, kw_only=True)
class Inpaint:
    """The picture with `boxes` rectangles in the colour `HOLE`; they may overlap.

    Each box is drawn anew for each picture: its sides are from `smallest` to `largest`, and
    lie anywhere inside. Parameters `top_0`, `left_0`, `bottom_0`, `right_0` and so on are
    shares of the picture's height and width, so a box fits a picture of any size. It covers
    one pixel at least.
    """

    boxes: int = 1
    smallest: float = 0.25
    largest: float = 0.6

    name = "inpaint"
    version = "1"

    def __post_init__(self) -> None:
        if not 1 <= self.boxes <= _MOST_BOXES:
            raise ValueError(f"boxes are 1 to {_MOST_BOXES}")
        if not 0 < self.smallest <= self.largest <= 1:
            raise ValueError("smallest and largest are shares of a side, in this order")

    @property
    def metric(self) -> Metric:
        """Colours are to be the same; `known` tells where."""
        return "one_minus_rmse"

    def choose(self, rng: np.random.Generator) -> Parameters:
        """The boxes."""
        parameters: dict[str, Value] = {"boxes": self.boxes}
        for index in range(self.boxes):
            height, width = rng.uniform(self.smallest, self.largest, 2)
            top, left = rng.uniform(0, 1 - height), rng.uniform(0, 1 - width)
            parameters[f"top_{index}"] = float(top)
            parameters[f"left_{index}"] = float(left)
            parameters[f"bottom_{index}"] = min(1.0, float(top + height))
            parameters[f"right_{index}"] = min(1.0, float(left + width))
        return parameters

    def draw(
        self, pixels_HWC: np.ndarray, parameters: Parameters
    ) -> UInt8[np.ndarray, "H W 3"]:
        """The picture with its holes."""
        drawn_HWC = picture(self.name, pixels_HWC).copy()
        height, width = drawn_HWC.shape[:2]
        drawn_HWC[~self.known(height, width, parameters)] = HOLE
        return drawn_HWC

    def known(self, height: int, width: int, parameters: Parameters) -> Bool[np.ndarray, "H W"]:
        """Which pixels are outside of all boxes."""
        known_HW = np.ones((height, width), dtype=np.bool)
        for rows, columns in _boxes(self.name, height, width, parameters):
            known_HW[rows, columns] = False
        return known_HW


def _boxes(
    name: str, height: int, width: int, parameters: Parameters
) -> Iterator[tuple[slice, slice]]:
    for index in range(whole(name, parameters, "boxes", least=1, most=_MOST_BOXES)):
        top = number(name, parameters, f"top_{index}", most=1)
        left = number(name, parameters, f"left_{index}", most=1)
        bottom = number(name, parameters, f"bottom_{index}", least=top, most=1)
        right = number(name, parameters, f"right_{index}", least=left, most=1)
        yield _span(top, bottom, height), _span(left, right, width)


def _span(begin: float, end: float, size: int) -> slice:
    """The pixels between two shares of a side, one at least."""
    first = min(round(begin * size), size - 1)
    return slice(first, max(first + 1, round(end * size)))
