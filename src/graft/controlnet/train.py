"""Teach a control: the base's own loss, through the zero convolutions, and nothing else.

Zhang et al. 2023, Section 3.3. The base is frozen; half of the prompts are emptied, drawn anew
each time a picture is seen, so that the control learns to read the hint by itself.

What is drawn for a picture (its noise, its time, whether its prompt is emptied) depends on the
seed, the picture and the epoch alone: not on its batch, nor on how often a run was stopped.

    FOLDER/checkpoint-N/   where it stands: weights, their average, the optimizer
    FOLDER/control/        the averaged control, a folder for `ControlNetModel.from_pretrained`
    FOLDER/decoder.safetensors   what an unlocked decoder has moved by

Legend: B pictures, C channels, H and W pixels, h and w latent pixels, T tokens, D width.
"""

import functools
import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal, cast

import torch
from safetensors.torch import save
from torch import Tensor, nn

from graft.config import to_table
from graft.controlnet.annotators.annotator import Annotator
from graft.controlnet.control import ControlConfig, Controlled
from graft.controlnet.convergence import Check, Convergence, ConvergenceConfig, judge, onset_of
from graft.controlnet.lessons import Batch, Lesson, read_lessons
from graft.controlnet.validation import Validation
from graft.errors import DataError, StoreError
from graft.models.diffusion import DiffusionModel, Words
from graft.models.recompute import Recompute
from graft.models.unet import read_controlnet, write_controlnet, write_weights
from graft.store.folders import remove_folder, remove_partial_folders, whole_folder
from graft.store.whole import read_json, whole_file, write_json, writing
from graft.train.average import Average
from graft.train.checkpoint import (
    Checkpoint,
    list_begun,
    list_checkpoints,
    load_checkpoint,
    prune_checkpoints,
    save_checkpoint,
)
from graft.train.loop import Step, fit
from graft.train.schedule import Decay, warm_up_then

_BETA1 = 0.9  # PyTorch's


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Settings of `train`.

    Defaults are the paper's where it gives them, but for three that bring the onset sooner
    (docs/results/study-convergence.md): `hint_rate`, `no_prompt` and `time_power`.
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
    clip_norm: float = 1.0
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
        for name in ("steps", "batch", "accumulate", *every):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is at least 1")
        if not 0.0 <= self.no_prompt <= 1.0:
            raise ValueError("no_prompt is a share, from 0 to 1")
        if self.pairs is not None and self.pairs < 1:
            raise ValueError("pairs is at least 1, or not given")
        if not 0 <= self.beta2 < 1:
            raise ValueError("beta2 is at least 0 and below 1")
        if self.time_power <= 0:
            raise ValueError("time_power is above 0")


@dataclass(frozen=True, slots=True)
class Progress(Step):
    """A step, the check that followed it where one did, and what is thought of it all."""

    check: Check | None = None
    convergence: Convergence | None = None


def train(
    model: DiffusionModel,
    lessons: Sequence[Lesson],
    empty: Words,
    validation: Validation,
    settings: TrainConfig,
    folder: Path,
) -> Iterator[Progress]:
    """Teach a control of `model`, yielding after each step; at the end `folder/control` stands.

    Continues from the last checkpoint in `folder`, to the same bytes as if never interrupted.
    If `folder/control` stands already, nothing is done. `model` itself is never changed.
    A step's checkpoint is written when the next one is asked for: what the caller does with a
    step is done before it counts.

    Raises:
        StoreError: the folder was begun with something else, or a checkpoint is damaged.
        ModelError: the training diverged.
    """
    if (folder / "control").exists():
        _refuse_finished(folder, settings)
        _clear(folder)
        return
    if not lessons:
        raise DataError("no pairs to learn from; see the report of `keep`")
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    remove_partial_folders(folder)
    origin = _origin(settings, model, lessons, validation)
    trainee = Trainee(model, validation.annotator, settings)
    yield from _learn(trainee, lessons, empty, validation, folder, origin)
    _write(trainee, folder)
    _clear(folder)


def _clear(folder: Path) -> None:
    """Leave no checkpoints, also where an earlier process was killed while clearing."""
    for checkpoint in list_checkpoints(folder):
        remove_folder(checkpoint.folder)
    remove_partial_folders(folder)


class Trainee:
    """A controlled base that learns, its running average, and the optimizer."""

    def __init__(
        self, model: DiffusionModel, annotator: Annotator, settings: TrainConfig
    ) -> None:
        self.model, self.annotator, self.settings = model, annotator, settings
        self.live = new_controlled(model, settings)
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
        averaged = _silent(self.model, self.settings).requires_grad_(False)
        averaged.load_state_dict(self.live.state_dict())  # where nothing is averaged
        self.average.apply_to(averaged)
        return averaged.eval()


def new_controlled(model: DiffusionModel, settings: TrainConfig) -> Controlled:
    """A base with a silent control, or with the one that `start_from` names."""
    controlled = _silent(model, settings)
    if settings.start_from is not None:
        controlled.control.load_state_dict(read_controlnet(settings.start_from))
    return controlled


def _silent(model: DiffusionModel, settings: TrainConfig) -> Controlled:
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


def _learn(
    trainee: Trainee,
    lessons: Sequence[Lesson],
    empty: Words,
    validation: Validation,
    folder: Path,
    origin: str,
) -> Iterator[Progress]:
    """The steps that are still to do, with their checks and checkpoints."""
    settings = trainee.settings
    start, checks = _resume(list_begun(folder, origin), trainee)
    if not checks:
        checks.append(validation.check(trainee.shown(), 0, pictures=True))
    watch = Watch(validation, settings, checks)
    if settings.stop_when_converged and watch.verdict.ended:
        return

    def saves_at(step: int) -> bool:
        return step % settings.checkpoint_every == 0 or step == settings.steps

    steps = fit(
        read_lessons(lessons, empty, trainee.model, settings, start),
        functools.partial(loss_of_pictures, trainee),
        trainee.optimizer,
        warm_up_then(settings.decay, steps=settings.steps, warm_up=settings.warm_up),
        start=start,
        clip_norm=settings.clip_norm,
        autocast=_precision(settings, trainee.model.device),
        waits_at=lambda step: watch.looks_at(step) or saves_at(step),
    )
    for step in steps:
        trainee.average.update(trainee.live)
        check = watch.check(trainee, step.index)
        if check is not None:
            watch.write(folder)
        yield Progress(**asdict(step), check=check, convergence=watch.verdict)
        ended = settings.stop_when_converged and watch.verdict.ended
        if saves_at(step.index) or ended:
            note = {"origin": origin, "checks": [asdict(one) for one in watch.checks]}
            left = settings.steps - step.index
            save_checkpoint(
                folder, step.index, trainee.both, trainee.optimizer, value=left, note=note
            )
            prune_checkpoints(folder, last=2)
        if ended:
            return


class Watch:
    """The checks of a training, and what is thought of it."""

    def __init__(
        self, validation: Validation, settings: TrainConfig, checks: list[Check]
    ) -> None:
        self.validation, self.settings, self.checks = validation, settings, checks
        self.ceiling = validation.ceiling()
        self.verdict = judge(
            checks[:1], self.ceiling, settings.convergence, steps=settings.steps
        )
        for count in range(2, len(checks) + 1):  # as they were judged one by one
            self.verdict = self._judge(checks[:count])

    def shows_at(self, step: int) -> bool:
        """Whether a check with pictures is due after `step` steps."""
        return step % self.settings.validate_every == 0 or step == self.settings.steps

    def looks_at(self, step: int) -> bool:
        """Whether any check is."""
        return self.shows_at(step) or step % self.settings.gap_every == 0

    def check(self, trainee: Trainee, step: int) -> Check | None:
        """A check if one is due after `step` steps; the verdict follows it."""
        if not self.looks_at(step):
            return None
        shows = self.shows_at(step)
        check = self.validation.check(trainee.shown(), step, pictures=shows)
        self.checks.append(check)
        self.verdict = self._judge(self.checks)
        return check

    def write(self, folder: Path) -> None:
        """Everything measured so far and what is thought of it, in `convergence.json`."""
        whole = onset_of(self.checks)
        told = {
            **asdict(self.verdict),
            "steps": self.checks[-1].step,
            "onset_of_whole_curve": None if whole is None else round(whole),
            "ceiling": list(self.ceiling),
            "checks": [check.to_table() for check in self.checks],
        }
        write_json(folder / "convergence.json", told)

    def _judge(self, checks: Sequence[Check]) -> Convergence:
        config, steps = self.settings.convergence, self.settings.steps
        return judge(checks, self.ceiling, config, steps=steps, before=self.verdict)


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


def _precision(settings: TrainConfig, device: torch.device) -> torch.dtype | None:
    lower = settings.precision == "bf16" or (
        settings.precision == "auto" and device.type == "cuda"
    )
    return torch.bfloat16 if lower else None


def _resume(begun: Sequence[Checkpoint], trainee: Trainee) -> tuple[int, list[Check]]:
    """The step to go on from, and the checks before it."""
    if not begun:
        return 0, []
    last = begun[-1]
    load_checkpoint(last, trainee.both, trainee.optimizer)
    noted = cast("list[dict[str, object]]", last.note["checks"])
    return last.step, [Check.from_table(one) for one in noted]


def _refuse_finished(folder: Path, settings: TrainConfig) -> None:
    """Do not let a finished control pass for one of other settings."""
    if read_json(folder / "control" / "graft.json")["settings"] != _what_counts(settings):
        raise StoreError(
            f"{folder}: holds a control that was taught with other settings; delete it, or"
            " choose another --out"
        )


def _write(trainee: Trainee, folder: Path) -> None:
    """The finished control as a folder, written whole, and a decoder's delta beside it."""
    shown = trainee.shown()
    control, delta = shown.control, shown.decoder_delta()
    if delta:
        content = save({name: tensor.cpu().contiguous() for name, tensor in delta.items()})
        with whole_file(folder / "decoder.safetensors") as file:
            file.write(content)
    with whole_folder(folder / "control") as partial:
        state = {name: tensor.cpu() for name, tensor in control.state_dict().items()}
        if control.config.usual:
            write_controlnet(trainee.model.unet, state, control.hint_channels, partial)
        else:  # `diffusers` has no class for it
            write_weights(state, partial)
        write_json(partial / "graft.json", _card(trainee))


def _card(trainee: Trainee) -> dict[str, object]:
    """What `graft.json` says."""
    return {
        "base": trainee.model.name,
        "condition": trainee.annotator.name,
        "annotator": to_table(trainee.annotator),
        "settings": _what_counts(trainee.settings),
    }


def _what_counts(settings: TrainConfig) -> dict[str, object]:
    """The settings that a control comes of; how memory is saved may change midway."""
    return {name: value for name, value in to_table(settings).items() if name != "recompute"}


def _origin(
    settings: TrainConfig,
    model: DiffusionModel,
    lessons: Sequence[Lesson],
    validation: Validation,
) -> str:
    digest = hashlib.blake2b(digest_size=16)
    watched = [pair.id for pair in validation.pairs]
    hints = [hashlib.blake2b(one.hint_png).hexdigest() for one in lessons]
    names = [(one.id, one.encoded.path.name) for one in lessons]
    content = [_what_counts(settings), model.name, names, hints, watched]
    digest.update(json.dumps(content, default=str).encode())
    return digest.hexdigest()
