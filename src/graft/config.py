"""Settings from a recipe: frozen dataclasses, refused by name when misspelt or ill-typed.

Each module defines its own `...Config` beside the code it configures. This file only knows how
to fill one from a TOML or JSON file and `section.key=value` overrides, and how to write one.

Values are those of the file: an integer may stand for a float, a text for a path or a date, a
list for a tuple. Nothing else is turned into anything else.
"""

import dataclasses
import difflib
import json
import tomllib
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import GenericAlias
from typing import TypeVar

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from graft.errors import ConfigError

Table = dict[str, object]
Config = TypeVar("Config")


def load(kind: type[Config], path: Path | None = None, overrides: Sequence[str] = ()) -> Config:
    """The settings of `path`, with `section.key=value` overrides on top.

    Without a path, the defaults. The value of an override is read as TOML, and as plain text
    where it is no TOML, so that `model=seedling` needs no quotes.

    Raises:
        ConfigError: names the file or the override, and each setting that is wrong.
    """
    table = {} if path is None else _read(path)
    origins: dict[str, str] = {}
    for override in overrides:
        origins[_apply(table, override)] = f"override '{override}'"
    return fill(kind, table, "settings" if path is None else str(path), origins)


def fill(
    kind: type[Config],
    table: Mapping[str, object],
    origin: str = "settings",
    origins: Mapping[str, str] | None = None,
) -> Config:
    """The settings that `table` holds; `origin` is where it comes from, for the message.

    `origins` tells, by dotted name, which settings come from somewhere else.
    """
    # Pydantic forbids unknown settings to plain dataclasses only from a type around them.
    around = typing.cast("type[tuple[Config]]", GenericAlias(tuple, (kind,)))
    adapter = TypeAdapter(around, config=ConfigDict(extra="forbid", strict=True))
    try:
        whole = _with_defaults(kind, table)
        (settings,) = adapter.validate_json(json.dumps([whole], default=str))
    except ValidationError as error:
        complaints = [
            _complaint(kind, table, details, origin, origins or {})
            for details in error.errors()
        ]
        raise ConfigError("\n".join(dict.fromkeys(complaints))) from None
    return settings


def _with_defaults(kind: type, table: Mapping[str, object]) -> Table:
    """A table whose begun sections have the rest from the section's own default.

    Else each would be completed by its class, whose defaults may be other ones.
    """
    made = {
        one.name: one.default_factory()
        for one in (dataclasses.fields(kind) if dataclasses.is_dataclass(kind) else ())
        if one.name in table and one.default_factory is not dataclasses.MISSING
    }
    return {name: _completed(made.get(name), value) for name, value in table.items()}


def _completed(default: object, begun: object) -> object:
    is_section = dataclasses.is_dataclass(default) and not isinstance(default, type)
    if not (is_section and isinstance(begun, Mapping)):
        return begun
    section = typing.cast("Mapping[str, object]", begun)
    held = {
        name: _completed(getattr(default, name, None), one) for name, one in section.items()
    }
    return {**to_table(default), **held}


def require(
    settings: object, names: Sequence[str], fits: Callable[[float], bool], told: str
) -> None:
    """Refuse numbers among `settings` that do not fit, by name: for a `__post_init__`."""
    for name in names:
        if not fits(getattr(settings, name)):
            raise ValueError(f"{name} is {told}")


def changed(settings: Config, **values: object) -> Config:
    """`settings` with other values.

    Raises:
        ConfigError: they refuse one of them.
    """
    try:
        return typing.cast("Callable[..., Config]", dataclasses.replace)(settings, **values)
    except ValueError as error:  # from a __post_init__, which knows its settings' names
        plain = [f"{n} = {v}" for n, v in values.items() if not dataclasses.is_dataclass(v)]
        raise ConfigError(f"{error}; asked for: {', '.join(plain)}") from error


def to_table(settings: object) -> Table:
    """`settings` as plain values, as they stand in JSON; `fill` reads them back."""
    return TypeAdapter(type(settings)).dump_python(settings, mode="json")


def dump(settings: object) -> str:
    """`settings` as JSON text, every default resolved; `load` reads it from a `.json` file."""
    return json.dumps(to_table(settings), indent=2, ensure_ascii=False) + "\n"


def _read(path: Path) -> Table:
    """The table in a TOML file, or in a JSON file as `dump` writes it."""
    parse = json.loads if path.suffix == ".json" else tomllib.loads
    try:
        table: object = parse(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except ValueError as error:  # not UTF-8, not TOML, not JSON
        raise ConfigError(f"{path}: is not a recipe: {error}") from error
    if not isinstance(table, dict):
        raise ConfigError(f"{path}: is not a recipe: it holds no settings by name")
    return typing.cast("Table", table)


def _apply(table: Table, override: str) -> str:
    """Write one override into `table`; gives the dotted name that it sets."""
    name, equals, literal = override.partition("=")
    *parents, leaf = name.strip().split(".")
    if not equals or not leaf or not all(parents):
        raise ConfigError(f"an override is written section.key=value, not '{override}'")
    for parent in parents:
        inner = table.setdefault(parent, {})
        if not isinstance(inner, dict):
            raise ConfigError(f"override '{override}': '{parent}' is a value, not a section")
        table = typing.cast("Table", inner)
    table[leaf] = _value(literal.strip())
    return name.strip()


def _value(literal: str) -> object:
    try:
        parsed = tomllib.loads(f"value = {literal}")
    except tomllib.TOMLDecodeError:
        return literal
    return parsed["value"] if len(parsed) == 1 else literal


def _complaint(
    kind: type, table: object, details: ErrorDetails, origin: str, origins: Mapping[str, str]
) -> str:
    """One line that tells where which setting is wrong, and what was expected."""
    name = _dotted(table, details["loc"][1:])
    place = origins.get(name, origin)
    match details["type"]:
        case "unexpected_keyword_argument":
            return f"{place}: unknown setting '{name}'{_hint(kind, name)}"
        case "missing":
            return f"{place}: setting '{name}' is missing"
        case "value_error":  # from a __post_init__, which knows its settings' names
            said = details["msg"].removeprefix("Value error, ")
            return f"{place}: {name + ': ' if name else ''}{said}"
        case _:
            said = details["msg"].removeprefix("Input ")
            return f"{place}: setting '{name}' {said}, not {details['input']!r}"


def _dotted(table: object, location: Sequence[str | int]) -> str:
    """The part of `location` that names a setting: pydantic appends members of unions to it."""
    names: list[str] = []
    for step in location:
        if isinstance(table, Mapping):
            names.append(str(step))
            table = typing.cast("Mapping[object, object]", table).get(step)
        elif isinstance(table, list) and isinstance(step, int):
            names.append(str(step))
            table = typing.cast("list[object]", table)[step]
    return ".".join(names)


def _hint(kind: type, name: str) -> str:
    """What may have been meant: a neighbour in the section, or a name in another one."""
    section, _, leaf = name.rpartition(".")
    known = list(_names(kind))
    neighbours = [other.rpartition(".")[2] for other in known if _section(other) == section]
    close = difflib.get_close_matches(leaf, neighbours, n=1)
    elsewhere = [other for other in known if other.rpartition(".")[2] in {leaf, *close}]
    meant = close or elsewhere or difflib.get_close_matches(name, known, n=1)
    return f" (did you mean '{meant[0]}'?)" if meant else ""


def _section(name: str) -> str:
    return name.rpartition(".")[0]


def _names(kind: object, prefix: str = "") -> Iterator[str]:
    """The dotted name of every setting and section in the dataclass `kind`."""
    for name, inner in typing.get_type_hints(kind).items():
        yield prefix + name
        for part in (inner, *typing.get_args(inner)):
            if dataclasses.is_dataclass(part):
                yield from _names(part, f"{prefix}{name}.")
