"""The training loop, for any model and any loss.

The loop yields; the caller decides. Logging, evaluation and checkpoints are ordinary code in
the `for` body of whoever drives the loop, so there are no callbacks to learn.
"""

import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeVar, runtime_checkable

import torch
from torch import Tensor, nn

from graft.errors import ModelError

Batch = TypeVar("Batch")


@runtime_checkable
class Summed(Protocol):
    """A loss summed over the things it counts: tokens, or images."""

    @property
    def total(self) -> Tensor:
        """The sum, as a scalar that can be differentiated."""
        ...

    @property
    def count(self) -> int:
        """How many things were summed over."""
        ...


@dataclass(frozen=True, slots=True)
class Step:
    """What happened in one optimizer step; `index` counts the steps done, from 1."""

    index: int
    loss: float
    """The mean over all that the step's batch counts, before the step."""
    grad_norm: float
    """Of that mean, before clipping."""
    learning_rate: float
    tokens: int
    seconds: float = field(compare=False)


def fit(
    batches: Iterable[Sequence[Batch]],
    loss_of: Callable[[Batch], Summed],
    optimizer: torch.optim.Optimizer,
    schedule: Callable[[int], float],
    *,
    start: int = 0,
    clip_norm: float = 1.0,
    autocast: torch.dtype | None = None,
) -> Iterator[Step]:
    """Take one optimizer step per batch, yielding after each.

    A batch comes in parts that fit the memory. Their gradients are added up and divided by all
    that they count, so the step is the same however the batch was divided.

    Args:
        batches: those from step `start` on.
        loss_of: the summed loss of one part.
        optimizer: holds the parameters; the rates it was made with are the peak.
        schedule: step (from 0) to the factor on those rates.
        start: the steps that were taken before.
        clip_norm: the longest gradient.
        autocast: the lower precision to calculate in, if any; weights keep theirs.

    Raises:
        ModelError: a loss or gradient is not finite; the weights are as before that step.
    """
    groups = optimizer.param_groups
    parameters = [p for group in groups for p in group["params"] if p.requires_grad]
    peaks = [float(group.setdefault("initial_lr", group["lr"])) for group in groups]
    device = parameters[0].device
    for index, parts in enumerate(batches, start):
        began = time.perf_counter()
        for group, peak in zip(groups, peaks, strict=True):
            group["lr"] = peak * schedule(index)
        total, count = torch.zeros((), device=device), 0
        for part in parts:
            with torch.autocast(device.type, dtype=autocast, enabled=autocast is not None):
                loss = loss_of(part)
            loss.total.backward()
            total, count = total + loss.total.detach(), count + loss.count
        norm = _mean_and_clip(parameters, count, clip_norm)
        mean = float(total) / count
        _require_finite(index + 1, mean, norm)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        seconds = time.perf_counter() - began
        yield Step(index + 1, mean, norm, float(groups[0]["lr"]), count, seconds)


def _mean_and_clip(parameters: Sequence[nn.Parameter], count: int, clip_norm: float) -> float:
    """Turn summed gradients into those of the mean, no longer than `clip_norm`; their norm."""
    for parameter in parameters:
        if parameter.grad is not None:
            parameter.grad.div_(count)
    return float(nn.utils.clip_grad_norm_(parameters, clip_norm))


def _require_finite(index: int, loss: float, grad_norm: float) -> None:
    if not (math.isfinite(loss) and math.isfinite(grad_norm)):
        raise ModelError(
            f"step {index}: the loss is {loss} and its gradient {grad_norm} long; take a lower"
            " learning rate or a longer warm-up"
        )
