"""The picture with its detail taken away: a grid of colours, or a blurred copy.

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

_MOST = 2**15
"""Cells along a side, or the factor by which one shrinks: more than any picture's side."""


@dataclass(frozen=True, kw_only=True)
class Palette:
    """A grid of `cells` by `cells`, each of one colour, the mean of the pixels that it covers.

    Cells are as large as the picture makes them; where it has fewer pixels than cells, each
    pixel is a cell.
    """

    cells: int = 8

    name = "palette"
    version = "1"

    def __post_init__(self) -> None:
        if not 1 <= self.cells <= _MOST:
            raise ValueError(f"cells are 1 to {_MOST}")

    @property
    def metric(self) -> Metric:
        """Colours are to be the same."""
        return "one_minus_rmse"

    def choose(self, rng: np.random.Generator) -> Parameters:  # noqa: ARG002
        """How many cells along a side."""
        return {"cells": self.cells}

    def draw(
        self, pixels_HWC: np.ndarray, parameters: Parameters
    ) -> UInt8[np.ndarray, "H W 3"]:
        """The grid."""
        pixels_HWC = picture(self.name, pixels_HWC)
        cells = whole(self.name, parameters, "cells", least=1, most=_MOST)
        rows, columns = (_bounds(size, cells) for size in pixels_HWC.shape[:2])
        sums = np.add.reduceat(pixels_HWC.astype(np.int64), rows[:-1], axis=0)
        sums = np.add.reduceat(sums, columns[:-1], axis=1)
        counts = np.outer(np.diff(rows), np.diff(columns))[..., None]
        means = np.rint(sums / counts).astype(np.uint8)
        return means.repeat(np.diff(rows), axis=0).repeat(np.diff(columns), axis=1)


@dataclass(frozen=True, kw_only=True)
class Tile:
    """A blurred copy: shrunk by `factor`, each pixel the mean of an area, and grown again.

    The factor does not depend on the picture's size: by 8, a side of 64 keeps 8 pixels, one of
    512 keeps 64. With `random`, it is drawn from `lowest` to `highest`.
    """

    factor: int = 8
    random: bool = False
    lowest: int = 2
    highest: int = 16

    name = "tile"
    version = "1"

    def __post_init__(self) -> None:
        if not 1 <= self.factor <= _MOST:
            raise ValueError(f"factor is 1 to {_MOST}")
        if not 1 <= self.lowest <= self.highest <= _MOST:
            raise ValueError(f"lowest and highest are 1 to {_MOST}, in this order")

    @property
    def metric(self) -> Metric:
        """Colours are to be the same."""
        return "one_minus_rmse"

    def choose(self, rng: np.random.Generator) -> Parameters:
        """The factor."""
        if not self.random:
            return {"factor": self.factor}
        return {"factor": int(rng.integers(self.lowest, self.highest + 1))}

    def draw(
        self, pixels_HWC: np.ndarray, parameters: Parameters
    ) -> UInt8[np.ndarray, "H W 3"]:
        """The blurred copy."""
        pixels_HWC = picture(self.name, pixels_HWC)
        factor = whole(self.name, parameters, "factor", least=1, most=_MOST)
        height, width = pixels_HWC.shape[:2]
        small = (max(1, round(width / factor)), max(1, round(height / factor)))
        shrunk = cv2.resize(pixels_HWC, small, interpolation=cv2.INTER_AREA)
        grown_HWC = cv2.resize(shrunk, (width, height), interpolation=cv2.INTER_LINEAR)
        return cast("np.ndarray", grown_HWC)


def _bounds(size: int, cells: int) -> np.ndarray:
    """Where each cell begins on a side of `size` pixels, and where the last one ends."""
    count = min(cells, size)
    return np.arange(count + 1) * size // count
