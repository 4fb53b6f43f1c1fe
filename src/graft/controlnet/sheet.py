"""A contact sheet: a row of pairs for each reason, pictures beside their conditions."""

import io
from collections.abc import Mapping, Sequence
from typing import cast

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from graft.controlnet.dataset import Pair

_INCHES = 1.2
_LONGEST_NAME = 16


def draw_sheet(examples: Mapping[str, Sequence[Pair]]) -> bytes:
    """The sheet as PNG; an empty page where there is no example."""
    rows = {reason: pairs for reason, pairs in examples.items() if pairs}
    across = max(map(len, rows.values()), default=1)
    size = (2 * across * _INCHES, max(1, len(rows)) * (_INCHES + 0.45))
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(max(1, len(rows)), 2 * across, squeeze=False)
    axes = cast("list[list[Axes]]", grid.tolist())
    for places in axes:
        for place in places:
            place.set_axis_off()
    for places, (reason, pairs) in zip(axes, rows.items(), strict=False):
        places[0].set_title(reason, fontsize=8, loc="left", pad=14)
        for column, pair in enumerate(pairs):
            _show(places[2 * column : 2 * column + 2], pair)
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=120)
    return content.getvalue()


def _show(places: Sequence[Axes], pair: Pair) -> None:
    pictures: tuple[np.ndarray, np.ndarray] = (pair.pixels_HWC, pair.condition.pixels_HWC)
    for place, pixels_HWC in zip(places, pictures, strict=True):
        place.imshow(pixels_HWC, interpolation="nearest")
    name = pair.id if len(pair.id) <= _LONGEST_NAME else f"…{pair.id[-_LONGEST_NAME:]}"
    places[0].text(
        *(0, 1.02, name), fontsize=6, transform=places[0].transAxes, parse_math=False
    )
