"""Flags as overrides of a recipe."""

import json
from pathlib import Path


def as_overrides(**given: object) -> list[str]:
    """Each flag as `name=value`; what was not given overrides nothing."""
    lines: list[str] = []
    for name, value in given.items():
        if value is not None:
            quoted = json.dumps(str(value) if isinstance(value, Path) else value)
            lines.append(f"{name}={quoted if isinstance(value, Path | list) else value}")
    return lines
