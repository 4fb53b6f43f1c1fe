"""How well a picture follows its condition: the condition is drawn out of it and compared.

Legend: H and W pixels, C red, green and blue.
"""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np

from graft.controlnet.annotators.annotator import Annotator, Metric, annotate_again
from graft.controlnet.condition import Condition, Parameters
from graft.errors import DataError
from graft.measure.image import edge_f1, one_minus_rmse, ssim

EDGE_ABOVE = 127
"""A pixel of a condition is an edge where one of its channels is above this."""


@runtime_checkable
class Partial(Protocol):
    """An annotator whose condition leaves some pixels open."""

    def known(self, height: int, width: int, parameters: Parameters) -> np.ndarray:
        """Which pixels [H, W] the condition tells."""
        ...


def fidelity(annotator: Annotator, pixels_HWC: np.ndarray, condition: Condition) -> float:
    """How much of `condition` is found again in a picture; 1 is all of it.

    The picture is annotated just as `condition` was, and both are compared by the annotator's
    metric: `edge_f1` and `one_minus_rmse` are from 0 to 1, `ssim` from -1. Of a condition that
    leaves pixels open, the others are compared, by `one_minus_rmse`; it is 1 where there are
    none.

    Raises:
        DataError: the condition is of another kind, or of another size than the picture.
    """
    if condition.kind != annotator.name:
        raise DataError(
            f"a condition '{condition.kind}' cannot be judged by '{annotator.name}'"
        )
    wanted_HWC = condition.pixels_HWC
    if pixels_HWC.shape[:2] != wanted_HWC.shape[:2]:
        raise DataError(
            f"a picture of {_size(pixels_HWC)} pixels has a condition of {_size(wanted_HWC)}"
        )
    found_HWC = annotate_again(annotator, pixels_HWC, condition).pixels_HWC
    if not isinstance(annotator, Partial):
        return _compare(annotator.metric, found_HWC, wanted_HWC)
    height, width = wanted_HWC.shape[:2]
    known_HW = annotator.known(height, width, condition.parameters)
    return one_minus_rmse(found_HWC[known_HW], wanted_HWC[known_HW]) if known_HW.any() else 1.0


def fidelities(
    annotator: Annotator, pictures: Sequence[np.ndarray], conditions: Sequence[Condition]
) -> list[float]:
    """The fidelity of each picture to its own condition."""
    pairs = zip(pictures, conditions, strict=True)
    return [fidelity(annotator, pixels_HWC, condition) for pixels_HWC, condition in pairs]


def _compare(metric: Metric, found_HWC: np.ndarray, wanted_HWC: np.ndarray) -> float:
    match metric:
        case "edge_f1":
            return edge_f1(_edges(found_HWC), _edges(wanted_HWC))
        case "ssim":
            return ssim(found_HWC, wanted_HWC)
        case "one_minus_rmse":
            return one_minus_rmse(found_HWC, wanted_HWC)


def _edges(pixels_HWC: np.ndarray) -> np.ndarray:
    return pixels_HWC.max(axis=2) > EDGE_ABOVE


def _size(pixels_HWC: np.ndarray) -> str:
    return "x".join(map(str, pixels_HWC.shape[:2]))
