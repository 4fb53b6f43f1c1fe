"""What `graft.json` of a control's folder says: its base, its condition, what kind it is.

A control of another maker has none. One that holds something else may be another program's.
"""

from pathlib import Path
from typing import cast

from graft.config import fill
from graft.controlnet.condition import Value
from graft.controlnet.control import ControlConfig
from graft.errors import ModelError
from graft.models.pipeline import SEEDLING
from graft.store.whole import read_json


def base_of(folder: Path) -> str:
    """The base that a control was taught to; `seedling` where there is no `graft.json`.

    Raises:
        ModelError: `graft.json` does not say.
    """
    card = _card_in(folder)
    if card is None:
        return SEEDLING
    base = card.get("base")
    if not isinstance(base, str):
        raise ModelError(f"{folder / 'graft.json'}: does not say which base; give --base")
    return base


def condition_of(folder: Path) -> tuple[str, dict[str, Value]]:
    """The condition that a control reads, and the settings it was drawn with.

    Raises:
        ModelError: the folder does not say.
    """
    card = _card_in(folder) or {}
    condition, annotator = card.get("condition"), card.get("annotator")
    if not isinstance(condition, str) or not isinstance(annotator, dict):
        raise ModelError(
            f"{folder}: does not say which condition it reads; give the finished hint instead"
        )
    return condition, cast("dict[str, Value]", annotator)


def kind_of(folder: Path) -> ControlConfig:
    """What kind of control it is; one of another maker is a usual one.

    Raises:
        ModelError: its settings are no settings.
        ConfigError: one of them is unknown.
    """
    path = folder / "graft.json"
    settings = (_card_in(folder) or {}).get("settings", {})
    known = cast("dict[str, object]", settings) if isinstance(settings, dict) else None
    control = None if known is None else known.get("control", {})
    if not isinstance(control, dict):
        raise ModelError(f"{path}: its settings are not graft's; delete it if it is another's")
    return fill(ControlConfig, cast("dict[str, object]", control), str(path))


def _card_in(folder: Path) -> dict[str, object] | None:
    path = folder / "graft.json"
    return read_json(path) if path.is_file() else None
