"""The records that pass between the stages.

A folder is read into `Captioned` pictures; `annotate` makes a `Pair` of each; `keep` says what
is wrong with it; `train` learns from the good ones.

Legend: H and W pixels, 3 for red, green and blue.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8

from graft.controlnet.condition import Condition


@dataclass(frozen=True, slots=True)
class Captioned:
    """A picture and what it shows; `id` is unique in its folder.

    `condition_HWC` is the condition that the folder itself brings, where it brings one.
    `faults` names what was wrong with the file and could be mended or borne, as `greyscale`.
    """

    id: str
    pixels_HWC: UInt8[np.ndarray, "H W 3"]
    caption: str
    condition_HWC: UInt8[np.ndarray, "h w 3"] | None = None
    faults: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Pair:
    """A picture, its caption and its condition, of the size that the base works on."""

    id: str
    pixels_HWC: UInt8[np.ndarray, "H W 3"]
    caption: str
    condition: Condition
    faults: tuple[str, ...] = ()
