"""What a stage found, as tables for a terminal."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import cast

from rich.console import Console
from rich.table import Table
from rich.text import Text

from graft.toolformer.run import Generation

SYSTEMS = ("base", "control", "disabled", "toolformer")


def show_counts(counts: Mapping[str, int]) -> None:
    """What became of the proposals of each tool."""
    table = Table("tool", "what", "count", title="annotate")
    for name, count in sorted(counts.items()):
        tool, _, what = name.rpartition(".")
        table.add_row(tool or "all", what, str(count))
    Console().print(table)


def show_kept(report: Path) -> None:
    """How many calls were kept and why the others were not; the best and the worst ones."""
    content = cast("dict[str, dict[str, dict[str, int]]]", _read(report))
    table = Table(
        "tool", "candidates", "kept", "at .5", "at 1", "at 2", "why not", title="keep"
    )
    for tool, candidates in cast("dict[str, int]", content["candidates"]).items():
        reasons = {k: v for k, v in content["reasons"][tool].items() if k != "kept"}
        why = ", ".join(f"{count} {reason}" for reason, count in reasons.items())
        at = [str(content["kept_at"][level][tool]) for level in ("0.5", "1.0", "2.0")]
        table.add_row(tool, str(candidates), str(content["kept"][tool]), *at, why)
    console = Console()
    console.print(table)
    for end in ("highest", "lowest"):
        console.print(f"{end} gains, in nats:", highlight=False)
        for entry in cast("list[dict[str, object]]", content[end])[:3]:
            console.print(
                f"  {entry['gain']:>8}  {entry['call']}  in  {str(entry['text'])[:90]!r}",
                markup=False,
                highlight=False,
            )


def show_report(report: Path) -> None:
    """Accuracy per task and system, its interval, the share with a call, and perplexity."""
    content = cast("dict[str, dict[str, dict[str, dict[str, float]]]]", _read(report))
    table = Table("task", *SYSTEMS, title="accuracy in % (95% interval; inputs with a call)")
    for task, systems in content["tasks"].items():
        cells = [_cell(systems[name]) if name in systems else "" for name in SYSTEMS]
        table.add_row(task, *cells)
    console = Console()
    console.print(table)
    perplexity = cast("dict[str, float]", content.get("perplexity", {}))
    if perplexity:
        told = ", ".join(f"{name} {value:.3f}" for name, value in perplexity.items())
        console.print(f"perplexity: {told}")


def _cell(result: Mapping[str, float]) -> str:
    low, high = 100 * result["low"], 100 * result["high"]
    calls = 100 * result["call_rate"]
    return f"{100 * result['accuracy']:.1f} ({low:.1f}-{high:.1f}; {calls:.0f}%)"


def _read(path: Path) -> dict[str, object]:
    return cast("dict[str, object]", json.loads(path.read_text(encoding="utf-8")))


def show_generations(generations: Iterable[Generation]) -> None:
    """Prompts and how they were continued, calls highlighted, each call with its time."""
    console = Console()
    for one in generations:
        line = Text(one.prompt, style="dim")
        line.append(one.text, style="bold")
        line.highlight_regex(r"\[\w+\(.*?\]", style="bold green")
        console.print(line)
        for traced in one.calls:
            answer = traced.error if traced.error is not None else traced.call.result
            told = f"{traced.call.tool}({traced.call.argument}): {answer}"
            console.print(
                f"    {told}  {1000 * traced.seconds:.1f} ms", style="dim", markup=False
            )
