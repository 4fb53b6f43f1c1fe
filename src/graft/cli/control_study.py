"""`graft controlnet study`: questions about the method, answered by trainings."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from graft.controlnet.study.variants import Variant
    from graft.controlnet.workshop import TeachConfig

app = typer.Typer(no_args_is_help=True, help="Ask the method itself: what makes it converge.")

Images = Annotated[
    Path | None, typer.Option(help="pictures as for `teach`; else drawn ones of a little world")
]
Recipe = Annotated[
    Path | None, typer.Option("--config", help="a recipe in TOML; else the demonstration's")
]
Set = Annotated[list[str] | None, typer.Option("--set", help="a setting, as train.steps=400")]
Only = Annotated[
    str | None,
    typer.Option(help="train these variants and no report: share the work among processes"),
]
Conditions = Annotated[str, typer.Option(help="names")]
Seeds = Annotated[str, typer.Option(help="whole numbers")]
Record = Annotated[Path | None, typer.Option(help="folder to record the result in, for docs")]
Run = Annotated[Path, typer.Argument(help="a finished run's folder")]
PICTURES, MOST_PICTURES = 800, 3300
Number = TypeVar("Number", int, float)


@app.callback()
def study() -> None:
    """Ask the method itself: what makes it converge, and what it needs."""


@app.command()
def convergence(
    out: Annotated[Path, typer.Option(help="folder for the runs")] = Path("runs/convergence"),
    images: Images = None,
    config: Recipe = None,
    settings: Set = None,
    only: Only = None,
    record: Record = None,
) -> None:
    """Which setting makes a control converge sooner, alone and together?

    Example: graft controlnet study convergence --only script-rate-1,together
    """
    from graft.controlnet.study.levers import compare_levers, lever_variants

    variants = lever_variants(_recipe(out, images, config, settings, PICTURES))
    if found := _taught(variants, out, only):
        _report("convergence", out, {"variants": found, **compare_levers(found)}, record)


@app.command()
def onset(
    out: Annotated[Path, typer.Option(help="folder for the runs")] = Path("runs/onset"),
    conditions: Conditions = "canny,scribble,palette",
    seeds: Seeds = "0,1,2",
    images: Images = None,
    config: Recipe = None,
    settings: Set = None,
    only: Only = None,
    record: Record = None,
) -> None:
    """Is the onset found while training that of the whole curve? Are mixed-up pairs refused?

    Example: graft controlnet study onset --conditions canny --seeds 0,1
    """
    from dataclasses import replace

    from graft.cli.progress import show
    from graft.controlnet.study.onset import (
        compare_onsets,
        mixed_up,
        onset_variants,
        write_mixed_up,
    )
    from graft.controlnet.study.variants import pairs_of, prepare
    from graft.controlnet.workshop import Workshop

    names = _words(conditions)
    recipe = _recipe(out, images, config, settings, PICTURES)
    variants = onset_variants(recipe, out, names, _numbers("seeds", seeds, int))
    _chosen(variants, only)  # before pictures are read for what cannot be asked for
    for name in names:
        true = replace(recipe, condition=name, annotator={})
        if not mixed_up(out, name).exists():
            show(prepare(true, out))
            write_mixed_up(Workshop.resume(pairs_of(true, out)), mixed_up(out, name))
    if found := _taught(variants, out, only):
        _report("onset", out, {"variants": found, **compare_onsets(found)}, record)


@app.command()
def schedule(
    out: Annotated[Path, typer.Option(help="folder for the runs")] = Path("runs/schedule"),
    conditions: Conditions = "canny",
    seeds: Seeds = "0,1,2",
    images: Images = None,
    config: Recipe = None,
    settings: Set = None,
    only: Only = None,
    record: Record = None,
) -> None:
    """Do a warm-up with a decay of the rate, and a shorter memory, help on several seeds?

    Example: graft controlnet study schedule --conditions palette --seeds 0,1
    """
    from graft.controlnet.study.schedule import compare_schedules, schedule_variants

    recipe = _recipe(out, images, config, settings, PICTURES)
    names = _words(conditions)
    variants = schedule_variants(recipe, names, _numbers("seeds", seeds, int))
    if found := _taught(variants, out, only):
        report = {"variants": found, "choices": compare_schedules(found)}
        _report("-".join(("schedule", *names)), out, report, record)


@app.command()
def rate(
    out: Annotated[Path, typer.Option(help="folder for the runs")] = Path("runs/rate"),
    images: Images = None,
    config: Recipe = None,
    settings: Set = None,
    only: Only = None,
    record: Record = None,
) -> None:
    """Does the onset go as 1 / learning rate?

    Example: graft controlnet study rate --set train.steps=400
    """
    from graft.controlnet.study.onset import compare_rates, rate_variants

    variants = rate_variants(_recipe(out, images, config, settings, PICTURES))
    if found := _taught(variants, out, only):
        _report("rate", out, {"variants": found, "slopes": compare_rates(found)}, record)


@app.command()
def ablations(
    out: Annotated[Path, typer.Option(help="folder for the runs")] = Path("runs/ablations"),
    images: Images = None,
    config: Recipe = None,
    settings: Set = None,
    only: Only = None,
    record: Record = None,
) -> None:
    """Zero or Gaussian convolutions, light, middle only, unlocked; under four kinds of prompt.

    Example: graft controlnet study ablations --only zero,gaussian
    """
    from graft.controlnet.study.ablations import (
        ablation_variants,
        compare_ablations,
        under_prompts,
    )

    variants = ablation_variants(_recipe(out, images, config, settings, PICTURES))
    if found := _taught(variants, out, only):
        prompts = {name: under_prompts(out, name) for name in found}
        report = {"variants": found, **compare_ablations(found, prompts)}
        pictures = {name: out / f"prompts-{name}.png" for name in found}
        _report("ablations", out, report, record, pictures)


@app.command()
def pictures(
    out: Annotated[Path, typer.Option(help="folder for the runs")] = Path("runs/pictures"),
    counts: Annotated[str, typer.Option(help="of pictures")] = "30,100,300,1000,3000",
    images: Images = None,
    config: Recipe = None,
    settings: Set = None,
    only: Only = None,
    record: Record = None,
) -> None:
    """How faithful does a control become, from how many pictures?

    Example: graft controlnet study pictures --counts 30,100
    """
    from graft.controlnet.study.ablations import picture_variants

    recipe = _recipe(out, images, config, settings, MOST_PICTURES)
    variants = picture_variants(recipe, _numbers("counts", counts, int))
    if found := _taught(variants, out, only):
        _report("pictures", out, {"variants": found}, record)


@app.command()
def weighting(
    run: Run,
    guidances: Annotated[str, typer.Option(help="classifier-free")] = "1.5,3,5",
    record: Record = None,
) -> None:
    """The forms of guidance-resolution weighting, side by side, on a finished run.

    Example: graft controlnet study weighting runs/demo/controlnet
    """
    from graft.cli.progress import show
    from graft.controlnet.study.running import study_weighting

    found = dict[str, object]()
    show(study_weighting(run, _numbers("guidances", guidances, float), found))
    forms = ", ".join(found)
    drawn = {f"hints; at each guidance {forms}": run / "study" / "weighting-pictures.png"}
    out = run / "study" / "weighting"
    _report("weighting", out, {"weighting": found}, record, drawn)


@app.command()
def together(
    first: Run,
    second: Run,
    out: Annotated[Path, typer.Option(help="folder for the report")] = Path("runs/together"),
    record: Record = None,
) -> None:
    """Two controls that were taught apart, run together: how faithful to both?

    Example: graft controlnet study together runs/edges runs/palette
    """
    from graft.cli.progress import show
    from graft.controlnet.study.running import study_together

    found = dict[str, object]()
    show(study_together(first, second, out, found))
    drawn = {"both hints, each row of settings, real": out / "together-pictures.png"}
    _report("together", out, {"together": found}, record, drawn)


def _recipe(
    out: Path,
    images: Path | None,
    recipe: Path | None,
    settings: Sequence[str] | None,
    count: int,
) -> TeachConfig:
    """The recipe, or the demonstration's, on the given pictures or on drawn ones."""
    from graft.config import load
    from graft.controlnet.workshop import TeachConfig
    from graft.world.gallery import write_gallery
    from graft.world.shipped import FOLDER

    if images is None:
        images = out / "pictures"
        if not (images / "metadata.jsonl").is_file():  # it is written last
            write_gallery(images, count)
    given = [f'images="{images}"', *(settings or [])]
    return load(TeachConfig, recipe or FOLDER.parent / "controlnet.toml", given)


def _taught(
    variants: Sequence[Variant], out: Path, only: str | None
) -> dict[str, dict[str, object]]:
    """Teach them; what they all came to, or nothing where only some were asked for."""
    from graft.cli.progress import show
    from graft.controlnet.study.variants import missing, outcomes, run_variants

    show(run_variants(variants, out, _chosen(variants, only)))
    if only is None:
        return outcomes(variants, out)
    left = missing(variants, out)
    typer.echo(f"still to do: {', '.join(left) or 'nothing; run the command without --only'}")
    return {}


def _chosen(variants: Sequence[Variant], only: str | None) -> list[str]:
    """The names of those to teach; refused where there are none, or not so called."""
    from graft.controlnet.study.variants import choose
    from graft.errors import ConfigError

    if not variants:
        raise ConfigError("nothing to study: an option names nothing; give it values, or none")
    return [one.name for one in choose(variants, _words(only) if only else ())]


def _report(
    name: str,
    out: Path,
    report: Mapping[str, object],
    record: Path | None,
    drawn: Mapping[str, Path] | None = None,
) -> None:
    """Write the report and its picture, tell it, and record it."""
    from graft.cli.studies import publish
    from graft.controlnet.study.variants import write_report

    publish(name, write_report(out, report), record, drawn)


def _words(text: str) -> list[str]:
    return [one.strip() for one in text.split(",") if one.strip()]


def _numbers(option: str, text: str, kind: type[Number]) -> list[Number]:
    from graft.errors import ConfigError

    try:
        return [kind(one) for one in _words(text)]
    except ValueError as error:
        raise ConfigError(
            f"--{option} {text}: numbers with commas between are needed"
        ) from error
