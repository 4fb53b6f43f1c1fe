"""Pictures of what a run came to."""

from pathlib import Path
from typing import cast

from graft.cli.tables import SYSTEMS
from graft.store.whole import read_json

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
    figure.savefig(picture, dpi=130)
