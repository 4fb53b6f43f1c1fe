"""What a function gives back, as text: the same for equal results, in every process."""

import copy
import dataclasses
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import cast

import pydantic
import pydantic_core

from graft.errors import ToolError


def written(result: object) -> str:
    """A result as text: strings as they are, all else as JSON; days, sets and classes too.

    What a set holds is written in order, numbers first.

    Raises:
        ToolError: it holds a number of too many digits, or one that is not finite.
        TypeError: JSON has no word for it.
    """
    if isinstance(result, str):
        return result
    try:
        ordered = _in_order(result)
        if isinstance(ordered, pydantic.BaseModel):
            return ordered.model_dump_json()
        plain = pydantic_core.to_jsonable_python(ordered)
    except pydantic_core.PydanticSerializationError as error:
        raise TypeError(f"a result that JSON has no word for: {error}") from error
    try:
        return json.dumps(plain, ensure_ascii=False, allow_nan=False)
    except ValueError as error:  # Python's limit of digits, or NaN
        raise ToolError(f"its result cannot be written: {error}") from error


class _Set(set[object]):
    """A set that is gone through in the order it was given."""

    def __init__(self, members: Sequence[object]) -> None:
        super().__init__(members)
        self._members = members

    def __iter__(self) -> Iterator[object]:
        return iter(self._members)


class _FrozenSet(frozenset[object]):
    """The same, to stand in another set."""

    _members: Sequence[object]

    def __new__(cls, members: Sequence[object]) -> "_FrozenSet":
        made = super().__new__(cls, members)
        made._members = members
        return made

    def __iter__(self) -> Iterator[object]:
        return iter(self._members)


def _in_order(value: object) -> object:
    """The same value, whose sets are gone through in an order that hangs on no hash."""
    if isinstance(value, set | frozenset):
        members = sorted(map(_in_order, cast("Iterable[object]", value)), key=_rank)
        return _Set(members) if isinstance(value, set) else _FrozenSet(members)
    if isinstance(value, dict):
        held = cast("Mapping[object, object]", value)
        return {key: _in_order(one) for key, one in held.items()}
    if isinstance(value, list | tuple):
        make = list if isinstance(value, list) else getattr(type(value), "_make", tuple)
        return make(map(_in_order, cast("Iterable[object]", value)))
    return _with_fields_in_order(value)


def _with_fields_in_order(value: object) -> object:
    names = [name for name in _fields_of(value) if hasattr(value, name)]
    if not names:
        return value
    copied = copy.copy(value)
    for name in names:
        object.__setattr__(copied, name, _in_order(getattr(value, name)))  # frozen ones too
    return copied


def _fields_of(value: object) -> list[str]:
    if isinstance(value, pydantic.BaseModel):
        return list(type(value).model_fields)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return [one.name for one in dataclasses.fields(value)]
    return []


def _rank(member: object) -> tuple[bool, float, bytes]:
    """Numbers by their value, all else behind them by its JSON."""
    if isinstance(member, int | float):
        return False, member, b""
    return True, 0, pydantic_core.to_json(member)
