"""Trainings that differ in what they are named by, side by side in one folder.

    OUT/pairs-HASH/    pictures with their conditions, found good, encoded: once for all
    OUT/runs/NAME/     a run of `graft controlnet teach`, with those pairs
    OUT/report.json    what they came to

A variant that is finished is not done again. Several processes may share the work, each with
some of the names.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import cast

import numpy as np

from graft.config import dump, to_table
from graft.controlnet import teach as stages
from graft.controlnet.convergence import Check, step_at
from graft.controlnet.evaluate import closed
from graft.controlnet.teach import Workshop
from graft.controlnet.workshop import TeachConfig
from graft.errors import ConfigError, DataError, StoreError
from graft.scale.progress import Progress
from graft.store.folders import whole_folder
from graft.store.whole import read_json, write_json

_SHARED = ("annotate", "keep", "latents")


@dataclass(frozen=True, slots=True)
class Variant:
    """A training by its name; `begins_with` is another's name, whose control it starts from."""

    name: str
    config: TeachConfig
    begins_with: str | None = None


def run_variants(
    variants: Sequence[Variant], out: Path, only: Sequence[str] = ()
) -> Iterator[Progress]:
    """Teach every variant, or those named, in their order; then `outcomes` has all of them.

    Raises:
        ConfigError: a name is unknown, or two variants have the same.
        StoreError: one was taught with other settings.
    """
    chosen = choose(variants, only)
    for done, variant in enumerate(chosen, start=1):
        run = run_of(out, variant.name)
        if (run / "report.json").is_file():
            _refuse_another(run, _config_of(variant, out))
        else:
            for progress in _teach(variant, out):
                yield replace(progress, stage=f"{variant.name}: {progress.stage}")
        yield Progress("study", done, len(chosen), "trainings", variant.name)


def choose(variants: Sequence[Variant], only: Sequence[str]) -> list[Variant]:
    """The variants of these names, or all."""
    names = [variant.name for variant in variants]
    if unknown := [name for name in only if name not in names]:
        raise ConfigError(f"no variant '{unknown[0]}'; there are: {', '.join(names)}")
    if len(set(names)) < len(names):
        raise ConfigError(f"two variants of one name among {', '.join(names)}")
    return [variant for variant in variants if not only or variant.name in only]


def run_of(out: Path, name: str) -> Path:
    """The folder of a variant's run."""
    return out / "runs" / name


def missing(variants: Sequence[Variant], out: Path) -> list[str]:
    """The variants that are not finished."""
    names = (variant.name for variant in variants)
    return [name for name in names if not (run_of(out, name) / "report.json").is_file()]


def outcomes(variants: Sequence[Variant], out: Path) -> dict[str, dict[str, object]]:
    """What each variant came to, by its name."""
    untaught = dict[tuple[float, ...], tuple[float, ...]]()
    for variant in variants:
        if begins_untaught(variant):
            checks, ceiling = _watched(run_of(out, variant.name))
            untaught.setdefault(tuple(ceiling), checks[0].fidelity)
    return {variant.name: outcome(run_of(out, variant.name), untaught) for variant in variants}


def begins_untaught(variant: Variant) -> bool:
    """Whether the first check of a variant is that of no control at all."""
    return variant.begins_with is None and variant.config.train.control.joints == "zero"


def outcome(
    run: Path, untaught: Mapping[tuple[float, ...], tuple[float, ...]] | None = None
) -> dict[str, object]:
    """Verdict and onset, fidelity with its interval, and the curve, of a finished run.

    `half_way` is the first step at which fidelity is half way from no control to the ceiling:
    other than the onset it means the same in every run on the same pictures. `untaught` is the
    watched pictures' fidelity without a control, by their ceilings, which tell the pictures and
    the condition; a run whose ceilings are not there begins with no control itself.
    """
    report, told = read_json(run / "report.json"), read_json(run / "train" / "convergence.json")
    checks, ceiling = _watched(run)
    fidelity = cast("dict[str, float]", report["fidelity"])
    names = ("verdict", "confidence", "onset_step", "found_at", "onset_of_whole_curve", "steps")
    half = step_at(checks, ceiling, share=0.5, begin=(untaught or {}).get(tuple(ceiling)))
    return {
        **{name: told[name] for name in names},
        "half_way": None if half is None else asdict(half),
        "fidelity": fidelity,
        "held_out": report["held_out"],
        "closed": closed(fidelity["controlled"], fidelity["none"], fidelity["ceiling"]),
        "prompt_agreement": report["prompt_agreement"],
        "distance_to_real": report["distance_to_real"],
        "curve": [[one.step, float(np.mean(one.fidelity))] for one in checks if one.fidelity],
        "gap": [[one.step, float(one.gap.mean() / np.mean(one.none))] for one in checks],
        "seconds": cast("Mapping[str, float]", report["seconds"])["train"],
    }


def _watched(run: Path) -> tuple[list[Check], list[float]]:
    """The checks of a run, and the ceiling of each picture that they watch."""
    told = read_json(run / "train" / "convergence.json")
    checks = [Check.from_table(one) for one in cast("list[dict[str, object]]", told["checks"])]
    return checks, cast("list[float]", told["ceiling"])


def prepare(config: TeachConfig, out: Path) -> Iterator[Progress]:
    """The pairs that a recipe learns from, in `pairs_of(config, out)`, with their latents.

    Once they are there, nothing of them is opened to be written: several processes may read.
    """
    ready = pairs_of(config, out) / "ready.json"
    if ready.is_file():
        return
    shop = Workshop.begin(ready.parent, config)
    yield from stages.annotate_pictures(shop)
    yield from stages.keep_pairs(shop)
    yield from stages.encode_kept(shop)
    write_json(ready, {"good": len(shop.kept())})


def pairs_of(config: TeachConfig, out: Path) -> Path:
    """Where a recipe's pairs lie: those that annotate, keep and encode alike share them."""
    table = to_table(config)
    told = {name: one for name, one in table.items() if name not in _OF_TRAINING}
    digest = hashlib.blake2b(json.dumps(told, default=str).encode(), digest_size=4)
    return out / f"pairs-{digest.hexdigest()}"


_OF_TRAINING = ("train", "validation", "evaluate")


def _teach(variant: Variant, out: Path) -> Iterator[Progress]:
    config, run = _config_of(variant, out), run_of(out, variant.name)
    yield from prepare(variant.config, out)
    control = config.train.start_from
    if variant.begins_with is not None and (control is None or not control.is_dir()):
        raise ConfigError(
            f"'{variant.name}' begins with the control of '{variant.begins_with}', which is not"
            " taught yet: teach that first"
        )
    shop = Workshop.begin(run, config)
    for stage in _SHARED:
        if not (run / stage).exists():
            with whole_folder(run / stage) as partial:
                source = pairs_of(variant.config, out) / stage
                shutil.copytree(
                    source, partial, dirs_exist_ok=True, copy_function=_link, ignore=_LOCKS
                )
    there = len(shop.begin_division().training)
    if config.train.pairs is not None and config.train.pairs > there:
        raise DataError(
            f"'{variant.name}': {config.train.pairs} pairs are to be learnt from, and there are"
            f" {there}; bring more pictures, or ask for fewer"
        )
    yield from stages.train_control(shop)
    yield from stages.evaluate_run(shop)


def _config_of(variant: Variant, out: Path) -> TeachConfig:
    """The variant's settings, with the control that it begins with."""
    if variant.begins_with is None:
        return variant.config
    control = run_of(out, variant.begins_with) / "train" / "control"
    return replace(variant.config, train=replace(variant.config.train, start_from=control))


def _refuse_another(run: Path, config: TeachConfig) -> None:
    """Raise StoreError where a finished run has other settings than those asked for."""
    asked, there = json.loads(dump(config)), read_json(run / "recipe.json")
    if asked != there:
        raise StoreError(
            f"{run}: was taught with another {_differing(there, asked)}; choose another --out,"
            " or remove it to teach it anew"
        )


def _differing(one: Mapping[str, object], other: Mapping[str, object]) -> str:
    """The first setting that differs, with its value in both."""
    name = next(name for name in {**one, **other} if one.get(name) != other.get(name))
    mine, yours = one.get(name), other.get(name)
    if isinstance(mine, dict) and isinstance(yours, dict):
        inner = _differing(cast("dict[str, object]", mine), cast("dict[str, object]", yours))
        return f"{name}.{inner}"
    return f"{name}: {mine!r}, not {yours!r}"


_LOCKS = shutil.ignore_patterns(".lock", "seconds.json", "log.jsonl")


def _link(source: str, target: str) -> None:
    """The same file under a second name; a copy where the disk knows no such thing.

    Shards and latents are written whole and never changed, so no run can spoil another's.
    """
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def write_report(out: Path, report: Mapping[str, object]) -> Path:
    """Write `OUT/report.json`; where it is."""
    write_json(out / "report.json", report)
    return out / "report.json"
