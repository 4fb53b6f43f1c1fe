"""What a stage found, as tables for a terminal."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import cast

from rich.console import Console
from rich.table import Table
from rich.text import Text

from graft.errors import StoreError
from graft.store.whole import read_json
from graft.toolformer.run import Generation

SYSTEMS = ("base", "control", "disabled", "toolformer")
_SEVERAL = 2


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
    for task, others in content.get("over", {}).items():
        told = ", ".join(f"{name} {_points(one)}" for name, one in others.items())
        console.print(f"{task}, toolformer over: {told}", highlight=False)
    for line in calls_of_tools(content):
        console.print(line, highlight=False)
    for line in ledger_lines(content):
        console.print(line, highlight=False)
    perplexity = cast("dict[str, float]", content.get("perplexity", {}))
    if perplexity:
        told = ", ".join(f"{name} {value:.3f}" for name, value in perplexity.items())
        console.print(f"perplexity: {told}")


def calls_of_tools(report: Mapping[str, object]) -> list[str]:
    """In how many of each task's inputs Toolformer called each tool, if it called several."""
    called = cast("dict[str, dict[str, dict[str, float]]]", report.get("called", {}))
    taught = {task: systems.get("toolformer", {}) for task, systems in called.items()}
    if len({tool for shares in taught.values() for tool in shares}) < _SEVERAL:
        return []
    return [
        f"{task}, inputs with a call of: "
        + ", ".join(f"{tool} {100 * share:.0f}%" for tool, share in shares.items())
        for task, shares in taught.items()
        if shares
    ]


def ledger_lines(report: Mapping[str, object]) -> list[str]:
    """What each tool's calls came to, stages together."""
    stages = cast("dict[str, dict[str, dict[str, float]]]", report.get("ledger", {}))
    found = dict[str, Counter[str]]()
    for tools in stages.values():
        for tool, told in tools.items():
            found.setdefault(tool, Counter()).update(cast("dict[str, int]", told))
    return [
        f"{tool}: {told['calls']} calls, {told['remembered']} of them remembered, "
        f"{told['errors']} without an answer, {told['seconds']:.1f} s"
        + (f", cost {told['cost']:g}" if told["cost"] else "")
        for tool, told in sorted(found.items())
    ]


def _cell(result: Mapping[str, float]) -> str:
    low, high = 100 * result["low"], 100 * result["high"]
    calls = 100 * result["call_rate"]
    return f"{100 * result['accuracy']:.1f} ({low:.1f}-{high:.1f}; {calls:.0f}%)"


def _points(difference: Mapping[str, float]) -> str:
    """A difference of accuracies in points, with its interval over pairs."""
    mean, low, high = (100 * difference[name] for name in ("mean", "low", "high"))
    return f"{mean:+.1f} ({low:+.1f} to {high:+.1f})"


def _read(path: Path) -> dict[str, object]:
    return cast("dict[str, object]", json.loads(path.read_text(encoding="utf-8")))


def _whole(path: Path, parts: Mapping[str, tuple[str, ...]]) -> dict[str, object]:
    """A report that has these parts, and in each these names.

    Raises:
        StoreError: it is not there, no report, or without one of them.
    """
    content = read_json(path)
    for part, names in parts.items():
        inner = content.get(part)
        there = set(cast("dict[str, object]", inner)) if isinstance(inner, dict) else set[str]()
        if part not in content or not there.issuperset(names):
            raise StoreError(f"{path}: is damaged, without its {part}; run its stage again")
    return content


_PAIRS: Mapping[str, tuple[str, ...]] = {
    "dropped": (),
    "kept": (),
    "pairs": (),
    "warnings": (),
}
_FIDELITY: Mapping[str, tuple[str, ...]] = {
    "fidelity": ("metric", "controlled", "none", "shuffled", "ceiling", "low", "high", "n"),
    "convergence": ("verdict", "confidence", "advice"),
    "prompt_agreement": ("base", "controlled"),
    "frozen_unchanged": (),
    "step0_max_difference": (),
}


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


def show_pairs(report: Path) -> None:
    """How many pairs are good, and what is wrong with the others."""
    content = _whole(report, _PAIRS)
    console = Console()
    reasons = cast("dict[str, int]", content["dropped"])
    told = ", ".join(f"{count} {reason}" for reason, count in reasons.items()) or "none"
    console.print(
        f"keep: {content['kept']} of {content['pairs']} pairs are good; left out: {told}",
        highlight=False,
    )
    for warning in cast("list[str]", content["warnings"]):
        console.print(f"keep: {warning}", style="yellow", highlight=False)


def show_fidelity(report: Path) -> None:
    """Fidelity beside its references, convergence, prompts, and the base's bytes."""
    from graft.controlnet.evaluate import closed  # seconds to import

    content = cast("dict[str, dict[str, float]]", _whole(report, _FIDELITY))
    fidelity, convergence = content["fidelity"], content["convergence"]
    way = closed(fidelity["controlled"], fidelity["none"], fidelity["ceiling"])
    table = Table("controlled", "no control", "wrong hint", "real pictures", "way closed")
    table.title = f"fidelity ({fidelity['metric']}, {held_out(content)})"
    table.add_row(
        f"{fidelity['controlled']:.3f} ({fidelity['low']:.3f}-{fidelity['high']:.3f})",
        *(f"{fidelity[name]:.3f}" for name in ("none", "shuffled", "ceiling")),
        f"{100 * way:.0f}%",
    )
    console = Console()
    console.print(table)
    lines = [
        f"convergence: {convergence['verdict']}, {100 * convergence['confidence']:.0f}% sure; "
        f"{convergence['advice']}",
        _agreed(content["prompt_agreement"]),
        f"the base's bytes are {'unchanged' if content['frozen_unchanged'] else 'CHANGED'}; "
        f"at step 0 the control changed its output by {content['step0_max_difference']}",
    ]
    for line in lines:
        console.print(line, highlight=False)


def held_out(report: Mapping[str, object]) -> str:
    """On how many pictures a report's fidelity stands, or tiles of how many."""
    pairs = cast("Mapping[str, float]", report["fidelity"])["n"]
    pictures = cast("Mapping[str, int]", report.get("held_out", {})).get("pictures", pairs)
    what = "pictures" if pairs == pictures else f"tiles of {pictures} pictures"
    return f"{pairs:.0f} held-out {what}"


def asked(share: float | None) -> str:
    """A share in percent, or that it was not asked for."""
    return "not asked" if share is None else f"{100 * share:.0f}%"


def far(distance: float | None) -> str:
    """A distance to the real pictures, or that a single one has none."""
    return "not measured" if distance is None else f"{distance:.3f}"


def _agreed(agreement: Mapping[str, float | None]) -> str:
    base, controlled = agreement["base"], agreement["controlled"]
    if base is None or controlled is None:
        return "prompt agreement: not asked, for no two captions differ"
    return f"prompt agreement: base {asked(base)}, controlled {asked(controlled)}"


def show_prompts(found: Mapping[str, object]) -> None:
    """How much of what prompts ask for is seen in samples."""
    names = ("colours", "shapes", "pairs", "ground")
    table = Table("%", *names, title="of what was asked for is seen (95% interval)")
    for case, results in found.items():
        told = cast("Mapping[str, Mapping[str, float]]", results)
        table.add_row(case, *(_share(told[name]) for name in names))
    Console().print(table)


def _share(one: Mapping[str, float]) -> str:
    return f"{100 * one['mean']:.0f} ({100 * one['low']:.0f}-{100 * one['high']:.0f})"
