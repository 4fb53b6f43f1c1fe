"""A full-text index on disk and its BM25, nothing to serve or to load.

SQLite's FTS5 finds words, or in a large index tantivy, whose lists then lie beside SQLite's
file. An index is written whole or not at all, and again only when its source has changed.
"""

import logging
import math
import os
import re
import sqlite3
import tempfile
import threading
import weakref
from collections import deque
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from pathlib import Path

from graft.errors import DataError
from graft.store.whole import PARTIAL, writing
from graft.toolformer.tools.documents import fingerprint_of, read_documents, source_files
from graft.toolformer.tools.index_writer import WORDS, IndexWriter, State
from graft.toolformer.tools.passages import Passage
from graft.toolformer.tools.tantivy_words import WordLists

_log = logging.getLogger(__name__)
MAX_QUERY_CHARACTERS = 1000
MAX_TERMS = 32
"""Longer queries are cut: each term costs a pass over its passages."""
COMMON_SHARE = 0.05
COMMON_AT_LEAST = 1000
"""A term in more passages than both is dropped (143 -> 27 ms in 100,000 paragraphs)."""

_PASSAGES_PER_STEP = 10_000
_FILE = "passages.sqlite"
_WORD = re.compile(r"\w+")
FUNCTION_WORDS = frozenset(
    "a an and are as at be been by did do does for from had has have he her his how i in into "
    "is it its of on or she that the their them they this to was we were what when where which "
    "who whom whose why will with you".split()
)
STAGE = "index"
"""Where the index lies in a folder that `graft tools index` made."""


@dataclass(frozen=True, slots=True)
class _Meta:
    fingerprint: str
    passages: int
    listed_beside: bool
    """Whether words are found by tantivy's lists, not by SQLite."""


def build_index(source: Path, index: Path) -> Path:
    """Make `index` an index of `source`, unless it already is; gives `index` back.

    A record that cannot be used is left out; a warning counts these and names the first.

    Raises:
        DataError: the source is missing, damaged, or holds no text.
        StoreError: the index cannot be written.
    """
    fingerprint = fingerprint_of(source)
    known = _read_meta(index)
    if known is not None and known.fingerprint == fingerprint:
        return index
    with writing(index):
        index.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(
            prefix=f".{index.name}.", suffix=PARTIAL, dir=index.parent
        )
    os.close(handle)
    unfinished = Path(name)
    try:
        _write(source, fingerprint, unfinished)
        with writing(index):
            unfinished.replace(index)
    finally:
        for left in (unfinished, Path(f"{unfinished}-journal")):
            left.unlink(missing_ok=True)
    return index


def index_file(folder: Path) -> Path:
    """The index in a folder that `graft tools index` made."""
    return folder / STAGE / _FILE


def is_index_folder(folder: Path) -> bool:
    """Whether `graft tools index` made this folder, or began to."""
    return index_file(folder).is_file()


class Index:
    """An index that is asked, by several threads if need be."""

    def __init__(self, path: Path) -> None:
        path = index_file(path) if path.is_dir() else path
        meta = _read_meta(path)
        if meta is None and path.name == _FILE and path.is_file():
            raise DataError(
                f"{path}: not a finished search index; run its `graft tools index` again"
            )
        if meta is None:
            raise DataError(
                f"{path}: not a search index; build it from its texts first (graft tools index)"
            )
        self.fingerprint = meta.fingerprint
        self.passages = meta.passages
        self._path = path
        self._lists = WordLists(path.with_name(WORDS)) if meta.listed_beside else None
        self._idle: deque[sqlite3.Connection] = deque()
        self._lock = threading.Lock()
        self._passages_with = lru_cache(maxsize=10_000)(self._count)
        weakref.finalize(self, _close_all, self._idle)

    def find(self, query: str, limit: int = 1) -> list[Passage]:
        """The passages that match `query` best by BM25, best first, ties in source order."""
        terms = self.telling_terms(query)
        if not terms:
            return []
        with self._connection() as connection:
            if self._lists is not None:
                best = self._lists.best(terms, limit)
                return [passage for row in best for passage in _read_row(connection, row)]
            rows: list[tuple[str, str]] = connection.execute(
                "SELECT title, text FROM passage WHERE passage MATCH ?"
                " ORDER BY bm25(passage), rowid LIMIT ?",
                (" OR ".join(f'"{term}"' for term in terms), limit),
            ).fetchall()
        return [Passage(title, text) for title, text in rows]

    def telling_terms(self, query: str) -> list[str]:
        """The words of `query` that tell passages apart; all of them where none does."""
        terms = read_terms(query[:MAX_QUERY_CHARACTERS])[:MAX_TERMS]
        content = [term for term in terms if term not in FUNCTION_WORDS]
        common = max(COMMON_AT_LEAST, int(COMMON_SHARE * self.passages))
        rare = [term for term in content if self._passages_with(term) <= common]
        return rare or content or terms

    def rarity(self, word: str) -> float:
        """How much a word tells: the log of how many times fewer passages have it than all."""
        return math.log((1 + self.passages) / (1 + self._passages_with(word)))

    def _count(self, term: str) -> int:
        if self._lists is not None:
            return self._lists.count(term)
        with self._connection() as connection:
            [[count]] = connection.execute(
                "SELECT count(*) FROM passage WHERE passage MATCH ?", (f'"{term}"',)
            ).fetchall()
        return int(count)

    @contextmanager
    def _connection(self) -> Generator[sqlite3.Connection, None, None]:
        """A connection that no other thread uses meanwhile.

        Raises:
            DataError: the file is damaged.
        """
        with self._lock:
            connection = self._idle.pop() if self._idle else _open(self._path)
        try:
            yield connection
        except sqlite3.DatabaseError as error:
            raise DataError(
                f"{self._path}: is damaged: {error}; delete it and have it made again"
            ) from error
        finally:
            self._idle.append(connection)


def _read_row(connection: sqlite3.Connection, row: int) -> list[Passage]:
    found = connection.execute("SELECT title, text FROM passage WHERE rowid = ?", (row,))
    return [Passage(title, text) for title, text in found]


def read_terms(text: str) -> list[str]:
    """The distinct words of `text` in lower case, in their order."""
    return list(dict.fromkeys(word.lower() for word in _WORD.findall(text)))


def _write(source: Path, fingerprint: str, unfinished: Path) -> None:
    with IndexWriter(unfinished) as writer:
        broken = set[str]()
        passages = _read(source, writer.state, broken)
        while some := list(islice(passages, _PASSAGES_PER_STEP)):
            writer.write(some)
        writer.state.require_text(str(source))
        if broken:
            _log.warning("%s: left out: %s", source, writer.state.told(sorted(broken)))
        deque(writer.join(), maxlen=0)
        writer.finish(fingerprint)


def _read(source: Path, state: State, broken: set[str]) -> Iterator[Passage]:
    """Every passage of `source`, counted; puts into `broken` why records are left out."""
    for path in source_files(source):
        for found in read_documents(path):
            state.passages_of_record = 0
            for passage in found.passages:
                state.passages += 1
                state.passages_of_record += 1
                yield passage
            state.count(found, path)
            if found.broken and found.reason:
                broken.add(found.reason)


def _read_meta(path: Path) -> _Meta | None:
    """What `path` says of itself, or None if it is no index."""
    if not path.is_file():
        return None
    try:
        with closing(_open(path)) as connection:
            [row] = connection.execute("SELECT fingerprint, passages FROM meta").fetchall()
            [[table]] = connection.execute(
                "SELECT sql FROM sqlite_master WHERE name = 'passage'"
            ).fetchall()
    except (sqlite3.DatabaseError, ValueError):
        return None
    return _Meta(*row, listed_beside="fts5" not in str(table))


def _open(path: Path) -> sqlite3.Connection:
    address = f"{path.resolve().as_uri()}?mode=ro&immutable=1"
    return sqlite3.connect(address, uri=True, check_same_thread=False)


def _close_all(connections: deque[sqlite3.Connection]) -> None:
    for connection in connections:
        connection.close()
