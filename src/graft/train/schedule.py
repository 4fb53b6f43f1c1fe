"""The learning rate over the steps of a training: a pure function from step to factor."""

import math
from collections.abc import Callable
from typing import Literal

Decay = Literal["linear", "cosine", "constant"]


def warm_up_then(
    decay: Decay, *, steps: int, warm_up: float, floor: float = 0.0
) -> Callable[[int], float]:
    """Linear warm-up over the first `warm_up` (a share) of `steps`, then `decay` to `floor`.

    The function takes a step from 0 and gives the factor on the peak rate. The first step is
    never at 0, the peak is reached once, and step `steps`, which is not taken, is at `floor`.
    """
    rising = round(warm_up * steps)

    def factor(step: int) -> float:
        if step < rising:
            return (step + 1) / (rising + 1)
        done = min(1.0, (step - rising) / max(1, steps - rising))
        return floor + (1.0 - floor) * _left(decay, done)

    return factor


def _left(decay: Decay, done: float) -> float:
    """What is left of the height when a share of the way down is done."""
    match decay:
        case "constant":
            return 1.0
        case "linear":
            return 1.0 - done
        case "cosine":
            return 0.5 * (1.0 + math.cos(math.pi * done))
