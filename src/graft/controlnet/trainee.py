"""What a control learns with: the base that it joins, its average, its optimizer, its loss.

Legend: B pictures, C channels, H and W pixels, h and w latent pixels, T tokens, D width.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from graft.config import require
from graft.controlnet.annotators.annotator import Annotator
from graft.controlnet.card import kind_of
from graft.controlnet.control import ControlConfig, Controlled
from graft.controlnet.convergence import ConvergenceConfig
from graft.controlnet.lessons import Batch
from graft.controlnet.taught import fill_control, read_delta
from graft.errors import ModelError
from graft.models.diffusion import DiffusionModel
from graft.models.recompute import Recompute
from graft.train.average import Average
from graft.train.schedule import Decay

_BETA1 = 0.9  # PyTorch's
_SHARE = "a share, from 0 to 1"


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Settings of `train`.

    Defaults are the paper's where it gives them, but for three that bring the onset sooner
    (docs/results/study-convergence.md): `hint_rate`, `no_prompt` and `time_power`. Gradients
    are kept short because AdamW does not forget a long one for 1 / (1 - `beta2`) steps: until
    then the hint encoder hardly moves, and what the long one broke stays broken.
    """

    steps: int = 10_000  # the onset comes within 10k (Section 3.3)
    batch: int = 4
    accumulate: int = 1  # batches to a step
    learning_rate: float = 1e-5
    hint_rate: float = 10.0  # times that rate for the hint encoder; 1 in the paper
    zero_rate: float = 1.0  # and for the zero convolutions between control and base
    beta2: float = 0.999  # AdamW's
    weight_decay: float = 0.01
    warm_up: float = 0.0
    decay: Decay = "constant"
    clip_norm: float = 0.1  # of gradients; 1 in the usual script
    no_prompt: float = 0.0  # share of prompts emptied; 0.5 in the paper (Section 3.3)
    time_power: float = 0.4  # noise times; 1: evenly, below: late ones more, where hints tell
    average_decay: float = 0.999  # 0 for none
    flip: bool = False  # learn from each pair mirrored as well, left for right
    precision: Literal["auto", "fp32", "bf16"] = "auto"  # auto: bf16 on a GPU
    recompute: Recompute = False  # activations: true or "cheap", less memory, the same result
    control: ControlConfig = field(default_factory=ControlConfig)
    start_from: Path | None = None  # a control of a related condition
    validate_every: int = 250  # steps between checks with pictures
    gap_every: int = 50  # steps between checks by the loss alone
    checkpoint_every: int = 250
    stop_when_converged: bool = False
    convergence: ConvergenceConfig = field(default_factory=ConvergenceConfig)
    pairs: int | None = None  # learn from so many of them only
    seed: int = 0

    def __post_init__(self) -> None:
        every = ("validate_every", "gap_every", "checkpoint_every")
        counts = ("steps", "batch", "accumulate", *every)
        above = ("learning_rate", "clip_norm", "time_power")
        least = ("hint_rate", "zero_rate", "weight_decay")
        decays = ("beta2", "average_decay")
        require(self, counts, lambda count: count >= 1, "at least 1")
        require(self, above, lambda one: 0 < one < math.inf, "above 0, and finite")
        require(self, least, lambda one: 0 <= one < math.inf, "at least 0, and finite")
        require(self, ("no_prompt", "warm_up"), lambda one: 0 <= one <= 1, _SHARE)
        require(self, decays, lambda one: 0 <= one < 1, "at least 0 and below 1")
        require(self, ("seed",), lambda seed: 0 <= seed < 2**63, "from 0 to 2**63 - 1")
        if self.pairs is not None and self.pairs < 1:
            raise ValueError("pairs is at least 1, or not given")


class Trainee:
    """A controlled base that learns, its running average, and the optimizer."""

    def __init__(
        self,
        model: DiffusionModel,
        annotator: Annotator,
        settings: TrainConfig,
        *,
        goes_on: bool = False,
    ) -> None:
        """One that `goes_on` gets its weights of a checkpoint, and reads no start."""
        self.model, self.annotator, self.settings = model, annotator, settings
        begin = silent_controlled if goes_on else new_controlled
        self.live = begin(model, settings)
        self.average = Average(self.live, settings.average_decay)
        self.both = nn.ModuleDict({"model": self.live, "average": self.average})
        self.optimizer = torch.optim.AdamW(
            list(_groups(self.live, settings)),
            betas=(_BETA1, settings.beta2),
            weight_decay=settings.weight_decay,
            fused=True,
        )

    def shown(self) -> Controlled:
        """The control as it would be saved now: large, so made anew each time."""
        averaged = silent_controlled(self.model, self.settings).requires_grad_(False)
        averaged.load_state_dict(self.live.state_dict())  # where nothing is averaged
        self.average.apply_to(averaged)
        return averaged.eval()


def new_controlled(model: DiffusionModel, settings: TrainConfig) -> Controlled:
    """A base with a silent control, or with the one that `start_from` names.

    Raises:
        ModelError: that one is not there, or of another kind or base.
    """
    controlled = silent_controlled(model, settings)
    if settings.start_from is not None:
        try:
            _begin_with(settings.start_from, controlled, model)
        except ModelError as error:
            raise ModelError(f"train.start_from: {error}") from error
    return controlled


def _begin_with(folder: Path, controlled: Controlled, model: DiffusionModel) -> None:
    """Give `controlled` what the control in `folder` has learned, its decoder's part too."""
    there = kind_of(folder)
    if setting := _unlike(there, controlled.control.config):
        value = str(getattr(there, setting)).lower()
        raise ModelError(
            f"{folder}: was taught with control.{setting} = {value}; take train.control."
            f"{setting}={value} as well, or begin with another control"
        )
    fill_control(controlled.control, folder, model)
    if there.unlock_decoder:
        controlled.add_to_decoder(read_delta(folder, model))


def _unlike(there: ControlConfig, here: ControlConfig) -> str:
    """The setting for which a control cannot begin with another; empty where it can."""
    in_the_way = {
        "light": there.light != here.light,
        "latent_hint": there.latent_hint != here.latent_hint,
        "unlock_decoder": there.unlock_decoder and not here.unlock_decoder,
        "middle_only": here.middle_only and not there.middle_only,  # its skips would speak on
    }
    return next((name for name, is_so in in_the_way.items() if is_so), "")


def silent_controlled(model: DiffusionModel, settings: TrainConfig) -> Controlled:
    """A base with a control that has learned nothing; no file is read."""
    controlled = Controlled(
        model.unet,
        model.shrinking,
        settings.control,
        seed=settings.seed,
        recompute=settings.recompute,
    )
    return controlled.to(model.device)


def _groups(live: Controlled, settings: TrainConfig) -> Iterator[dict[str, object]]:
    """Zero convolutions and hint encoder, which begin from nothing, and the rest."""
    doors = nn.ModuleList(live.control.doors)
    times = {id(p): settings.zero_rate for p in doors.parameters()}
    encoder = live.control.controlnet_cond_embedding
    times |= {id(p): settings.hint_rate for p in encoder.parameters()}
    groups: dict[float, list[nn.Parameter]] = {}
    for parameter in live.parameters():
        if parameter.requires_grad:
            groups.setdefault(times.get(id(parameter), 1.0), []).append(parameter)
    for rate, parameters in groups.items():
        yield {"params": parameters, "lr": settings.learning_rate * rate}


def loss_of_pictures(trainee: Trainee, batch: Batch) -> "PictureLoss":
    """The base's loss on one batch, summed over its pictures; it waits for no device.

    But for a latent hint, which the base's autoencoder reads here.
    """
    model, device = trainee.model, trainee.model.device
    there = batch.to(device)
    noisy_BChw = model.noise.add(there.latents_BChw, there.noise_BChw, there.time_B)
    target_BChw = model.noise.target(there.latents_BChw, there.noise_BChw, there.time_B)
    hint_BCHW = there.hint_BCHW
    if trainee.settings.control.latent_hint:
        hint_BCHW = trainee.live.control.read(batch.hints_BHWC, model).to(device)
    words = there.words
    added = model.added(words, batch.hints_BHWC.shape[1])
    found_BChw = trainee.live(noisy_BChw, there.time_B, words.states_BTD, hint_BCHW, added)
    error_B = (found_BChw.float() - target_BChw).square().mean(dim=(1, 2, 3))
    return PictureLoss(error_B.sum(), len(batch))


@dataclass(frozen=True, slots=True)
class PictureLoss:
    """Squared error per latent number, summed over `count` pictures."""

    total: Tensor
    count: int
