"""A call and all that it led to, drawn as a tree, with the time that each call took."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from matplotlib.figure import Figure

from graft.cli.plots import write_figure
from graft.errors import ConfigError

if TYPE_CHECKING:
    from graft.toolformer.tools.tracing import Trace

MOST_ROWS = 80
LONGEST_ROW = 90
"""Characters of a call in the picture."""
_INDENT, _TEXT = 0.03, 0.72
_COLOURS = {"answered": "#1b6f4b", "remembered": "#7a9cc6", "no answer": "#b5482a"}


def require_picture(picture: Path | None) -> None:
    """Raise ConfigError, before anything is asked, where a picture cannot be put."""
    if picture is None:
        return
    if picture.suffix.lower() != ".png":
        raise ConfigError(f"{picture}: the picture is a PNG; call it {picture.stem}.png")
    if not picture.parent.is_dir():
        raise ConfigError(f"{picture}: there is no folder {picture.parent}; make it first")


def draw_trace(trace: Trace, picture: Path) -> None:
    """The tree, a row for each call; the bar at its right is when it was waited for."""
    rows = list(_rows(trace, 0, None))
    hidden, rows = max(0, len(rows) - MOST_ROWS), rows[:MOST_ROWS]
    figure = Figure(figsize=(11, 0.5 + 0.34 * (len(rows) + bool(hidden))), layout="constrained")
    axes = figure.subplots()
    axes.set_axis_off()
    axes.set_xlim(0, 1)
    axes.set_ylim(len(rows) + bool(hidden) - 0.4, -0.8)
    whole = max(trace.milliseconds, 1e-9)
    for place, (call, depth, parent) in enumerate(rows):
        left, colour = _INDENT * depth, _COLOURS[_state(call)]
        if parent is not None:
            x = left - 0.7 * _INDENT
            axes.plot([x, x, left - 0.004], [parent + 0.3, place, place], "#9a9a9a", lw=1)
        axes.text(left, place, _written(call), va="center", fontsize=9, parse_math=False)
        axes.barh(place, (1 - _TEXT) * call.milliseconds / whole, 0.5, _TEXT, color=colour)
    for name, colour in _COLOURS.items():
        axes.barh(0, 0, color=colour, label=name)
    axes.legend(frameon=False, ncols=3, loc="lower right", bbox_to_anchor=(1, 1), fontsize=8)
    if hidden:
        axes.text(0, len(rows), f"and {hidden} more calls", va="center", fontsize=9)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing", UserWarning)
        write_figure(figure, picture)


def _rows(
    trace: Trace, depth: int, parent: int | None, first: int = 0
) -> Iterator[tuple[Trace, int, int | None]]:
    """Each call with its depth and its parent's row, in the order in which it is shown."""
    yield trace, depth, parent
    row = first + 1
    for inner in trace.calls:
        below = list(_rows(inner, depth + 1, first, row))
        yield from below
        row += len(below)


def _state(call: Trace) -> str:
    if call.error is not None:
        return "no answer"
    return "remembered" if call.remembered else "answered"


def _written(call: Trace) -> str:
    told = call.told
    head, _, spent = told.rpartition("  (")
    if len(head) > LONGEST_ROW:
        head = f"{head[: LONGEST_ROW - 1]}…"
    return f"{head}  ({spent}"
