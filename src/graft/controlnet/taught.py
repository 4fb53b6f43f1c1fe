"""A finished control as it lies in a folder, and beside it what its decoder has moved by."""

from pathlib import Path

from torch import Tensor

from graft.controlnet.control import Control
from graft.errors import ModelError
from graft.models.controls import read_controlnet, read_weights
from graft.models.diffusion import DiffusionModel
from graft.models.unet import decoder_of


def fill_control(control: Control, folder: Path, model: DiffusionModel) -> None:
    """Give a control of `model` the weights of the one in `folder`.

    Raises:
        ModelError: there is none, or it belongs to another base.
    """
    state = read_controlnet(folder)
    try:
        control.load_state_dict(state)
    except RuntimeError as error:
        said = str(error).strip().splitlines()[1:2]
        raise ModelError(
            f"{folder}: is a control of another base than {model.name}:"
            f" {' '.join(said).strip()}"
        ) from error


def read_delta(folder: Path, model: DiffusionModel) -> dict[str, Tensor]:
    """What the decoder that learned beside the control in `folder` has moved by.

    Raises:
        ModelError: it is not there, cannot be read, or belongs to another base.
    """
    path = folder.resolve().parent / "decoder.safetensors"
    if not path.is_file():
        raise ModelError(
            f"{folder}: was taught with an unlocked decoder, and {path} is not there; put the"
            " decoder.safetensors of its run's train folder beside it"
        )
    delta = read_weights(path)
    locked = decoder_of(model.unet).state_dict()
    if {n: t.shape for n, t in delta.items()} != {n: t.shape for n, t in locked.items()}:
        raise ModelError(f"{path}: is a decoder of another base than {model.name}")
    return delta
