"""The running average, by hand and beside the slow way."""

from pathlib import Path

import pytest
import torch
from torch import nn

from graft.train.average import Average
from graft.train.checkpoint import list_checkpoints, load_checkpoint, save_checkpoint


class Deep(nn.Module):
    """A layer that learns inside another, and a frozen one."""

    def __init__(self, value: float = 0.0) -> None:
        super().__init__()
        self.inner = nn.Sequential(nn.Linear(2, 2))
        self.frozen = nn.Linear(2, 2).requires_grad_(False)
        self.set(value)

    def set(self, value: float) -> None:
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.fill_(value)


def values(model: nn.Module) -> list[float]:
    return [value for p in model.parameters() for value in p.flatten().tolist()]


def averaged(average: Average, value: float = 100.0) -> Deep:
    model = Deep(value)
    average.apply_to(model)
    return model


def test_the_first_three_steps_are_the_formulas() -> None:
    model = Deep(0.0)
    average = Average(model)
    found = []
    for value in (1.0, 2.0, 4.0):
        model.set(value)
        average.update(model)
        found.append(averaged(average).inner[0].bias[0].item())
    first = 9 / 11 * 1  # of what was, (1 + 1) / (10 + 1) stays, and it was nothing
    second = 3 / 12 * first + 9 / 12 * 2
    third = 4 / 13 * second + 9 / 13 * 4
    assert found == pytest.approx([first, second, third], rel=1e-6)


@pytest.mark.parametrize("decay", [0.1, 0.5, 0.999])
def test_it_is_the_slow_sum_of_all_that_was(decay: float) -> None:
    generator = torch.Generator().manual_seed(1)
    model = Deep(0.5)
    average, slow = Average(model, decay), torch.full((2, 2), 0.5, dtype=torch.float64)
    for step in range(1, 40):
        with torch.no_grad():
            model.inner[0].weight.copy_(torch.randn(2, 2, generator=generator))
        average.update(model)
        stays = min(decay, (1 + step) / (10 + step))
        slow = stays * slow + (1 - stays) * model.inner[0].weight.double()
    found = averaged(average).inner[0].weight.double()
    torch.testing.assert_close(found, slow, rtol=0, atol=1e-6)


def test_before_any_step_it_is_where_the_model_stood() -> None:
    model = Deep(3.0)
    average = Average(model)
    model.set(8.0)
    assert averaged(average).inner[0].weight.tolist() == [[3.0, 3.0], [3.0, 3.0]]


def test_frozen_parameters_are_not_followed_and_not_replaced() -> None:
    average = Average(Deep(1.0))
    assert sorted(average.names) == ["inner.0.bias", "inner.0.weight"]
    assert averaged(average, 7.0).frozen.weight.tolist() == [[7.0, 7.0], [7.0, 7.0]]


def test_it_learns_nothing_itself_and_leaves_the_model_alone() -> None:
    model = Deep(2.0)
    average = Average(model)
    average.update(model)
    assert list(average.parameters()) == []
    averaged(average)
    assert set(values(model)) == {2.0}
    assert all(not tensor.requires_grad for tensor in average.buffers())


def test_a_checkpoint_holds_it_and_it_goes_on_in_the_same_bits(tmp_path: Path) -> None:
    model = Deep(0.0)
    average = Average(model)
    both = nn.ModuleDict({"model": model, "average": average})
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad])
    for value in (1.0, 2.0):
        model.set(value)
        average.update(model)
    save_checkpoint(tmp_path, 2, both, optimizer, value=0.0)
    again = Deep(0.0)
    resumed = Average(again)
    load_checkpoint(
        list_checkpoints(tmp_path)[0], nn.ModuleDict({"model": again, "average": resumed})
    )
    assert int(resumed.steps) == 2
    for one, its_model in ((average, model), (resumed, again)):
        its_model.set(5.0)
        one.update(its_model)
    assert values(averaged(resumed)) == values(averaged(average))
