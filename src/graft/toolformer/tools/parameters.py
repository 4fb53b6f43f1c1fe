"""What an operation of an HTTP service takes, and how that is written into a request.

OpenAPI 3.1.1, "Parameter Object": styles and their `explode`, where they are sent here. What a
document wants sent otherwise is not offered; where it has to be sent, its operation is not.
"""

import json
import re
from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import cast
from urllib.parse import quote

from graft.errors import ConfigError, ToolError
from graft.toolformer.tools.openapi_documents import Table, followed, listed, table

FIELD, BODY = "field of the body", "body"
_STYLES = {
    "path": ("simple",),
    "query": ("form", "spaceDelimited", "pipeDelimited", "deepObject"),
    "header": ("simple",),
}
"""Where parameters are sent, and how; the first is the usual one."""
_AS_JSON = "as JSON"
_BETWEEN = {"spaceDelimited": " ", "pipeDelimited": "|"}
JSON = "application/json"
_ANYTHING = ("application/*", "*/*")
_SENDABLE = re.compile(r"[!-~](?:[ -~]{0,198}[!-~])?")
_NOT_SENT = frozenset(
    "connection content-encoding content-length expect keep-alive te trailer"
    " transfer-encoding upgrade".split()
)
"""Headers that say how a request is sent, which is not the document's to say."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """One argument of an operation, and where it goes: path, query, header, `FIELD` or `BODY`.

    `argument` is what it is called in a call: its name, unless another one has that.
    """

    name: str
    place: str
    schema: object
    required: bool
    argument: str
    style: str = ""
    explode: bool = False

    def in_path(self, value: object) -> str:
        """The value as one part of a path, and no way out of it.

        Raises:
            ToolError: it is one.
        """
        value = self._as_asked(value)
        parts = self._parts(value)
        if (whole := ",".join(parts)) in ("", ".", ".."):
            raise ToolError(f"{self.name}: {whole!r} is no part of a path")
        safe = "=" if self.explode and isinstance(value, dict) else ""
        return ",".join(quote(one, safe=safe) for one in parts)

    def in_query(self, value: object) -> dict[str, str | list[str]]:
        """The value as parameters of a query, none where it is empty.

        Raises:
            ToolError: it cannot be written in this style.
        """
        value, is_deep = self._as_asked(value), self.style == "deepObject"
        if value in ([], {}):
            return {}
        if isinstance(value, dict) and (self.explode or is_deep):
            told = cast("Table", value).items()
            return {
                f"{self.name}[{name}]" if is_deep else name: _plain_or_several(one)
                for name, one in told
            }
        if isinstance(value, list) and self.explode:
            return {self.name: _plain_or_several(cast("list[object]", value))}
        return {self.name: self._joined(value)}

    def in_header(self, value: object) -> str:
        """The value as a header's.

        Raises:
            ToolError: it cannot be written in this style.
        """
        return self._joined(self._as_asked(value))

    def _as_asked(self, value: object) -> object:
        return json.dumps(value, ensure_ascii=False) if self.style == _AS_JSON else value

    def _joined(self, value: object) -> str:
        between, parts = _BETWEEN.get(self.style, ","), self._parts(value)
        if isinstance(value, list | dict) and any(between in one for one in parts):
            raise ToolError(f"{self.name}: {between!r} stands between values, not in one")
        return between.join(parts)

    def _parts(self, value: object) -> list[str]:
        if isinstance(value, list):
            return [_plain(one) for one in cast("list[object]", value)]
        if not isinstance(value, dict):
            return [_plain(value)]
        pairs = [(name, _plain(one)) for name, one in cast("Table", value).items()]
        if self.explode:
            return ["=".join(pair) for pair in pairs]
        return [part for pair in pairs for part in pair]


def parameters_of(document: Table, item: Table, told: Table) -> tuple[Parameter, ...]:
    """What an operation takes; its own go before its path's of the same name and place.

    Args:
        document: which both stand in.
        item: what is told of the path.
        told: what is told of the operation.

    Raises:
        ConfigError: what has to be sent is not offered, or cannot be found.
    """
    found = dict[tuple[str, str], Table]()
    for one in (*listed(item.get("parameters")), *listed(told.get("parameters"))):
        parameter = followed(document, one)
        found[str(parameter.get("name")), str(parameter.get("in"))] = parameter
    taken, called = set[str](), list[Parameter]()
    for one in filter(None, map(_sent, found.values())):
        name = one.name if one.name not in taken else f"{one.name} in {one.place}"
        called.append(replace(one, argument=name))
        taken.add(name)
    return (*called, *_fields(told, document, taken))


def _sent(told: Table) -> Parameter | None:
    """A parameter of path, query or header; None for what is not sent."""
    name, place = told.get("name"), str(told.get("in"))
    if not isinstance(name, str) or (place == "header" and name.lower() in _NOT_SENT):
        return None
    required = place == "path" or told.get("required") is True
    try:
        style = _style(told, place)
    except ConfigError as error:
        if required:
            raise ConfigError(f"its parameter {name!r:.80} {error}") from None
        return None
    explode = told.get("explode", style == "form") is True
    return Parameter(name, place, _schema(told), required, name, style, explode)


def _style(told: Table, place: str) -> str:
    """How it is written; raises ConfigError with what is amiss where it is not offered."""
    if place not in _STYLES:
        raise ConfigError(f"goes into {place!r:.80}, which is not sent")
    if content := table(told.get("content")):
        if _json_of(content) is None:
            raise ConfigError(f"is of {', '.join(content)!r:.100}; only JSON is sent")
        return _AS_JSON
    style = str(told.get("style", _STYLES[place][0]))
    if style not in _STYLES[place]:
        raise ConfigError(f"is of the style {style!r:.80}, which is not offered")
    return style


def _schema(told: Table) -> object:
    content = _json_of(table(told.get("content")))
    return (told if content is None else content).get("schema", {})


def _fields(told: Table, document: Table, taken: Collection[str]) -> list[Parameter]:
    """The fields of a JSON body; or the body, where it has none or they are called the same."""
    body = followed(document, told.get("requestBody"))
    if not (kinds := table(body.get("content"))):
        return []
    if (content := _json_of(kinds)) is None:
        raise ConfigError(f"its body is of {', '.join(kinds)!r:.100}; only JSON is sent")
    schema = followed(document, content.get("schema"))
    fields, required = table(schema.get("properties")), listed(schema.get("required"))
    if not fields or set(fields) & set(taken):
        name = "body" if "body" not in taken else "the body"
        whole = content.get("schema", {})
        return [Parameter("body", BODY, whole, body.get("required") is True, name)]
    return [Parameter(name, FIELD, one, name in required, name) for name, one in fields.items()]


def is_json(kind: str) -> bool:
    """Whether a media type is JSON, or one that is written in it (RFC 6839, Section 3.1)."""
    return kind == JSON or kind.endswith("+json")


def body_kind(told: Table, document: Table) -> str:
    """The media type that an operation's body is sent as, with its parameters.

    Raises:
        ConfigError: it could not stand in a header.
    """
    body = followed(document, told.get("requestBody"))
    content = table(body.get("content"))
    kind = _kind_of(content)
    if kind is None or _bare(kind) in _ANYTHING:
        return JSON
    if not _SENDABLE.fullmatch(kind):
        raise ConfigError(f"its body is of {kind!r:.100}, which is no media type")
    return kind


def _json_of(content: Table) -> Table | None:
    """What is told of the media type of JSON, whatever its parameters."""
    kind = _kind_of(content)
    return None if kind is None else table(content[kind])


def _kind_of(content: Table) -> str | None:
    """JSON itself, else what is written in it, else what allows it; as the document has it."""
    named = {_bare(kind): kind for kind in reversed([*content])}  # the first of several
    written = (kind for kind in map(_bare, content) if is_json(kind))
    return next((named[kind] for kind in (JSON, *written, *_ANYTHING) if kind in named), None)


def _bare(kind: str) -> str:
    return kind.partition(";")[0].strip().lower()


def _plain_or_several(value: object) -> str | list[str]:
    if isinstance(value, list):
        return [_plain(one) for one in cast("list[object]", value)]
    return _plain(value)


def _plain(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
