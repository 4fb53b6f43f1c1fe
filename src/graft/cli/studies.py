"""What a study found, as Markdown and as a picture."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import cast

import typer
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from graft.cli import control_studies
from graft.cli.plots import COLOURS, write_figure
from graft.cli.record import cell, circumstances, head, this_command
from graft.errors import DataError
from graft.store.runs import write_json, write_text
from graft.store.whole import read_json, whole_file

Result = Mapping[str, float]
Results = Mapping[str, Mapping[str, Result]]


def told(name: str, report: Mapping[str, object]) -> list[str]:
    """The findings of a study as lines of Markdown."""
    return _LINES[_kind(name)](report)


def page(name: str, found: Mapping[str, object]) -> str:
    """The page of a recorded study; everything in it stands in the JSON file."""
    report, stem = cast("Mapping[str, object]", found["report"]), f"study-{name}"
    drawn = cast("dict[str, str]", found.get("pictures", {}))
    pictures = {name: f"{stem}.png", **drawn}
    shown = [line for told, file in pictures.items() for line in ("", f"![{told}]({file})")]
    return "\n".join([*head(stem, found), *told(name, report), *shown, ""])


def _kind(name: str) -> str:
    """Of what kind a study is: `schedule-palette` is one of `schedule`."""
    return name if name in _LINES else name.partition("-")[0]


def draw(name: str, report: Path, picture: Path) -> None:
    """The study's picture."""
    figure = _PICTURES[_kind(name)](read_json(report))
    for axes in figure.axes:
        axes.spines[["top", "right"]].set_visible(False)
    write_figure(figure, picture)


def record_study(
    name: str,
    report: Path,
    folder: Path,
    command: str,
    drawn: Mapping[str, Path] | None = None,
) -> None:
    """Write `study-NAME.json`, `.md` and `.png` for the documents, and what else was drawn."""
    folder.mkdir(parents=True, exist_ok=True)
    found = {"command": command, **circumstances(), "report": read_json(report)}
    for told, picture in (drawn or {}).items():
        kept = folder / f"study-{name}-{picture.stem.removeprefix(f'{name}-')}.png"
        with whole_file(kept) as file:
            file.write(picture.read_bytes())
        cast("dict[str, str]", found.setdefault("pictures", {}))[told] = kept.name
    write_json(folder / f"study-{name}.json", found)
    write_text(folder / f"study-{name}.md", page(name, found))
    draw(name, report, folder / f"study-{name}.png")


def recorded_models(path: Path) -> list[dict[str, object]]:
    """The models of a recorded study of sizes, each with what it was measured by and when."""
    found = read_json(path)
    report = found.get("report")
    models = report.get("models") if isinstance(report, dict) else None
    names = ("command", "date", "machine", "commit")
    if not isinstance(models, list) or not models or not set(names) <= set(found):
        raise DataError(
            f"{path} is no record of a study of sizes; "
            "`graft toolformer study scaling ... --record FOLDER` writes one"
        )
    measured = {name: found[name] for name in names}
    return [{"measured": measured, **model} for model in models]


def publish(
    name: str, report: Path, record: Path | None, drawn: Mapping[str, Path] | None = None
) -> None:
    """Print a study's page and draw its picture beside its report, and record both."""
    draw(name, report, report.with_suffix(".png"))
    for line in told(name, read_json(report)):
        typer.echo(line)
    if record is not None:
        record_study(name, report, record, this_command(), drawn)


def _scaling(report: Mapping[str, object]) -> list[str]:
    models = cast("list[dict[str, Results]]", report["models"])
    lines = [
        "Right answers in %, with 95% bootstrap interval, and share of inputs with a call."
    ]
    for task in models[0]["tasks"]:
        systems = _systems(models, task)
        lines += ["", f"## {task}", "", *_table("model | parameters", systems)]
        for model in models:
            found = model["tasks"][task]
            none = dict.fromkeys(model["failed"], "nothing kept")
            cells = [
                cell(found[one]) if one in found else none.get(one, "not run")
                for one in systems
            ]
            lines.append(f"| {model['name']} | {model['parameters']:,} | {' | '.join(cells)} |")
    beaten = cast("dict[str, dict[str, object]]", report["small_beats_large"])
    return [
        *lines,
        "",
        "## Small taught beside large untaught",
        "",
        *(_sentence(task, one) for task, one in beaten.items() if task != "plain"),
        "",
        "The smallest model that is surely better with tools than its own base:",
        "",
        *(_from_where(task, one) for task, one in beaten.items() if task != "plain"),
        *_measured_before(report),
    ]


def _measured_before(report: Mapping[str, object]) -> list[str]:
    """Which models an earlier command measured, if any."""
    told: dict[str, list[str]] = {}
    for model in cast("list[dict[str, object]]", report["models"]):
        if "measured" in model:
            one = cast("dict[str, str]", model["measured"])
            when = (
                f"`{one['command']}` on {one['date']}, {one['machine']}, commit "
                f"`{one['commit']}`"
            )
            told.setdefault(when, []).append(str(model["name"]))
    lines = [f"* {', '.join(names)}: {when}" for when, names in told.items()]
    return ["", "Measured before, and taken over:", "", *lines] if lines else []


def _systems(models: Sequence[Mapping[str, object]], task: str) -> list[str]:
    """The columns: whatever any model has a result of."""
    found = (cast("Results", model["tasks"])[task] for model in models)
    return list(dict.fromkeys(one for systems in found for one in systems))


def _from_where(task: str, found: Mapping[str, object]) -> str:
    helped = cast("dict[str, str | None]", found["tools_help_from"])
    told = (f"{variant} {name or 'none'}" for variant, name in helped.items())
    return f"* {task}: {', '.join(told)}"


def _sentence(task: str, found: Mapping[str, object]) -> str:
    """The smallest taught model above the largest untaught one."""
    bar = cast("dict[str, float]", found["largest_untaught"])
    above = cast("dict[str, float] | None", found["smallest_above"])
    large = f"{bar['name']} untaught, {100 * bar['accuracy']:.1f}%"
    if above is None:
        return f"* {task}: no taught model is surely above {large}"
    return (
        f"* {task}: {above['name']} taught ({above['variant']}), "
        f"{100 * above['accuracy']:.1f}%, is above {large}, and "
        f"{above['times_smaller']:.1f} times smaller"
    )


def _draw_scaling(report: Mapping[str, object]) -> Figure:
    """Accuracy against size, untaught and taught in each variant, a panel for each task."""
    models = cast("list[dict[str, Results]]", report["models"])
    tasks = [task for task in models[0]["tasks"] if task != "plain"]
    figure, panels = _panels(tasks)
    for axes, task in zip(panels, tasks, strict=True):
        for index, name in enumerate(_systems(models, task)):
            those = [model for model in models if name in model["tasks"][task]]
            sizes = [cast("float", model["parameters"]) for model in those]
            results = [model["tasks"][task][name] for model in those]
            style = "--" if name in ("base", "control") else "-"
            colour = COLOURS.get(name, f"C{index}")
            _line(axes, sizes, results, style=style, colour=colour, label=name)
        axes.set_xscale("log")
        axes.set_xlabel("parameters")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, frameon=False, fontsize=8, loc="outside right center")
    return figure


def _decoding(report: Mapping[str, object]) -> list[str]:
    tasks = cast("dict[str, dict[str, dict[str, Result | None]]]", report["decoding"])
    heads = ["k", "all", "with a call", "without a call", "inputs with a call"]
    lines = ["Right answers in %, with 95% bootstrap interval and number of inputs."]
    for task, ranks in tasks.items():
        lines += ["", f"## {task}", "", *_table(heads[0], heads[1:])]
        for rank, one in ranks.items():
            shares = [_share(one[name]) for name in ("all", "with_call", "without_call")]
            rate = 100 * cast("float", one["call_rate"])
            lines.append(f"| {rank} | {' | '.join(shares)} | {rate:.0f}% |")
    return lines


def _draw_decoding(report: Mapping[str, object]) -> Figure:
    tasks = cast("dict[str, dict[str, dict[str, Result]]]", report["decoding"])
    figure, panels = _panels(list(tasks))
    for axes, ranks in zip(panels, tasks.values(), strict=True):
        places = list(map(float, range(len(ranks))))
        _line(axes, places, [one["all"] for one in ranks.values()], label="right")
        rates = [100 * cast("float", one["call_rate"]) for one in ranks.values()]
        axes.plot(places, rates, ":", color=COLOURS["base"], label="with a call")
        axes.set_xticks(places, list(ranks))
        axes.set_xlabel("k")
    panels[0].legend(frameon=False, fontsize=8)
    return figure


def _quality(report: Mapping[str, object]) -> list[str]:
    tools = cast("dict[str, list[dict[str, object]]]", report["quality"])
    lines = ["A call is useful where its result brings news that the next five words tell."]
    for tool, bins in tools.items():
        lines += ["", f"## {tool}", "", *_table("gain in nats", ["useful in %", "for example"])]
        for one in bins:
            shown = cast("list[dict[str, str]]", one["examples"])[0]
            call, text = shown["call"], shown["text"].replace("\n", " ").replace(" | ", " ¦ ")
            useful = _share(cast("Result", one["useful"]))
            lines.append(f"| {_range(one)} | {useful} | `{call}` in: {text} |")
    return lines


def _draw_quality(report: Mapping[str, object]) -> Figure:
    tools = cast("dict[str, list[dict[str, object]]]", report["quality"])
    figure, panels = _panels(list(tools))
    for axes, bins in zip(panels, tools.values(), strict=True):
        places = list(map(float, range(len(bins))))
        _line(axes, places, [cast("Result", one["useful"]) for one in bins], label="useful")
        axes.set_xticks(places, [_range(one) for one in bins], rotation=60, fontsize=7)
        axes.set_xlabel("gain in nats")
    panels[0].set_ylabel("useful calls, %")
    return figure


def _threshold(report: Mapping[str, object]) -> list[str]:
    found = cast("dict[str, dict[str, Results]]", report)
    reports = {bar: one for bar, one in found.items() if "tasks" in one}
    tasks = list(next(iter(reports.values()))["tasks"])
    lines = ["Right answers of the taught model in %, with 95% bootstrap interval.", ""]
    lines += _table("threshold", ["calls kept", *tasks, "perplexity, calls disabled"])
    for bar, one in reports.items():
        kept = sum(cast("dict[str, int]", one["corpus"]["kept"]).values())
        cells = [cell(one["tasks"][task]["toolformer"]) for task in tasks]
        perplexity = cast("dict[str, float]", one["perplexity"])["disabled"]
        lines.append(f"| {bar} | {kept} | {' | '.join(cells)} | {perplexity:.3f} |")
    failed = [f"* {bar}: {one['failed']}" for bar, one in found.items() if "failed" in one]
    return [*lines, "", *failed]


def _draw_threshold(report: Mapping[str, object]) -> Figure:
    found = cast("dict[str, dict[str, Results]]", report)
    reports = {float(bar): one["tasks"] for bar, one in found.items() if "tasks" in one}
    tasks = list(next(iter(reports.values())))
    figure, panels = _panels(tasks)
    for axes, task in zip(panels, tasks, strict=True):
        results = [one[task]["toolformer"] for one in reports.values()]
        _line(axes, list(reports), results, label="taught")
        axes.set_xlabel("threshold in nats")
    return figure


def _panels(titles: list[str]) -> tuple[Figure, list[Axes]]:
    figure = Figure(figsize=(3.2 * len(titles), 3.4), layout="constrained")
    panels = list(figure.subplots(1, len(titles), squeeze=False)[0])
    for axes, title in zip(panels, titles, strict=True):
        axes.set_title(title, fontsize=10)
        axes.set_ylim(-3, 104)
    panels[0].set_ylabel("right answers, %")
    return figure, panels


def _line(
    axes: Axes,
    places: list[float],
    results: list[Result],
    *,
    label: str,
    style: str = "-",
    colour: str = COLOURS["toolformer"],
) -> None:
    """Means with their intervals, in %."""
    middle = [100 * _mean(one) for one in results]
    down = [100 * (_mean(one) - one["low"]) for one in results]
    up = [100 * (one["high"] - _mean(one)) for one in results]
    axes.errorbar(places, middle, [down, up], fmt="none", ecolor=colour, capsize=2, lw=1.2)
    axes.plot(places, middle, f"{style}o", ms=3, lw=1.2, color=colour, label=label)


def _mean(result: Result) -> float:
    return result["accuracy"] if "accuracy" in result else result["mean"]


def _table(first: str, others: list[str]) -> list[str]:
    columns = first.count("|") + 1 + len(others)
    return [f"| {first} | {' | '.join(others)} |", "|" + "---|" * columns]


def _share(one: Result | None) -> str:
    if one is None:
        return "none"
    return (
        f"{100 * one['mean']:.1f} ({100 * one['low']:.1f}-{100 * one['high']:.1f}; {one['n']})"
    )


def _range(one: Mapping[str, object]) -> str:
    if one["from"] is None:
        return f"below {one['to']:g}"
    return (
        f"{one['from']:g} and more"
        if one["to"] is None
        else f"{one['from']:g} to {one['to']:g}"
    )


_LINES: Mapping[str, Callable[[Mapping[str, object]], list[str]]] = {
    "scaling": _scaling,
    "decoding": _decoding,
    "quality": _quality,
    "threshold": _threshold,
    **control_studies.LINES,
}
_PICTURES: Mapping[str, Callable[[Mapping[str, object]], Figure]] = {
    "scaling": _draw_scaling,
    "decoding": _draw_decoding,
    "quality": _draw_quality,
    "threshold": _draw_threshold,
    **control_studies.PICTURES,
}
