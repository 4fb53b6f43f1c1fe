"""An OpenAPI document in JSON or YAML: a text of strangers, bounded in size and depth."""

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import cast

import yaml

from graft.errors import ConfigError, ToolError
from graft.toolformer.tools.offers import ASKED_ANEW, Offers
from graft.toolformer.tools.reaching import Request, reach

MOST_BYTES = 8 << 20
DEEPEST = 100

Table = Mapping[str, object]


def read_document(where: str, allowed: Collection[str], offers: Offers = ASKED_ANEW) -> Table:
    """The OpenAPI 3 document at a URL or in a file.

    Args:
        where: the URL or the file.
        allowed: hosts that may lie at private addresses.
        offers: who says what stands at the URL.

    Raises:
        ConfigError: it cannot be read, or is none.
    """
    is_url = where.startswith(("http://", "https://"))
    if not is_url:
        return _read_file(Path(where))
    return _parsed(offers.offered(f"openapi:{where}", lambda: _fetched(where, allowed)), where)


def followed(document: Table, value: object) -> Table:
    """A table, or the one in the same document that its `$ref` names.

    Raises:
        ConfigError: it names another document, or goes in circles.
    """
    for _ in range(10):
        found = table(value)
        reference = found.get("$ref")
        if not isinstance(reference, str):
            return found
        if not reference.startswith("#/"):
            raise ConfigError(
                f"{reference}: names another document, which is not fetched; bundle them into"
                " one first, as `redocly bundle` does"
            )
        value = document
        for part in reference[2:].split("/"):
            value = table(value).get(part.replace("~1", "/").replace("~0", "~"))
    raise ConfigError("its references go in circles")


def table(value: object) -> Table:
    """A table, an empty one for anything else."""
    return cast("Table", value) if isinstance(value, dict) else {}


def listed(value: object) -> list[object]:
    """A list, an empty one for anything else."""
    return cast("list[object]", value) if isinstance(value, list) else []


def _fetched(url: str, allowed: Collection[str]) -> str:
    try:
        response = reach(Request("GET", url), allowed)
    except ToolError as error:
        raise ConfigError(f"the OpenAPI document '{url}': {error}") from error
    if response.status != 200:
        raise ConfigError(f"the OpenAPI document '{url}': the service says {response.status}")
    return response.text


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
    except _UnreadableError as error:
        raise ConfigError(f"the OpenAPI document '{where}': {error}") from error
    except (ValueError, RecursionError) as error:
        raise ConfigError(
            f"the OpenAPI document '{where}': not JSON: {error!s:.150}"
        ) from error
    if not isinstance(found, dict) or not str(found.get("openapi", "")).startswith("3"):
        raise ConfigError(f"the OpenAPI document '{where}': not of OpenAPI 3")
    return cast("Table", found)


class _UnreadableError(Exception):
    """Why a document in YAML is not read."""


class _Loader(yaml.SafeLoader):
    """YAML as JSON has it: keys are texts, and a day is one too."""

    yaml_implicit_resolvers = {  # noqa: RUF012 - PyYAML's own way
        first: [(tag, pattern) for tag, pattern in some if not tag.endswith(":timestamp")]
        for first, some in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        super().flatten_mapping(node)
        for key, _ in node.value:
            key.tag = "tag:yaml.org,2002:str"


def _yaml(text: str) -> object:
    """Without aliases, of which few lines can make more than any memory holds, and not deep."""
    depth = 0
    try:
        for event in yaml.parse(text, yaml.SafeLoader):
            depth += isinstance(event, yaml.CollectionStartEvent)
            depth -= isinstance(event, yaml.CollectionEndEvent)
            if isinstance(event, yaml.AliasEvent) or depth > DEEPEST:
                raise _UnreadableError("aliases (&name, *name) and great depth are not read")
        return yaml.load(text, _Loader)
    except _UnreadableError:
        raise
    except Exception as error:  # of PyYAML's constructors any
        told = " ".join(str(error).split())
        raise _UnreadableError(f"neither JSON nor YAML: {told[:150]}") from error
