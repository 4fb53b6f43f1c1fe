"""Search that a server does: OpenSearch, Elasticsearch, or any that answers in JSON.

A file of settings says where it is, what it is asked and where in its answer the passages
stand. The query is put into the request as a value, never into its text; the answer is data:
bounded in size and time, checked for its shape. Secrets come from the environment (`signing`).
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, cast
from urllib.parse import quote

from graft.config import dump, load
from graft.errors import ConfigError, ToolError
from graft.toolformer.tools.passages import Passage, cut
from graft.toolformer.tools.reaching import (
    MOST_BYTES,
    Request,
    Response,
    authority_of,
    reach,
)
from graft.toolformer.tools.search import passages_tool
from graft.toolformer.tools.signing import Key, cut_secrets, header_keys, signed
from graft.toolformer.tools.tool import LateError, Tool

QUERY, PASSAGES = "{query}", "{passages}"
"""In a value of the request: what is searched for; as a whole value: how many are wanted."""
LONGEST_QUERY, LONGEST_TEXT = 1000, 20_000
MOST_PASSAGES = 100


@dataclass(frozen=True, kw_only=True)
class HttpSearchConfig:
    """Settings of a file `search:FILE.toml`."""

    url: str  # of the operation; of the server, where the kind is opensearch
    kind: Literal["http", "opensearch"] = "http"
    allow: tuple[str, ...] = ()  # hosts, or hosts with ports, that may lie at private addresses
    sign_in: dict[str, str] = field(default_factory=dict[str, str])  # as bearer = "VARIABLE"
    headers: dict[str, str] = field(default_factory=dict[str, str])
    passages: int = 1  # that an answer quotes from, best first
    snippet_words: int = 25  # the longest quotation of one passage

    # opensearch: an index (or several with commas), the fields searched, and those quoted
    index: str = ""
    fields: tuple[str, ...] = ("title", "text")
    title_field: str = "title"
    text_field: str = "text"

    # http: what is sent, and JSON pointers (RFC 6901) to what comes back
    method: Literal["GET", "POST"] = "GET"
    query: dict[str, str] = field(default_factory=dict[str, str])
    body: dict[str, object] = field(default_factory=dict[str, object])
    results: str = ""  # the list of results in the answer; the answer itself where empty
    title: str = "/title"  # in a result
    text: str = "/text"

    def __post_init__(self) -> None:
        if not 1 <= self.passages <= MOST_PASSAGES or self.snippet_words < 1:
            raise ValueError(f"passages: 1 to {MOST_PASSAGES}, with at least one word each")
        if self.kind == "opensearch":
            self._require_opensearch()
        elif self.index:
            raise ValueError('index: belongs to kind = "opensearch"')
        elif QUERY not in json.dumps([self.query, self.body]):
            raise ValueError(f"query, body: none of them holds {QUERY}")
        elif self.body and self.method != "POST":
            raise ValueError('body: needs method = "POST"')
        for pointer in (self.results, self.title, self.text):
            if pointer and not pointer.startswith("/"):
                raise ValueError(f"'{pointer}': a JSON pointer begins with a slash, as /text")

    def _require_opensearch(self) -> None:
        if not self.index or not self.fields:
            raise ValueError("index, fields: name what is searched")
        if self.query or self.body or self.results:
            raise ValueError('query, body, results: belong to kind = "http"')


def http_search_tool(file: Path) -> Tool:
    """The search that the settings in `file` describe, as a tool.

    Raises:
        ConfigError: a setting is none, the URL is no address, or a secret is not set.
    """
    search = open_http_search(file)
    words = search.config.snippet_words
    return passages_tool(
        lambda query, _context: search.find(query),
        snippet_words=words,
        version=search.version,
        limits="Whatever the server finds; quotes the best sentence of a passage, at most "
        f"{words} words of it.",
    )


@dataclass(frozen=True, slots=True)
class HttpSearch:
    """A search at hand: what finds passages, best first, with its settings."""

    config: HttpSearchConfig
    find: Callable[[str], list[Passage]]

    @property
    def version(self) -> str:
        """The same for the same settings."""
        return f"1 {hashlib.sha256(dump(self.config).encode()).hexdigest()[:16]}"


def open_http_search(file: Path, *, passages: int | None = None) -> HttpSearch:
    """The search that the settings in `file` describe, for so many `passages` if given.

    Raises:
        ConfigError: a setting is none, the URL is no address, or a secret is not set.
    """
    config = load(HttpSearchConfig, file)
    config = config if passages is None else replace(config, passages=passages)
    where = f"the search '{file}'"
    try:
        authority_of(config.url)
    except ToolError as error:
        raise ConfigError(f"{where}: {error}") from error
    asked = _opensearch(config) if config.kind == "opensearch" else config
    keys = header_keys(config.sign_in, where)

    def find(query: str) -> list[Passage]:
        request = signed(request_of(asked, query), keys)
        response = reach(request, config.allow)
        response = replace(response, text=cut_secrets(response.text, keys))
        return read_passages_of(_checked(response, keys), asked)

    return HttpSearch(config, find)


def request_of(config: HttpSearchConfig, query: str) -> Request:
    """What is sent for a query, which stands in it as a value and nowhere else."""
    query = query[:LONGEST_QUERY]
    parameters = {name: _filled(one, query, config) for name, one in config.query.items()}
    body = _filled(config.body, query, config) if config.body else None
    return Request(
        config.method,
        config.url,
        {name: str(one) for name, one in parameters.items()},
        config.headers,
        body,
    )


def read_passages_of(answer: object, config: HttpSearchConfig) -> list[Passage]:
    """The passages in an answer, at most as many as are wanted.

    Raises:
        ToolError: they do not stand where the settings say.
    """
    results = follow(answer, config.results)
    if not isinstance(results, list):
        raise ToolError(
            f"the answer has no list at {config.results or 'its top'} (`results`)"
            f"{_instead(answer)}"
        )
    rows = cast("list[object]", results)[: config.passages]
    found = [one for row in rows if (one := _passage(row, config))]
    if rows and not found:
        raise ToolError(f"no result has a text at {config.text} (`text`){_instead(rows[0])}")
    return found


def follow(value: object, pointer: str) -> object:
    """What stands at a JSON pointer, or None."""
    for part in pointer.split("/")[1:]:
        name = part.replace("~1", "/").replace("~0", "~")
        if isinstance(value, dict):
            value = cast("dict[str, object]", value).get(name)
        elif isinstance(value, list) and name.isdecimal() and len(name) < 9:
            items = cast("list[object]", value)
            value = items[int(name)] if int(name) < len(items) else None
        else:
            return None
    return value


def _opensearch(config: HttpSearchConfig) -> HttpSearchConfig:
    """The same as an operation of OpenSearch and Elasticsearch: `POST /INDEX/_search`."""
    matched = {"query": QUERY, "fields": [*config.fields]}
    return replace(
        config,
        kind="http",
        url=f"{config.url.rstrip('/')}/{quote(config.index, safe=',*')}/_search",
        index="",
        method="POST",
        body={
            "query": {"multi_match": matched},
            "size": PASSAGES,
            "_source": [config.title_field, config.text_field],
        },
        results="/hits/hits",
        title=f"/_source/{_escaped(config.title_field)}",
        text=f"/_source/{_escaped(config.text_field)}",
    )


def _escaped(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")


def _filled(value: object, query: str, config: HttpSearchConfig) -> object:
    match value:
        case str():
            return config.passages if value == PASSAGES else value.replace(QUERY, query)
        case dict():
            table = cast("dict[str, object]", value)
            return {name: _filled(one, query, config) for name, one in table.items()}
        case list():
            return [_filled(one, query, config) for one in cast("list[object]", value)]
        case _:
            return value


def _checked(response: Response, keys: Sequence[Key]) -> object:
    if response.status >= 500:
        raise LateError(f"the server says {response.status}")
    if response.status >= 300:
        how = '; sign in with sign_in = { bearer = "VARIABLE" }'
        how = how if response.status in (401, 403) and not keys else ""
        raise ToolError(f"the server says {response.status}: {response.text[:150]}{how}")
    try:
        return cast("object", json.loads(response.text))
    except (ValueError, RecursionError):
        if len(response.text.encode()) >= MOST_BYTES:
            raise ToolError(
                f"the server sent more than {MOST_BYTES >> 20} MiB; ask for fewer passages or"
                " fields"
            ) from None
        raise ToolError(f"the server sent no JSON: {response.text[:80]!r}") from None


def _passage(row: object, config: HttpSearchConfig) -> Passage | None:
    title, text = (_text(follow(row, one)) for one in (config.title, config.text))
    pieces = list(cut(title[:200], [text[:LONGEST_TEXT]]))
    return Passage(pieces[0].title, " ".join(one.text for one in pieces)) if pieces else None


def _text(value: object) -> str:
    """A text, or several one after the other, as highlighted fragments come."""
    if isinstance(value, list):
        return " ".join(one for one in cast("list[object]", value) if isinstance(one, str))
    return value if isinstance(value, str) else ""


def _instead(value: object) -> str:
    """What there is, so that a pointer can be mended."""
    if not isinstance(value, Mapping):
        return f"; there is {type(value).__name__}"
    names = list(map(str, cast("Mapping[object, object]", value)))
    return f"; there are: {', '.join(names[:8])[:150]}"
