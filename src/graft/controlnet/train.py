"""Teach a control: the base's own loss, through the zero convolutions, and nothing else.

Zhang et al. 2023, Section 3.3. The base is frozen. Of the prompts the share `no_prompt` is
emptied, drawn anew each time a picture is seen: none by default, half in the paper, so that the
control learns to read the hint by itself.

What is drawn for a picture (its noise, its time, whether its prompt is emptied) depends on the
seed, the picture and the epoch alone: not on its batch, nor on how often a run was stopped.

    FOLDER/checkpoint-N/   where it stands: weights, their average, the optimizer
    FOLDER/control/        the averaged control, a folder for `ControlNetModel.from_pretrained`
    FOLDER/decoder.safetensors   what an unlocked decoder has moved by
"""

import functools
import hashlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import cast

import torch
from safetensors.torch import save

from graft.config import to_table
from graft.controlnet.convergence import Check, Convergence, judge, onset_of
from graft.controlnet.lessons import Lesson, read_lessons
from graft.controlnet.trainee import TrainConfig, Trainee, loss_of_pictures
from graft.controlnet.validation import Validation, ValidationConfig
from graft.errors import DataError, ModelError, StoreError
from graft.models.diffusion import DiffusionModel, Words
from graft.models.unet import write_controlnet, write_weights
from graft.store.folders import remove_folder, remove_partial_folders, whole_folder
from graft.store.runs import told_differences
from graft.store.whole import read_json, whole_file, write_json, writing
from graft.train.checkpoint import (
    Checkpoint,
    list_begun,
    list_checkpoints,
    load_checkpoint,
    prune_checkpoints,
    save_checkpoint,
)
from graft.train.loop import DivergedError, Step, are_finite, fit
from graft.train.schedule import warm_up_then


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

    Another training in `folder` is refused at once, before a step is asked for.
    Continues from the last checkpoint in `folder`, to the same bytes as if never interrupted.
    If `folder/control` stands already, nothing is done. `model` itself is never changed.
    A step's checkpoint is written when the next one is asked for: what the caller does with a
    step is done before it counts. Nothing is saved of what no step can go on from.

    Raises:
        StoreError: the folder was begun with something else, or a checkpoint is damaged.
        ModelError: the training diverged; tells what to do.
    """
    if (folder / "control").exists():
        require_taught_so(folder, settings, validation.settings)
        _clear(folder)
        return iter(())
    if not lessons:
        raise DataError("no pairs to learn from; see the report of `keep`")
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    remove_partial_folders(folder)
    origin = _origin(settings, model, lessons, validation)
    begun = list_begun(folder, origin)
    trainee = Trainee(model, validation.annotator, settings, goes_on=bool(begun))
    stand = _resume(begun, trainee, origin, validation)
    steps = _learn(trainee, lessons, empty, validation, folder, stand)
    return _finish(steps, trainee, folder, validation.settings)


def _finish(
    steps: Iterator[Progress], trainee: Trainee, folder: Path, validation: ValidationConfig
) -> Iterator[Progress]:
    """The steps; after the last of them the control stands."""
    try:
        yield from steps
    except DivergedError as error:
        raise ModelError(f"{error}{_way_out(folder, trainee.settings)}") from error
    _write(trainee, folder, validation)
    _clear(folder)


def _clear(folder: Path) -> None:
    """Leave no checkpoints, also where an earlier process was killed while clearing."""
    for checkpoint in list_checkpoints(folder):
        remove_folder(checkpoint.folder)
    remove_partial_folders(folder)


def _way_out(folder: Path, settings: TrainConfig) -> str:
    """What to do about a training that diverged, and what is left of it."""
    left = list_checkpoints(folder)
    stands = "nothing of it is saved"
    if left:
        stands = f"with the same settings it goes on from {left[-1].folder}"
    return (
        f". That is another training: delete {folder} and begin it again, as with --set"
        f" train.learning_rate={settings.learning_rate / 10:g}; {stands}"
    )


def _learn(
    trainee: Trainee,
    lessons: Sequence[Lesson],
    empty: Words,
    validation: Validation,
    folder: Path,
    stand: "_Stand",
) -> Iterator[Progress]:
    """The steps that are still to do, with their checks and checkpoints."""
    settings = trainee.settings
    checks = stand.checks or (_first_check(trainee, validation),)
    watch = Watch(validation, settings, [*checks])
    if settings.stop_when_converged and watch.verdict.ended:
        return

    def saves_at(step: int) -> bool:
        return step % settings.checkpoint_every == 0 or step == settings.steps

    steps = fit(
        read_lessons(lessons, empty, trainee.model, settings, stand.step),
        functools.partial(loss_of_pictures, trainee),
        trainee.optimizer,
        warm_up_then(settings.decay, steps=settings.steps, warm_up=settings.warm_up),
        start=stand.step,
        clip_norm=settings.clip_norm,
        autocast=_precision(settings, trainee.model.device),
        waits_at=lambda step: watch.looks_at(step) or saves_at(step),
    )
    for step in steps:
        trainee.average.update(trainee.live)
        check = watch.check(trainee, step.index, folder)
        ended = settings.stop_when_converged and watch.verdict.ended
        saved = saves_at(step.index) or ended
        if saved:
            watch.require_sound(trainee, step.index)
        yield Progress(**asdict(step), check=check, convergence=watch.verdict)
        if saved:
            note = watch.to_note(stand.origin)
            left = settings.steps - step.index
            save_checkpoint(
                folder, step.index, trainee.both, trainee.optimizer, value=left, note=note
            )
            prune_checkpoints(folder, last=2)
        if ended:
            return


def _first_check(trainee: Trainee, validation: Validation) -> Check:
    """Of the silent control, or of the one that the training starts from."""
    first = validation.check(trainee.shown(), 0, pictures=True)
    if not first.is_finite:
        raise ModelError(
            f"{trainee.model.name}: the losses of the validation pictures are not finite before"
            " anything is learnt; see that the weights of the base, and of the control that"
            " train.start_from names, are whole"
        )
    return first


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

    def check(self, trainee: Trainee, step: int, folder: Path) -> Check | None:
        """A check if one is due after `step` steps; verdict and `folder` follow it.

        Raises:
            DivergedError: the weights or its losses are not finite.
        """
        if not self.looks_at(step):
            return None
        _require_finite(step, "weights", sound=are_finite(trainee.both))
        shows = self.shows_at(step)
        check = self.validation.check(trainee.shown(), step, pictures=shows)
        _require_finite(step, "losses of the validation pictures", sound=check.is_finite)
        self.checks.append(check)
        self.verdict = self._judge(self.checks)
        self.write(folder)
        return check

    def require_sound(self, trainee: Trainee, step: int) -> None:
        """Refuse to save weights that no step can go on from.

        Raises:
            DivergedError: they are not finite, or the loss under them is not.
        """
        _require_finite(step, "weights", sound=are_finite(trainee.both))
        losses = self.validation.losses(trainee.live)
        sound = all(map(math.isfinite, losses))
        _require_finite(step, "losses of the validation pictures", sound=sound)

    def to_note(self, origin: str) -> dict[str, object]:
        """What a checkpoint says of itself: its training, the checks, how they measured."""
        checks = [asdict(one) for one in self.checks]
        measure = self.validation.settings.to_measure()
        return {"origin": origin, "checks": checks, "validation": measure}

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
        write_json(folder / "convergence.json", _finite(told))

    def _judge(self, checks: Sequence[Check]) -> Convergence:
        config, steps = self.settings.convergence, self.settings.steps
        return judge(checks, self.ceiling, config, steps=steps, before=self.verdict)


def _require_finite(step: int, what: str, *, sound: bool) -> None:
    if not sound:
        raise DivergedError(
            f"step {step}: the {what} are not finite; take a lower learning rate or a longer"
            " warm-up"
        )


def _finite(value: object) -> object:
    """The same with null for each number that JSON cannot hold."""
    match value:
        case dict():
            table = cast("dict[str, object]", value)
            return {name: _finite(inner) for name, inner in table.items()}
        case list() | tuple():
            return [_finite(inner) for inner in cast("Sequence[object]", value)]
        case float():
            return value if math.isfinite(value) else None
        case _:
            return value


def _precision(settings: TrainConfig, device: torch.device) -> torch.dtype | None:
    lower = settings.precision == "bf16" or (
        settings.precision == "auto" and device.type == "cuda"
    )
    return torch.bfloat16 if lower else None


@dataclass(frozen=True, slots=True)
class _Stand:
    """Where a training stands: which it is, the steps taken, and the checks so far."""

    origin: str
    step: int = 0
    checks: tuple[Check, ...] = ()


def _resume(
    begun: Sequence[Checkpoint], trainee: Trainee, origin: str, validation: Validation
) -> _Stand:
    """Put `trainee` where the last checkpoint stands, if there is one."""
    if not begun:
        return _Stand(origin)
    last = begun[-1]
    if told := _otherwise_measured(last.note, validation.settings):
        raise StoreError(
            f"{last.folder}: was measured with other settings: {told}; take the same ones, or"
            f" delete {last.folder.parent} to begin again"
        )
    load_checkpoint(last, trainee.both, trainee.optimizer)
    noted = cast("list[dict[str, object]]", last.note["checks"])
    checks = tuple(Check.from_table(one) for one in noted)
    if not (are_finite(trainee.both) and all(check.is_finite for check in checks)):
        raise StoreError(
            f"{last.folder}: holds weights or losses that are not finite; delete"
            f" {last.folder.parent} and begin again with a lower train.learning_rate"
        )
    return _Stand(origin, last.step, checks)


def require_taught_so(
    folder: Path, settings: TrainConfig, validation: ValidationConfig
) -> None:
    """Do not let the finished control in `folder` pass for one of other settings."""
    card = read_json(folder / "control" / "graft.json")
    begun = cast("dict[str, object]", card["settings"])
    told = told_differences(begun, _what_counts(settings))
    if told := told or _otherwise_measured(card, validation):
        raise StoreError(
            f"{folder}: holds a control that was taught with other settings: {told}; take the"
            f" same ones, or delete {folder} to teach it anew"
        )


def _otherwise_measured(noted: Mapping[str, object], validation: ValidationConfig) -> str:
    """How `noted` says it was measured otherwise; nothing of older ones, which do not say."""
    measure: dict[str, object] = {"validation": validation.to_measure()}
    before = {name: noted[name] for name in measure if name in noted}
    return told_differences(before, measure) if before else ""


def _write(trainee: Trainee, folder: Path, validation: ValidationConfig) -> None:
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
        write_json(partial / "graft.json", _card(trainee, validation))


def _card(trainee: Trainee, validation: ValidationConfig) -> dict[str, object]:
    """What `graft.json` says."""
    return {
        "base": trainee.model.name,
        "condition": trainee.annotator.name,
        "annotator": to_table(trainee.annotator),
        "settings": _what_counts(trainee.settings),
        "validation": validation.to_measure(),
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
