"""`graft demo`: both main jobs on the embedded seedlings, in one command."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from graft.toolformer.workshop import TeachConfig

Out = Annotated[Path, typer.Option(help="folder for the runs")]
Record = Annotated[Path | None, typer.Option(help="folder to record the results in, for docs")]
Only = Annotated[str | None, typer.Option(help="toolformer or controlnet; else both")]

PICTURES = 800


def demo(out: Out = Path("runs/demo"), only: Only = None, record: Record = None) -> None:
    """Teach the embedded models: three tools to one, to follow edges to the other.

    Example: graft demo --out runs/demo
    """
    import time

    from rich.console import Console

    from graft.errors import ConfigError

    parts = {"toolformer": _toolformer, "controlnet": _controlnet}
    if only is not None and only not in parts:
        raise ConfigError(f"--only {only}: there are {' and '.join(parts)}")
    console = Console()
    for name, show_part in parts.items():
        if only in (None, name):
            began = time.perf_counter()
            console.rule(name)
            show_part(out / name, console, record)
            console.print(f"{time.perf_counter() - began:.0f} seconds", highlight=False)


def world_recipe(overrides: Sequence[str] = ()) -> TeachConfig:
    """The demonstration's recipe: the shipped world's corpus, encyclopedia and questions."""
    from graft.config import load
    from graft.toolformer.workshop import TeachConfig
    from graft.world.shipped import FOLDER

    names = ("arithmetic", "dates", "facts", "plain")
    tasks = ", ".join(f'"{FOLDER / "tasks" / name}.jsonl"' for name in names)
    given = [
        f'corpus="{FOLDER / "corpus.jsonl"}"',
        f'search="{FOLDER / "encyclopedia.jsonl"}"',
        f'evaluate.texts="{FOLDER / "texts.jsonl"}"',
        f"evaluate.tasks=[{tasks}]",
        *overrides,
    ]
    return load(TeachConfig, FOLDER.parent / "demo.toml", given)


def _toolformer(out: Path, console: Console, record: Path | None) -> None:
    from graft.cli.plots import plot_report
    from graft.cli.progress import show
    from graft.cli.tables import show_generations, show_kept, show_report
    from graft.toolformer import teach as stages
    from graft.toolformer.compare import generate_some

    config = world_recipe()
    shop = stages.Workshop.begin(out, config)
    show(stages.teach(shop))
    show_kept(out / "keep" / "report.json")
    show_report(out / "report.json")
    show_generations(generate_some(shop, per_task=(2, 1, 1, 1)))
    plot_report(out / "report.json", out / "report.png")
    _point(console, "kept corpus", out / "keep" / "kept.jsonl")
    _point(console, "model", out / "train" / "toolformer" / "model")
    _point(console, "plot", out / "report.png")
    if record is not None:
        from graft.cli.record import record as record_result

        record_result(out / "report.json", record, "demo", "graft demo")


def _controlnet(out: Path, console: Console, record: Path | None) -> None:
    from graft.cli.plots import plot_convergence
    from graft.cli.progress import show
    from graft.cli.tables import show_fidelity, show_pairs
    from graft.config import load
    from graft.controlnet import teach as stages
    from graft.world.gallery import write_gallery
    from graft.world.shipped import FOLDER

    pictures = out.with_name(f"{out.name}-pictures")
    write_gallery(pictures, PICTURES)
    given = [f'images="{pictures}"']
    config = load(stages.TeachConfig, FOLDER.parent / "controlnet.toml", given)
    show(stages.teach(stages.Workshop.begin(out, config)))
    show_pairs(out / "keep" / "report.json")
    show_fidelity(out / "report.json")
    plot_convergence(out / "train" / "convergence.json", out / "train" / "convergence.png")
    _point(console, "control", out / "train" / "control")
    _point(console, "pictures", out / "evaluate" / "grid.png")
    _point(console, "plot", out / "train" / "convergence.png")
    if record is not None:
        from graft.cli.record import record_control

        record_control(out, record, "demo-controlnet", "graft demo")


def _point(console: Console, what: str, path: Path) -> None:
    console.print(f"{what:<12} {path}", highlight=False, soft_wrap=True)
