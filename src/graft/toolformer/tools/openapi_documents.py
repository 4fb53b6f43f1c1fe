"""An OpenAPI document in JSON or YAML: a text of strangers, bounded in size and depth.

Documents that it refers to, from the same host or the same folder, become parts of it.
"""

import json
import logging
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import cast
from urllib.parse import unquote, urldefrag, urljoin

import yaml

from graft.errors import ConfigError, StoreError, ToolError
from graft.toolformer.tools.offers import ASKED_ANEW, Offers
from graft.toolformer.tools.reaching import Request, authority_of, reach

MOST_BYTES = 8 << 20
"""Of a document and all that it refers to."""

MOST_DOCUMENTS = 200
MOST_WARNINGS = 20
DEEPEST = 100
_OTHERS = "x-documents"
"""The component that the documents are to which a document refers."""

_log = logging.getLogger(__name__)

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
    texts = _Served(where, allowed, offers) if is_url else _Folder(Path(where))
    told = f"the OpenAPI document '{where}'"
    try:
        document = _parsed(text := texts.text(where))
        if not str(document.get("openapi", "")).startswith("3"):
            raise ConfigError("not of OpenAPI 3")
        _Others(texts.own, texts, len(text)).take_in(document, texts.own)
    except ConfigError as error:
        raise ConfigError(f"{told}: {error}") from error
    return document


def followed(document: Table, value: object) -> Table:
    """A table, or the one in the same document that its `$ref` names.

    Raises:
        ConfigError: it names what is no part of the document, or goes in circles.
    """
    for _ in range(10):
        found = table(value)
        reference = found.get("$ref")
        if not isinstance(reference, str):
            return found
        if not reference.startswith("#/"):
            raise ConfigError(f"{reference}: names what is no part of the document")
        value = document
        for part in unquote(reference[2:]).split("/"):
            value = table(value).get(part.replace("~1", "/").replace("~0", "~"))
    raise ConfigError("its references go in circles")


def table(value: object) -> Table:
    """A table, an empty one for anything else."""
    return cast("Table", value) if isinstance(value, dict) else {}


def listed(value: object) -> list[object]:
    """A list, an empty one for anything else."""
    return cast("list[object]", value) if isinstance(value, list) else []


class _Served:
    """Documents of one host, that of the first."""

    def __init__(self, first: str, allowed: Collection[str], offers: Offers) -> None:
        self.own, self._allowed, self._offers = urldefrag(first).url, allowed, offers

    def text(self, url: str) -> str:
        try:
            return self._offers.offered(f"openapi:{url}", lambda: self._fetched(url))
        except StoreError as error:
            if self._offers.asks or url == self.own:
                raise
            raise ConfigError(str(error)) from error  # in a replay: it was not there either

    def beside(self, url: str, reference: str) -> str:
        try:
            found = urljoin(url, reference)
            if authority_of(found) == authority_of(self.own):
                return found
        except (ToolError, ValueError) as error:
            raise ConfigError(str(error)) from error
        raise ConfigError("lies at another host")

    def _fetched(self, url: str) -> str:
        try:
            response = reach(Request("GET", url), self._allowed)
        except ToolError as error:
            raise ConfigError(str(error)) from error
        if response.status != 200:
            raise ConfigError(f"the service says {response.status}")
        return response.text


class _Folder:
    """Documents in files, below the folder of the first."""

    def __init__(self, first: Path) -> None:
        self.own, self._folder = str(first.resolve()), first.resolve().parent

    def text(self, path: str) -> str:
        try:
            with Path(path).open("rb") as file:
                content = file.read(MOST_BYTES + 1)
        except OSError as error:
            raise ConfigError(str(error.strerror)) from error
        if len(content) > MOST_BYTES:
            raise ConfigError(f"more than {MOST_BYTES >> 20} MB")
        return content.decode(errors="replace")

    def beside(self, path: str, reference: str) -> str:
        try:
            found = (Path(path).parent / unquote(reference)).resolve()
        except (OSError, ValueError, RuntimeError) as error:  # a null byte; links in circles
            raise ConfigError(str(error)) from error
        if "://" in reference or not found.is_relative_to(self._folder):
            raise ConfigError(f"lies outside of the folder '{self._folder}'")
        return str(found)


class _Others:
    """The documents that one refers to, and that those refer to, each by where it stands."""

    def __init__(self, where: str, texts: _Served | _Folder, size: int) -> None:
        self.parts = list[dict[str, object]]()
        self._texts, self._size, self._asked, self._refused = texts, size, 0, 0
        self._places: dict[str, str | None] = {where: "#"}
        self._waiting = list[tuple[str, str, dict[str, object]]]()

    def take_in(self, document: dict[str, object], where: str) -> None:
        """Read what it refers to; references that can be followed name a part of it then."""
        self._waiting.append((where, "#", document))
        while self._waiting:
            own, place, one = self._waiting.pop()
            for holder in _referring(one):
                reference = str(holder["$ref"])
                address, fragment = urldefrag(reference)
                found = self._place(own, address) if address else place
                if found is not None and fragment[:1] in ("", "/"):
                    holder["$ref"] = f"{found}{fragment}"
        if self.parts:
            parts = {str(number): one for number, one in enumerate(self.parts)}
            document["components"] = {**table(document.get("components")), _OTHERS: parts}

    def _place(self, own: str, address: str) -> str | None:
        """Where the document of an address is taken in; None if it cannot be."""
        there = address
        try:
            there = self._texts.beside(own, address)
            if there not in self._places:
                self._places[there] = None  # until it is read
                self._places[there] = self._read(there)
        except ConfigError as error:
            self._places[there] = None
            if self._refused < MOST_WARNINGS:
                _log.warning(
                    "%s refers to '%s': %s; what needs it is left out (`redocly bundle` makes"
                    " one document of many)",
                    *(own, address, error),
                )
            self._refused += 1
        return self._places[there]

    def _read(self, there: str) -> str:
        self._asked += 1
        if self._asked > MOST_DOCUMENTS or self._size > MOST_BYTES:
            raise ConfigError(f"more than {MOST_DOCUMENTS} documents or {MOST_BYTES >> 20} MB")
        text = self._texts.text(there)
        self._size += len(text)
        if self._size > MOST_BYTES:
            raise ConfigError(f"more than {MOST_BYTES >> 20} MB in all")
        place, one = f"#/components/{_OTHERS}/{len(self.parts)}", _parsed(text)
        self.parts.append(one)
        self._waiting.append((there, place, one))
        return place


def _referring(whole: object) -> Iterator[dict[str, object]]:
    """The tables in a table that are references."""
    waiting = [whole]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            held = cast("dict[str, object]", one)
            if isinstance(held.get("$ref"), str):
                yield held
            waiting.extend(held.values())
        elif isinstance(one, list):
            waiting.extend(cast("list[object]", one))


def _parsed(text: str) -> dict[str, object]:
    try:
        found: object = json.loads(text) if text.lstrip()[:1] == "{" else _yaml(text)
    except _UnreadableError as error:
        raise ConfigError(str(error)) from error
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"not JSON: {error!s:.150}") from error
    if not isinstance(found, dict):
        raise ConfigError("no table of names and values")
    return cast("dict[str, object]", found)


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
