"""`graft seedling`: grow the embedded models anew."""

import json
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, help="Grow the embedded small models.")


@app.callback()
def seedling() -> None:
    """Grow the embedded small models."""


@app.command()
def grow(
    kind: Annotated[str, typer.Argument(help="language or diffusion")],
    out: Annotated[
        Path | None, typer.Option(help="folder for checkpoints and the model")
    ] = None,
    size: Annotated[
        str | None, typer.Option(help="language: 90k, 180k, 400k, 800k, 1.6m or 4.5m")
    ] = None,
    config: Annotated[Path | None, typer.Option(help="a recipe in TOML")] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="setting=value, as steps=200")
    ] = None,
) -> None:
    """Grow a seedling from what the package makes itself; goes on where it was stopped.

    The shipped language seedling has size 1.6m; the others are for studies of scale.

    Example: graft seedling grow language --size 180k --out runs/family/180k
    """
    from graft.cli.progress import show
    from graft.config import load
    from graft.errors import ConfigError

    folder = out or Path("runs") / f"seedling-{kind}"
    match kind:
        case "language":
            from graft.grow.language import GrowConfig, grow_language, shape_of

            given = [*(shape_of(size) if size else []), *(settings or [])]
            show(grow_language(load(GrowConfig, config, given), folder))
        case "diffusion":
            if size:
                raise ConfigError("--size is for language; a diffusion seedling has one size")
            from graft.grow.diffusion import GrowDiffusionConfig, grow_diffusion

            show(grow_diffusion(load(GrowDiffusionConfig, config, settings or []), folder))
        case _:
            raise ConfigError(f"unknown seedling '{kind}'; there are: language, diffusion")
    typer.echo(str(folder / "model"))


@app.command()
def base(
    corpora: Annotated[
        list[str], typer.Argument(help="files or folders of texts", metavar="CORPUS...")
    ],
    out: Annotated[Path, typer.Option(help="folder for checkpoints and the model")] = Path(
        "runs/base"
    ),
    config: Annotated[Path | None, typer.Option(help="a recipe in TOML")] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="setting=value, as steps=200")
    ] = None,
) -> None:
    """Grow a small base model on your own texts; goes on where it was stopped.

    For trying things on real text where no pretrained model is at hand.

    Example: graft seedling base problems.jsonl articles/ --set shares=[0.6,0.4]
    """
    from graft.cli.progress import show
    from graft.config import load
    from graft.grow.base import GrowBaseConfig, grow_base

    named = f"corpora={json.dumps(corpora)}"
    show(grow_base(load(GrowBaseConfig, config, [named, *(settings or [])]), out))
    typer.echo(str(out / "model"))


@app.command()
def pictures(
    out: Annotated[Path, typer.Argument(help="folder to write to")],
    count: Annotated[int, typer.Option(help="how many")] = 480,
    size: Annotated[int, typer.Option(help="pixels along a side")] = 64,
    seed: int = 1,
) -> None:
    """Write the little world's pictures with captions, as Hugging Face's image folders are.

    Example: graft seedling pictures runs/pictures --count 2000
    """
    from graft.store.whole import writing
    from graft.world.gallery import write_gallery

    with writing(out):
        write_gallery(out, count, seed=seed, size=size)
    typer.echo(str(out))


@app.command()
def measure(
    model: Annotated[
        str, typer.Argument(help="a pipeline's folder, or 'seedling'")
    ] = "seedling",
    samples: Annotated[int, typer.Option(help="pictures of each half of the world")] = 100,
    record: Annotated[
        Path | None, typer.Option(help="folder to record the result in, for docs")
    ] = None,
) -> None:
    """How well a diffusion seedling follows its prompts: are the things asked for to be seen?

    Example: graft seedling measure seedling --samples 200
    """
    from graft.cli.progress import show
    from graft.cli.record import record_prompts
    from graft.cli.tables import show_prompts
    from graft.grow.prompts import measure_prompts
    from graft.models.diffusion import load_diffusion

    found: dict[str, object] = {}
    show(measure_prompts(load_diffusion(model), samples, found))
    show_prompts(found)
    if record is not None:
        command = f"graft seedling measure {model} --samples {samples}"
        record_prompts(found, record, "seedling-diffusion", command)


@app.command()
def corpus(
    out: Annotated[Path, typer.Argument(help="folder to write to")],
    texts: Annotated[int, typer.Option(help="plain texts to teach with")] = 700,
    questions: Annotated[int, typer.Option(help="held-out questions of each task")] = 120,
    seed: int = 1,
    five: Annotated[
        bool, typer.Option("--five", help="texts for question answering and translation too")
    ] = False,
) -> None:
    """Write the little world's plain texts, encyclopedia and held-out questions.

    Example: graft seedling corpus runs/world --texts 5000
    """
    from graft.store.whole import writing
    from graft.world.questions import ALL, SOME
    from graft.world.shipped import write_world

    kinds = ALL if five else SOME
    with writing(out):
        write_world(out, texts=texts, questions=questions, seed=seed, kinds=kinds)
    typer.echo(str(out))
