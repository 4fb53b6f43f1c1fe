"""Flags stand in a recipe as they were given."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from graft.cli.overrides import as_overrides
from graft.config import load


@dataclass(frozen=True, kw_only=True)
class Flags:
    base: str = ""
    images: Path = Path()
    size: int | None = None


@pytest.mark.parametrize(
    "given", ["15", "1e5", "true", "2026-01-01", '"a"', "a = b", "gr\u00fcn", "🦊"]
)
def test_a_text_stays_a_text_whatever_it_looks_like(given: str) -> None:
    overrides = as_overrides(base=given, images=Path(given), size=64)
    assert load(Flags, None, overrides) == Flags(base=given, images=Path(given), size=64)


def test_what_was_not_given_overrides_nothing() -> None:
    assert as_overrides(base=None, size=None) == []
