"""From which size on do tools help, and does a small taught model beat a large untaught one?

Schick et al. 2023, Section 4.4 and Figure 4. Each model of a family is taught by the same
recipe, in some variants of it, and its base is asked the same questions.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, cast

from graft.errors import ConfigError, DataError
from graft.models.huggingface import load_model
from graft.scale.progress import Progress
from graft.store.runs import write_json
from graft.store.whole import read_json
from graft.toolformer.teach import teach
from graft.toolformer.workshop import TeachConfig, Workshop

Variant = Literal["recipe", "rules", "more", "again", "together"]
"""The recipe as it is; proposals by rules; more texts; a second round, in which the model
that `recipe` taught annotates, filters and learns once more. `together` is for models that
are too small for the recipe: rules and more texts, a lower bar, and longer, faster learning."""

VARIANTS: tuple[Variant, ...] = ("recipe", "rules", "more", "again", "together")
_LOW_BAR = 0.2
_TIMES_EPOCHS, _TIMES_RATE = 4, 3


@dataclass(frozen=True, kw_only=True)
class Family:
    """What is taught: models by the names they have in the report, and how."""

    models: Mapping[str, str]
    config: TeachConfig
    more: Path
    """The corpus of the variant `more`."""
    variants: Sequence[Variant] = VARIANTS

    def __post_init__(self) -> None:
        """Refuse what cannot be compared."""
        if not self.models:
            raise ConfigError("no model to study; name at least one folder, or 'seedling'")
        if "recipe" not in self.variants:
            raise ConfigError("the variant 'recipe' is what the others are compared with")


def study_scaling(
    family: Family, out: Path, onto: Sequence[Mapping[str, object]] = ()
) -> Iterator[Progress]:
    """Teach every model in every variant, the smallest first; `out/report.json` at the end.

    A variant that leaves a model nothing to learn from is told so in the report; without the
    recipe itself there is nothing to compare with, so what stops that one stops the study.
    `onto` are models of an earlier report, which stay in this one unless they are taught anew.
    Refused, with a `ConfigError`, where they were asked other questions.
    """
    sizes = {name: _parameters(model) for name, model in family.models.items()}
    ordered = sorted(sizes, key=sizes.__getitem__)
    runs: list[tuple[str, Variant]] = [
        (name, variant) for name in ordered for variant in family.variants
    ]
    failed: dict[str, dict[str, str]] = {name: {} for name in ordered}
    for done, (name, variant) in enumerate(runs, start=1):
        if not (out / name / variant / "report.json").is_file():
            try:
                yield from _within(
                    teach(_begin(family, name, variant, out)), f"{name}, {variant}"
                )
            except DataError as error:
                if variant == "recipe":
                    raise
                failed[name][variant] = str(error)
        yield Progress("study scaling", done, len(runs), "runs", f"{name}, {variant}")
    models = [
        {"name": name, "parameters": sizes[name], **_results(family, failed[name], out / name)}
        for name in ordered
    ]
    joined = join(onto, models)
    taught = [one for one in VARIANTS if any(one in _taught(model) for model in joined)]
    write_json(out / "report.json", {"models": joined, **compare(joined, taught)})


def join(
    earlier: Sequence[Mapping[str, object]], models: Sequence[Mapping[str, object]]
) -> list[Mapping[str, object]]:
    """The models of both reports, the smallest first; of one name, the one measured now."""
    now = {model["name"] for model in models}
    kept = [model for model in earlier if model["name"] not in now]
    for model in kept:
        if _asked(model) != _asked(models[0]):
            raise ConfigError(
                f"'{model['name']}' of the earlier report was asked {_asked(model)} questions,"
                f" '{models[0]['name']}' {_asked(models[0])}: they cannot be compared; "
                "use the tasks of the earlier report, or leave it out"
            )
    return sorted([*kept, *models], key=lambda model: cast("int", model["parameters"]))


def _asked(model: Mapping[str, object]) -> dict[str, int]:
    """How many questions of each task."""
    return {task: int(systems["base"]["n"]) for task, systems in _tasks(model).items()}


def _taught(model: Mapping[str, object]) -> set[str]:
    return {variant for systems in _tasks(model).values() for variant in systems}


def compare(
    models: Sequence[Mapping[str, object]], variants: Sequence[str]
) -> dict[str, object]:
    """Per task, the smallest taught model that is surely better than the largest untaught one.

    Surely: the lower end of its interval lies above the upper end of the other's. Models come
    the smallest first. `tools_help_from` is the smallest model whose own base is surely beaten.
    """
    largest = models[-1]
    told: dict[str, object] = {}
    for task, untaught in _tasks(largest).items():
        bar = untaught["base"]
        told[task] = {
            "largest_untaught": {"name": largest["name"], **bar},
            "smallest_above": _first(models, task, variants, bar["high"], largest),
            "tools_help_from": {
                variant: _helped(models, task, variant) for variant in variants
            },
        }
    return {"small_beats_large": told}


def _first(
    models: Sequence[Mapping[str, object]],
    task: str,
    variants: Sequence[str],
    bar: float,
    largest: Mapping[str, object],
) -> dict[str, object] | None:
    for model in models:
        results = _tasks(model)[task]
        taught = [variant for variant in variants if variant in results]
        best = max(taught, key=lambda variant: results[variant]["accuracy"])
        if results[best]["low"] > bar:
            times = cast("int", largest["parameters"]) / cast("int", model["parameters"])
            return {
                "name": model["name"],
                "variant": best,
                "times_smaller": times,
                **results[best],
            }
    return None


def _helped(models: Sequence[Mapping[str, object]], task: str, variant: str) -> str | None:
    for model in models:
        results = _tasks(model)[task]
        if variant in results and results[variant]["low"] > results["base"]["high"]:
            return cast("str", model["name"])
    return None


def _tasks(model: Mapping[str, object]) -> dict[str, dict[str, dict[str, float]]]:
    return cast("dict[str, dict[str, dict[str, float]]]", model["tasks"])


def _parameters(model: str) -> int:
    return sum(weight.numel() for weight in load_model(model).model.parameters())


def _begin(family: Family, name: str, variant: Variant, out: Path) -> Workshop:
    config = replace(family.config, model=family.models[name])
    if variant in ("rules", "together"):
        config = replace(config, annotate=replace(config.annotate, proposer="rules"))
    if variant in ("more", "together"):
        config = replace(config, corpus=family.more)
    if variant == "again":
        taught = out / name / "recipe" / "train" / "toolformer" / "model"
        config = replace(config, model=str(taught))
    if variant == "together":
        longer = replace(
            config.train,
            epochs=_TIMES_EPOCHS * config.train.epochs,
            learning_rate=_TIMES_RATE * config.train.learning_rate,
        )
        keep = replace(config.keep, threshold=_LOW_BAR, tools={})
        config = replace(config, keep=keep, train=longer)
    (out / name).mkdir(parents=True, exist_ok=True)
    return Workshop.begin(out / name / variant, config)


def _within(stages: Iterator[Progress], run: str) -> Iterator[Progress]:
    """A run's own progress, named after it."""
    for progress in stages:
        yield replace(progress, stage=f"{run}: {progress.stage}")


def _results(family: Family, failed: Mapping[str, str], folder: Path) -> dict[str, object]:
    """What one model came to: per task its base and each variant; what was kept, and failed."""
    reports = {
        variant: read_json(folder / variant / "report.json")
        for variant in family.variants
        if variant not in failed
    }
    tasks: dict[str, dict[str, object]] = {}
    for variant, report in reports.items():
        for task, systems in cast("dict[str, dict[str, object]]", report["tasks"]).items():
            found = tasks.setdefault(task, {})
            if variant == "recipe":
                found.update(base=systems["base"], control=systems["control"])
            found[variant] = systems["toolformer"]
    kept = {
        variant: cast("dict[str, object]", report["corpus"])["kept"]
        for variant, report in reports.items()
    }
    return {"tasks": tasks, "kept": kept, "failed": dict(failed)}
