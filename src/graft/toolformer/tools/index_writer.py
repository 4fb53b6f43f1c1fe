"""Writing an index of passages: in steps that are on disk whole or not at all.

Each step leaves its passages and how far it came in one transaction of SQLite's: who is killed
goes on from there, and the answers are those of an index written in one go.
"""

import contextlib
import json
import sqlite3
from collections.abc import Generator, Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

from graft.errors import DataError, StoreError
from graft.toolformer.tools.documents import Document
from graft.toolformer.tools.passages import Passage
from graft.toolformer.tools.tantivy_words import add_rows

Engine = Literal["sqlite", "tantivy"]
"""What finds words: SQLite itself, or tantivy's lists beside it, for millions of passages."""
SCHEMA = """
CREATE TABLE meta (fingerprint TEXT NOT NULL, passages INTEGER NOT NULL);
CREATE TABLE state (told TEXT NOT NULL);
"""
TABLE: dict[Engine, str] = {
    "sqlite": "CREATE VIRTUAL TABLE passage"
    " USING fts5(title, text, tokenize = 'porter unicode61 remove_diacritics 2');\n",
    "tantivy": "CREATE TABLE passage (title TEXT NOT NULL, text TEXT NOT NULL);\n",
}
NO_TEXT = "no text"
WORDS = "words"
"""The folder of tantivy's lists, beside SQLite's file."""
CACHE_KIB, LISTS_BYTES = 32 << 10, 16 << 20
"""Memory of SQLite's pages, and of word lists before they are written."""
MERGED_PAGES = 2000
"""Of word lists that are joined in one step."""


@dataclass(frozen=True, slots=True)
class Joined:
    """How far the joining of word lists is, in steps of which not all are known, or in rows."""

    done: int
    total: int
    unit: str


@dataclass(slots=True)
class State:
    """How far an index is: the next record to read, and what was met before it."""

    file: int = 0
    record: int = 1
    passages_of_record: int = 0
    passages: int = 0
    documents: int = 0
    left_out: dict[str, int] = field(default_factory=dict[str, int])
    first_left_out: dict[str, str] = field(default_factory=dict[str, str])

    def count(self, found: Document, path: Path) -> None:
        """Put a document among those that are in, or among those left out, by its reason."""
        reason = found.reason or ("" if self.passages_of_record else NO_TEXT)
        if not reason:
            self.documents += 1
            return
        self.left_out[reason] = self.left_out.get(reason, 0) + 1
        where = found.where or f"record {found.number}"
        self.first_left_out.setdefault(reason, f"{path.name}, {where}")

    def told(self, reasons: Iterable[str]) -> str:
        """What was left out for these reasons, each with the first place."""
        return "; ".join(
            f"{self.left_out[reason]} {reason} (first: {self.first_left_out[reason]})"
            for reason in reasons
        )

    def require_text(self, source: str) -> None:
        """Raise DataError, with what was left out, where nothing is in."""
        if not self.passages:
            left = self.told(self.left_out)
            raise DataError(f"{source}: holds no text{left and f': {left}'}")


class IndexWriter:
    """An index that is being written, from where it was left; `with IndexWriter(path) as ...`.

    Raises:
        StoreError: it cannot be written.
    """

    def __init__(self, path: Path, engine: Engine = "sqlite") -> None:
        self._path = path
        self._engine: Engine = engine
        with writing_index(path):
            self._database = sqlite3.connect(path, isolation_level=None)
            self._prepare()
            [told] = self._database.execute("SELECT told FROM state").fetchone() or ["{}"]
            self.state = State(**json.loads(told))
            done = self._database.execute("SELECT passages FROM meta").fetchone()
        self.finished = done is not None

    def __enter__(self) -> "IndexWriter":
        return self

    def __exit__(self, *_exception: object) -> None:
        self._database.close()

    def write(self, passages: Iterable[Passage]) -> None:
        """Put passages and the state as it now stands on disk, both or neither.

        Exceptions of `passages` itself pass unchanged and leave the step before.
        """
        with writing_index(self._path), self._step():
            self._database.executemany(
                "INSERT INTO passage (title, text) VALUES (?, ?)",
                ((passage.title, passage.text) for passage in passages),
            )
            self._database.execute("DELETE FROM state")
            told = json.dumps(asdict(self.state))
            self._database.execute("INSERT INTO state VALUES (?)", (told,))

    def join(self) -> Generator[Joined]:
        """Make the word lists such that they are read quickly, in steps."""
        joined = self._list_rows() if self._engine == "tantivy" else self._merge_lists()
        yield from joined

    def _merge_lists(self) -> Generator[Joined]:
        steps, wanted = 0, -MERGED_PAGES  # negative: the first step, which looks at all
        while True:
            with writing_index(self._path), self._step():
                before = self._database.total_changes
                self._database.execute(
                    "INSERT INTO passage (passage, rank) VALUES ('merge', ?)", (wanted,)
                )
                changed = self._database.total_changes - before
            wanted, steps = MERGED_PAGES, steps + 1
            yield Joined(steps, steps, "steps")
            if changed < 2:  # as SQLite's documentation tells that nothing is left
                return

    def _list_rows(self) -> Generator[Joined]:
        total = self.state.passages
        for done in add_rows(self._path.with_name(WORDS), self._rows_after):
            yield Joined(done, total, "paragraphs")

    def _rows_after(self, row: int) -> Iterable[tuple[int, str]]:
        return self._database.execute(
            "SELECT rowid, title || char(10) || text FROM passage"
            " WHERE rowid > ? ORDER BY rowid",
            (row,),
        )

    def finish(self, fingerprint: str) -> None:
        """Declare it whole; from then on it is read."""
        with writing_index(self._path), self._step():
            self._database.execute(
                "INSERT INTO meta VALUES (?, ?)", (fingerprint, self.state.passages)
            )
        self.finished = True

    def _prepare(self) -> None:
        self._database.execute("PRAGMA synchronous = NORMAL")
        self._database.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
        with self._step():
            there = self._database.execute("SELECT 1 FROM sqlite_master").fetchone()
            for statement in () if there else (SCHEMA + TABLE[self._engine]).split(";\n"):
                self._database.execute(statement)
            if self._engine == "sqlite":
                self._database.execute(
                    f"INSERT INTO passage (passage, rank) VALUES ('hashsize', {LISTS_BYTES})"
                )

    @contextlib.contextmanager
    def _step(self) -> Generator[None]:
        self._database.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            with contextlib.suppress(sqlite3.OperationalError):
                self._database.execute("ROLLBACK")
            raise
        self._database.execute("COMMIT")


@contextlib.contextmanager
def writing_index(path: Path) -> Generator[None]:
    """Turns SQLite's refusal to write `path` into a `StoreError` with the remedy."""
    try:
        yield
    except sqlite3.OperationalError as error:  # a full disk, among others
        if error.sqlite_errorcode == sqlite3.SQLITE_BUSY:
            raise StoreError(
                f"{path}: another program reads or writes it; end that and run the same command"
                " again"
            ) from error
        raise StoreError(
            f"{path}: cannot be written: {error}; free some space and run the same command"
            " again"
        ) from error
    except sqlite3.DatabaseError as error:
        raise StoreError(
            f"{path}: is damaged or no index: {error}; delete {path.parent} and run the same"
            " command again"
        ) from error
