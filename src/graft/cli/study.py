"""`graft toolformer study`: questions about the method, answered by runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from graft.toolformer.workshop import TeachConfig

app = typer.Typer(no_args_is_help=True, help="Ask the method itself: size, threshold, gain.")

Record = Annotated[Path | None, typer.Option(help="folder to record the result in, for docs")]
Set = Annotated[
    list[str] | None, typer.Option("--set", help="a setting, as keep.threshold=0.5")
]
TEXTS = 2800


@app.callback()
def study() -> None:
    """Ask the method itself: size, threshold, gain."""


@app.command()
def scaling(
    models: Annotated[list[str], typer.Argument(help="model folders, or 'seedling'")],
    out: Annotated[Path, typer.Option(help="folder for the runs")] = Path("runs/scaling"),
    variants: Annotated[
        str, typer.Option(help="of recipe,rules,more,again,together")
    ] = "recipe,rules,more,again,together",
    config: Annotated[
        Path | None, typer.Option(help="a recipe in TOML; else the demonstration's")
    ] = None,
    settings: Set = None,
    onto: Annotated[
        Path | None, typer.Option(help="a recorded study-scaling.json to add these models to")
    ] = None,
    record: Record = None,
) -> None:
    """Teach models of several sizes; does a small taught one beat a large untaught one?

    Example: graft toolformer study scaling runs/family/180k/model seedling
    """
    from typing import cast

    from graft.cli.progress import show
    from graft.cli.studies import publish, recorded_models
    from graft.errors import ConfigError
    from graft.toolformer.study.scaling import VARIANTS, Family, Variant, study_scaling
    from graft.world.shipped import write_world

    chosen = [name.strip() for name in variants.split(",")]
    if unknown := [name for name in chosen if name not in VARIANTS]:
        raise ConfigError(f"unknown variant '{unknown[0]}'; there are: {', '.join(VARIANTS)}")
    earlier = recorded_models(onto) if onto else []
    if not (out / "world" / "corpus.jsonl").is_file():
        write_world(out / "world", texts=TEXTS)
    family = Family(
        models={_name(model): model for model in models},
        config=_recipe(config, out / "world", settings or []),
        more=out / "world" / "corpus.jsonl",
        variants=cast("list[Variant]", chosen),
    )
    show(study_scaling(family, out, earlier))
    publish("scaling", out / "report.json", record)


Run = Annotated[Path, typer.Argument(help="a finished run's folder")]


@app.command()
def decoding(run: Run, record: Record = None) -> None:
    """How often a call is opened, and what it brings, at k = 0, 1, 3 and 10.

    Example: graft toolformer study decoding runs/demo/toolformer
    """
    from graft.cli.progress import show
    from graft.cli.studies import publish
    from graft.models.huggingface import load_model
    from graft.store.runs import write_json
    from graft.toolformer.study.decoding import study_decoding
    from graft.toolformer.tasks.benchmarks import open_tasks
    from graft.toolformer.workshop import Workshop

    shop, found = Workshop.resume(run), dict[str, object]()
    tasks = open_tasks(shop.config.evaluate.tasks)
    taught = load_model(str(shop.require_model("toolformer")))
    show(study_decoding(taught, shop.tools, tasks, shop.config.run, found))
    report = _folder(run) / "decoding.json"
    write_json(report, {"decoding": found})
    publish("decoding", report, record)


@app.command()
def quality(run: Run, record: Record = None) -> None:
    """Whether calls of higher gain are more often useful; needs no model but for its tokens.

    Example: graft toolformer study quality runs/demo/toolformer
    """
    from graft.cli.studies import publish
    from graft.store.runs import write_json
    from graft.store.shards import read_shards
    from graft.toolformer.records import SCORED
    from graft.toolformer.study.quality import study_quality
    from graft.toolformer.workshop import Workshop

    shop = Workshop.resume(run)
    scored = (SCORED.from_row(row) for row in read_shards(shop.require("score")))
    report = _folder(run) / "quality.json"
    write_json(report, {"quality": study_quality(scored, shop.model)})
    publish("quality", report, record)


@app.command()
def threshold(
    run: Run,
    thresholds: Annotated[str, typer.Option(help="in nats")] = "0,0.25,0.5,1,1.5",
    record: Record = None,
) -> None:
    """Keep, train and evaluate at several thresholds, from the same scored candidates.

    Example: graft toolformer study threshold runs/demo/toolformer
    """
    from graft.cli.progress import show
    from graft.cli.studies import publish
    from graft.toolformer.study.threshold import study_threshold
    from graft.toolformer.workshop import Workshop

    out = _folder(run) / "threshold"
    show(study_threshold(Workshop.resume(run), out, _numbers(thresholds)))
    report = out / "report.json"
    publish("threshold", report, record)


def _numbers(thresholds: str) -> list[float]:
    from graft.errors import ConfigError

    try:
        return [float(one) for one in thresholds.split(",")]
    except ValueError as error:
        raise ConfigError(f"--thresholds {thresholds}: numbers with commas between") from error


def _folder(run: Path) -> Path:
    folder = run / "study"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _name(model: str) -> str:
    """The folder's name, or that of the one around it where it is called `model`."""
    path = Path(model)
    return path.parent.name if path.name == "model" else path.name


def _recipe(config: Path | None, world: Path, settings: list[str]) -> TeachConfig:
    """The recipe, or the demonstration's; search looks through all of the larger world."""
    from graft.cli.demo import world_recipe
    from graft.config import load
    from graft.toolformer.workshop import TeachConfig

    if config is not None:
        return load(TeachConfig, config, settings)
    return world_recipe([f'search="{world / "encyclopedia.jsonl"}"', *settings])
