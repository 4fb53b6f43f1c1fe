"""Pictures of what a run came to."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, cast

from graft.cli.tables import SYSTEMS
from graft.store.whole import read_json, whole_file, writing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLOURS = {
    "base": "#9a9a9a",
    "control": "#c9a227",
    "disabled": "#7a9cc6",
    "toolformer": "#1b6f4b",
}


def plot_report(report: Path, picture: Path) -> None:
    """Accuracy per task and system with 95% intervals, as a bar chart."""
    from matplotlib.figure import Figure

    tasks = cast("dict[str, dict[str, dict[str, float]]]", read_json(report)["tasks"])
    figure = Figure(figsize=(8, 3.6), layout="constrained")
    axes = figure.subplots()
    for offset, system in enumerate(SYSTEMS):
        results = [tasks[task][system] for task in tasks]
        heights = [100 * result["accuracy"] for result in results]
        down = [100 * (r["accuracy"] - r["low"]) for r in results]
        up = [100 * (r["high"] - r["accuracy"]) for r in results]
        places = [index + 0.2 * (offset - 1.5) for index in range(len(tasks))]
        axes.bar(places, heights, 0.18, color=COLOURS[system], label=system)
        axes.errorbar(
            places, heights, [down, up], fmt="none", ecolor="#333333", capsize=2, lw=1
        )
    axes.set_xticks(range(len(tasks)), list(tasks))
    axes.set_ylabel("right answers, %")
    axes.set_ylim(0, 104)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, ncols=4, loc="lower center", bbox_to_anchor=(0.5, 1.0))
    write_figure(figure, picture)


def plot_convergence(found: Path, picture: Path) -> None:
    """Fidelity and the losses at fixed noise over the steps, and where the onset is."""
    from matplotlib.figure import Figure

    told = read_json(found)
    checks = cast("list[dict[str, list[float]]]", told["checks"])
    figure = Figure(figsize=(8, 5.2), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[3, 2])
    seen = [check for check in checks if check["fidelity"]]
    steps = [cast("float", check["step"]) for check in seen]
    means = [_mean(check["fidelity"]) for check in seen]
    upper.plot(steps, means, "o-", ms=3, color=COLOURS["toolformer"], label="generated")
    ceiling = _mean(cast("list[float]", told["ceiling"]))
    upper.axhline(ceiling, color=COLOURS["base"], ls=":", label="real pictures")
    upper.set_ylabel("fidelity of the condition")
    for name, colour in (("true", "toolformer"), ("shuffled", "control"), ("none", "base")):
        every = [cast("float", check["step"]) for check in checks]
        losses = [_mean(check[name]) for check in checks]
        label = "no hint" if name == "none" else f"{name} hint"
        lower.plot(every, losses, color=COLOURS[colour], label=label)
    lower.set_ylabel("loss at fixed noise")
    lower.set_xlabel("optimizer steps")
    onset = cast("int | None", told["onset_step"])
    for axes in (upper, lower):
        if onset is not None:
            axes.axvline(onset, color="#a33", lw=1, label=f"onset {onset}")
            low, high = (cast("int", told[f"onset_{end}"]) for end in ("low", "high"))
            axes.axvspan(low, high, color="#a33", alpha=0.1, lw=0)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, fontsize=8)
    verdict, sure = told["verdict"], cast("float", told["confidence"])
    figure.suptitle(f"{verdict}, {100 * sure:.0f}% sure", fontsize=10)
    write_figure(figure, picture)


def write_figure(figure: Figure, picture: Path) -> None:
    """A PNG, whole or not at all; equal figures give equal bytes."""
    content = io.BytesIO()
    figure.savefig(content, dpi=130, format="png", metadata={"Software": None})
    with whole_file(picture) as file, writing(picture):
        file.write(content.getvalue())


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)
