"""Where a training stands, on disk: continued from it, it ends in the same bytes.

    checkpoint-500/
      model.safetensors        what is trained: parameters that learn, and buffers
      optimizer.safetensors    the optimizer's state, as `PARAMETER.KEY`
      state.json               written last: step, value, note, and the SHA-256 of the others

A folder is whole or not there. Nothing that a training draws is stored, for its draws are a
function of the seed and the step.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from graft.errors import StoreError
from graft.store.folders import remove_folder, whole_folder
from graft.store.whole import write_json, writing

_MODEL, _OPTIMIZER, _STATE = "model.safetensors", "optimizer.safetensors", "state.json"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A checkpoint on disk; the lower its `value`, the better it is."""

    folder: Path
    step: int
    value: float
    note: Mapping[str, object] = field(default_factory=dict[str, object])
    digests: Mapping[str, str] = field(default_factory=dict[str, str])


def save_checkpoint(
    root: Path,
    step: int,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    *,
    value: float,
    note: Mapping[str, object] | None = None,
) -> None:
    """Write `root/checkpoint-STEP`, whole or not at all; `note` is anything JSON can hold."""
    path = root / f"checkpoint-{step}"
    with whole_folder(path) as folder:
        with writing(path):
            _save(folder / _MODEL, _learnt(model))
            _save(folder / _OPTIMIZER, _optimizer_state(optimizer))
        digests = {name: _digest(folder / name) for name in (_MODEL, _OPTIMIZER)}
        state = {"step": step, "value": value, "note": dict(note or {}), "files": digests}
        write_json(folder / _STATE, state)


def list_checkpoints(root: Path) -> list[Checkpoint]:
    """The checkpoints in `root` by their steps.

    Raises:
        StoreError: one of them cannot be read; names it.
    """
    found = [_read(folder) for folder in root.glob("checkpoint-*")]
    return sorted(found, key=lambda checkpoint: checkpoint.step)


def list_begun(root: Path, origin: str) -> list[Checkpoint]:
    """The checkpoints in `root`, all of the training that `origin` in their notes names.

    Raises:
        StoreError: one is of another training, or cannot be read.
    """
    begun = list_checkpoints(root)
    for checkpoint in begun:
        if checkpoint.note.get("origin") != origin:
            raise StoreError(
                f"{checkpoint.folder}: was begun with other settings or examples; delete"
                f" {root}, or choose another --out"
            )
    return begun


def best_of(checkpoints: list[Checkpoint]) -> Checkpoint:
    """The one of lowest value; of equals the first."""
    return min(checkpoints, key=lambda checkpoint: (checkpoint.value, checkpoint.step))


def load_checkpoint(
    checkpoint: Checkpoint, model: nn.Module, optimizer: torch.optim.Optimizer | None = None
) -> None:
    """Put `model`, and `optimizer` if given, where they stood; rates stay the optimizer's own.

    Raises:
        StoreError: a file is damaged, or is of another model; names it. Nothing is changed.
    """
    learnt, state = _learnt(model), _load(checkpoint, _MODEL)
    _require_same(checkpoint.folder / _MODEL, state, learnt)
    moments = _load(checkpoint, _OPTIMIZER) if optimizer is not None else {}
    with torch.no_grad():
        for name, tensor in learnt.items():
            tensor.copy_(state[name])
    if optimizer is not None:
        _restore(optimizer, moments)


def prune_checkpoints(root: Path, *, last: int) -> None:
    """Delete all checkpoints in `root` but the `last` newest and the best."""
    found = list_checkpoints(root)
    if found:
        spared = {best_of(found).step, *(one.step for one in found[len(found) - last :])}
        for checkpoint in found:
            if checkpoint.step not in spared:
                remove_folder(checkpoint.folder)


def _learnt(model: nn.Module) -> dict[str, Tensor]:
    """What a training may change: a shared tensor once, frozen parameters not at all."""
    parameters = {name for name, _ in model.named_parameters(remove_duplicate=False)}
    buffers = {
        name: tensor for name, tensor in model.state_dict().items() if name not in parameters
    }
    learning = {name: p.detach() for name, p in model.named_parameters() if p.requires_grad}
    return {**buffers, **learning}


def _optimizer_state(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    states = cast("dict[int, dict[str, object]]", optimizer.state_dict()["state"])
    return {
        f"{index}.{key}": value if isinstance(value, Tensor) else torch.tensor(value)
        for index, state in states.items()
        for key, value in state.items()
        if value is not None
    }


def _restore(optimizer: torch.optim.Optimizer, moments: Mapping[str, Tensor]) -> None:
    """Give an optimizer its moments, each laid out in memory as its parameter.

    A fused optimizer goes through both in the order of memory.
    """
    states: dict[int, dict[str, Tensor]] = {}
    parameters = [one for group in optimizer.param_groups for one in group["params"]]
    for name, tensor in moments.items():
        number, key = name.split(".", 1)
        parameter = cast("Tensor", parameters[int(number)])
        alike = tensor.shape == parameter.shape
        kept = (
            torch.empty_like(parameter, dtype=tensor.dtype, device="cpu").copy_(tensor)
            if alike
            else tensor
        )
        states.setdefault(int(number), {})[key] = kept
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": states, "param_groups": groups})


def _require_same(
    path: Path, state: Mapping[str, Tensor], learnt: Mapping[str, Tensor]
) -> None:
    for name in sorted({*state, *learnt}):
        if name not in state or name not in learnt or state[name].shape != learnt[name].shape:
            raise StoreError(f"{path}: is of another model: {name} differs")


def _save(path: Path, tensors: Mapping[str, Tensor]) -> None:
    save_file({name: t.cpu().contiguous() for name, t in tensors.items()}, path)


def _load(checkpoint: Checkpoint, name: str) -> dict[str, Tensor]:
    path = checkpoint.folder / name
    if not path.is_file() or _digest(path) != checkpoint.digests.get(name):
        raise _damaged(path)
    return load_file(path)


def _read(folder: Path) -> Checkpoint:
    path = folder / _STATE
    try:
        state = cast("dict[str, object]", json.loads(path.read_text(encoding="utf-8")))
        step, value = state["step"], state["value"]
        note, files = state["note"], state["files"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _damaged(path) from error
    if not (isinstance(step, int) and isinstance(value, int | float)):
        raise _damaged(path)
    digests = cast("dict[str, str]", files)
    return Checkpoint(folder, step, float(value), cast("dict[str, object]", note), digests)


def _damaged(path: Path) -> StoreError:
    return StoreError(
        f"{path}: is damaged or missing; delete {path.parent} and run the same command again,"
        " which continues from the checkpoint before it"
    )


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
