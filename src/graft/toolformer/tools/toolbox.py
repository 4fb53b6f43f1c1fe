"""Tools by their names: those that graft brings, and anybody's by where it stands in Python."""

import datetime
import difflib
import functools
import hashlib
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from graft.errors import ConfigError
from graft.toolformer.tools.calculator import calculator_tool
from graft.toolformer.tools.calendar import calendar_tool
from graft.toolformer.tools.index import build_index, index_file, is_index_folder
from graft.toolformer.tools.loading import is_place, load_tools, names_reader
from graft.toolformer.tools.offers import ASKED_ANEW, Offers
from graft.toolformer.tools.qa import qa_tool
from graft.toolformer.tools.search import search_tool
from graft.toolformer.tools.tool import Tool
from graft.toolformer.tools.translators import translation_tools

_IN_CALLS = {
    "calculator": "Calculator",
    "calendar": "Calendar",
    "search": "Search",
    "qa": "QA",
    "mt": "MT",
}
NAMES, _KNOWN = tuple(_IN_CALLS), tuple(_IN_CALLS.values())
OVER_TEXTS = ("search", "qa")
"""Those that look through texts, which are to be named."""


def tools_by_name(
    names: Iterable[str],
    *,
    corpus: Path | None = None,
    today: datetime.date | None = None,
    index_folder: Path | None = None,
    apart: bool = False,
    kinds: Mapping[str, Callable[[str], list[Tool]]] | None = None,
    offers: Offers = ASKED_ANEW,
) -> dict[str, Tool]:
    """The tools called `names`, keyed as they are written in calls.

    Args:
        names: of `NAMES`, in any case, or places such as `units.py:convert`
            and `mcp:python server.py`.
        corpus: the texts that search and qa look through: a folder, one file, or what
            `graft tools index` made of them.
        today: what the calendar answers where a text has no date.
        apart: whether both leave out what overlaps with the text that asks; to be set
            where `corpus` is what is annotated.
        index_folder: where both keep their index; else `default_index_folder()`.
        kinds: further kinds of places, and what loads the tools at an address: see
            `graft.toolformer.functions.open_tools`, which knows `model:FILE.toml`.
        offers: who says what servers and services offer.

    Raises:
        ConfigError: a name is unknown, a place holds no tool, two tools are called the same in
            a call, search or qa has nothing to look through, or nothing is installed that
            translates.
        DataError: the corpus cannot be read.
    """
    tools: dict[str, Tool] = {}
    for name in dict.fromkeys(name.strip() for name in names):
        match name if is_place(name) else name.lower():
            case "calculator":
                found = [calculator_tool()]
            case "calendar":
                found = [calendar_tool(today)]
            case "search" | "qa" as over:
                index = _index_of(corpus, index_folder or default_index_folder(), over)
                make = search_tool if over == "search" else qa_tool
                found = [make(index, apart=apart)]
            case "mt":
                found = translation_tools()
            case place if names_reader(place):
                from graft.toolformer.tools.answering import reader_tool

                keep = index_folder or default_index_folder()
                index = functools.partial(_index_of, corpus, keep, "qa")
                tool = reader_tool(place.partition(":")[2], index, apart=apart)
                found = [replace(tool, place=place)]
            case place if is_place(place):
                kind, _, address = place.partition(":")
                load = (kinds or {}).get(kind)
                loaded = load_tools(place, offers) if load is None else load(address)
                found = [replace(tool, place=place) for tool in loaded]
            case unknown:
                raise ConfigError(_unknown(unknown))
        _add(found, tools)
    return tools


def _add(found: Iterable[Tool], tools: dict[str, Tool]) -> None:
    for tool in found:
        if tool.name in tools:
            places = sorted({one.place or "graft's own" for one in (tools[tool.name], tool)})
            raise ConfigError(
                f"two tools are called '{tool.name}' in a call ({', '.join(places)}); leave out"
                " one of these"
            )
        tools[tool.name] = tool


def require_settings_of_tools(tools: Mapping[str, Tool], settings: Iterable[str]) -> None:
    """Raise ConfigError where one of `settings`, such as `keep.tools.Search`, is of no tool.

    Settings of the tools that graft brings may stand there whether they are used or not.
    """
    for setting in settings:
        try:
            _require(setting.rpartition(".")[2], setting, [*_KNOWN, *tools])
        except ValueError as error:
            raise ConfigError(str(error)) from error


def require_call_name(name: str, setting: str, tools: Iterable[str]) -> None:
    """Raise ValueError where a setting is of a tool that no call can name.

    What the tools that stand elsewhere (of `tools`) are called is known once they are loaded:
    then `require_settings_of_tools` asks again.
    """
    if not any(is_place(one) for one in tools):
        _require(name, setting, _KNOWN)


def _require(name: str, setting: str, known: Sequence[str]) -> None:
    if name not in known:
        close = difflib.get_close_matches(name, known, n=1) or difflib.get_close_matches(
            _IN_CALLS.get(name.lower(), name.capitalize()), known, n=1
        )
        hint = f" (did you mean '{close[0]}'?)" if close else ""
        raise ValueError(f"unknown setting '{setting}'{hint}; there are {', '.join(known)}")


def default_index_folder() -> Path:
    """Where this user's indexes rest: under `$XDG_CACHE_HOME` or `~/.cache`."""
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "graft" / "search"


def _index_of(corpus: Path | None, index_folder: Path, tool: str) -> Path:
    if corpus is None:
        raise ConfigError(
            f"the tool '{tool}' has nothing to look through; name a folder of .txt, .md, "
            ".jsonl or .parquet files, a dump of Wikipedia, or an index of them, or leave "
            f"'{tool}' out of the tools"
        )
    if is_index_folder(corpus):
        return index_file(corpus)
    place = hashlib.sha256(str(corpus.resolve()).encode(errors="replace")).hexdigest()
    return build_index(corpus, index_folder / f"{corpus.stem}-{place[:12]}.sqlite")


def _unknown(name: str) -> str:
    close = difflib.get_close_matches(name, NAMES, n=1)
    hint = f" (did you mean '{close[0]}'?)" if close else ""
    return (
        f"unknown tool '{name}'{hint}; there are {', '.join(NAMES)}, and your own as "
        "FILE.py:FUNCTION"
    )
