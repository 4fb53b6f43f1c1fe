"""Pictures from prompts and hints: trained controls at work.

Any folder that `ControlNetModel.from_pretrained` reads will do as a control, if it is in
safetensors, reads a hint of three channels and belongs to the base; one that graft trained
says in `graft.json` which condition it reads.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from torch import nn

from graft.controlnet.annotators.annotator import annotate_picture
from graft.controlnet.annotators.kit import annotator_by_name
from graft.controlnet.card import condition_of, kind_of
from graft.controlnet.control import Control, moved_decoder
from graft.controlnet.decoding import Limits, Refused, decode_picture
from graft.controlnet.pictures import fit_picture
from graft.controlnet.sampling import RunConfig, Steering, sample
from graft.controlnet.taught import fill_control, read_delta
from graft.errors import ConfigError, DataError
from graft.models.diffusion import DiffusionModel


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
    """A picture [H, W, 3] for each order, under all controls at once, whose residuals add.

    Raises:
        ConfigError: more than one of them acts with a decoder of its own.
    """
    remaining = iter(orders)
    # one of weight 0 is not asked
    decoder = one_decoder(use.control.decoder for use in uses if use.weight != 0)
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
        yield from sample(model, words, negative, seeds, steerings, settings, decoder=decoder)


def one_decoder(found: Iterable[nn.Module | None]) -> nn.Module | None:
    """The decoder that takes the place of the base's own, if one of the controls has its own.

    Raises:
        ConfigError: more than one of them has.
    """
    decoders = [decoder for decoder in found if decoder is not None]
    if len(decoders) > 1:
        raise ConfigError(
            f"{len(decoders)} of these controls were taught with an unlocked decoder each, and"
            " a picture has one decoder; use one of them"
        )
    return decoders[0] if decoders else None


def load_control(folder: Path, model: DiffusionModel) -> Control:
    """The control in a folder, on the base's device, with the decoder that learned beside it.

    Raises:
        ModelError: there is none, it belongs to another base, or its decoder is missing.
    """
    control = Control(model.unet, model.shrinking, kind_of(folder))
    fill_control(control, folder, model)
    if control.config.unlock_decoder:
        decoder = moved_decoder(model.unet, read_delta(folder, model))
        control.act_with(decoder.eval().requires_grad_(False))
    return control.to(model.device).eval().requires_grad_(False)


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
    annotator = annotator_by_name(*condition_of(folder))
    rng = np.random.default_rng(seed)
    return annotate_picture(annotator, fit_picture(pixels_HWC, size), rng).pixels_HWC
