"""Every operation of an HTTP service that an OpenAPI document describes.

The document and what the service answers are data: cut, checked against their schemas, and
never run. Only the service's own address and public ones are reached (`reaching`). Secrets that
sign in come from the environment (`signing`).
"""

import functools
import json
import logging
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import islice
from urllib.parse import urljoin

from graft.errors import ConfigError, ToolError
from graft.toolformer.tools.arguments import Arguments
from graft.toolformer.tools.described import described_tool, distinct_names, usable_tools
from graft.toolformer.tools.offers import ASKED_ANEW, Offers
from graft.toolformer.tools.openapi_documents import (
    Table,
    followed,
    listed,
    read_document,
    table,
)
from graft.toolformer.tools.parameters import (
    FIELD,
    JSON,
    Parameter,
    body_kind,
    is_json,
    parameters_of,
)
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
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation of a service."""

    name: str
    description: str
    method: str
    base: str
    path: str
    parameters: tuple[Parameter, ...]
    empty_body: bool = False
    """A body of fields is sent even where none has a value."""
    security: object = None
    """OpenAPI's alternatives of security schemes."""
    body_kind: str = JSON

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
                    url = url.replace(f"{{{one.name}}}", one.in_path(value))
                case "query":
                    _add(query, one.in_query(value))
                case "header":
                    headers[one.name] = one.in_header(value)
                case "body":
                    whole = value
                case _:
                    body[one.name] = value
        if authority_of(url) != authority_of(self.base):
            raise ToolError(f"{url[:80]!r} leads away from the service")
        content = body if body or self.empty_body else whole
        return Request(self.method, url, query, headers, content, self.body_kind)


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
    told = f"the OpenAPI document '{where}'"
    url, servers = where if is_url else None, document.get("servers")
    try:
        base = _base(servers, url) if url or servers else None
        schemes, described = _schemes(document), _first_described(document, told)
    except ConfigError as error:
        raise ConfigError(f"{told}: {error}") from error
    keys = document_keys(variables, schemes, told, needed=offers.asks)
    if keys and base:
        require_named(base, allowed, told)
    service = _Service(document, url, allowed, keys)
    names = distinct_names([one.name for one in described])
    return usable_tools(
        [
            functools.partial(_tool, service, one, name)
            for name, one in zip(names, described, strict=True)
        ],
        told,
    )


@dataclass(frozen=True, slots=True)
class _Service:
    """A service's document, its URL if it has one, whom it may reach, and what signs in."""

    document: Table
    url: str | None
    allowed: Sequence[str]
    keys: Mapping[str, Key]


@dataclass(frozen=True, slots=True)
class _Described:
    """What a document tells of one operation, and of its path."""

    method: str
    path: str
    item: Table
    told: Table

    @property
    def name(self) -> str:
        return str(self.told.get("operationId") or f"{self.method} {self.path}")


def _split(address: str) -> tuple[str, list[str]]:
    try:
        where, *words = shlex.split(address) or [""]
    except ValueError as error:  # quotes that do not close
        raise ConfigError(f"the OpenAPI document '{address}': {error}") from error
    if not where:
        raise ConfigError("the OpenAPI document '': name its file or its URL")
    return where, words


def _schemes(document: Table) -> dict[str, Table]:
    told = table(table(document.get("components")).get("securitySchemes"))
    return {name: followed(document, one) for name, one in told.items()}


def _first_described(document: Table, told: str) -> list[_Described]:
    """As many as are offered; a path that refers to what is not there is left out."""
    refused = list[ConfigError]()
    found = list(islice(_described(document, refused), MOST_OPERATIONS + 1))
    if not found:
        raise next(iter(refused), ConfigError("describes no operations"))
    for error in refused:
        _log.warning("%s: left out: %s", told, error)
    if len(found) > MOST_OPERATIONS:
        _log.warning("%s: only its first %d operations are tools", told, MOST_OPERATIONS)
    return found[:MOST_OPERATIONS]


def _tool(service: _Service, described: _Described, name: str) -> Tool:
    document, allowed = service.document, service.allowed
    try:
        operation = _operation(service, described, name)
        arguments = _arguments(operation, document)
        wanted = wanted_keys(operation.security, service.keys)
        if wanted:
            require_named(operation.base, allowed, "its server")
    except ConfigError as error:
        raise ConfigError(f"its operation '{name}': {error}") from error

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
    alternatives = [list(table(one)) for one in listed(operation.security)]
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
    if not is_json(response.kind):
        return response.text
    try:
        found = json.loads(response.text)
    except (ValueError, RecursionError):
        return response.text
    return found if isinstance(found, str) else json.dumps(found, ensure_ascii=False)


def _described(document: Table, refused: list[ConfigError]) -> Iterator[_Described]:
    for path, told_of_path in table(document.get("paths")).items():
        try:
            item = followed(document, told_of_path)
        except ConfigError as error:
            refused.append(ConfigError(f"its path '{path:.80}': {error}"))
            continue
        for method in METHODS:
            if told := table(item.get(method)):
                yield _Described(method, path, item, told)


def _operation(service: _Service, described: _Described, name: str) -> Operation:
    item, told, document = described.item, described.told, service.document
    if not described.path.startswith("/"):
        raise ConfigError(f"its path '{described.path[:80]}' does not begin with /")
    servers = told.get("servers") or item.get("servers") or document.get("servers")
    parameters = parameters_of(document, item, told)
    has_fields = any(one.place == FIELD for one in parameters)
    return Operation(
        name,
        str(told.get("summary") or told.get("description") or ""),
        described.method.upper(),
        _base(servers, service.url),
        described.path,
        parameters,
        has_fields and followed(document, told.get("requestBody")).get("required") is True,
        told.get("security", document.get("security")),
        body_kind(told, document),
    )


def _arguments(operation: Operation, document: Table) -> Arguments:
    schema = {
        "type": "object",
        "properties": {one.argument: one.schema for one in operation.parameters},
        "components": document.get("components", {}),
    }
    if required := [one.argument for one in operation.parameters if one.required]:
        schema["required"] = required
    return schema_arguments(schema, openapi_30=str(document["openapi"]).startswith("3.0"))


def _base(told: object, url: str | None) -> str:
    """The first of some servers, from where a document at `url` stands."""
    servers = listed(told)
    server = table(servers[0]) if servers else {}
    base = str(server.get("url") or "")
    for name, variable in table(server.get("variables")).items():
        if "default" not in table(variable):
            raise ConfigError(f"the variable '{name}' of its server has no default")
        base = base.replace(f"{{{name}}}", str(table(variable)["default"]))
    whole = urljoin(url, base or "/") if url is not None else base
    if not whole.startswith(("http://", "https://")):
        raise ConfigError("does not say where its service is (`servers`)")
    return whole


def _add(query: dict[str, str | list[str]], more: Mapping[str, str | list[str]]) -> None:
    if twice := query.keys() & more.keys():
        raise ToolError(f"{min(twice)}: twice in the query")
    query.update(more)


def _authority(url: str) -> str:
    try:
        return authority_of(url)
    except ToolError as error:
        raise ConfigError(f"the OpenAPI document '{url}': {error}") from error
