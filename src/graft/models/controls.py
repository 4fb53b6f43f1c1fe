"""The weights in a control's folder, as graft and `diffusers` write them.

What its `config.json` says of the hint is honoured, or refused by name, for its weights do not
show it.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import cast

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from graft.errors import ModelError
from graft.models.weights import require_numbers

_STEM = "diffusion_pytorch_model"
_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt")
_FIRST = "controlnet_cond_embedding.conv_in.weight"
_USUAL: dict[str, tuple[tuple[object, ...], str]] = {
    "controlnet_conditioning_channel_order": (("rgb", "bgr"), "no such order is known"),
    "global_pool_conditions": ((False, None), "it speaks of the whole picture only"),
    "conditioning_channels": ((3,), "it wants a hint of so many channels, and hints have 3"),
}
_CONVERT = (
    "convert it with diffusers: ControlNetModel.{reader}({place}).save_pretrained(folder,"
    " safe_serialization=True)"
)


def read_controlnet(folder: Path) -> dict[str, Tensor]:
    """The weights in a folder that graft or `diffusers` wrote, for hints in red, green, blue.

    Whole, in shards, or a lone variant such as `fp16`.

    Raises:
        ModelError: there are none, not in safetensors, or its hint is used in another way.
    """
    if folder.is_file():
        remedy = _CONVERT.format(reader="from_single_file", place=f"'{folder}'")
        raise ModelError(f"{folder}: is a single file, and a control is a folder; {remedy}")
    if not folder.is_dir():
        raise ModelError(
            f"{folder}: no such folder; name a folder with a control in safetensors"
        )
    config = _config_in(folder)
    state: dict[str, Tensor] = {}
    for path in _files_in(folder):
        state |= read_weights(path)
    if config.get("controlnet_conditioning_channel_order") == "bgr" and _FIRST in state:
        state[_FIRST] = state[_FIRST].flip(1)  # the same as if the hint's channels were
    return state


def read_weights(path: Path) -> dict[str, Tensor]:
    """The weights in a file.

    Raises:
        ModelError: it cannot be read, or holds values that are no numbers.
    """
    try:
        weights = load_file(path)
    except (OSError, SafetensorError) as error:
        raise ModelError(
            f"{path}: cannot be read: {error}; name a folder with a control in safetensors"
        ) from error
    require_numbers(path, weights, "fetch or train the control again")
    return weights


def _config_in(folder: Path) -> Mapping[str, object]:
    """What `config.json` says; without one, it is a usual control.

    Raises:
        ModelError: it says what is not supported.
    """
    path = folder / "config.json"
    config = _object_in(path) if path.is_file() else {}
    for name, (values, otherwise) in _USUAL.items():
        value = config.get(name, values[0])
        if value not in values:
            raise ModelError(
                f"{path}: a control with {name} = {value!r} is not supported: {otherwise};"
                " take one that reads a picture as its hint"
            )
    return config


def _files_in(folder: Path) -> list[Path]:
    """The files of its weights: one, those that an index names, or a lone variant."""
    whole = folder / f"{_STEM}.safetensors"
    if whole.is_file():
        return [whole]
    indexes = sorted(folder.glob(f"{_STEM}.safetensors.index*.json"))
    if len(indexes) == 1:
        return _shards_of(indexes[0])
    variants = sorted(folder.glob(f"{_STEM}.*.safetensors"))
    if len(variants) == 1 and not indexes:
        return variants
    if found := [path.name for path in (*indexes, *variants)]:
        raise ModelError(
            f"{folder}: holds more than one control: {', '.join(found)}; leave only one there"
        )
    pickle = next((path for kind in _PICKLES for path in sorted(folder.glob(kind))), None)
    if pickle is not None:
        remedy = _CONVERT.format(reader="from_pretrained", place=f"'{folder}'")
        raise ModelError(f"{pickle}: is a pickle, which can run code and is not read; {remedy}")
    raise ModelError(
        f"{whole}: is not there; name a folder with a control in safetensors, as"
        " ControlNetModel.save_pretrained writes it"
    )


def _shards_of(index: Path) -> list[Path]:
    """The files that an index names, each once, all in its own folder."""
    named = _object_in(index).get("weight_map")
    if not isinstance(named, dict):
        raise ModelError(f"{index}: names no files in weight_map; fetch the control again")
    names = sorted({Path(str(name)).name for name in cast("dict[str, object]", named).values()})
    return [index.parent / name for name in names]


def _object_in(path: Path) -> dict[str, object]:
    try:
        value: object = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"{path}: cannot be read: {error}; fetch the control again") from error
    if not isinstance(value, dict):
        raise ModelError(f"{path}: is no JSON object; fetch the control again")
    return cast("dict[str, object]", value)
