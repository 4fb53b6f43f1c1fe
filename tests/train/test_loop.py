from collections import deque
from collections.abc import Iterator
from dataclasses import asdict, dataclass

import pytest
import torch
from torch import Tensor, nn

from graft.errors import ModelError
from graft.train import loop
from graft.train.loop import Measured, Step, fit, take_known


@dataclass(frozen=True)
class Squares:
    total: Tensor
    count: int


class Line(nn.Module):
    """Predicts w times x; the loss of a part is the sum of (w x - y)^2."""

    def __init__(self, weight: float = 0.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(weight))

    def loss(self, part: Tensor) -> Squares:
        return Squares(((self.weight * part[:, 0] - part[:, 1]) ** 2).sum(), len(part))


def steps(
    line: Line, batches: list[list[Tensor]], *, lr: float = 0.1, clip: float = 1e9
) -> Iterator[Step]:
    optimizer = torch.optim.SGD(line.parameters(), lr=lr)
    return fit(batches, line.loss, optimizer, lambda _: 1.0, clip_norm=clip)


def test_one_step_goes_down_the_gradient_of_the_mean() -> None:
    line = Line()
    part = torch.tensor([[1.0, 2.0], [2.0, 2.0]])  # dL/dw = -2 (2 + 4) / 2 = -6
    [step] = steps(line, [[part]])
    assert (step.index, step.loss, step.grad_norm) == pytest.approx((1, 4.0, 6.0))
    assert (step.tokens, step.learning_rate) == (2, 0.1)
    assert line.weight.item() == pytest.approx(0.6)
    assert line.weight.grad is None


def test_a_batch_in_parts_of_any_size_is_the_same_step() -> None:
    rows = torch.tensor([[1.0, 2.0], [2.0, 2.0], [3.0, -1.0], [0.5, 4.0]])
    whole, parted = Line(1.0), Line(1.0)
    [first] = steps(whole, [[rows]])
    [second] = steps(parted, [[rows[:3], rows[3:]]])
    assert parted.weight.item() == pytest.approx(whole.weight.item(), rel=1e-6)
    assert (second.loss, second.grad_norm) == pytest.approx((first.loss, first.grad_norm))


def test_a_long_gradient_is_cut_to_the_clip_norm_and_told_at_its_length() -> None:
    line = Line()
    [step] = steps(line, [[torch.tensor([[1.0, 50.0]])]], clip=1.0)
    assert step.grad_norm == pytest.approx(100.0)
    assert line.weight.item() == pytest.approx(0.1, rel=1e-4)


def test_each_step_has_the_rate_of_the_schedule() -> None:
    line, part = Line(), torch.tensor([[1.0, 1.0]])
    optimizer = torch.optim.SGD(
        [{"params": [line.weight], "lr": 0.5}, {"params": [nn.Parameter(torch.zeros(1))]}],
        lr=0.1,
    )
    rates: list[list[float]] = []
    for _ in fit([[part]] * 3, line.loss, optimizer, lambda step: 1 / (1 + step), start=1):
        rates.append([group["lr"] for group in optimizer.param_groups])
    assert rates == [[1 / 4, 0.1 / 2], [0.5 * (1 / 3), 0.1 * (1 / 3)], [1 / 8, 0.1 / 4]]


def test_a_second_fit_starts_from_the_same_peak() -> None:
    line, part = Line(), torch.tensor([[1.0, 1.0]])
    optimizer = torch.optim.SGD(line.parameters(), lr=0.1)
    for _ in range(2):
        [step] = fit([[part]], line.loss, optimizer, lambda _: 0.5)
        assert step.learning_rate == pytest.approx(0.05)


def test_the_caller_may_stop_and_go_on_from_any_step() -> None:
    rows = [[torch.tensor([[1.0, float(k)]])] for k in range(6)]
    whole, halved = Line(), Line()
    done = list(steps(whole, rows))
    optimizer = torch.optim.SGD(halved.parameters(), lr=0.1)
    first = [*fit(rows[:2], halved.loss, optimizer, lambda _: 1.0, clip_norm=1e9)]
    rest = [*fit(rows[2:], halved.loss, optimizer, lambda _: 1.0, start=2, clip_norm=1e9)]
    assert first + rest == done
    assert [step.index for step in done] == [1, 2, 3, 4, 5, 6]
    assert halved.weight.item() == whole.weight.item()


@pytest.mark.parametrize("wrong", [float("nan"), float("inf")])
def test_a_step_that_would_ruin_the_weights_is_not_taken(wrong: float) -> None:
    line = Line(0.25)
    taken = steps(line, [[torch.tensor([[1.0, 0.0]])], [torch.tensor([[1.0, wrong]])]])
    next(taken)
    before = line.weight.item()
    with pytest.raises(ModelError, match=r"step 2: the loss is .* lower learning rate"):
        next(taken)
    assert line.weight.item() == before


def test_frozen_parameters_stay_and_count_for_nothing() -> None:
    line = Line()
    frozen = nn.Parameter(torch.ones(3), requires_grad=False)
    optimizer = torch.optim.AdamW([line.weight, frozen], lr=0.1, weight_decay=0.5)
    list(fit([[torch.tensor([[1.0, 2.0]])]], line.loss, optimizer, lambda _: 1.0))
    assert frozen.tolist() == [1.0, 1.0, 1.0]


def test_lower_precision_is_used_where_it_is_asked_for() -> None:
    layer, seen = nn.Linear(2, 2), []

    def loss(part: Tensor) -> Squares:
        out = layer(part)
        seen.append(out.dtype)
        return Squares(out.float().pow(2).sum(), len(part))

    optimizer = torch.optim.SGD(layer.parameters(), lr=0.1)
    for autocast in (None, torch.bfloat16):
        list(fit([[torch.ones(1, 2)]], loss, optimizer, lambda _: 1.0, autocast=autocast))
    assert seen == [torch.float32, torch.bfloat16]
    assert layer.weight.dtype == torch.float32


class Far(Measured):
    """Numbers of a device that is always behind: they have to be waited for."""

    reads = 0

    @property
    def arrived(self) -> bool:
        return False

    def read(self) -> tuple[float, float]:
        Far.reads += 1
        return super().read()


@pytest.fixture
def far(monkeypatch: pytest.MonkeyPatch) -> type[Far]:
    monkeypatch.setattr(loop, "Measured", Far)
    monkeypatch.setattr(Far, "reads", 0)
    return Far


def batches_of(*targets: float) -> list[list[Tensor]]:
    return [[torch.tensor([[1.0, target]])] for target in targets]


def fused(line: Line) -> torch.optim.Optimizer:
    return torch.optim.AdamW(line.parameters(), lr=0.1, fused=True)


def state_of(line: Line, optimizer: torch.optim.Optimizer) -> list[float]:
    state = optimizer.state[line.weight]
    return [line.weight.item(), *(state[key].item() for key in sorted(state))]


def test_an_optimizer_that_can_pass_steps_over_ends_in_the_bytes_of_a_plain_loop() -> None:
    line, plain = Line(0.5), Line(0.5)
    list(fit(batches_of(3.0, -1.0, 2.0), line.loss, fused(line), lambda _: 1.0))
    optimizer = fused(plain)
    for [part] in batches_of(3.0, -1.0, 2.0):
        plain.loss(part).total.backward()
        nn.utils.clip_grad_norm_(plain.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
    assert line.weight.item() == plain.weight.item() != 0.5


def test_a_step_that_would_ruin_the_weights_is_passed_over_on_the_device() -> None:
    line = Line(0.25)
    optimizer = fused(line)
    taken = fit(batches_of(1.0, float("nan")), line.loss, optimizer, lambda _: 1.0)
    next(taken)
    before = state_of(line, optimizer)
    with pytest.raises(ModelError, match="step 2: the loss is nan"):
        next(taken)
    assert state_of(line, optimizer) == before
    assert not hasattr(optimizer, "found_inf")


def test_a_ruined_step_that_is_found_late_is_named_and_nothing_changes_from_it_on(
    far: type[Far],
) -> None:
    line = Line(0.25)
    optimizer = fused(line)
    batches = batches_of(1.0, float("inf"), 1.0, 1.0)
    taken = fit(batches, line.loss, optimizer, lambda _: 1.0, waits_at=lambda step: step == 4)
    first = next(taken)
    before = state_of(line, optimizer)
    second, third = next(taken), next(taken)
    assert far.reads == 0
    assert state_of(line, optimizer) == before
    with pytest.raises(ModelError, match="step 2: the loss is inf"):
        next(taken)
    assert state_of(line, optimizer) == before
    assert (first.loss, third.loss) == pytest.approx((0.5625, 0.4225), rel=0.01)
    with pytest.raises(ModelError, match="step 2: the loss is inf"):
        _ = second.loss


def test_a_ruined_last_step_is_found_before_the_steps_end(far: type[Far]) -> None:
    line = Line()
    batches = batches_of(1.0, float("nan"))
    taken = fit(batches, line.loss, fused(line), lambda _: 1.0, waits_at=lambda _: False)
    assert (next(taken).index, next(taken).index, far.reads) == (1, 2, 0)
    with pytest.raises(ModelError, match="step 2"):
        next(taken)


def test_a_ruined_step_is_found_when_its_numbers_have_come(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """They come when the next but one step has been queued."""
    made: list[Measured] = []

    class Coming(Measured):
        def __init__(self, total: Tensor, grad_norm: Tensor, count: int) -> None:
            super().__init__(total, grad_norm, count)
            made.append(self)

        @property
        def arrived(self) -> bool:
            return self in made[:-2]

    monkeypatch.setattr(loop, "Measured", Coming)
    line = Line()
    batches = batches_of(1.0, float("nan"), 1.0, 1.0, 1.0)
    taken = fit(batches, line.loss, fused(line), lambda _: 1.0, waits_at=lambda _: False)
    assert [next(taken).index for _ in range(3)] == [1, 2, 3]
    with pytest.raises(ModelError, match="step 2"):
        next(taken)


def test_an_optimizer_that_cannot_pass_a_step_over_is_waited_for(far: type[Far]) -> None:
    line = Line(0.25)
    optimizer = torch.optim.SGD(line.parameters(), lr=0.1)
    batches = batches_of(float("nan"), 1.0)
    taken = fit(batches, line.loss, optimizer, lambda _: 1.0, waits_at=lambda _: False)
    with pytest.raises(ModelError, match="step 1"):
        next(taken)
    assert (line.weight.item(), far.reads) == (0.25, 1)


def test_without_being_told_otherwise_every_step_is_waited_for(far: type[Far]) -> None:
    line = Line()
    for step in fit(batches_of(1.0, 2.0), line.loss, fused(line), lambda _: 1.0):
        assert far.reads == step.index


def test_steps_are_logged_as_they_become_known_and_copied_without_waiting(
    far: type[Far], monkeypatch: pytest.MonkeyPatch
) -> None:
    line = Line()
    taken = list(fit(batches_of(1.0, 2.0, 3.0), line.loss, fused(line), lambda _: 1.0))
    waiting, before = deque(taken), far.reads
    assert Step(**asdict(taken[0])).measured is taken[0].measured
    assert list(take_known(waiting)) == []
    assert far.reads == before
    monkeypatch.setattr(far, "arrived", property(lambda self: self is not taken[2].measured))
    lines = [step.to_line() for step in take_known(waiting)]
    assert [one["index"] for one in lines] == [1, 2]
    assert lines[0]["loss"] == taken[0].loss == 1.0
    assert list(waiting) == taken[2:]
