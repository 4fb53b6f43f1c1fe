"""A condition: a picture that tells a diffusion model where things are to be.

Legend: H and W pixels, 3 for red, green and blue.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import UInt8

Value = bool | int | float | str
Parameters = Mapping[str, Value]
"""What an annotator was set to; plain values, so that JSON holds them."""


@dataclass(frozen=True, slots=True)
class Condition:
    """What an annotator saw in a picture: `kind` names it, `parameters` draw it again.

    `brought`: it came with the picture, drawn by another; the parameters compare with it.
    """

    kind: str
    pixels_HWC: UInt8[np.ndarray, "H W 3"]
    parameters: Parameters = field(default_factory=dict[str, Value])
    brought: bool = False
