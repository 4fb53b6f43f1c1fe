"""Finetune a model on texts with calls, and, beside it, the control on the same without.

Schick et al. 2023, Section 2, "Model Finetuning", and Section 4.1. Nothing but the examples
differs between the two: settings, order of the batches and development texts are the same.

    FOLDER/checkpoint-N/   while it learns: the last evaluation, and the best
    FOLDER/model/          the best by development perplexity, an ordinary Hugging Face folder
    FOLDER/model/graft.json   its tools, and where it comes from
"""

import functools
import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, cast

import torch

from graft.config import to_table
from graft.errors import DataError, StoreError
from graft.models.finetune import (
    copy_to_train,
    copy_with_lora,
    frame,
    loss_of_rows,
    perplexity_of_rows,
    save,
)
from graft.models.huggingface import HuggingFaceModel
from graft.models.language import Ids
from graft.store.folders import remove_folder, remove_partial_folders, whole_folder
from graft.store.runs import told_differences
from graft.store.whole import write_json, writing
from graft.toolformer.dataset import Merged
from graft.toolformer.tools.tool import Tool
from graft.train.batches import split_batch, stream_batches
from graft.train.checkpoint import (
    Checkpoint,
    best_of,
    list_begun,
    load_checkpoint,
    prune_checkpoints,
    save_checkpoint,
)
from graft.train.loop import Step, fit
from graft.train.schedule import Decay, warm_up_then


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Settings of `train`."""

    batch: int = 128  # sequences per step, Section 4.1
    learning_rate: float = 1e-5  # Section 4.1
    warm_up: float = 0.1  # share of the steps, linear, Section 4.1
    decay: Decay = "linear"  # after the warm-up; not said
    max_steps: int = 2000  # Section 4.1
    evaluate_every: int = 500  # steps, Section 4.1
    epochs: int = 3  # at most; not said
    max_tokens: int = 1024  # per sequence, Section 4.1; longer ones are cut into several
    batch_tokens: int = 8192  # at once through the network: memory, not a result
    weight_decay: float = 0.0  # not said
    clip_norm: float = 1.0  # not said
    method: Literal["full", "lora"] = "full"  # full in the paper
    lora_rank: int = 16
    plain_share: float = 0.0  # share of examples without a kept call; none, footnote 4
    plain_from: Literal["any", "unproposed"] = "any"  # or texts for which no call was proposed
    also_plain: float = 0.0  # share of examples with calls that are learnt without them too
    dev_share: float = 0.05  # share of the texts to develop on
    dev_texts: int = 1000  # and at most so many, Section 4.1
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what cannot be trained with."""
        if min(self.batch, self.max_steps, self.evaluate_every, self.epochs) < 1:
            raise ValueError("'batch', 'max_steps', 'evaluate_every' and 'epochs' begin at 1")
        if self.max_tokens < 2:
            raise ValueError("'max_tokens' begins at 2: a start and a token")
        if not 0 <= self.plain_share < 1 or not 0 <= self.dev_share < 1:
            raise ValueError("'plain_share' and 'dev_share' lie in [0, 1)")
        if not 0 <= self.also_plain <= 1:
            raise ValueError("'also_plain' lies in [0, 1]")


@dataclass(frozen=True, slots=True)
class Examples:
    """Token sequences to learn from, and to choose the best checkpoint on."""

    training: list[Ids]
    development: list[Ids]


@dataclass(frozen=True, slots=True)
class Progress(Step):
    """A step, and the development perplexity where it was measured after it."""

    perplexity: float | None = None


def examples_of(merged: Iterable[Merged], *, calls: bool) -> Iterator[Ids]:
    """Per text its tokens with the calls, for the Toolformer, or without, for the control."""
    for record in merged:
        yield record.tokens if calls else record.plain


def divide(merged: Iterable[Merged], settings: TrainConfig, *, calls: bool) -> Examples:
    """What to learn from and what to develop on, with calls or without.

    Records without a call are mixed in up to `plain_share` of all. Which those are, and which
    texts develop, hangs on the seed and the texts' ids only: with calls and without, the
    same texts are on the same side.

    Raises:
        DataError: there are fewer than two texts with calls.
    """
    records = _mixed(list(merged), settings)
    if len(records) < 2:
        raise DataError(
            "fewer than two texts kept a call: nothing to learn from; annotate more texts, or"
            " keep with a lower threshold"
        )
    count = max(1, min(settings.dev_texts, round(settings.dev_share * len(records))))
    ranked = sorted(records, key=lambda record: _hash("develop", settings.seed, record.text.id))
    chosen = {record.text.id for record in ranked[:count]}
    apart = [record for record in records if record.text.id in chosen]
    rest = [record for record in records if record.text.id not in chosen]
    learnt = [
        *examples_of(rest, calls=calls),
        *examples_of(_again(rest, settings), calls=False),
    ]
    return Examples(learnt, list(examples_of(apart, calls=calls)))


def finetune(
    model: HuggingFaceModel,
    examples: Sequence[Ids],
    development: Sequence[Ids],
    settings: TrainConfig,
    folder: Path,
    *,
    tools: Iterable[Tool] = (),
) -> Iterator[Progress]:
    """Train a copy of `model`, yielding after each step; at the end `folder/model` stands.

    Continues from the last checkpoint in `folder`, to the same bytes as if never interrupted.
    If `folder/model` stands already, nothing is done. `model` itself is never changed.

    Raises:
        StoreError: the folder was begun with something else, or a checkpoint is damaged.
        ModelError: the training diverged.
    """
    if not (examples and development):
        raise DataError("no examples to learn from, or none to choose the best checkpoint on")
    texts = [*map(list, examples), "development", *map(list, development)]
    origin = _hash(to_table(settings), model.name, *texts)
    if (folder / "model").exists():
        _refuse_another(folder, origin)
        _clear(folder)
        return
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    remove_partial_folders(folder)
    trainee = _trainee(model, settings)
    yield from _learn(trainee, examples, development, settings, folder, origin)
    best = best_of(list_begun(folder, origin))
    load_checkpoint(best, trainee.model)
    with whole_folder(folder / "model") as partial, writing(folder / "model"):
        save(trainee, partial, dtype=model.model.dtype)
        write_json(partial / "graft.json", _card(model, settings, best, tools))
    _clear(folder)


def count_steps(model: HuggingFaceModel, examples: Sequence[Ids], settings: TrainConfig) -> int:
    """How many steps `finetune` takes in all."""
    rows = len(_framed(model, examples, settings))
    return min(settings.max_steps, settings.epochs * -(-rows // settings.batch))


def read_card(folder: Path) -> dict[str, object] | None:
    """What `graft.json` of a model folder says, or None where there is none."""
    path = folder / "graft.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def require_taught_so(folder: Path, settings: TrainConfig) -> None:
    """Do not let the taught model in `folder` pass for one of other settings.

    Raises:
        StoreError: it was taught with others; names them.
    """
    begun = cast("dict[str, object]", (read_card(folder) or {}).get("settings", {}))
    if begun and (told := told_differences(begun, to_table(settings))):
        raise StoreError(
            f"{folder}: was taught with other settings: {told}; take the same ones, or delete"
            f" {folder.parent} to teach it anew"
        )


def _clear(folder: Path) -> None:
    """Leave nothing but the model, also where an earlier process was killed while clearing."""
    for checkpoint in sorted(folder.glob("checkpoint-*")):
        remove_folder(checkpoint)
    remove_partial_folders(folder)


def _refuse_another(folder: Path, origin: str) -> None:
    """Raise StoreError where the finished model learnt something else, or otherwise."""
    card = read_card(folder / "model") or {}
    if card.get("origin", origin) != origin:
        raise StoreError(
            f"{folder / 'model'}: was trained with other settings or examples; delete {folder}"
            " to train anew, or choose another --out"
        )


def _learn(
    trainee: HuggingFaceModel,
    examples: Sequence[Ids],
    development: Sequence[Ids],
    settings: TrainConfig,
    folder: Path,
    origin: str,
) -> Iterator[Progress]:
    """The steps that are still to do, with a checkpoint at each evaluation."""
    optimizer = torch.optim.AdamW(
        [p for p in trainee.model.parameters() if p.requires_grad],
        lr=settings.learning_rate,
        weight_decay=settings.weight_decay,
        fused=trainee.device.type in ("cpu", "cuda"),
    )
    start, history = _resume(list_begun(folder, origin), trainee, optimizer)
    steps = count_steps(trainee, examples, settings)
    held_out = _framed(trainee, development, settings)
    checks = _parts(held_out, range(len(held_out)), settings)

    def evaluates_at(step: int) -> bool:
        return step % settings.evaluate_every == 0 or step == steps

    for step in fit(
        _batches(_framed(trainee, examples, settings), start, steps, settings),
        functools.partial(loss_of_rows, trainee),
        optimizer,
        warm_up_then(settings.decay, steps=steps, warm_up=settings.warm_up),
        start=start,
        clip_norm=settings.clip_norm,
        autocast=torch.bfloat16 if trainee.device.type == "cuda" else None,
        waits_at=evaluates_at,
    ):
        value = None
        if evaluates_at(step.index):
            value = perplexity_of_rows(trainee, checks)
            history[str(step.index)] = value
            note = {"origin": origin, "perplexity": history}
            save_checkpoint(
                folder, step.index, trainee.model, optimizer, value=value, note=note
            )
            prune_checkpoints(folder, last=2)
        yield Progress(**asdict(step), perplexity=value)


def _resume(
    begun: Sequence[Checkpoint], trainee: HuggingFaceModel, optimizer: torch.optim.Optimizer
) -> tuple[int, dict[str, float]]:
    """The step to go on from, and the development perplexities before it."""
    if not begun:
        return 0, {}
    load_checkpoint(begun[-1], trainee.model, optimizer)
    return begun[-1].step, dict(cast("dict[str, float]", begun[-1].note["perplexity"]))


def _trainee(model: HuggingFaceModel, settings: TrainConfig) -> HuggingFaceModel:
    if settings.method == "lora":
        return copy_with_lora(model, rank=settings.lora_rank, seed=settings.seed)
    return copy_to_train(model)


def _framed(
    model: HuggingFaceModel, texts: Sequence[Ids], settings: TrainConfig
) -> list[list[int]]:
    return [row for text in texts for row in frame(model, text, settings.max_tokens)]


def _batches(
    rows: list[list[int]], start: int, steps: int, settings: TrainConfig
) -> Iterator[list[list[list[int]]]]:
    """Per step from `start` to the last, its rows in parts that fit the memory."""
    drawn = stream_batches(len(rows), rows=settings.batch, seed=settings.seed, start=start)
    for _, batch in zip(range(start, steps), drawn, strict=False):
        yield _parts(rows, batch, settings)


def _parts(
    rows: list[list[int]], batch: Sequence[int], settings: TrainConfig
) -> list[list[list[int]]]:
    chosen = [rows[index] for index in batch]
    parts = split_batch(range(len(chosen)), list(map(len, chosen)), settings.batch_tokens)
    return [[chosen[index] for index in part] for part in parts]


def _mixed(records: list[Merged], settings: TrainConfig) -> list[Merged]:
    """All records with calls, and of the others as many as their share allows.

    A text that needs a call and kept none teaches that none is needed there; texts for which
    nothing was proposed do not.
    """
    called = sum(1 for record in records if record.calls)
    plain = [record for record in records if _may_be_mixed_in(record, settings)]
    share = settings.plain_share / (1 - settings.plain_share)
    wanted = round(share * called)
    ranked = sorted(plain, key=lambda record: _hash("plain", settings.seed, record.text.id))
    mixed_in = {record.text.id for record in ranked[:wanted]}
    return [record for record in records if record.calls or record.text.id in mixed_in]


def _may_be_mixed_in(record: Merged, settings: TrainConfig) -> bool:
    return not record.calls and (settings.plain_from == "any" or record.candidates == 0)


def _again(records: list[Merged], settings: TrainConfig) -> list[Merged]:
    """The share of the records with calls that are learnt without them too.

    They keep the model used to going on without a call where one could stand, as it must when
    calls are disabled. The control learns these texts twice, so both learn the same texts.
    """
    called = [record for record in records if record.calls]
    ranked = sorted(called, key=lambda record: _hash("again", settings.seed, record.text.id))
    return ranked[: round(settings.also_plain * len(called))]


def _card(
    model: HuggingFaceModel, settings: TrainConfig, best: Checkpoint, tools: Iterable[Tool]
) -> dict[str, object]:
    """What `graft.json` says."""
    return {
        "base": model.name,
        "origin": best.note["origin"],
        "tools": [
            {"name": tool.name, "quoted": tool.quoted, "version": tool.version}
            | ({} if tool.place is None else {"place": tool.place})
            for tool in tools
        ],
        "step": best.step,
        "perplexity": best.note["perplexity"],
        "settings": to_table(settings),
    }


def _hash(*parts: object) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        digest.update(repr(part).encode())
    return digest.hexdigest()
