"""`graft seedling`: grow the embedded models anew."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, help="Grow the embedded small models.")


@app.callback()
def seedling() -> None:
    """Grow the embedded small models."""


@app.command()
def grow(
    kind: Annotated[str, typer.Argument(help="language")],
    out: Annotated[Path, typer.Option(help="folder for checkpoints and the model")] = Path(
        "runs/seedling"
    ),
    config: Annotated[Path | None, typer.Option(help="a recipe in TOML")] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="setting=value, as steps=200")
    ] = None,
) -> None:
    """Grow a seedling from text that the package makes itself; goes on where it was stopped.

    Example: graft seedling grow language --out runs/seedling
    """
    from graft.cli.progress import show
    from graft.config import load
    from graft.errors import ConfigError
    from graft.grow.language import GrowConfig, grow_language

    if kind != "language":
        raise ConfigError(f"unknown seedling '{kind}'; there is: language")
    show(grow_language(load(GrowConfig, config, settings or []), out))
    typer.echo(str(out / "model"))


@app.command()
def corpus(
    out: Annotated[Path, typer.Argument(help="folder to write to")],
    texts: Annotated[int, typer.Option(help="plain texts to teach with")] = 700,
    questions: Annotated[int, typer.Option(help="held-out questions of each task")] = 120,
    seed: int = 1,
) -> None:
    """Write the little world's plain texts, encyclopedia and held-out questions.

    Example: graft seedling corpus runs/world --texts 5000
    """
    from graft.world.shipped import write_world

    write_world(out, texts=texts, questions=questions, seed=seed)
    typer.echo(str(out))
