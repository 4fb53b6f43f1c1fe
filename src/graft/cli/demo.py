"""`graft demo`: the main job on the embedded seedling, in one command."""

from pathlib import Path
from typing import Annotated

import typer

Out = Annotated[Path, typer.Option(help="the run's folder")]
Record = Annotated[Path | None, typer.Option(help="folder to record the result in, for docs")]


def demo(out: Out = Path("runs/demo/toolformer"), record: Record = None) -> None:
    """Teach the embedded language model three tools from plain text, and show what it learnt.

    Example: graft demo --out runs/demo/toolformer
    """
    import dataclasses
    import time

    from rich.console import Console

    from graft.cli.plots import plot_report
    from graft.cli.progress import show
    from graft.cli.tables import show_generations, show_kept, show_report
    from graft.config import load
    from graft.toolformer import teach as stages
    from graft.toolformer.compare import generate_some
    from graft.world.shipped import FOLDER

    console, began = Console(), time.perf_counter()
    given = [
        f'corpus="{FOLDER / "corpus.jsonl"}"',
        f'search="{FOLDER / "encyclopedia.jsonl"}"',
        f'evaluate.texts="{FOLDER / "texts.jsonl"}"',
    ]
    config = load(stages.TeachConfig, FOLDER.parent / "demo.toml", given)
    names = ("arithmetic", "dates", "facts", "plain")
    tasks = tuple(FOLDER / "tasks" / f"{name}.jsonl" for name in names)
    config = dataclasses.replace(
        config, evaluate=dataclasses.replace(config.evaluate, tasks=tasks)
    )
    shop = stages.Workshop.begin(out, config)
    show(stages.teach(shop))
    show_kept(out / "keep" / "report.json")
    show_report(out / "report.json")
    show_generations(generate_some(shop, per_task=(2, 1, 1, 1)))
    plot_report(out / "report.json", out / "report.png")
    model = out / "train" / "toolformer" / "model"
    console.print(f"kept corpus  {out / 'keep' / 'kept.jsonl'}", highlight=False)
    console.print(f"model        {model}", highlight=False)
    console.print(f"plot         {out / 'report.png'}", highlight=False)
    if record is not None:
        from graft.cli.record import record as record_result

        record_result(out / "report.json", record, "demo", "graft demo")
    console.print(f"{time.perf_counter() - began:.0f} seconds", highlight=False)
