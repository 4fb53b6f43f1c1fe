import json
from pathlib import Path

import pytest
import torch
from torch import nn

from graft.errors import StoreError
from graft.train.checkpoint import (
    best_of,
    list_checkpoints,
    load_checkpoint,
    prune_checkpoints,
    save_checkpoint,
)


class Tied(nn.Module):
    """A layer that learns, a frozen one, one weight under two names, and a buffer."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.random.default_generator.manual_seed(1)
            self.inner = nn.Linear(3, 3)
            self.frozen = nn.Linear(3, 3).requires_grad_(False)
        self.outer = nn.Linear(3, 3, bias=False)
        self.outer.weight = self.inner.weight
        self.register_buffer("seen", torch.zeros(1))

    def step(self, optimizer: torch.optim.Optimizer, number: int) -> None:
        x = torch.arange(3.0) + number
        self.outer(self.frozen(torch.tanh(self.inner(x)))).pow(2).sum().backward()
        self.seen += 1
        optimizer.step()
        optimizer.zero_grad()


def pair() -> tuple[Tied, torch.optim.Optimizer]:
    model = Tied()
    learning = [p for p in model.parameters() if p.requires_grad]
    return model, torch.optim.AdamW(learning, lr=0.1)


def state(model: nn.Module) -> dict[str, list[float]]:
    return {name: tensor.flatten().tolist() for name, tensor in model.state_dict().items()}


def test_a_training_goes_on_to_the_same_bits_as_if_undisturbed(tmp_path: Path) -> None:
    whole, optimizer = pair()
    for number in range(6):
        whole.step(optimizer, number)
        if number == 2:
            save_checkpoint(tmp_path, 3, whole, optimizer, value=1.5, note={"a": [1, 2]})
    resumed, optimizer = pair()
    [checkpoint] = list_checkpoints(tmp_path)
    load_checkpoint(checkpoint, resumed, optimizer)
    assert (checkpoint.step, checkpoint.value) == (3, 1.5)
    assert checkpoint.note == {"a": [1, 2]}
    assert resumed.seen.item() == 3
    for number in range(3, 6):
        resumed.step(optimizer, number)
    assert state(resumed) == state(whole)
    assert resumed.outer.weight is resumed.inner.weight


def test_the_moments_of_the_optimizer_matter(tmp_path: Path) -> None:
    whole, optimizer = pair()
    for number in range(4):
        whole.step(optimizer, number)
        if number == 2:
            save_checkpoint(tmp_path, 3, whole, optimizer, value=0.0)
    resumed, fresh = pair()
    load_checkpoint(list_checkpoints(tmp_path)[0], resumed)
    resumed.step(fresh, 3)
    assert state(resumed) != state(whole)


def test_moments_lie_in_memory_as_their_weights_do(tmp_path: Path) -> None:
    def taught(steps: range, begun: Path | None) -> tuple[nn.Module, torch.optim.Optimizer]:
        with torch.random.fork_rng():
            torch.random.default_generator.manual_seed(1)
            model = nn.Conv2d(3, 4, 3).to(memory_format=torch.channels_last)
        optimizer = torch.optim.AdamW(model.parameters(), lr=0.1, fused=True)
        if begun is not None:
            load_checkpoint(list_checkpoints(begun)[0], model, optimizer)
        for number in steps:
            pixels = torch.arange(75.0).reshape(1, 3, 5, 5).cos() * (1 + number)
            model(pixels).pow(2).sum().backward()
            optimizer.step()
            optimizer.zero_grad()
        return model, optimizer

    save_checkpoint(tmp_path, 3, *taught(range(3), None), value=0.0)
    whole, _ = taught(range(6), None)
    resumed, optimizer = taught(range(3, 6), tmp_path)
    assert state(resumed) == state(whole)
    moments = optimizer.state[next(resumed.parameters())]
    assert moments["exp_avg"].stride() == next(resumed.parameters()).stride()


def test_equal_states_are_equal_bytes_and_frozen_weights_are_not_stored(tmp_path: Path) -> None:
    for name in ("a", "b"):
        model, optimizer = pair()
        model.step(optimizer, 0)
        save_checkpoint(tmp_path / name, 1, model, optimizer, value=0.5)
    for file in ("model.safetensors", "optimizer.safetensors", "state.json"):
        first, second = (tmp_path / name / "checkpoint-1" / file for name in ("a", "b"))
        assert first.read_bytes() == second.read_bytes()
    assert b"frozen" not in (tmp_path / "a/checkpoint-1/model.safetensors").read_bytes()


@pytest.mark.parametrize("file", ["model.safetensors", "optimizer.safetensors"])
def test_a_damaged_file_is_refused_by_name_and_changes_nothing(
    tmp_path: Path, file: str
) -> None:
    model, optimizer = pair()
    model.step(optimizer, 0)
    save_checkpoint(tmp_path, 7, model, optimizer, value=0.0)
    path = tmp_path / "checkpoint-7" / file
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    other, its_optimizer = pair()
    before = state(other)
    with pytest.raises(StoreError, match=rf"checkpoint-7/{file}: is damaged .* delete"):
        load_checkpoint(list_checkpoints(tmp_path)[0], other, its_optimizer)
    assert state(other) == before


@pytest.mark.parametrize("content", ["{", "[]", '{"step": "7", "value": 0, "note": {}}', None])
def test_a_damaged_state_is_refused_by_name(tmp_path: Path, content: str | None) -> None:
    model, optimizer = pair()
    save_checkpoint(tmp_path, 7, model, optimizer, value=0.0)
    path = tmp_path / "checkpoint-7" / "state.json"
    path.unlink() if content is None else path.write_text(content)
    with pytest.raises(StoreError, match=r"checkpoint-7/state\.json: is damaged or missing"):
        list_checkpoints(tmp_path)


def test_the_checkpoint_of_another_model_is_refused(tmp_path: Path) -> None:
    model, optimizer = pair()
    save_checkpoint(tmp_path, 1, model, optimizer, value=0.0)
    with pytest.raises(StoreError, match=r"is of another model: .* differs"):
        load_checkpoint(list_checkpoints(tmp_path)[0], nn.Linear(3, 4))


def test_the_last_ones_and_the_best_are_kept(tmp_path: Path) -> None:
    model, optimizer = pair()
    for step, value in [(5, 3.0), (10, 1.0), (15, 1.0), (100, 2.0), (20, 2.5)]:
        save_checkpoint(tmp_path, step, model, optimizer, value=value)
    assert best_of(list_checkpoints(tmp_path)).step == 10
    prune_checkpoints(tmp_path, last=2)
    assert [one.step for one in list_checkpoints(tmp_path)] == [10, 20, 100]
    prune_checkpoints(tmp_path, last=0)
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint-10"]


def test_the_state_vouches_for_both_files(tmp_path: Path) -> None:
    model, optimizer = pair()
    save_checkpoint(tmp_path, 1, model, optimizer, value=0.0)
    written = json.loads((tmp_path / "checkpoint-1" / "state.json").read_text())
    assert sorted(written["files"]) == ["model.safetensors", "optimizer.safetensors"]


def test_there_are_no_checkpoints_where_nothing_was_saved(tmp_path: Path) -> None:
    assert list_checkpoints(tmp_path / "missing") == []
    prune_checkpoints(tmp_path / "missing", last=1)
