"""What a study of controls found, as Markdown and as a picture."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import cast

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from graft.cli.plots import COLOURS
from graft.cli.tables import asked, far, held_out

Report = Mapping[str, object]
Result = Mapping[str, float]


def _variants(report: Report) -> dict[str, dict[str, object]]:
    return cast("dict[str, dict[str, object]]", report["variants"])


def _row(name: str, one: Report) -> str:
    """A variant's line: when it came half way, its onset, verdict and fidelity."""
    return (
        f"| {name} | {_step(one['half_way'])} | {_or_none(one['onset_of_whole_curve'])} "
        f"| {_or_none(one['onset_step'])} | {one['verdict']} | {_fidelity(one)} "
        f"| {100 * cast('float', one['closed']):.0f}% |"
    )


_HEAD = [
    "| | half way at step | onset of the whole curve | found while training | verdict "
    "| fidelity | way closed |",
    "|---|---|---|---|---|---|---|",
]


def _legend(report: Report) -> str:
    first = next(iter(_variants(report).values()))
    fidelity = cast("dict[str, float]", first["fidelity"])
    return (
        f"Fidelity ({fidelity['metric']}) on {held_out(first)}; steps by "
        "the pictures that watch the training; all with 95% bootstrap intervals. Half way: "
        "from no control to the ceiling."
    )


def _convergence(report: Report) -> list[str]:
    fewer = cast("dict[str, float | None]", report["times_fewer"])
    reached = "" if report["script_reached"] else " (it never came half way: a lower bound)"
    told = [
        f"* {name}: {_times_fewer(times, _variants(report)[name])}"
        for name, times in fewer.items()
    ]
    return [
        _legend(report),
        "",
        *_HEAD,
        *(_row(name, one) for name, one in _variants(report).items()),
        "",
        f"Beside the script at its best rate here, {report['script']}{reached}:",
        "",
        *told,
        "",
        "`accumulate` reads twice the pictures in a step; `warm-start` begins with the control "
        "of `related`, whose own steps are not counted.",
    ]


def _times_fewer(times: float | None, one: Report) -> str:
    half = cast("Result | None", one["half_way"])
    if half is None:
        return "never half way"
    if times is None:
        return "half way before its first step, for it begins with what another has learnt"
    if times < 1:
        return f"{1 / times:.2f} times as many steps"
    return f"{times:.2f} times fewer steps" if times > 1 else "the same, it is itself"


def _onset(report: Report) -> list[str]:
    off = cast("dict[str, float | None]", report["off"])
    mixed = [name for name in _variants(report) if name.endswith("-mixed")]
    refused = cast("list[str]", report["refused"])
    known = [one for one in off.values() if one is not None]
    worst = f"; the furthest off {100 * max(known):.1f}%" if known else ""
    return [
        "Conditions with three seeds each; `mixed`: each picture with another one's condition.",
        "",
        *_HEAD,
        *(_row(name, one) for name, one in _variants(report).items()),
        "",
        f"Found while training: {len(known)} of {len(off)} onsets{worst} from that of the "
        f"whole curve. Refused: {len(refused)} of {len(mixed)} mixed up.",
    ]


def _schedule(report: Report) -> list[str]:
    first = next(iter(_variants(report).values()))
    chosen = cast("dict[str, dict[str, object]]", report["choices"])
    begin = next(iter(chosen))
    return [
        "Warm-up, decay of the rate and AdamW's beta2; all else is the recipe's. Fidelity by "
        f"the measure of each condition on {held_out(first)}, with 95% bootstrap intervals.",
        "",
        f"Over conditions and seeds, and pair by pair beside {begin} (Student's t, 95%):",
        "",
        "| | half way at step | times later | way closed | closed more |",
        "|---|---|---|---|---|",
        *(_choice(name, one) for name, one in chosen.items()),
        "",
        *_HEAD,
        *(_row(name, one) for name, one in _variants(report).items()),
    ]


def _choice(name: str, one: Mapping[str, object]) -> str:
    came, count = cast("int", one["came_half_way"]), cast("int", one["n"])
    step = cast("float | None", one["half_way"])
    told = "never" if step is None else f"{step:.0f}"
    if 0 < came < count:
        told += f" ({count - came} of {count} never)"
    later = _wide(cast("dict[str, float | None]", one["times_later"]), 1.0, ".2f")
    more = _wide(cast("dict[str, float | None]", one["closed_more"]), 100.0, "+.1f")
    return f"| {name} | {told} | {later} | {cast('float', one['closed']):.1%} | {more} |"


def _wide(one: Mapping[str, float | None], times: float, kind: str) -> str:
    mean, low, high = one["mean"], one["low"], one["high"]
    if mean is None:
        return "-"
    told = f"{times * mean:{kind}}"
    if low is None or high is None:
        return told
    return f"{told} ({times * low:{kind}} to {times * high:{kind}})"


def _rate(report: Report) -> list[str]:
    slopes = cast("dict[str, dict[str, float] | None]", report["slopes"])
    told = {
        "all": "every rate scaled",
        "doors": "the zero convolutions' rate alone",
    }
    lines = [
        f"* {told[kind]}: "
        + (
            "too few came half way"
            if one is None
            else f"slope {one['slope']:+.2f} ({one['low']:+.2f} to {one['high']:+.2f})"
        )
        for kind, one in slopes.items()
    ]
    return [
        _legend(report),
        "",
        *_HEAD,
        *(_row(name, one) for name, one in _variants(report).items()),
        "",
        "log(steps half way) over log(rate); -1 is 1 / rate:",
        "",
        *lines,
    ]


def _ablations(report: Report) -> list[str]:
    prompts = cast("dict[str, dict[str, Result]]", report["prompts"])
    kinds = list(next(iter(prompts.values())))
    rows = [
        f"| {name} | " + " | ".join(_interval(found[kind]) for kind in kinds) + " |"
        for name, found in prompts.items()
    ]
    return [
        _legend(report),
        "",
        *_HEAD,
        *(_row(name, one) for name, one in _variants(report).items()),
        "",
        "Fidelity under each kind of prompt:",
        "",
        f"| | {' | '.join(kinds)} |",
        "|" + "---|" * (len(kinds) + 1),
        *rows,
        "",
        "Prompt agreement, and distance to the real pictures:",
        "",
        *(_agreement(name, one) for name, one in _variants(report).items()),
    ]


def _agreement(name: str, one: Report) -> str:
    agreed = cast("dict[str, float | None]", one["prompt_agreement"])
    distance = cast("dict[str, float | None]", one["distance_to_real"])
    shares = (f"{system} {asked(value)}" for system, value in agreed.items())
    apart = (f"{system} {far(value)}" for system, value in distance.items())
    return f"* {name}: {', '.join(shares)}; {', '.join(apart)}"


def _pictures(report: Report) -> list[str]:
    return [
        _legend(report),
        "",
        *_HEAD,
        *(_row(f"{name} pictures", one) for name, one in _variants(report).items()),
    ]


def _weighting(report: Report) -> list[str]:
    forms = cast("dict[str, dict[str, Result]]", report["weighting"])
    guidances = list(next(iter(forms.values())))
    heads = " | ".join(f"guidance {one}" for one in guidances)
    rows = [
        f"| {form} | " + " | ".join(_interval(found[one]) for one in guidances) + " |"
        for form, found in forms.items()
    ]
    return [
        "Fidelity with 95% bootstrap interval. Other than with `none`, the control acts on the "
        "branch with the prompt alone.",
        "",
        f"| form | {heads} |",
        "|" + "---|" * (len(guidances) + 1),
        *rows,
    ]


def _together(report: Report) -> list[str]:
    cases = cast("dict[str, dict[str, Result]]", report["together"])
    conditions = list(next(iter(cases.values())))
    rows = [
        f"| {name} | " + " | ".join(_interval(found[one]) for one in conditions) + " |"
        for name, found in cases.items()
    ]
    return [
        f"Fidelity to both conditions, first {conditions[0]}, second {conditions[1]}, with 95% "
        "bootstrap interval.",
        "",
        f"| | {' | '.join(conditions)} |",
        "|" + "---|" * (len(conditions) + 1),
        *rows,
    ]


def _draw_curves(report: Report) -> Figure:
    """Fidelity over the steps, a line for each variant."""
    found = _variants(report)
    figure = Figure(figsize=(9, 0.5 + max(4.2, 0.24 * len(found))), layout="constrained")
    axes = figure.subplots()
    for index, (name, one) in enumerate(found.items()):
        curve = cast("list[list[float]]", one["curve"])
        style = ("-", "--", ":")[index // 10 % 3]
        steps, values = zip(*curve, strict=True)
        axes.plot(steps, values, style, lw=1.2, color=f"C{index % 10}", label=name)
    axes.set_xlabel("optimizer steps")
    axes.set_ylabel("fidelity of the condition")
    figure.legend(frameon=False, fontsize=8, loc="outside right center")
    return figure


def _draw_rate(report: Report) -> Figure:
    """Steps half way over the rate, both logarithmic, with the lines that were fitted."""
    figure = Figure(figsize=(6, 4.2), layout="constrained")
    axes, slopes = figure.subplots(), cast("dict[str, Result | None]", report["slopes"])
    for kind, colour in (("all", "toolformer"), ("doors", "control")):
        points = [
            (float(name.partition("-")[2]), cast("Result", one["half_way"]))
            for name, one in _variants(report).items()
            if name.startswith(kind) and one["half_way"] is not None
        ]
        _intervals(axes, points, COLOURS[colour], kind)
        line = slopes[kind]
        if line is not None and points:
            ends = [min(at for at, _ in points), max(at for at, _ in points)]
            fitted = [line["steps_at_1"] * at ** line["slope"] for at in ends]
            axes.plot(ends, fitted, "-", lw=1, color=COLOURS[colour])
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("times the rate")
    axes.set_ylabel("steps half way")
    axes.legend(frameon=False, fontsize=8)
    return figure


def _draw_pictures(report: Report) -> Figure:
    """Fidelity over the number of pictures, with intervals, and the ceiling."""
    figure = Figure(figsize=(6, 4.2), layout="constrained")
    axes = figure.subplots()
    points = [
        (float(name), _as_interval(one["fidelity"])) for name, one in _variants(report).items()
    ]
    _intervals(axes, points, COLOURS["toolformer"], "controlled")
    axes.plot(
        [at for at, _ in points],
        [one["mean"] for _, one in points],
        color=COLOURS["toolformer"],
    )
    last = cast("Result", list(_variants(report).values())[-1]["fidelity"])
    axes.axhline(last["ceiling"], color=COLOURS["base"], ls=":", label="real pictures")
    axes.axhline(last["none"], color=COLOURS["base"], ls="--", label="no control")
    axes.set_xscale("log")
    axes.set_xlabel("pictures learnt from")
    axes.set_ylabel("fidelity of the condition")
    axes.legend(frameon=False, fontsize=8)
    return figure


def _draw_groups(groups: Mapping[str, Mapping[str, Result]], bottom: str) -> Figure:
    """A group of points with intervals for each case, a colour for each of what is in it."""
    figure = Figure(figsize=(9, 4.2), layout="constrained")
    axes, kinds = figure.subplots(), list(next(iter(groups.values())))
    for index, kind in enumerate(kinds):
        offset = 0.15 * (index - (len(kinds) - 1) / 2)
        points = [(at + offset, found[kind]) for at, found in enumerate(groups.values())]
        _intervals(axes, points, f"C{index}", kind)
    axes.set_xticks(range(len(groups)), list(groups), rotation=20, fontsize=8)
    axes.set_ylabel("fidelity of the condition")
    axes.set_xlabel(bottom)
    axes.legend(frameon=False, fontsize=8)
    return figure


def _draw_ablations(report: Report) -> Figure:
    return _draw_groups(
        cast("dict[str, dict[str, Result]]", report["prompts"]), "each under four prompts"
    )


def _draw_weighting(report: Report) -> Figure:
    return _draw_groups(
        cast("dict[str, dict[str, Result]]", report["weighting"]), "each at its guidances"
    )


def _draw_together(report: Report) -> Figure:
    return _draw_groups(cast("dict[str, dict[str, Result]]", report["together"]), "")


def _intervals(
    axes: Axes, points: Sequence[tuple[float, Result]], colour: str, label: str
) -> None:
    places = [at for at, _ in points]
    middle = [one["mean"] for _, one in points]
    down = [max(0.0, one["mean"] - one["low"]) for _, one in points]
    up = [max(0.0, one["high"] - one["mean"]) for _, one in points]
    axes.errorbar(
        places, middle, [down, up], fmt="o", ms=4, color=colour, capsize=2, lw=1, label=label
    )


def _as_interval(fidelity: object) -> Result:
    """A report's fidelity, which names its metric too, as mean and bounds."""
    one = cast("Result", fidelity)
    return {"mean": one["controlled"], "low": one["low"], "high": one["high"]}


def _fidelity(one: Report) -> str:
    return _interval(_as_interval(one["fidelity"]))


def _interval(one: Result) -> str:
    return f"{one['mean']:.3f} ({one['low']:.3f}-{one['high']:.3f})"


def _step(value: object) -> str:
    if value is None:
        return "never"
    one = cast("Result", value)
    return f"{one['mean']:.0f} ({one['low']:.0f}-{one['high']:.0f})"


def _or_none(value: object) -> str:
    return "none" if value is None else str(value)


LINES: Mapping[str, Callable[[Report], list[str]]] = {
    "convergence": _convergence,
    "onset": _onset,
    "schedule": _schedule,
    "rate": _rate,
    "ablations": _ablations,
    "pictures": _pictures,
    "weighting": _weighting,
    "together": _together,
}
PICTURES: Mapping[str, Callable[[Report], Figure]] = {
    "convergence": _draw_curves,
    "onset": _draw_curves,
    "schedule": _draw_curves,
    "rate": _draw_rate,
    "ablations": _draw_ablations,
    "pictures": _draw_pictures,
    "weighting": _draw_weighting,
    "together": _draw_together,
}
