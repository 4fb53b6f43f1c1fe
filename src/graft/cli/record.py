"""Results for the documents: a JSON file with date, machine and commit, and its page."""

import datetime
import os
import platform
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import cast

from graft.cli.plots import plot_report
from graft.cli.tables import SYSTEMS
from graft.store.runs import write_json, write_text
from graft.store.whole import read_json

Result = Mapping[str, float]


def record(report: Path, folder: Path, name: str, command: str) -> None:
    """Write `NAME.json`, `NAME.md` and `NAME.png` of a run's report."""
    folder.mkdir(parents=True, exist_ok=True)
    found = {"command": command, **circumstances(), "report": read_json(report)}
    write_json(folder / f"{name}.json", found)
    write_text(folder / f"{name}.md", page(name, found))
    plot_report(report, folder / f"{name}.png")


def circumstances() -> dict[str, str]:
    """When, on what machine and with which commit of graft something was measured."""
    git = ["git", "-C", str(Path(__file__).parent), "rev-parse", "--short", "HEAD"]
    asked = subprocess.run(git, capture_output=True, text=True, check=False)
    cores = os.cpu_count() or 1
    return {
        "date": datetime.datetime.now(tz=datetime.UTC).date().isoformat(),
        "machine": f"{platform.machine()}, {cores} cores, Python {platform.python_version()}",
        "commit": asked.stdout.strip() or "not a checkout",
    }


def page(name: str, found: Mapping[str, object]) -> str:
    """The page of a result, in Markdown; everything in it stands in the JSON file."""
    report = cast("dict[str, object]", found["report"])
    tasks = cast("dict[str, dict[str, Result]]", report["tasks"])
    perplexity = cast("dict[str, float]", report["perplexity"])
    corpus = cast("dict[str, object]", report["corpus"])
    seconds = cast("dict[str, float]", report["seconds"])
    rows = [
        f"| {task} | " + " | ".join(_cell(systems[one]) for one in SYSTEMS) + " |"
        for task, systems in tasks.items()
    ]
    told = ", ".join(f"{system} {value:.3f}" for system, value in perplexity.items())
    kept = ", ".join(
        f"{tool} {n}" for tool, n in cast("dict[str, int]", corpus["kept"]).items()
    )
    return "\n".join(
        [
            f"# {name}",
            "",
            f"`{found['command']}` on {found['date']}, {found['machine']}, commit "
            f"`{found['commit']}`. All figures stand in `{name}.json`.",
            "",
            "Right answers in %, with 95% bootstrap interval, and share of inputs with a call:",
            "",
            "| task | " + " | ".join(SYSTEMS) + " |",
            "|---|" + "---|" * len(SYSTEMS),
            *rows,
            "",
            f"Perplexity on held-out texts: {told}.",
            f"Corpus: {corpus['texts']} texts, {corpus['candidates']} candidate calls; "
            f"kept: {kept}.",
            "Seconds: " + ", ".join(f"{stage} {s:.0f}" for stage, s in seconds.items()) + ".",
            "",
            f"![accuracy per task]({name}.png)",
            "",
        ]
    )


def _cell(result: Result) -> str:
    share = f"{100 * result['low']:.1f}-{100 * result['high']:.1f}"
    return f"{100 * result['accuracy']:.1f} ({share}), {100 * result['call_rate']:.0f}%"
