"""Flags as overrides of a recipe."""

import json
from pathlib import Path


def as_overrides(**given: object) -> list[str]:
    """Each flag as `name=value`; what was not given overrides nothing."""
    lines: list[str] = []
    for name, value in given.items():
        if value is not None:
            plain = str(value) if isinstance(value, Path) else value
            quoted = json.dumps(plain, ensure_ascii=False)  # TOML knows no surrogates
            lines.append(f"{name}={quoted if isinstance(plain, str | list) else value}")
    return lines
