"""Tools by where they stand: in a file, in a module, on a server, behind a service, in a model.

`units.py:convert`, `package.module:convert`, `mcp:python server.py`, `openapi:openapi.json`,
`mt:http://127.0.0.1:5000`, `search:FOLDER` and `qa:FOLDER` for what `graft tools index` made,
`search:FILE.toml` for a search that a server does; over that one, `qa:FILE.toml reader=MODEL`.
A file is run, as an import runs it: only what the user names is loaded, never what a model's
card names.
"""

import importlib
import importlib.util
import sys
import traceback
from pathlib import Path
from types import ModuleType

from graft.errors import ConfigError, DataError
from graft.toolformer.tools.function import function_tool
from graft.toolformer.tools.offers import ASKED_ANEW, Offers
from graft.toolformer.tools.tool import Tool

_SUFFIX = ".py"


def is_place(name: str) -> bool:
    """Whether a tool's name says where it stands."""
    return ":" in name


def names_reader(place: str) -> bool:
    """Whether a place is of question answering that a model reads: `qa:reader=MODEL`."""
    kind, _, address = place.partition(":")
    return kind == "qa" and " reader=" in f" {address}"


def load_tools(place: str, offers: Offers = ASKED_ANEW) -> list[Tool]:
    """The tool that stands somewhere in Python, or all tools of a server or service.

    Args:
        place: where.
        offers: who says what a server or service offers.

    Raises:
        ConfigError: as `load_tool`; or the server cannot be reached, or a package is missing.
    """
    kind, _, address = place.partition(":")
    try:
        match kind:
            case "mcp":
                from graft.toolformer.tools.servers import server_tools

                return server_tools(address, offers)
            case "openapi":
                from graft.toolformer.tools.operations import operation_tools

                return operation_tools(address, offers)
            case "search" if address.endswith(".toml"):
                from graft.toolformer.tools.http_search import http_search_tool

                return [http_search_tool(Path(address))]
            case "search" | "qa":
                return [_over_index(kind, Path(address))]
            case "mt":
                from graft.toolformer.tools.translators import translation_tools

                return translation_tools(address, offers)
            case "model":  # it stands above, for it decodes as taught models do
                raise ConfigError(
                    f"the tool '{place}' is a model: graft.toolformer.functions.open_tools"
                    " opens it"
                )
            case _:
                return [load_tool(place)]
    except ImportError as error:
        raise ConfigError(
            f"the tool '{place}': the package '{error.name}' is missing; install it with:"
            f" pip install 'graft-models[{kind}]'"
        ) from error


def _over_index(kind: str, folder: Path) -> Tool:
    from graft.toolformer.tools.qa import qa_tool
    from graft.toolformer.tools.search import search_tool

    if kind == "qa" and folder.suffix == ".toml":
        raise ConfigError(
            f"the tool 'qa:{folder}': over a server's search a model reads; say which, as"
            f" 'qa:{folder} reader=seedling'"
        )
    try:
        return search_tool(folder) if kind == "search" else qa_tool(folder)
    except DataError as error:
        raise ConfigError(f"the tool '{kind}:{folder}': {error}") from error


def load_tool(place: str) -> Tool:
    """The tool, or the function as a tool, at `FILE.py:NAME` or `MODULE:NAME`.

    Raises:
        ConfigError: there is no such file, module or name, it cannot be run, or it is no tool.
    """
    where, _, name = place.rpartition(":")
    found = getattr(_module(where, place), name, None)
    if isinstance(found, Tool):
        return found
    if callable(found):
        return function_tool(found)
    what = "nothing of that name" if found is None else f"a {type(found).__name__}, no tool"
    raise ConfigError(
        f"the tool '{place}': {where} has {what}; name a function or a tool in it"
    )


def _module(where: str, place: str) -> ModuleType:
    path = Path(where)
    if path.suffix == _SUFFIX and not path.is_file():
        raise ConfigError(f"the tool '{place}': no such file: {where}")
    try:
        return _run_file(path) if path.suffix == _SUFFIX else importlib.import_module(where)
    except (Exception, SystemExit) as error:  # it may raise whatever it likes
        raise ConfigError(
            f"the tool '{place}': {where}{_line_of(error, path)} cannot be run: "
            f"{type(error).__name__}: {error}"
        ) from error


def _line_of(error: BaseException, path: Path) -> str:
    """Where in the file it happened, if it did."""
    lines = [
        frame.lineno
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename == str(path.resolve())
    ]
    return f", line {lines[-1]}," if lines else ""


def _run_file(path: Path) -> ModuleType:
    """The file as a module, once in a program's life."""
    name = f"graft_tools_of_{path.resolve()}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path.resolve())
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module
