"""`graft controlnet`: the stages, alone and in a row."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from graft.cli.control_study import app as study

if TYPE_CHECKING:
    from graft.controlnet.workshop import Workshop

app = typer.Typer(no_args_is_help=True, help="Teach a diffusion model to follow a condition.")
app.add_typer(study, name="study")

Images = Annotated[
    Path, typer.Argument(help="folder of pictures, .jsonl, prompt.json or .parquet")
]
Run = Annotated[Path, typer.Argument(help="a run's folder, made by annotate or teach")]
Base = Annotated[str | None, typer.Option(help="hub id, folder, or 'seedling'")]
Condition = Annotated[
    str | None, typer.Option(help="canny, softedge, scribble, lineart, threshold, ...")
]
Conditions = Annotated[
    Path | None, typer.Option(help="folder of finished conditions, by the pictures' names")
]
Size = Annotated[int | None, typer.Option(help="pixels along a side; else the base's own")]
Tiles = Annotated[
    int | None, typer.Option(help="cut pictures into tiles, so many along the shorter side")
]
Flip = Annotated[bool, typer.Option("--flip", help="learn from each pair mirrored as well")]
Limit = Annotated[int | None, typer.Option(help="read so many pictures")]
Out = Annotated[Path, typer.Option(help="the run's folder")]
Recipe = Annotated[Path | None, typer.Option("--config", help="a recipe in TOML")]
Set = Annotated[list[str] | None, typer.Option("--set", help="a setting, as train.batch=8")]
Stop = Annotated[
    bool, typer.Option("--stop-when-converged", help="stop when there is nothing to wait for")
]


@app.command()
def annotate(
    images: Images,
    out: Out,
    base: Base = None,
    condition: Condition = None,
    conditions: Conditions = None,
    size: Size = None,
    tiles: Tiles = None,
    limit: Limit = None,
    config: Recipe = None,
    settings: Set = None,
) -> None:
    """Draw the condition out of each picture.

    Example: graft controlnet annotate pictures --condition canny --out runs/mine
    """
    from graft.cli.overrides import as_overrides
    from graft.cli.progress import show
    from graft.controlnet import teach as stages

    given = as_overrides(
        images=images,
        base=base,
        condition=condition,
        conditions=conditions,
        size=size,
        tiles=tiles,
        limit=limit,
    )
    shop = _begin(out, config, [*given, *(settings or [])])
    show(stages.annotate_pictures(shop))
    typer.echo(str(out / "annotate"))


@app.command()
def keep(run: Run, settings: Set = None) -> None:
    """Find the pairs that would spoil training, and say why.

    Example: graft controlnet keep runs/mine
    """
    from graft.cli.progress import show
    from graft.cli.tables import show_pairs
    from graft.controlnet import teach as stages

    show(stages.keep_pairs(_resume(run, settings)))
    show_pairs(run / "keep" / "report.json")
    typer.echo(str(run / "keep" / "sheet.png"))


@app.command()
def train(
    run: Run, flip: Flip = False, stop_when_converged: Stop = False, settings: Set = None
) -> None:
    """Teach the control, and say when it has converged.

    Example: graft controlnet train runs/mine --stop-when-converged
    """
    from graft.cli.plots import plot_convergence
    from graft.cli.progress import show
    from graft.controlnet import teach as stages

    shop = _resume(run, [*_switched(flip, stop_when_converged), *(settings or [])])
    show(stages.encode_kept(shop))
    show(stages.train_control(shop))
    plot_convergence(run / "train" / "convergence.json", run / "train" / "convergence.png")
    typer.echo(str(run / "train" / "control"))


@app.command()
def evaluate(run: Run, settings: Set = None) -> None:
    """How faithful the control is, beside no control, a wrong hint, and the real pictures.

    Example: graft controlnet evaluate runs/mine
    """
    from graft.cli.progress import show
    from graft.cli.tables import show_fidelity
    from graft.controlnet import teach as stages

    show(stages.evaluate_run(_resume(run, settings)))
    show_fidelity(run / "report.json")


@app.command()
def report(
    run: Run,
    record: Annotated[
        Path | None, typer.Option(help="folder to record the result in, for docs")
    ] = None,
    name: Annotated[str, typer.Option(help="what the recorded result is called")] = "control",
    pictures: Annotated[
        bool, typer.Option("--pictures/--no-pictures", help="record the grid of pictures too")
    ] = True,
) -> None:
    """Show what a finished run came to, and record it.

    Example: graft controlnet report runs/mine
    """
    from graft.cli.record import record_control
    from graft.cli.tables import show_fidelity, show_pairs
    from graft.errors import StoreError

    if not (run / "report.json").is_file():
        raise StoreError(f"{run}: not evaluated yet; run `graft controlnet evaluate {run}`")
    show_pairs(run / "keep" / "report.json")
    show_fidelity(run / "report.json")
    if record is not None:
        command = f"graft controlnet report {run} --name {name}"
        command += "" if pictures else " --no-pictures"
        record_control(run, record, name, command, pictures=pictures)


@app.command()
def teach(
    images: Images,
    out: Out,
    base: Base = None,
    condition: Condition = None,
    conditions: Conditions = None,
    size: Size = None,
    tiles: Tiles = None,
    limit: Limit = None,
    flip: Flip = False,
    stop_when_converged: Stop = False,
    config: Recipe = None,
    settings: Set = None,
) -> None:
    """All stages in a row: from a folder of pictures to a control that has converged.

    Example: graft controlnet teach pictures --base seedling --condition canny --out runs/mine
    """
    from graft.cli.overrides import as_overrides
    from graft.cli.plots import plot_convergence
    from graft.cli.progress import show
    from graft.cli.tables import show_fidelity, show_pairs
    from graft.controlnet import teach as stages

    given = as_overrides(
        images=images,
        base=base,
        condition=condition,
        conditions=conditions,
        size=size,
        tiles=tiles,
        limit=limit,
    )
    flags = [*given, *_switched(flip, stop_when_converged), *(settings or [])]
    shop = _begin(out, config, flags)
    show(stages.teach(shop))
    show_pairs(out / "keep" / "report.json")
    plot_convergence(out / "train" / "convergence.json", out / "train" / "convergence.png")
    show_fidelity(out / "report.json")
    typer.echo(str(out / "train" / "control"))


@app.command()
def run(
    control: Annotated[
        list[Path], typer.Option("--control", help="a control's folder; may be repeated")
    ],
    hint: Annotated[
        list[Path], typer.Option("--hint", help="the hint of each control, in their order")
    ],
    prompts: Annotated[list[str], typer.Argument(help="what is to be seen")],
    out: Annotated[Path, typer.Option(help="folder for the pictures")],
    base: Base = None,
    weight: Annotated[
        list[float] | None, typer.Option("--weight", help="how strong each control is")
    ] = None,
    start: Annotated[
        list[float] | None, typer.Option("--start", help="share of the steps before it acts")
    ] = None,
    end: Annotated[
        list[float] | None,
        typer.Option("--end", help="share of the steps after which it rests"),
    ] = None,
    annotate: Annotated[
        bool, typer.Option("--annotate", help="hints are pictures: draw the condition first")
    ] = False,
    seed: int = 0,
    size: Size = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="a setting, as steps=50")
    ] = None,
) -> None:
    """Generate pictures under one or several controls.

    Example: graft controlnet run "a red star" --control runs/mine/train/control
    --hint star.png --annotate --out pictures
    """
    from graft.config import load
    from graft.controlnet.card import base_of
    from graft.controlnet.grids import write_picture
    from graft.controlnet.run import Order, RunConfig
    from graft.controlnet.run import run as run_orders
    from graft.models.diffusion import load_diffusion

    model = load_diffusion(base or base_of(control[0]))
    side = model.size if size is None else size
    model.require_size(side)
    settings_of = (weight, start, end)
    uses = list(_uses(model, control, hint, settings_of, side, drawn=annotate))
    orders = [Order(prompt, seed + number) for number, prompt in enumerate(prompts)]
    config = load(RunConfig, None, settings or [])
    for number, pixels_HWC in enumerate(run_orders(orders, model, uses, config)):
        path = out / f"{number:03d}.png"
        write_picture(path, pixels_HWC)
        typer.echo(str(path))


def _uses(
    model: object,
    controls: list[Path],
    hints: list[Path],
    settings: tuple[list[float] | None, ...],
    side: int,
    *,
    drawn: bool,
):
    from graft.controlnet.pictures import fit_picture
    from graft.controlnet.run import Use, hint_of, load_control, read_hint
    from graft.errors import ConfigError
    from graft.models.diffusion import DiffusionModel

    assert isinstance(model, DiffusionModel)
    if len(hints) != len(controls):
        raise ConfigError(
            f"{len(controls)} controls and {len(hints)} hints: one each is needed"
        )
    weights, starts, ends = (
        _filled(name, given, len(controls), default)
        for name, given, default in zip(
            ("weight", "start", "end"), settings, (1.0, 0.0, 1.0), strict=True
        )
    )
    for at, (folder, path) in enumerate(zip(controls, hints, strict=True)):
        pixels_HWC = read_hint(path)
        fitted = hint_of(folder, pixels_HWC, side) if drawn else fit_picture(pixels_HWC, side)
        control = load_control(folder, model)
        yield Use(control, fitted, weights[at], starts[at], ends[at])


def _filled(name: str, given: list[float] | None, count: int, default: float) -> list[float]:
    from graft.errors import ConfigError

    if given and len(given) != count:
        raise ConfigError(f"--{name} is given {len(given)} times for {count} controls")
    return given or [default] * count


def _switched(flip: bool, stop: bool) -> list[str]:
    given = {"flip": flip, "stop_when_converged": stop}
    return [f"train.{name}=true" for name, is_on in given.items() if is_on]


def _begin(out: Path, recipe: Path | None, overrides: list[str]) -> Workshop:
    from graft.config import load
    from graft.controlnet.workshop import TeachConfig, Workshop

    return Workshop.begin(out, load(TeachConfig, recipe, overrides))


def _resume(out: Path, overrides: list[str] | None) -> Workshop:
    from graft.controlnet.workshop import Workshop

    return Workshop.resume(out, overrides or [])
