"""The tools that graft brings, by their names."""

import datetime
import difflib
import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

from graft.errors import ConfigError
from graft.toolformer.tools.calculator import calculator_tool
from graft.toolformer.tools.calendar import calendar_tool
from graft.toolformer.tools.index import build_index
from graft.toolformer.tools.search import search_tool
from graft.toolformer.tools.tool import Tool

NAMES = ("calculator", "calendar", "search")


def tools_by_name(
    names: Iterable[str],
    *,
    corpus: Path | None = None,
    today: datetime.date | None = None,
    index_folder: Path | None = None,
    apart: bool = False,
) -> dict[str, Tool]:
    """The tools called `names` in any case, keyed as they are written in calls.

    Args:
        names: of `NAMES`.
        corpus: the texts that search looks through: a folder, or one file.
        today: what the calendar answers where a text has no date.
        apart: whether search leaves out what overlaps with the text that asks; to be set
            where `corpus` is what is annotated.
        index_folder: where search keeps its index; else `default_index_folder()`.

    Raises:
        ConfigError: a name is unknown, or search has nothing to look through.
        DataError: the corpus cannot be read.
    """
    tools: dict[str, Tool] = {}
    for name in names:
        match name.strip().lower():
            case "calculator":
                tool = calculator_tool()
            case "calendar":
                tool = calendar_tool(today)
            case "search":
                tool = _search_over(corpus, index_folder or default_index_folder(), apart=apart)
            case unknown:
                raise ConfigError(_unknown(unknown))
        tools[tool.name] = tool
    return tools


def require_call_name(name: str, setting: str) -> None:
    """Raise ValueError where a setting is of a tool that no call can name."""
    known = [one.capitalize() for one in NAMES]
    if name not in known:
        close = difflib.get_close_matches(name.capitalize(), known, n=1)
        hint = f" (did you mean '{close[0]}'?)" if close else ""
        raise ValueError(f"unknown setting '{setting}'{hint}; there are {', '.join(known)}")


def default_index_folder() -> Path:
    """Where this user's indexes rest: under `$XDG_CACHE_HOME` or `~/.cache`."""
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "graft" / "search"


def _search_over(corpus: Path | None, index_folder: Path, *, apart: bool) -> Tool:
    if corpus is None:
        raise ConfigError(
            "the tool 'search' has nothing to look through; name a folder of .txt, .md, .jsonl "
            "or .parquet files, or leave 'search' out of the tools"
        )
    place = hashlib.sha256(str(corpus.resolve()).encode(errors="replace")).hexdigest()
    index = build_index(corpus, index_folder / f"{corpus.stem}-{place[:12]}.sqlite")
    return search_tool(index, apart=apart)


def _unknown(name: str) -> str:
    close = difflib.get_close_matches(name, NAMES, n=1)
    hint = f" (did you mean '{close[0]}'?)" if close else ""
    return f"unknown tool '{name}'{hint}; there are {', '.join(NAMES)}"
