"""The training loop, for any model and any loss.

The loop yields; the caller decides. Logging, evaluation and checkpoints are ordinary code in
the `for` body of whoever drives the loop, so there are no callbacks to learn.

A step is put into the device's queue and not waited for. Its loss and its gradient's length
come back on their own; whether they are finite is asked on the device too, which from the
first that is not changes nothing any more.
"""

import math
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Protocol, TypeVar, runtime_checkable

import torch
from torch import Tensor, nn

from graft.errors import ModelError

Batch = TypeVar("Batch")
AnyStep = TypeVar("AnyStep", bound="Step")


class DivergedError(ModelError):
    """A training of whose next steps nothing can come: something is not finite."""


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


class Measured:
    """A step's loss and the length of its gradient, on their way from the device.

    Args:
        total: the summed loss.
        grad_norm: of the mean's gradient, before clipping.
        count: what was summed over.
    """

    def __init__(self, total: Tensor, grad_norm: Tensor, count: int) -> None:
        self._count, self._copied = count, None
        both = torch.stack([total, grad_norm.to(total.device)])
        self._both = both.to("cpu", non_blocking=both.is_cuda)  # into pinned memory
        if both.is_cuda:
            self._copied = torch.cuda.current_stream(both.device).record_event()

    @property
    def arrived(self) -> bool:
        """Whether they can be read without waiting."""
        return self._copied is None or self._copied.query()

    def read(self) -> tuple[float, float]:
        """The mean loss and the gradient's length; waits for them."""
        if self._copied is not None:
            self._copied.synchronize()
        total, grad_norm = self._both.tolist()
        return total / self._count, grad_norm

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Measured) and self.read() == other.read()

    def __hash__(self) -> int:
        return hash(self.read())

    def __deepcopy__(self, _: object) -> "Measured":
        return self  # it never changes; so `asdict` of a step waits for nothing


@dataclass(frozen=True, slots=True)
class Step:
    """What happened in one optimizer step; `index` counts the steps done, from 1."""

    index: int
    measured: Measured
    learning_rate: float
    tokens: int
    seconds: float = field(compare=False)
    """Of this process; where it runs ahead of the device, only their sum tells."""

    @property
    def loss(self) -> float:
        """The mean over all that the step's batch counts, before the step; waits for it."""
        return self._read()[0]

    @property
    def grad_norm(self) -> float:
        """Of that mean, before clipping; waits for it."""
        return self._read()[1]

    @property
    def known(self) -> bool:
        """Whether both have arrived, and are finite."""
        return self.measured.arrived and all(map(math.isfinite, self.measured.read()))

    def to_line(self) -> dict[str, object]:
        """As a diary has it; waits for what has not arrived."""
        loss, grad_norm = self._read()
        return {
            "index": self.index,
            "loss": loss,
            "grad_norm": grad_norm,
            "learning_rate": self.learning_rate,
            "tokens": self.tokens,
            "seconds": self.seconds,
        }

    def _read(self) -> tuple[float, float]:
        found = self.measured.read()
        _require_finite(self.index, *found)
        return found


def take_known(waiting: deque[AnyStep]) -> Iterator[AnyStep]:
    """Take from the left the steps whose loss is known: to log them without waiting."""
    while waiting and waiting[0].known:
        yield waiting.popleft()


def fit(  # noqa: PLR0913  # all but four are by name, and seldom given
    batches: Iterable[Sequence[Batch]],
    loss_of: Callable[[Batch], Summed],
    optimizer: torch.optim.Optimizer,
    schedule: Callable[[int], float],
    *,
    start: int = 0,
    clip_norm: float = 1.0,
    autocast: torch.dtype | None = None,
    waits_at: Callable[[int], bool] = lambda _: True,
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
        waits_at: whether to wait for the device when so many steps are done: wherever the
            caller reads the weights, or saves them. Elsewhere a step that is not finite may be
            found some steps later; until then steps are yielded that changed nothing.
            An optimizer that cannot pass a step over on the device is waited for at each.

    Raises:
        DivergedError: a loss or gradient is not finite; names the step. The weights, and what
            the optimizer holds, are as before it, however late it is found.
    """
    groups = optimizer.param_groups
    parameters = [p for group in groups for p in group["params"] if p.requires_grad]
    peaks = [float(group.setdefault("initial_lr", group["lr"])) for group in groups]
    device = parameters[0].device
    ruined = torch.zeros((), device=device) if _can_pass_over(optimizer) else None
    waiting = deque[tuple[int, Measured]]()
    began = time.perf_counter()
    for index, parts in enumerate(batches, start):
        for group, peak in zip(groups, peaks, strict=True):
            group["lr"] = peak * schedule(index)
        total, count = torch.zeros((), device=device), 0
        for part in parts:
            with torch.autocast(device.type, dtype=autocast) if autocast else nullcontext():
                loss = loss_of(part)
            loss.total.backward()
            total, count = total + loss.total.detach(), count + loss.count
        norm = _mean_and_clip(parameters, count, clip_norm)
        measured = Measured(total, norm, count)
        waiting.append((index + 1, measured))
        if ruined is None:
            _require_all_finite(waiting)
        else:
            ruined = torch.maximum(ruined, (~(total.isfinite() & norm.isfinite())).float())
        _take(optimizer, ruined)
        _require_all_finite(waiting, arrived_only=not waits_at(index + 1))
        seconds = time.perf_counter() - began
        yield Step(index + 1, measured, float(groups[0]["lr"]), count, seconds)
        began = time.perf_counter()
    _require_all_finite(waiting)


def _can_pass_over(optimizer: torch.optim.Optimizer) -> bool:
    """Whether it reads on the device that it is to change nothing, as the fused ones do."""
    return bool(getattr(optimizer, "_step_supports_amp_scaling", False))


def _take(optimizer: torch.optim.Optimizer, ruined: Tensor | None) -> None:
    """An optimizer step; where `ruined` is 1 it changes nothing (as `GradScaler` says it)."""
    if ruined is not None:
        vars(optimizer)["found_inf"] = ruined
    optimizer.step()
    if ruined is not None:
        del vars(optimizer)["found_inf"]
    optimizer.zero_grad(set_to_none=True)


def _mean_and_clip(parameters: Sequence[nn.Parameter], count: int, clip_norm: float) -> Tensor:
    """Turn summed gradients into those of the mean, no longer than `clip_norm`; their norm."""
    for parameter in parameters:
        if parameter.grad is not None:
            parameter.grad.div_(count)
    return nn.utils.clip_grad_norm_(parameters, clip_norm)


def _require_all_finite(
    waiting: deque[tuple[int, Measured]], *, arrived_only: bool = False
) -> None:
    """Let go of steps that are finite, waiting for them or not; raise at one that is not."""
    while waiting and not (arrived_only and not waiting[0][1].arrived):
        index, measured = waiting.popleft()
        _require_finite(index, *measured.read())


def _require_finite(index: int, loss: float, grad_norm: float) -> None:
    if not (math.isfinite(loss) and math.isfinite(grad_norm)):
        raise DivergedError(
            f"step {index}: the loss is {loss} and its gradient {grad_norm} long; take a lower"
            " learning rate or a longer warm-up"
        )


def are_finite(model: nn.Module) -> bool:
    """Whether all that `model` holds is; waits for the device."""
    tensors = [tensor for tensor in model.state_dict().values() if tensor.is_floating_point()]
    return bool(torch.stack([tensor.isfinite().all() for tensor in tensors]).all())
