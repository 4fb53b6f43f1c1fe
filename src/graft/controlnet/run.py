"""Pictures from prompts and hints: trained controls at work.

Any folder that `ControlNetModel.from_pretrained` reads will do as a control, if it belongs to
the base; one that graft trained says in `graft.json` which condition it reads.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import cast

import numpy as np

from graft.config import fill
from graft.controlnet.annotators.annotator import annotate_picture
from graft.controlnet.annotators.kit import annotator_by_name
from graft.controlnet.condition import Value
from graft.controlnet.control import Control, ControlConfig
from graft.controlnet.decoding import Limits, Refused, decode_picture
from graft.controlnet.pictures import fit_picture
from graft.controlnet.sampling import RunConfig, Steering, sample
from graft.errors import ConfigError, DataError, ModelError
from graft.models.diffusion import DiffusionModel
from graft.models.unet import read_controlnet
from graft.store.whole import read_json


@dataclass(frozen=True, slots=True)
class Order:
    """One picture that is asked for."""

    prompt: str
    seed: int = 0
    negative: str = ""

    def __post_init__(self) -> None:
        if not -(2**63) <= self.seed < 2**64:
            raise ConfigError(f"seed = {self.seed}: a seed is of 64 bits; take a smaller one")


@dataclass(frozen=True, slots=True)
class Use:
    """One control with one hint for all pictures: how strong, and from when to when."""

    control: Control
    hint_HWC: np.ndarray
    weight: float = 1.0
    start: float = 0.0
    end: float = 1.0


def run(
    orders: Iterable[Order],
    model: DiffusionModel,
    uses: Sequence[Use],
    settings: RunConfig,
) -> Iterator[np.ndarray]:
    """A picture [H, W, 3] for each order, under all controls at once, whose residuals add."""
    remaining = iter(orders)
    while batch := list(islice(remaining, settings.at_once)):
        steerings = [
            Steering(
                use.control,
                np.broadcast_to(use.hint_HWC, (len(batch), *use.hint_HWC.shape)).copy(),
                use.weight,
                use.start,
                use.end,
            )
            for use in uses
        ]
        words = model.embed([order.prompt for order in batch])
        negative = model.embed([order.negative for order in batch])
        seeds = [order.seed for order in batch]
        yield from sample(model, words, negative, seeds, steerings, settings)


def load_control(folder: Path, model: DiffusionModel) -> Control:
    """The control in a folder, on the base's device.

    Raises:
        ModelError: there is none, or it belongs to another base.
    """
    state = read_controlnet(folder)
    control = Control(model.unet, model.shrinking, _config_in(folder))
    try:
        control.load_state_dict(state)
    except RuntimeError as error:
        said = str(error).strip().splitlines()[1:2]
        raise ModelError(
            f"{folder}: is a control of another base than {model.name}:"
            f" {' '.join(said).strip()}"
        ) from error
    return control.to(model.device).eval().requires_grad_(False)


def _config_in(folder: Path) -> ControlConfig:
    """What kind of control a folder says that it holds; one of another maker is a usual one."""
    card = folder / "graft.json"
    settings = read_json(card).get("settings", {}) if card.is_file() else {}
    control = cast("dict[str, dict[str, object]]", settings).get("control", {})
    return fill(ControlConfig, control, str(card))


def read_hint(path: Path) -> np.ndarray:
    """The pixels [H, W, 3] of a picture file.

    Raises:
        DataError: it is not there, or cannot be read.
    """
    if not path.is_file():
        raise DataError(f"{path}: no such picture")
    decoded = decode_picture(path, Limits())
    if isinstance(decoded, Refused):
        raise DataError(f"{path}: {decoded.reason}; give a PNG, JPEG or the like")
    return decoded.pixels_HWC


def hint_of(folder: Path, pixels_HWC: np.ndarray, size: int, seed: int = 0) -> np.ndarray:
    """The hint [size, size, 3] that the control in `folder` reads, drawn out of a picture.

    Raises:
        ModelError: the folder does not say which condition its control reads.
    """
    if not (folder / "graft.json").is_file():
        raise ModelError(
            f"{folder}: does not say which condition it reads; give the finished hint instead"
        )
    card = read_json(folder / "graft.json")
    settings = cast("dict[str, Value]", card["annotator"])
    annotator = annotator_by_name(cast("str", card["condition"]), settings)
    rng = np.random.default_rng(seed)
    return annotate_picture(annotator, fit_picture(pixels_HWC, size), rng).pixels_HWC
