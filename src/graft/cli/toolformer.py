"""`graft toolformer`: the stages, alone and in a row."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from graft.cli.study import app as study

if TYPE_CHECKING:
    from graft.toolformer.workshop import TeachConfig, Workshop

app = typer.Typer(no_args_is_help=True, help="Teach a language model to use tools.")
app.add_typer(study, name="study")

Corpus = Annotated[Path, typer.Argument(help="folder, .txt, .jsonl or .parquet file of texts")]
Run = Annotated[Path, typer.Argument(help="a run's folder, made by annotate or teach")]
Model = Annotated[str | None, typer.Option(help="hub id, folder, or 'seedling'")]
Tools = Annotated[
    str | None,
    typer.Option(
        help="calculator,calendar,search,FILE.py:FUNCTION; in double quotes what holds a comma"
    ),
]
Search = Annotated[Path | None, typer.Option(help="texts that search looks through")]
Today = Annotated[str | None, typer.Option(help="today's date, as 2023-01-30")]
Limit = Annotated[int | None, typer.Option(help="read so many texts of the corpus")]
Out = Annotated[Path, typer.Option(help="the run's folder")]
Recipe = Annotated[Path | None, typer.Option("--config", help="a recipe in TOML")]
Set = Annotated[
    list[str] | None, typer.Option("--set", help="a setting, as keep.threshold=0.5")
]


@app.command()
def annotate(
    corpus: Corpus,
    out: Out,
    model: Model = None,
    tools: Tools = None,
    search: Search = None,
    today: Today = None,
    limit: Limit = None,
    config: Recipe = None,
    settings: Set = None,
) -> None:
    """Find where in a corpus which calls could stand, and let the tools answer them.

    Example: graft toolformer annotate texts.jsonl --tools calculator --out runs/mine
    """
    from graft.cli.overrides import as_overrides
    from graft.cli.progress import show
    from graft.toolformer import teach as stages

    named = read_names(tools)
    flags = as_overrides(
        corpus=corpus, model=model, tools=named, search=search, today=today, limit=limit
    )
    shop = _begin(out, config, [*flags, *(settings or [])])
    show(stages.gather(shop))
    show(stages.annotate_corpus(shop))
    _print_counts(stages.read_counts(shop))


@app.command()
def keep(run: Run, settings: Set = None) -> None:
    """Score the candidate calls and keep those whose result helps.

    Example: graft toolformer keep runs/mine --set keep.threshold=0.5
    """
    from graft.cli.progress import show
    from graft.toolformer import teach as stages

    shop = _resume(run, settings)
    show(stages.score_candidates(shop))
    show(stages.keep_calls(shop))
    _print_kept(run)


@app.command()
def train(run: Run, settings: Set = None) -> None:
    """Finetune on the texts with calls, and the control on the same texts without.

    Example: graft toolformer train runs/mine --set train.epochs=2
    """
    from graft.cli.progress import show
    from graft.toolformer import teach as stages

    shop = _resume(run, settings)
    show(stages.train_model(shop, "toolformer"))
    show(stages.train_model(shop, "control"))
    typer.echo(str(run / "train" / "toolformer" / "model"))


@app.command()
def evaluate(run: Run, settings: Set = None) -> None:
    """Compare base, control, disabled and Toolformer on the tasks of the recipe.

    Example: graft toolformer evaluate runs/mine --set 'evaluate.tasks=["tasks/sums.jsonl"]'
    """
    from graft.cli.progress import show
    from graft.toolformer import teach as stages

    show(stages.evaluate_run(_resume(run, settings)))
    _print_report(run)


@app.command()
def teach(
    corpus: Corpus,
    out: Out,
    model: Model = None,
    tools: Tools = None,
    search: Search = None,
    today: Today = None,
    limit: Limit = None,
    config: Recipe = None,
    settings: Set = None,
) -> None:
    """All stages in a row: from plain text and tools to a model that uses them.

    Example: graft toolformer teach texts.jsonl --tools calculator,calendar --out runs/mine
    """
    from graft.cli.overrides import as_overrides
    from graft.cli.progress import show
    from graft.toolformer import teach as stages

    named = read_names(tools)
    flags = as_overrides(
        corpus=corpus, model=model, tools=named, search=search, today=today, limit=limit
    )
    shop = _begin(out, config, [*flags, *(settings or [])])
    show(stages.teach(shop))
    _print_kept(out)
    if shop.config.evaluate.tasks:
        _print_report(out)
    typer.echo(str(out / "train" / "toolformer" / "model"))


@app.command()
def report(
    run: Run,
    record: Annotated[
        Path | None, typer.Option(help="folder to record the result in, for docs")
    ] = None,
    name: Annotated[str, typer.Option(help="what the recorded result is called")] = "run",
) -> None:
    """Show what a finished run came to; its calls with their texts are in keep/kept.md.

    Example: graft toolformer report runs/mine
    """
    import sys

    from graft.errors import StoreError

    if not (run / "report.json").is_file():
        raise StoreError(f"{run}: not evaluated yet; run `graft toolformer evaluate {run}`")
    _print_kept(run)
    _print_report(run)
    sys.stdout.write(f"{run / 'keep' / 'kept.md'}\n")
    if record is not None:
        from graft.cli.record import record as record_result

        command = f"graft toolformer report {run} --name {name}"
        record_result(run / "report.json", record, name, command, _some_calls(run))


def _some_calls(run: Path, most: int = 20) -> list[dict[str, object]]:
    """Kept calls with their gains and no text, evenly over the rows of `kept.md`."""
    from graft.store.whole import read_json

    kept = read_json(run / "keep" / "report.json")
    shown = cast("list[dict[str, object]]", kept.get("shown", []))
    step = max(1, len(shown) // most)
    return [{"gain": one["gain"], "call": one["call"]} for one in shown[::step]]


@app.command()
def run(
    model: Annotated[
        str, typer.Argument(help="a taught model's folder, a hub id, or 'seedling'")
    ],
    prompts: Annotated[list[str], typer.Argument(help="the beginnings of texts")],
    tools: Tools = None,
    search: Search = None,
    today: Today = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="a setting, as top_k=3")
    ] = None,
) -> None:
    """Continue texts; calls are made, and shown in brackets, as the model writes them.

    Example: graft toolformer run runs/mine/train/toolformer/model "7 boxes of 12 eggs are"
    """
    import sys

    from graft.models.huggingface import load_model
    from graft.toolformer.dataset import Text
    from graft.toolformer.run import Called, Generation, Wrote, stream
    from graft.toolformer.workshop import run_config_of, tools_of

    config = run_config_of(Path(model), settings or [])
    chosen = tools_of(Path(model), read_names(tools), search, day(today))
    language_model = load_model(model)
    for number, prompt in enumerate(prompts):
        sys.stdout.write(prompt)
        text = Text(str(number), prompt, day(today))
        for event in stream([text], language_model, chosen, config):
            match event:
                case Wrote(text=written):
                    sys.stdout.write(written)
                case Called(call=traced):
                    sys.stdout.write(_shown(traced))
                case Generation():
                    sys.stdout.write("\n")
            sys.stdout.flush()


def _shown(traced: object) -> str:
    from graft.toolformer.call import render
    from graft.toolformer.writing import TracedCall

    assert isinstance(traced, TracedCall)
    if traced.error is None:
        return f" {render(traced.call)}"
    return f" {render(traced.call)[:-1]} !! {traced.error}]"


def read_names(tools: str | None) -> list[str] | None:
    """The names between commas; one in double quotes may hold commas itself."""
    import csv

    from graft.errors import ConfigError

    try:
        rows = [] if tools is None else list(csv.reader([tools], skipinitialspace=True))
    except csv.Error as error:
        raise ConfigError(f"--tools {tools!r} cannot be read: {error}") from error
    found = [name.strip() for row in rows for name in row if name.strip()]
    return None if tools is None else found


def day(written: str | None):
    """The day of an option such as `--today`, if it is given."""
    import datetime

    from graft.errors import ConfigError

    try:
        return None if written is None else datetime.date.fromisoformat(written)
    except ValueError as error:
        raise ConfigError(f"--today {written!r} is not a date such as 2023-01-30") from error


def _begin(out: Path, recipe: Path | None, overrides: list[str]) -> Workshop:
    from graft.config import load
    from graft.toolformer.workshop import TeachConfig, Workshop

    return Workshop.begin(out, load(TeachConfig, recipe, overrides))


def _resume(out: Path, overrides: list[str] | None) -> Workshop:
    from graft.toolformer.workshop import Workshop

    return Workshop.resume(out, overrides or [])


def _print_counts(counts: dict[str, int]) -> None:
    from graft.cli.tables import show_counts

    show_counts(counts)


def _print_kept(run: Path) -> None:
    from graft.cli.tables import show_kept

    show_kept(run / "keep" / "report.json")


def _print_report(run: Path) -> None:
    from graft.cli.tables import show_report

    show_report(run / "report.json")


__all__ = ["TeachConfig", "app", "day"]
