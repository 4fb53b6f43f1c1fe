"""All stages in a row, in a run's folder: from pictures to a control that has converged.

Here a stage, a function from an iterable to an iterator, meets the files that it works on.
"""

import json
import time
from collections import deque
from collections.abc import Iterator, Sequence, Set
from itertools import islice, zip_longest
from pathlib import Path
from typing import cast

import torch

from graft.config import to_table
from graft.controlnet.annotate import annotate
from graft.controlnet.convergence import Convergence
from graft.controlnet.dataset import Pair
from graft.controlnet.evaluate import Evaluated, build_report, evaluate, step0_difference
from graft.controlnet.grids import file_names, grid, write_picture
from graft.controlnet.keep import Examined, Kept, choose, contact_sheet, describe, examine
from graft.controlnet.latents import Encoded, encode_pairs
from graft.controlnet.lessons import Lesson, mirror
from graft.controlnet.pictures import PictureReader
from graft.controlnet.records import PAIR, encode_png
from graft.controlnet.tiles import cut_tiles
from graft.controlnet.train import train
from graft.controlnet.trainee import TrainConfig
from graft.controlnet.validation import Validation
from graft.controlnet.workshop import TeachConfig, Workshop
from graft.errors import DataError, StoreError
from graft.models.diffusion import Words
from graft.scale.progress import Progress
from graft.store.runs import held, write_json
from graft.store.shards import read_column, read_shard, shard_name, write_shard
from graft.store.whole import append_line, read_json, remove_partial, writing
from graft.train.loop import Step, take_known

__all__ = [
    "TeachConfig",
    "Workshop",
    "annotate_pictures",
    "encode_kept",
    "evaluate_run",
    "keep_pairs",
    "teach",
    "train_control",
]


def annotate_pictures(shop: Workshop) -> Iterator[Progress]:
    """Read the pictures and draw their conditions, in shards."""
    config = shop.config
    settings = {
        "images": str(config.images),
        "conditions": None if config.conditions is None else str(config.conditions),
        "limit": config.limit,
        "size": shop.size,
        "tiles": config.tiles,
        "shard_pictures": config.shard_pictures,
        "annotator": {"name": shop.annotator.name, "version": shop.annotator.version},
        "settings": to_table(config.annotator),
        "seed": config.seed,
    }
    with shop.open("annotate", settings) as opened:
        if opened.finished("shards") is not None:
            return
        reader = PictureReader(
            config.images,
            conditions=config.conditions,
            limit=config.limit,
            kind=shop.annotator.name,
        )
        folder, began = opened.folder("shards"), time.perf_counter()
        remove_partial(folder)
        pictures, shards, count, read = iter(reader), 0, 0, set[str]()
        what = "pictures"
        if config.tiles is not None:
            pictures, what = cut_tiles(pictures, config.tiles, shop.size), "tiles"
        while group := list(islice(pictures, config.shard_pictures)):
            path = folder / shard_name(shards)
            if path.exists():
                _refuse_others(path, [one.id for one in group])
            else:
                pairs = annotate(group, shop.annotator, shop.size, shop.picture_rng)
                write_shard(path, map(PAIR.to_row, pairs), PAIR.schema)
            shards, count = shards + 1, count + len(group)
            read.update(shop.picture_of(one.id) for one in group)
            yield Progress("annotate", count, 0, what, reader.told())
        if (left := folder / shard_name(shards)).exists():
            _refuse_others(left, [])
        opened.log("shards", {"seconds": time.perf_counter() - began})
        skipped = {"skipped": dict(reader.skipped), "places": reader.places}
        found = {what: count, "pictures": len(read)}
        opened.finish("shards", {**found, **skipped, "told": reader.told()})
        yield Progress("annotate", count, count, what, reader.told())


def keep_pairs(shop: Workshop) -> Iterator[Progress]:
    """Find the pairs that would spoil training; writes the report and the contact sheet."""
    began, found = time.perf_counter(), list[Examined]()
    for one in examine(shop.pairs(), shop.config.keep):
        found.append(one)
        if len(found) % 64 == 0:
            yield Progress("keep", len(found), 0, "pairs")
    kept = choose(found, shop.config.keep)
    with held(shop.root / "keep"):
        _write_kept(shop, found, kept)
        seconds = {"seconds": time.perf_counter() - began}
        write_json(shop.root / "keep" / "seconds.json", seconds)
        shop.settle()
    yield Progress("keep", len(kept.ids), len(found), "pairs", "good")


def encode_kept(shop: Workshop) -> Iterator[Progress]:
    """Compute latents and words of every pair once; what is there is not done again."""
    shards, cut = shop.shards(), 0
    began, folder = time.perf_counter(), shop.root / "latents"
    with held(folder):
        for index, shard in enumerate(shards):
            pairs = [PAIR.from_row(row) for row in read_shard(shard)]
            encode_pairs(pairs, shop.model, folder, shop.digest)
            if shop.config.train.flip:
                encode_pairs([*map(mirror, pairs)], shop.model, folder, shop.digest)
            cut += sum(shop.model.is_too_long(pair.caption) for pair in pairs)
            note = f"{cut} captions are too long and are cut" if cut else ""
            yield Progress("latents", index + 1, len(shards), "shards", note)
        _note_seconds(shop, "latents", time.perf_counter() - began)


def train_control(shop: Workshop) -> Iterator[Progress]:
    """Teach the control, watched by the validation pictures."""
    folder, config = shop.root / "train", shop.config
    shop.kept()  # before a folder is made
    with held(folder):
        shop.model.require_steps(config.validation.run.steps, "validation.run.steps")
        shop.model.require_steps(config.evaluate.run.steps, "evaluate.run.steps")
        remove_partial(folder / "pictures")
        lessons, empty, validation = _prepare(shop)
        shop.model.rest_encoders()
        began, verdict, told = time.perf_counter(), None, ""
        waiting, finished = deque[Step](), (folder / "control").exists()
        few = _told_few(lessons, config.train)
        steps = train(shop.model, lessons, empty, validation, config.train, folder)
        _begin(shop, finished=finished)
        for step in steps:
            waiting.append(step)
            for known in take_known(waiting):
                append_line(folder / "log.jsonl", known.to_line())
                told = f"loss {known.loss:.3f}, "
            if step.check is not None and step.check.fidelity:
                _save_grid(folder, step.index, validation)
            verdict = step.convergence or verdict
            note = f"{told}{_said(verdict)}{few}"
            yield Progress("train", step.index, config.train.steps, "steps", note)
        _note_seconds(shop, "train", time.perf_counter() - began)


def evaluate_run(shop: Workshop) -> Iterator[Progress]:
    """Put the control to held-out pairs; writes the report of the whole run."""
    began = time.perf_counter()
    shop.require_divided_so()
    division = shop.division()
    if not division.evaluation:
        raise DataError(
            f"{shop.root}: good pairs of fewer than five pictures: none is left to evaluate on"
        )
    *pairs, other = shop.chosen([*division.evaluation, division.training[0]])
    yield Progress("evaluate", 0, len(pairs), "pictures")
    controlled = shop.trained()
    shop.model.require_steps(shop.config.evaluate.run.steps, "evaluate.run.steps")
    found = evaluate(shop.model, controlled, pairs, shop.annotator, shop.config.evaluate, other)
    folder = shop.root / "evaluate"
    before = read_json(shop.root / "train" / "base.json")["sha256"]
    told = read_json(shop.root / "train" / "convergence.json")
    report = {
        **build_report(found, shop.annotator),
        "held_out": {
            "pairs": len(pairs),
            "pictures": len({shop.picture_of(pair.id) for pair in pairs}),
        },
        "convergence": {name: told[name] for name in _TOLD},
        "frozen_unchanged": shop.model.digest() == before,
        "step0_max_difference": step0_difference(
            shop.model, pairs[:4], shop.config.train.control, seed=shop.config.train.seed
        ),
    }
    with held(folder):
        save_pictures(folder, pairs, found)
        write_json(folder / "report.json", report)
        seconds = {"seconds": time.perf_counter() - began}  # it is done anew each time
        write_json(folder / "seconds.json", seconds)
        shop.settle()
        remove_partial(shop.root)
        write_json(shop.root / "report.json", {**report, "seconds": _seconds(shop)})
    fidelity = cast("dict[str, float]", report["fidelity"])
    note = f"fidelity {fidelity['controlled']:.3f}, without control {fidelity['none']:.3f}"
    yield Progress("evaluate", len(pairs), len(pairs), "pictures", note)


def teach(shop: Workshop) -> Iterator[Progress]:
    """Every stage; what is finished is not done again."""
    yield from annotate_pictures(shop)
    yield from keep_pairs(shop)
    yield from encode_kept(shop)
    yield from train_control(shop)
    yield from evaluate_run(shop)


def _refuse_others(path: Path, names: Sequence[str]) -> None:
    """Raise StoreError if a shard was not made of the pictures of these ids."""
    for there, name in zip_longest(read_column(path, "id"), names):
        if there != name:
            raise StoreError(
                f"{path}: was made of {there or 'none'} where there is {name or 'none'} now:"
                " the folder of pictures has changed since; choose another --out, or delete"
                f" {path.parents[1]}"
            )


def _write_kept(shop: Workshop, found: Sequence[Examined], kept: Kept) -> None:
    """The report, the contact sheet, and at last who is kept."""
    folder, report = shop.root / "keep", describe(found, kept, shop.config.keep)
    manifest = read_json(shop.root / "annotate" / "shards" / "manifest.json")
    write_json(folder / "report.json", {**report, "read": manifest["summary"]})
    dropped = {name: verdict for name, verdict in kept.verdicts.items() if verdict}
    write_json(folder / "named.json", {"dropped": dropped, "faults": dict(kept.faults)})
    examples = kept.examples()
    wanted = {name for names in examples.values() for name in names}
    shown = {pair.id: pair for pair in shop.pairs() if pair.id in wanted}
    sheets = {why: [shown[name] for name in names] for why, names in examples.items()}
    contact_sheet(sheets, folder / "sheet.png")
    write_json(folder / "kept.json", {"ids": list(kept.ids), "annotated": shop.annotated()})


def _begin(shop: Workshop, *, finished: bool) -> None:
    """Note what a training that was not refused goes by; a finished one changes nothing."""
    shop.begin_division()
    _keep_base(shop, shop.root / "train" / "base.json")
    if not finished:
        _forget_report(shop)
    shop.settle(taught=not finished)


def _forget_report(shop: Workshop) -> None:
    """Remove what an earlier control came to: it says nothing of the one that is taught now."""
    for path in (shop.root / "report.json", shop.root / "evaluate" / "report.json"):
        with writing(path):
            path.unlink(missing_ok=True)


def _keep_base(shop: Workshop, path: Path) -> None:
    """Note which base is taught; refuse another one under the same name."""
    if not path.is_file():
        write_json(path, {"name": shop.config.base, "sha256": shop.digest})
    elif read_json(path)["sha256"] != shop.digest:
        raise StoreError(
            f"{path}: {shop.config.base} has other weights than when the training began; bring"
            f" them back, or delete {path.parent}"
        )


def _prepare(shop: Workshop) -> tuple[list[Lesson], Words, Validation]:
    """The lessons, the empty prompt, and what watches the training."""
    shop.require_annotated(shop.kept())
    division = shop.plan_division()
    if not division.training or not division.validation:
        raise DataError(
            f"{shop.root}: {len(shop.kept())} good pairs of"
            f" {len({shop.picture_of(name) for name in shop.kept()})} pictures are too few to"
            " teach and to watch with; see keep/report.json, or bring more pictures"
        )
    training = set(division.training[: shop.config.train.pairs])
    places, lessons = dict[str, tuple[Encoded, int]](), list[Lesson]()
    for shard in shop.shards():
        rows = read_shard(shard)
        pairs = [PAIR.from_row(row) for row in rows]
        encoded = encode_pairs(pairs, shop.model, shop.root / "latents", shop.digest)
        for index, (pair, row) in enumerate(zip(pairs, rows, strict=True)):
            places[pair.id] = (encoded, index)
            if pair.id in training:
                png = cast("bytes", row["conditioning_image"])
                lessons.append(Lesson(pair.id, encoded, index, png))
        if shop.config.train.flip:
            lessons += _mirrored(shop, pairs, training)
    *watched, other = shop.chosen([*division.validation, division.training[0]])
    found = [places[pair.id] for pair in watched]
    empty, device = shop.model.embed([""]), shop.model.device
    validation = Validation(
        shop.model,
        watched,
        torch.stack([encoded.latents(at) for encoded, at in found]).to(device),
        Words.joined([encoded.words(at) for encoded, at in found]).to(device),
        empty,
        shop.annotator,
        shop.config.validation,
        other,
    )
    return lessons, empty, validation


def _mirrored(shop: Workshop, pairs: Sequence[Pair], training: Set[str]) -> Iterator[Lesson]:
    """Those of a shard's pairs that are learnt from, once more as in a mirror."""
    turned = [mirror(pair) for pair in pairs]
    encoded = encode_pairs(turned, shop.model, shop.root / "latents", shop.digest)
    for index, (pair, one) in enumerate(zip(pairs, turned, strict=True)):
        if pair.id in training:
            yield Lesson(one.id, encoded, index, encode_png(one.condition.pixels_HWC))


def _save_grid(folder: Path, step: int, validation: Validation) -> None:
    """What the validation pictures look like now, each under its hint."""
    if validation.latest is not None:
        hints = [pair.condition.pixels_HWC for pair in validation.pairs]
        rows = [hints[:8], list(validation.latest[:8])]
        write_picture(folder / "pictures" / f"step-{step:06d}.png", grid(rows))


def save_pictures(folder: Path, pairs: Sequence[Pair], found: Evaluated) -> None:
    """Every generated picture, and a grid of the first: hint, without control, with it."""
    files = file_names(pair.id for pair in pairs)
    for name in ("controlled", "none", "shuffled"):
        remove_partial(folder / name)
        for pair, pixels_HWC in zip(pairs, found.pictures[name], strict=True):
            write_picture(folder / name / f"{files[pair.id]}.png", pixels_HWC)
    columns = 10
    rows = [[pair.condition.pixels_HWC for pair in pairs[:columns]]]
    rows += [list(found.pictures[name][:columns]) for name in ("none", "controlled")]
    rows += [[pair.pixels_HWC for pair in pairs[:columns]]]
    write_picture(folder / "grid.png", grid(rows))
    fidelity = {pair.id: {} for pair in pairs}
    for name, values in found.fidelity.items():
        for pair, value in zip(pairs, values, strict=True):
            fidelity[pair.id][name] = value
    write_json(folder / "fidelity.json", fidelity)


def _said(verdict: Convergence | None) -> str:
    if verdict is None:
        return "not judged yet"
    sure = f"{verdict.verdict} ({100 * verdict.confidence:.0f}% sure)"
    if verdict.onset_step is None:
        return sure
    return f"{sure}, onset {verdict.onset_step} ({verdict.onset_low}-{verdict.onset_high})"


def _told_few(lessons: Sequence[Lesson], settings: TrainConfig) -> str:
    """That there are fewer pairs than a step asks for, where it is so."""
    asked = settings.batch * settings.accumulate
    if len(lessons) >= asked:
        return ""
    return f"; a step asks for {asked} pictures, and there are {len(lessons)} to learn from"


def _note_seconds(shop: Workshop, stage: str, seconds: float) -> None:
    """Add to what a stage took, for it may have been stopped on its way."""
    path = shop.root / stage / "seconds.json"
    before = cast("float", read_json(path)["seconds"]) if path.is_file() else 0.0
    write_json(path, {"seconds": before + seconds})


def _seconds(shop: Workshop) -> dict[str, float]:
    """What each stage took."""
    files = {"annotate": "annotate/shards/log.jsonl"}
    files |= {name: f"{name}/seconds.json" for name in ("keep", "latents", "train", "evaluate")}
    return {name: round(sum(_seconds_in(shop.root / path)), 2) for name, path in files.items()}


def _seconds_in(path: Path) -> list[float]:
    if not path.is_file():
        return []
    if path.suffix == ".json":
        return [cast("float", read_json(path)["seconds"])]
    lines = path.read_text(encoding="utf-8").splitlines()
    return [cast("float", json.loads(line)["seconds"]) for line in lines]


_TOLD = (
    *("onset_step", "onset_low", "onset_high", "found_at", "onset_of_whole_curve", "steps"),
    *("verdict", "confidence", "advice"),
)
