"""The annotators that graft brings, by their names."""

import difflib
from collections.abc import Mapping

from graft.config import fill
from graft.controlnet.annotators.annotator import Annotator
from graft.controlnet.annotators.coarse import Palette, Tile
from graft.controlnet.annotators.edges import Canny, SoftEdge
from graft.controlnet.annotators.inpaint import Inpaint
from graft.controlnet.annotators.lines import LineArt, Scribble
from graft.controlnet.annotators.tones import Greyscale, Threshold
from graft.controlnet.condition import Value
from graft.errors import ConfigError

_KINDS = {
    "canny": Canny,
    "softedge": SoftEdge,
    "scribble": Scribble,
    "lineart": LineArt,
    "threshold": Threshold,
    "greyscale": Greyscale,
    "palette": Palette,
    "tile": Tile,
    "inpaint": Inpaint,
}

NAMES = tuple(_KINDS)


def annotator_by_name(name: str, settings: Mapping[str, Value] | None = None) -> Annotator:
    """The annotator called `name`, in any case, with what `settings` changes of its defaults.

    Raises:
        ConfigError: the name or a setting is unknown, or a setting cannot be.
    """
    wanted = name.strip().lower()
    if wanted not in _KINDS:
        raise ConfigError(_unknown(wanted))
    return fill(_KINDS[wanted], settings or {}, f"annotator '{wanted}'")


def _unknown(name: str) -> str:
    close = difflib.get_close_matches(name, NAMES, n=1)
    hint = f" (did you mean '{close[0]}'?)" if close else ""
    return f"unknown annotator '{name}'{hint}; there are {', '.join(NAMES)}"
