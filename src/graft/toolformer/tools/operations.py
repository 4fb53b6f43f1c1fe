"""Every operation of an HTTP service that an OpenAPI document describes.

The document and what the service answers are data: cut, checked against their schemas, and
never run. Only the service's own address and public ones are reached (`reaching`).
"""

import hashlib
import json
import re
import shlex
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast
from urllib.parse import quote, urljoin

import yaml

from graft.errors import ConfigError, ToolError
from graft.toolformer.tools.arguments import Arguments
from graft.toolformer.tools.described import described_prompt
from graft.toolformer.tools.reaching import Request, Response, authority_of, reach
from graft.toolformer.tools.schemas import schema_arguments
from graft.toolformer.tools.tool import Context, LateError, Tool

METHODS = ("get", "post", "put", "patch", "delete")
MOST_OPERATIONS = 500
MOST_BYTES = 8 << 20
DEEPEST = 100
_JSON = "application/json"

Table = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation: where each of its arguments goes."""

    method: str
    url: str
    places: Mapping[str, str]
    """`path`, `query`, `header`, `body`, or `whole body`, by the argument's name."""

    def request(self, values: Mapping[str, object]) -> Request:
        """What is asked with these values."""
        of = {place: dict[str, object]() for place in (*_PLACES, _WHOLE)}
        for name, value in values.items():
            of[self.places[name]][name] = value
        url = self.url
        for name, value in of["path"].items():
            if _plain(value) in ("", ".", ".."):
                raise ToolError(f"{name}: {_plain(value)!r} is no part of a path")
            url = url.replace(f"{{{name}}}", quote(_plain(value), safe=""))
        body = of["body"] or next(iter(of[_WHOLE].values()), None)
        query = {name: _plain(value) for name, value in of["query"].items()}
        headers = {name: _plain(value) for name, value in of["header"].items()}
        return Request(self.method, url, query, headers, body)


_PLACES = ("path", "query", "header", "body")
_WHOLE = "whole body"


def operation_tools(address: str) -> list[Tool]:
    """The operations that the OpenAPI document at `address` describes.

    Args:
        address: a URL or a file, in JSON or YAML; behind it, with spaces between, hosts that
            may lie at private addresses. The host of a URL is one of them.

    Raises:
        ConfigError: the document cannot be read, or describes nothing.
    """
    try:
        where, *allowed = shlex.split(address)
    except ValueError as error:
        raise ConfigError(f"the OpenAPI document '{address}': {error}") from error
    is_url = where.startswith(("http://", "https://"))
    if is_url:
        allowed.append(authority_of(where))
    document = _read(where, allowed) if is_url else _read_file(Path(where))
    base = _base(document, where if is_url else None, address)
    tools = [
        _tool(name, described, document, operation, allowed)
        for name, described, operation in _operations(document, base)
    ][:MOST_OPERATIONS]
    if not tools:
        raise ConfigError(f"the OpenAPI document '{where}' describes no operations")
    return tools


def _tool(
    name: str, described: Table, document: Table, operation: Operation, allowed: Sequence[str]
) -> Tool:
    schema = _schema(described, document)
    arguments: Arguments = schema_arguments(schema)
    description = str(described.get("summary") or described.get("description") or "")

    def answer(argument: str, _context: Context) -> str:
        return _answer_of(reach(operation.request(arguments.read(argument)), allowed))

    told = json.dumps([operation.method, operation.url, description, described], default=str)
    tool = Tool(
        name=name,
        answer=answer,
        quoted=arguments.text,
        version=hashlib.blake2b(told.encode(), digest_size=6).hexdigest(),
        description=description,
        arguments=arguments,
        timeout_seconds=30.0,
    )
    return replace(tool, prompt=described_prompt(name, description, arguments, ()))


def _answer_of(response: Response) -> str:
    if response.status >= 500:
        raise LateError(f"the service says {response.status}")
    if response.status >= 300:
        raise ToolError(f"the service says {response.status}: {response.text[:150]}")
    if response.kind != _JSON:
        return response.text
    try:
        found = json.loads(response.text)
    except (ValueError, RecursionError):
        return response.text
    return found if isinstance(found, str) else json.dumps(found, ensure_ascii=False)


def _operations(document: Table, base: str) -> Iterator[tuple[str, Table, Operation]]:
    """Each operation's name, its description with all its parameters, and itself."""
    for path, item in _table(document.get("paths")).items():
        shared = _list(_table(item).get("parameters"))
        for method in METHODS:
            described = _table(_table(item).get(method))
            if not described:
                continue
            parameters = [
                _followed(document, one)
                for one in (*shared, *_list(described.get("parameters")))
            ]
            whole = {**described, "parameters": parameters}
            name = str(described.get("operationId") or f"{method} {path}")
            name = re.sub(r"\W+", "_", name).strip("_")
            url = base.rstrip("/") + str(path)
            operation = Operation(method.upper(), url, _places(whole, document))
            yield name if name[:1].isalpha() else f"tool_{name}", whole, operation


def _places(described: Table, document: Table) -> dict[str, str]:
    parameters = cast("Sequence[Table]", described["parameters"])
    places = {
        str(one["name"]): str(one["in"])
        for one in parameters
        if one.get("in") in _PLACES and "name" in one
    }
    body = _body(described, document)
    if body is not None:
        inner = _table(_followed(document, body).get("properties"))
        if inner and not set(inner) & set(places):
            places |= dict.fromkeys(inner, "body")
        else:
            places["body"] = _WHOLE
    return places


def _schema(described: Table, document: Table) -> dict[str, object]:
    """A JSON schema of all arguments together."""
    properties, required = dict[str, object](), list[str]()
    for one in cast("Sequence[Table]", described["parameters"]):
        name = str(one.get("name"))
        if one.get("in") in _PLACES:
            properties[name] = one.get("schema") or {}
            required += [name] * bool(one.get("required"))
    body = _body(described, document)
    if body is not None:
        followed = _followed(document, body)
        inner = _table(followed.get("properties"))
        if inner and not set(inner) & set(properties):
            properties |= inner
            required += [str(one) for one in _list(followed.get("required"))]
        else:
            properties["body"] = body
            required.append("body")
    return {
        "type": "object",
        "properties": properties,
        "required": required,
        "components": document.get("components", {}),
    }


def _body(described: Table, document: Table) -> Table | None:
    content = _table(_followed(document, described.get("requestBody")).get("content"))
    schema = _table(content.get(_JSON)).get("schema")
    return None if schema is None else _table(schema)


def _followed(document: Table, value: object) -> Table:
    """A table, or the one in the same document that its `$ref` names."""
    for _ in range(10):
        table = _table(value)
        reference = table.get("$ref")
        if not isinstance(reference, str):
            return table
        if not reference.startswith("#/"):
            raise ConfigError(f"{reference}: names another document, which is not fetched")
        value = document
        for part in reference[2:].split("/"):
            value = _table(value).get(part.replace("~1", "/").replace("~0", "~"))
    raise ConfigError("references of the OpenAPI document go in circles")


def _base(document: Table, where: str | None, address: str) -> str:
    servers = _list(document.get("servers"))
    server = _table(servers[0]) if servers else {}
    url = str(server.get("url") or "")
    for name, variable in _table(server.get("variables")).items():
        url = url.replace(f"{{{name}}}", str(_table(variable).get("default")))
    whole = urljoin(where, url or "/") if where is not None else url
    if not whole.startswith(("http://", "https://")):
        raise ConfigError(
            f"the OpenAPI document '{address}': does not say where its service is (`servers`)"
        )
    return whole


def _read(url: str, allowed: Collection[str]) -> Table:
    try:
        response = reach(Request("GET", url), allowed)
    except ToolError as error:
        raise ConfigError(f"the OpenAPI document '{url}': {error}") from error
    if response.status != 200:
        raise ConfigError(f"the OpenAPI document '{url}': the service says {response.status}")
    return _parsed(response.text, url)


def _read_file(path: Path) -> Table:
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"the OpenAPI document '{path}': {error.strerror}") from error
    if len(content) > MOST_BYTES:
        raise ConfigError(f"the OpenAPI document '{path}': more than {MOST_BYTES >> 20} MB")
    return _parsed(content.decode(errors="replace"), str(path))


def _parsed(text: str, where: str) -> Table:
    try:
        found: object = json.loads(text) if text.lstrip()[:1] == "{" else _yaml(text)
    except (ValueError, yaml.YAMLError, RecursionError) as error:
        raise ConfigError(
            f"the OpenAPI document '{where}': not JSON, nor YAML without aliases"
        ) from error
    if not isinstance(found, dict) or not str(found.get("openapi", "")).startswith("3"):
        raise ConfigError(f"the OpenAPI document '{where}': not of OpenAPI 3")
    return cast("Table", found)


def _yaml(text: str) -> object:
    """Without aliases, of which few lines can make more than any memory holds, and not deep."""
    depth = 0
    for event in yaml.parse(text, yaml.SafeLoader):
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if isinstance(event, yaml.AliasEvent) or depth > DEEPEST:
            raise ValueError("aliases, or too deep")
    return yaml.safe_load(text)


def _table(value: object) -> Table:
    return cast("Table", value) if isinstance(value, dict) else {}


def _list(value: object) -> list[object]:
    return cast("list[object]", value) if isinstance(value, list) else []


def _plain(value: object) -> str:
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False)
