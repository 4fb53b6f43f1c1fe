"""What every annotator gives, whoever wrote it.

Legend: H and W pixels, 3 for red, green and blue.
"""

from typing import Literal, Protocol, runtime_checkable

import numpy as np
from jaxtyping import UInt8

from graft.controlnet.condition import Condition, Parameters

Metric = Literal["edge_f1", "ssim", "one_minus_rmse"]
"""How a condition found again is compared with the one asked for; 1 is the same."""


@runtime_checkable
class Annotator(Protocol):
    """Draws a condition out of a picture; the same picture and parameters, the same bytes."""

    @property
    def name(self) -> str:
        """The kind of condition, as in a recipe."""
        ...

    @property
    def version(self) -> str:
        """Changes when the same picture may give another condition."""
        ...

    @property
    def metric(self) -> Metric:
        """How two conditions of this kind are compared."""
        ...

    def choose(self, rng: np.random.Generator) -> Parameters:
        """The parameters for one picture: fixed, or drawn from `rng`."""
        ...

    def draw(
        self, pixels_HWC: UInt8[np.ndarray, "H W 3"], parameters: Parameters
    ) -> UInt8[np.ndarray, "H W 3"]:
        """The condition of a picture, as wide and high as the picture."""
        ...


def annotate_picture(
    annotator: Annotator, pixels_HWC: np.ndarray, rng: np.random.Generator
) -> Condition:
    """A picture's condition, with the parameters it was drawn with."""
    parameters = annotator.choose(rng)
    return Condition(annotator.name, annotator.draw(pixels_HWC, parameters), parameters)


def annotate_again(
    annotator: Annotator, pixels_HWC: np.ndarray, condition: Condition
) -> Condition:
    """The condition of another picture, drawn just as `condition` was."""
    drawn_HWC = annotator.draw(pixels_HWC, condition.parameters)
    return Condition(condition.kind, drawn_HWC, condition.parameters)
