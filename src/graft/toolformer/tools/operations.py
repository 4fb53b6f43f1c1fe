"""Every operation of an HTTP service that an OpenAPI document describes.

The document and what the service answers are data: cut, checked against their schemas, and
never run. Only the service's own address and public ones are reached (`reaching`). Secrets that
sign in come from the environment (`signing`).
"""

import functools
import json
import logging
import shlex
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import islice
from typing import cast
from urllib.parse import quote, urljoin

from graft.errors import ConfigError, ToolError
from graft.toolformer.tools.described import described_tool, distinct_names, usable_tools
from graft.toolformer.tools.offers import ASKED_ANEW, Offers
from graft.toolformer.tools.openapi_documents import Table, read_document
from graft.toolformer.tools.reaching import Request, Response, authority_of, reach
from graft.toolformer.tools.schemas import schema_arguments
from graft.toolformer.tools.signing import (
    Key,
    cut_secrets,
    document_keys,
    require_named,
    signed,
    split_words,
    wanted_keys,
)
from graft.toolformer.tools.tool import LateError, Tool

METHODS = ("get", "post", "put", "patch", "delete")
MOST_OPERATIONS = 500
_JSON = "application/json"
_log = logging.getLogger(__name__)

_SENT_IN = ("path", "query", "header")
_FIELD, _BODY = "field of the body", "body"
_NOT_SENT = frozenset(
    "connection content-encoding content-length expect keep-alive te trailer"
    " transfer-encoding upgrade".split()
)
"""Headers that say how a request is sent, which is not the document's to say."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """One argument of an operation, and where it goes: `_SENT_IN`, `_FIELD` or `_BODY`.

    `argument` is what it is called in a call: its name, unless another one has that.
    """

    name: str
    place: str
    schema: object
    required: bool
    argument: str


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation of a service."""

    name: str
    description: str
    method: str
    base: str
    path: str
    parameters: tuple[Parameter, ...]
    security: object = None
    """OpenAPI's alternatives of security schemes."""

    def request(self, values: Mapping[str, object]) -> Request:
        """What is asked with these values.

        Raises:
            ToolError: one is no part of a path, or leads elsewhere.
        """
        url, body = self.base.rstrip("/") + self.path, dict[str, object]()
        query, headers = dict[str, str | list[str]](), dict[str, str]()
        whole: object = None
        for one in self.parameters:
            if one.argument not in values:
                continue
            value = values[one.argument]
            match one.place:
                case "path":
                    url = url.replace(f"{{{one.name}}}", _part(one.name, value))
                case "query":
                    several = isinstance(value, list)
                    query[one.name] = [*map(_plain, value)] if several else _plain(value)
                case "header":
                    headers[one.name] = _plain(value)
                case "body":
                    whole = value
                case _:
                    body[one.name] = value
        if authority_of(url) != authority_of(self.base):
            raise ToolError(f"{url[:80]!r} leads away from the service")
        return Request(self.method, url, query, headers, body or whole)


def operation_tools(address: str, offers: Offers = ASKED_ANEW) -> list[Tool]:
    """The operations that the OpenAPI document at `address` describes.

    Args:
        address: a URL or a file, in JSON or YAML; behind it, with spaces between, hosts that
            may lie at private addresses (the host of a URL is one of them), and
            `SCHEME=VARIABLE`: the secret of the environment for one of the document's
            security schemes.
        offers: who says what stands at a URL.

    Raises:
        ConfigError: the document cannot be read, or describes nothing; a secret is missing, or
            would go to a host that is not named.
    """
    where, words = _split(address)
    allowed, variables = split_words(words)
    is_url = where.startswith(("http://", "https://"))
    if is_url:
        allowed.append(_authority(where))
    document = read_document(where, allowed, offers)
    base = _base(document, where if is_url else None, address)
    told = f"the OpenAPI document '{where}'"
    try:
        schemes, operations = _schemes(document), _first_operations(document, base, told)
    except ConfigError as error:
        raise ConfigError(f"{told}: {error}") from error
    keys = document_keys(variables, schemes, told, needed=offers.asks)
    if keys:
        require_named(base, allowed, told)
    makers = [functools.partial(_tool, one, document, allowed, keys) for one in operations]
    return usable_tools(makers, told)


def _split(address: str) -> tuple[str, list[str]]:
    try:
        where, *words = shlex.split(address) or [""]
    except ValueError as error:  # quotes that do not close
        raise ConfigError(f"the OpenAPI document '{address}': {error}") from error
    if not where:
        raise ConfigError("the OpenAPI document '': name its file or its URL")
    return where, words


def _schemes(document: Table) -> dict[str, Table]:
    told = _table(_table(document.get("components")).get("securitySchemes"))
    return {name: _followed(document, one) for name, one in told.items()}


def _first_operations(document: Table, base: str, told: str) -> list[Operation]:
    """As many as are offered, by names that can stand in calls."""
    found = list(islice(_operations(document, base), MOST_OPERATIONS + 1))
    if not found:
        raise ConfigError("describes no operations")
    if len(found) > MOST_OPERATIONS:
        _log.warning("%s: only its first %d operations are tools", told, MOST_OPERATIONS)
    found = found[:MOST_OPERATIONS]
    names = distinct_names([one.name for one in found])
    return [replace(one, name=name) for name, one in zip(names, found, strict=True)]


def _tool(
    operation: Operation, document: Table, allowed: Sequence[str], keys: Mapping[str, Key]
) -> Tool:
    schema = {
        "type": "object",
        "properties": {one.argument: one.schema for one in operation.parameters},
        "components": document.get("components", {}),
    }
    if required := [one.argument for one in operation.parameters if one.required]:
        schema["required"] = required
    is_30 = str(document["openapi"]).startswith("3.0")
    try:
        arguments = schema_arguments(schema, openapi_30=is_30)
    except ConfigError as error:
        raise ConfigError(f"its operation '{operation.name}': {error}") from error
    wanted = wanted_keys(operation.security, keys)

    def answer(values: Mapping[str, object]) -> str:
        response = reach(signed(operation.request(values), wanted), allowed)
        response = replace(response, text=cut_secrets(response.text, wanted))
        return _answer_of(response, _unsigned(operation, wanted))

    return described_tool(
        operation.name,
        operation.description,
        arguments,
        answer,
        [asdict(operation), document.get("components", {})],
    )


def _unsigned(operation: Operation, keys: Sequence[Key]) -> str:
    """How to sign in, where an operation asks for it and nobody does."""
    alternatives = [list(_table(one)) for one in _list(operation.security)]
    if keys or not any(alternatives):
        return ""
    names = " ".join(f"{name}=VARIABLE" for name in next(filter(None, alternatives)))
    return f"; to sign in, write {names} behind the document"


def _answer_of(response: Response, remedy: str = "") -> str:
    if response.status >= 500:
        raise LateError(f"the service says {response.status}")
    if response.status >= 300:
        how = remedy if response.status in (401, 403) else ""
        raise ToolError(f"the service says {response.status}: {response.text[:150]}{how}")
    if response.kind != _JSON:
        return response.text
    try:
        found = json.loads(response.text)
    except (ValueError, RecursionError):
        return response.text
    return found if isinstance(found, str) else json.dumps(found, ensure_ascii=False)


def _operations(document: Table, base: str) -> Iterator[Operation]:
    for path, told_of_path in _table(document.get("paths")).items():
        item = _followed(document, told_of_path)
        for method in METHODS:
            if told := _table(item.get(method)):
                if not path.startswith("/"):
                    raise ConfigError(f"its path '{path[:80]}' does not begin with /")
                yield Operation(
                    str(told.get("operationId") or f"{method} {path}"),
                    str(told.get("summary") or told.get("description") or ""),
                    method.upper(),
                    base,
                    path,
                    _parameters(document, item, told),
                    told.get("security", document.get("security")),
                )


def _parameters(document: Table, item: Table, told: Table) -> tuple[Parameter, ...]:
    """Those of an operation, which go before its path's of the same name and place."""
    sent = dict[tuple[str, str], Parameter]()
    for one in (*_list(item.get("parameters")), *_list(told.get("parameters"))):
        if (found := _sent(_followed(document, one))) is not None:
            sent[found.name, found.place] = found
    taken, called = set[str](), list[Parameter]()
    for one in sent.values():
        name = one.name if one.name not in taken else f"{one.name} in {one.place}"
        called.append(replace(one, argument=name))
        taken.add(name)
    return (*called, *_fields(told, document, taken))


def _sent(told: Table) -> Parameter | None:
    """A parameter of path, query or header; cookies are not sent."""
    name, place = told.get("name"), str(told.get("in"))
    if not isinstance(name, str) or place not in _SENT_IN:
        return None
    if place == "header" and name.lower() in _NOT_SENT:
        return None
    required = place == "path" or told.get("required") is True
    return Parameter(name, place, told.get("schema", {}), required, name)


def _fields(told: Table, document: Table, taken: Collection[str]) -> list[Parameter]:
    """The fields of a JSON body; or the body, where it has none or they are called the same."""
    body = _followed(document, told.get("requestBody"))
    content = _table(_table(body.get("content")).get(_JSON))
    if "schema" not in content:
        return []
    schema = _followed(document, content["schema"])
    fields, required = _table(schema.get("properties")), _list(schema.get("required"))
    if not fields or set(fields) & set(taken):
        name = "body" if "body" not in taken else "the body"
        return [Parameter("body", _BODY, content["schema"], body.get("required") is True, name)]
    return [
        Parameter(name, _FIELD, one, name in required, name) for name, one in fields.items()
    ]


def _followed(document: Table, value: object) -> Table:
    """A table, or the one in the same document that its `$ref` names."""
    for _ in range(10):
        table = _table(value)
        reference = table.get("$ref")
        if not isinstance(reference, str):
            return table
        if not reference.startswith("#/"):
            raise ConfigError(
                f"{reference}: names another document, which is not fetched; bundle them into"
                " one first, as `redocly bundle` does"
            )
        value = document
        for part in reference[2:].split("/"):
            value = _table(value).get(part.replace("~1", "/").replace("~0", "~"))
    raise ConfigError("its references go in circles")


def _base(document: Table, where: str | None, address: str) -> str:
    servers = _list(document.get("servers"))
    server = _table(servers[0]) if servers else {}
    url = str(server.get("url") or "")
    for name, variable in _table(server.get("variables")).items():
        if "default" not in _table(variable):
            raise ConfigError(
                f"the OpenAPI document '{address}': the variable '{name}' of its server has no"
                " default"
            )
        url = url.replace(f"{{{name}}}", str(_table(variable)["default"]))
    whole = urljoin(where, url or "/") if where is not None else url
    if not whole.startswith(("http://", "https://")):
        raise ConfigError(
            f"the OpenAPI document '{address}': does not say where its service is (`servers`)"
        )
    return whole


def _authority(url: str) -> str:
    try:
        return authority_of(url)
    except ToolError as error:
        raise ConfigError(f"the OpenAPI document '{url}': {error}") from error


def _table(value: object) -> Table:
    return cast("Table", value) if isinstance(value, dict) else {}


def _list(value: object) -> list[object]:
    return cast("list[object]", value) if isinstance(value, list) else []


def _part(name: str, value: object) -> str:
    """A value as one part of a path, and no way out of it."""
    plain = _plain(value)
    if plain in ("", ".", ".."):
        raise ToolError(f"{name}: {plain!r} is no part of a path")
    return quote(plain, safe="")


def _plain(value: object) -> str:
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False)
