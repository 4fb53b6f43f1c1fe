"""Results for the documents: a JSON file with date, machine and commit, and its page."""

import datetime
import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast

from graft.cli.plots import plot_convergence, plot_report
from graft.cli.tables import SYSTEMS, asked, calls_of_tools, far, held_out, ledger_lines
from graft.store.runs import write_json, write_text
from graft.store.whole import read_json, whole_file

Result = Mapping[str, float]


def record(
    report: Path,
    folder: Path,
    name: str,
    command: str,
    calls: Sequence[Mapping[str, object]] = (),
) -> None:
    """Write `NAME.json`, `NAME.md` and `NAME.png` of a run's report, and some of its calls."""
    folder.mkdir(parents=True, exist_ok=True)
    found = {"command": command, **circumstances(), "report": read_json(report)}
    found |= {"calls": list(calls)} if calls else {}
    write_json(folder / f"{name}.json", found)
    write_text(folder / f"{name}.md", page(name, found))
    plot_report(report, folder / f"{name}.png")


def record_control(
    run: Path, folder: Path, name: str, command: str, *, pictures: bool = True
) -> None:
    """Write `NAME.json` and `NAME.md` of a control's run, its curve, and its grid if wanted."""
    folder.mkdir(parents=True, exist_ok=True)
    found = {"command": command, **circumstances(), "report": read_json(run / "report.json")}
    found |= {} if pictures else {"pictures": False}
    write_json(folder / f"{name}.json", found)
    write_text(folder / f"{name}.md", page(name, found))
    plot_convergence(run / "train" / "convergence.json", folder / f"{name}.png")
    if pictures:
        with whole_file(folder / f"{name}-pictures.png") as file:
            file.write((run / "evaluate" / "grid.png").read_bytes())


def record_prompts(cases: Mapping[str, object], folder: Path, name: str, command: str) -> None:
    """Write `NAME.json` and `NAME.md` of how a diffusion seedling follows its prompts."""
    folder.mkdir(parents=True, exist_ok=True)
    found = {"command": command, **circumstances(), "report": {"prompts": dict(cases)}}
    write_json(folder / f"{name}.json", found)
    write_text(folder / f"{name}.md", page(name, found))


def this_command() -> str:
    """The command that is running, without the folder that it is recorded in."""
    words, given = list[str](), iter(sys.argv[1:])
    for word in given:
        if word == "--record":
            next(given, None)
        elif not word.startswith("--record="):
            words.append(word)
    return shlex.join(["graft", *words])


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
    if "fidelity" in report:
        return _control_page(name, found)
    if "prompts" in report:
        return _prompts_page(name, found)
    tasks = cast("dict[str, dict[str, Result]]", report["tasks"])
    perplexity = cast("dict[str, float]", report["perplexity"])
    corpus = cast("dict[str, object]", report["corpus"])
    seconds = cast("dict[str, float]", report["seconds"])
    over = cast("dict[str, dict[str, Result]]", report.get("over", {}))
    rows = [
        f"| {task} | " + " | ".join(cell(systems[one]) for one in SYSTEMS) + " |"
        for task, systems in tasks.items()
    ]
    told = ", ".join(f"{system} {value:.3f}" for system, value in perplexity.items())
    kept = ", ".join(
        f"{tool} {n}" for tool, n in cast("dict[str, int]", corpus["kept"]).items()
    )
    return "\n".join(
        [
            *head(name, found),
            "Right answers in %, with 95% bootstrap interval, and share of inputs with a call:",
            "",
            "| task | " + " | ".join(SYSTEMS) + " |",
            "|---|" + "---|" * len(SYSTEMS),
            *rows,
            "",
            *(_paired(task, others["control"]) for task, others in over.items()),
            *(f"* {line}.\n" for line in calls_of_tools(report)),
            *(f"* {line}.\n" for line in ledger_lines(report)),
            *_calls(cast("list[dict[str, object]]", found.get("calls", []))),
            f"Perplexity on held-out texts: {told}.",
            f"Corpus: {corpus['texts']} texts, {corpus['candidates']} candidate calls; "
            f"kept: {kept}.",
            "Seconds: " + ", ".join(f"{stage} {s:.0f}" for stage, s in seconds.items()) + ".",
            "",
            f"![accuracy per task]({name}.png)",
            "",
        ]
    )


def _paired(task: str, one: Result) -> str:
    """Toolformer less its control, question by question."""
    mean, low, high = (100 * one[name] for name in ("mean", "low", "high"))
    return (
        f"* {task}: Toolformer is {mean:+.1f} points over its control "
        f"(95% interval over pairs {low:+.1f} to {high:+.1f}).\n"
    )


def _calls(calls: list[dict[str, object]]) -> list[str]:
    """Some of the kept calls, without the texts that they stand in."""
    if not calls:
        return []
    rows = [f"| {one['gain']:.2f} | `{_on_a_line(one['call'])}` |" for one in calls]
    heading = "Kept calls, evenly over their ranks by gain in nats:"
    return [heading, "", "| gain | call |", "|---|---|", *rows, ""]


def _on_a_line(written: object) -> str:
    """What a tool may have said, so that a table and its code marks stay whole."""
    return " ".join(str(written).split()).replace("|", "¦").replace("`", "'")


def head(name: str, found: Mapping[str, object]) -> tuple[str, ...]:
    """What was run, when, on what machine, and where its figures stand."""
    return (
        f"# {name}",
        "",
        f"`{found['command']}` on {found['date']}, {found['machine']}, commit "
        f"`{found['commit']}`. All figures stand in `{name}.json`.",
        "",
    )


def _control_page(name: str, found: Mapping[str, object]) -> str:
    """The page of a control's run."""
    from graft.controlnet.evaluate import closed  # seconds to import

    report = cast("dict[str, Mapping[str, float]]", found["report"])
    grid = f"![hint, without control, with control, real picture]({name}-pictures.png)"
    fidelity, convergence = report["fidelity"], report["convergence"]
    way = closed(fidelity["controlled"], fidelity["none"], fidelity["ceiling"])
    agreement, distance = report["prompt_agreement"], report["distance_to_real"]
    seconds = report["seconds"]
    return "\n".join(
        [
            *head(name, found),
            f"Fidelity of the condition ({fidelity['metric']}) on {held_out(report)}, with "
            "95% bootstrap interval:",
            "",
            "| controlled | no control | another picture's hint | real pictures | way closed |",
            "|---|---|---|---|---|",
            f"| {fidelity['controlled']:.3f} ({fidelity['low']:.3f}-{fidelity['high']:.3f}) "
            + "".join(f"| {fidelity[one]:.3f} " for one in ("none", "shuffled", "ceiling"))
            + f"| {100 * way:.0f}% |",
            "",
            f"Convergence: {convergence['verdict']} ({100 * convergence['confidence']:.0f}% "
            f"sure); {_onset(convergence)}; by the whole curve the middle of the rise is at "
            f"step {convergence['onset_of_whole_curve']}; {convergence['steps']} steps in all.",
            f"Prompt agreement: base {asked(agreement['base'])}, controlled "
            f"{asked(agreement['controlled'])}. Distance to the real pictures: base "
            f"{far(distance['base'])}, controlled {far(distance['controlled'])}.",
            f"Frozen bytes unchanged: {report['frozen_unchanged']}; largest difference at "
            f"step 0: {report['step0_max_difference']}.",
            "Seconds: " + ", ".join(f"{stage} {s:.0f}" for stage, s in seconds.items()) + ".",
            "",
            *((grid, "") if found.get("pictures", True) else ()),
            f"![fidelity and losses over the steps]({name}.png)",
            "",
        ]
    )


def _onset(convergence: Mapping[str, float | None]) -> str:
    if convergence["onset_step"] is None:
        return "no onset found yet"
    onset = f"onset at step {convergence['onset_step']}"
    if "onset_low" in convergence:  # a result that was recorded before has none
        onset += f" ({convergence['onset_low']}-{convergence['onset_high']})"
    return f"{onset}, found at step {convergence['found_at']}"


def _prompts_page(name: str, found: Mapping[str, object]) -> str:
    """The page of how a diffusion seedling follows its prompts."""
    report = cast("dict[str, dict[str, dict[str, Result]]]", found["report"])
    names = ("colours", "shapes", "pairs", "ground")
    rows = [
        f"| {case} | " + " | ".join(_percent(told[name]) for name in names) + " |"
        for case, told in report["prompts"].items()
    ]
    return "\n".join(
        [
            *head(name, found),
            "Share in % of what prompts ask for that a judge of pixels sees, with 95% bootstrap"
            " interval. `pairs`: colour and shape on the same thing.",
            "",
            "| | " + " | ".join(names) + " |",
            "|---|" + "---|" * len(names),
            *rows,
            "",
        ]
    )


def _percent(one: Result) -> str:
    return f"{100 * one['mean']:.1f} ({100 * one['low']:.1f}-{100 * one['high']:.1f})"


def cell(result: Result) -> str:
    """Accuracy in % with its interval, and the share of inputs with a call."""
    share = f"{100 * result['low']:.1f}-{100 * result['high']:.1f}"
    return f"{100 * result['accuracy']:.1f} ({share}), {100 * result['call_rate']:.0f}%"
