"""Every operation of an HTTP service that an OpenAPI document describes.

The document and what the service answers are data: cut, checked against their schemas, and
never run. Only the service's own address and public ones are reached (`reaching`). Secrets that
sign in come from the environment (`signing`).
"""

import json
import shlex
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from typing import cast
from urllib.parse import quote, urljoin

import yaml

from graft.errors import ConfigError, ToolError
from graft.toolformer.tools.described import described_tool
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
MOST_BYTES = 8 << 20
DEEPEST = 100
_JSON = "application/json"

Table = Mapping[str, object]


_SENT_IN = ("path", "query", "header")
_FIELD, _BODY = "field of the body", "body"


@dataclass(frozen=True, slots=True)
class Parameter:
    """One argument of an operation, and where it goes: `_SENT_IN`, `_FIELD` or `_BODY`."""

    name: str
    place: str
    schema: object
    required: bool


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation of a service."""

    name: str
    description: str
    method: str
    url: str
    parameters: tuple[Parameter, ...]
    security: object = None
    """OpenAPI's alternatives of security schemes."""

    def request(self, values: Mapping[str, object]) -> Request:
        """What is asked with these values.

        Raises:
            ToolError: one is no part of a path.
        """
        url, body = self.url, dict[str, object]()
        query, headers = dict[str, str | list[str]](), dict[str, str]()
        whole: object = None
        for one in self.parameters:
            if one.name not in values:
                continue
            value = values[one.name]
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
        return Request(self.method, url, query, headers, body or whole)


def operation_tools(address: str) -> list[Tool]:
    """The operations that the OpenAPI document at `address` describes.

    Args:
        address: a URL or a file, in JSON or YAML; behind it, with spaces between, hosts that
            may lie at private addresses (the host of a URL is one of them), and
            `SCHEME=VARIABLE`: the secret of the environment for one of the document's
            security schemes.

    Raises:
        ConfigError: the document cannot be read, or describes nothing; a secret is missing, or
            would go to a host that is not named.
    """
    try:
        where, *words = shlex.split(address)
    except ValueError as error:  # nothing, or quotes that do not close
        raise ConfigError(f"the OpenAPI document '{address}': {error}") from error
    allowed, variables = split_words(words)
    is_url = where.startswith(("http://", "https://"))
    if is_url:
        allowed.append(_authority(where))
    document = _read(where, allowed) if is_url else _read_file(Path(where))
    base = _base(document, where if is_url else None, address)
    told = f"the OpenAPI document '{where}'"
    schemes = _table(_table(document.get("components")).get("securitySchemes"))
    schemes = {name: _followed(document, one) for name, one in schemes.items()}
    keys = document_keys(variables, schemes, told)
    if keys:
        require_named(base, allowed, told)
    tools = [
        _tool(one, document, allowed, keys)
        for one in islice(_operations(document, base), MOST_OPERATIONS)
    ]
    if not tools:
        raise ConfigError(f"the OpenAPI document '{where}' describes no operations")
    return tools


def _tool(
    operation: Operation, document: Table, allowed: Sequence[str], keys: Mapping[str, Key]
) -> Tool:
    schema = {
        "type": "object",
        "properties": {one.name: one.schema for one in operation.parameters},
        "components": document.get("components", {}),
    }
    if required := [one.name for one in operation.parameters if one.required]:
        schema["required"] = required
    is_30 = str(document["openapi"]).startswith("3.0")
    try:
        arguments = schema_arguments(schema, openapi_30=is_30)
    except ConfigError as error:
        raise ConfigError(f"the operation '{operation.name}': {error}") from error
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
    for path, item in _table(document.get("paths")).items():
        shared = _list(_table(item).get("parameters"))
        for method in METHODS:
            told = _table(_table(item).get(method))
            if told:
                given = (*shared, *_list(told.get("parameters")))
                sent = [_sent(_followed(document, one)) for one in given]
                fields = _fields(told, document, {one.name for one in sent if one})
                yield Operation(
                    str(told.get("operationId") or f"{method} {path}"),
                    str(told.get("summary") or told.get("description") or ""),
                    method.upper(),
                    base.rstrip("/") + str(path),
                    (*(one for one in sent if one), *fields),
                    told.get("security", document.get("security")),
                )


def _sent(told: Table) -> Parameter | None:
    """A parameter of path, query or header; cookies are not sent."""
    name, place = told.get("name"), str(told.get("in"))
    if not isinstance(name, str) or place not in _SENT_IN:
        return None
    required = place == "path" or told.get("required") is True
    return Parameter(name, place, told.get("schema", {}), required)


def _fields(told: Table, document: Table, taken: Collection[str]) -> list[Parameter]:
    """The fields of a JSON body; or the body, where it has none or they are called the same."""
    body = _followed(document, told.get("requestBody"))
    content = _table(_table(body.get("content")).get(_JSON))
    if "schema" not in content:
        return []
    schema = _followed(document, content["schema"])
    fields, required = _table(schema.get("properties")), _list(schema.get("required"))
    if not fields or set(fields) & set(taken):
        return [Parameter("body", _BODY, content["schema"], body.get("required") is True)]
    return [Parameter(name, _FIELD, one, name in required) for name, one in fields.items()]


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


def _authority(url: str) -> str:
    try:
        return authority_of(url)
    except ToolError as error:
        raise ConfigError(f"the OpenAPI document '{url}': {error}") from error


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
