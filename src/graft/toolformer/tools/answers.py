"""What tools answered, and a ledger of every call, in one SQLite file.

Several processes may use a file at once. With `record` every question is asked anew and its
answer kept; with `replay` nothing is asked, so that a run can be repeated when a service is
gone: what servers and services offer is kept too.
"""

import contextlib
import datetime
import hashlib
import json
import os
import sqlite3
import threading
import weakref
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

from graft.errors import ConfigError, StoreError, ToolError
from graft.store.whole import writing
from graft.toolformer.tools.tool import Context, LateError, Tool

Mode = Literal["remember", "record", "replay"]
Outcome = Literal["answer", "refusal", "late", "bug"]

VERSION = 2
"""1 had no table `offer`, which is then made."""
LONGEST_IN_LEDGER = 500
"""Characters of an argument that the ledger shows."""
WAIT_SECONDS = 60.0
"""For another process that writes."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS answer (
    key BLOB PRIMARY KEY, tool TEXT NOT NULL, argument TEXT NOT NULL, outcome TEXT NOT NULL,
    text BLOB NOT NULL, at TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS call (
    number INTEGER PRIMARY KEY, at TEXT NOT NULL, tool TEXT NOT NULL, version TEXT NOT NULL,
    argument TEXT NOT NULL, outcome TEXT NOT NULL, remembered INTEGER NOT NULL,
    seconds REAL NOT NULL, cost REAL NOT NULL
);
CREATE TABLE IF NOT EXISTS offer (place TEXT PRIMARY KEY, text BLOB NOT NULL, at TEXT NOT NULL)
WITHOUT ROWID;
"""


@dataclass(frozen=True, kw_only=True)
class AnswersConfig:
    """Where answers are kept, if anywhere, and whether they are asked for or played again."""

    file: Path | None = None
    mode: Mode = "remember"

    def __post_init__(self) -> None:
        """Refuse a recording into nowhere."""
        if self.file is None and self.mode != "remember":
            raise ValueError(f"with mode = {self.mode!r} a 'file' of answers is needed")


@dataclass(frozen=True, slots=True)
class Entry:
    """A call as the ledger has it; `cost` is in the tool's own unit, 0 where remembered."""

    tool: str
    version: str
    argument: str
    outcome: Outcome
    remembered: bool
    seconds: float
    cost: float


@dataclass(frozen=True, slots=True)
class Spent:
    """What the calls of one tool came to."""

    tool: str
    calls: int
    remembered: int
    refusals: int
    late: int
    bugs: int
    seconds: float
    cost: float
    slowest: float


class Answers:
    """Remembered answers and the ledger, for several threads and processes.

    Args:
        path: the file; it is made where it is missing.
        mode: `remember` asks what is not known yet, but does not remember what came too late;
            `record` asks everything and remembers even that; `replay` asks nothing.

        to_read: only look into it, as who shows the ledger does. A replay does no more where
            the file cannot be written, and then its calls stand in no ledger.

    Raises:
        StoreError: the file cannot be opened, is damaged, or is something else; `replay` of a
            file that is not there.
    """

    def __init__(self, path: Path, mode: Mode = "remember", *, to_read: bool = False) -> None:
        if (mode == "replay" or to_read) and not path.is_file():
            raise StoreError(f"{path}: not there, so nothing can be read from it")
        if path.is_dir():
            raise StoreError(f"{path}: a folder; name a file for the answers")
        self.path, self.mode = path, mode
        self._to_read = to_read or (mode == "replay" and not _writable(path))
        self._lock = threading.RLock()
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
        with self._told():
            self._connection = sqlite3.connect(
                _address(path) if self._to_read else path,
                timeout=WAIT_SECONDS,
                isolation_level=None,
                check_same_thread=False,
                uri=self._to_read,
            )
            self._prepare()
        weakref.finalize(self, self._connection.close)

    def find(self, key: bytes) -> str | ToolError | None:
        """What is remembered of a question; None where it is to be asked.

        Raises:
            StoreError: with `replay`, nothing is known.
        """
        if self.mode == "record":
            return None
        with self._lock, self._told():
            row = self._connection.execute(
                "SELECT outcome, text FROM answer WHERE key = ?", (key,)
            ).fetchone()
        if row is None:
            return None
        outcome, text = str(row[0]), self._text_of(row[1])
        if outcome == "answer":
            return text
        return LateError(text) if outcome == "late" else ToolError(text)

    def _text_of(self, kept: object) -> str:
        try:
            return cast("bytes", kept).decode(errors=_AS_IT_IS)
        except (AttributeError, UnicodeDecodeError) as error:  # another program wrote it
            raise StoreError(
                f"{self.path}: is damaged: an answer in it is no text; move it away, and what"
                " it knew is asked again"
            ) from error

    def require(self, tool: Tool, argument: str) -> None:
        """Raise StoreError where nothing may be asked."""
        if self.mode == "replay":
            raise StoreError(
                f"{self.path}: has no answer of {tool.name} to {argument[:80]!r} in this"
                " version with these settings; nothing is asked in a replay: record it again"
            )

    def remember(self, key: bytes, tool: Tool, argument: str, known: str | ToolError) -> None:
        """Keep an answer or a refusal; what came too late only with `record`."""
        if self.mode == "replay" or (self.mode == "remember" and isinstance(known, LateError)):
            return
        text = str(known).encode(errors=_AS_IT_IS)
        row = (key, tool.name, _legible(argument), outcome_of(known), text, _now())
        with self._lock, self._told():
            self._connection.execute("INSERT OR REPLACE INTO answer VALUES (?,?,?,?,?,?)", row)

    @property
    def asks(self) -> bool:
        """Whether anybody may be asked; not in a replay."""
        return self.mode != "replay"

    def offered(self, place: str, ask: Callable[[], str]) -> str:
        """What a server or service offers: asked and kept, in a replay as it was kept.

        Raises:
            ConfigError: it cannot be asked.
            StoreError: with `replay`, nothing is known.
        """
        known = self._offer_of(place)
        if not self.asks:
            if known is None:
                raise StoreError(
                    f"{self.path}: does not have what '{place}' offers, and nothing is asked"
                    " in a replay; load it once with answers.mode=remember while it is there"
                )
            return known
        try:
            told = ask()
        except ConfigError as error:
            if known is None:
                raise
            raise ConfigError(
                f"{error}; with answers.mode=replay it is not needed: {self.path} has what it"
                " offered"
            ) from error
        if told != known:
            row = (place, told.encode(errors=_AS_IT_IS), _now())
            with self._lock, self._told():
                self._connection.execute("INSERT OR REPLACE INTO offer VALUES (?,?,?)", row)
        return told

    def _offer_of(self, place: str) -> str | None:
        if not self._keeps_offers:
            return None
        with self._lock, self._told():
            row = self._connection.execute(
                "SELECT text FROM offer WHERE place = ?", (place,)
            ).fetchone()
        return None if row is None else self._text_of(row[0])

    def note(self, entry: Entry) -> None:
        """Write a call into the ledger."""
        if self._to_read:
            return
        row = (
            *(_now(), entry.tool, entry.version, _legible(entry.argument)),
            *(entry.outcome, int(entry.remembered), entry.seconds, entry.cost),
        )
        with self._lock, self._told():
            self._connection.execute(
                "INSERT INTO call (at, tool, version, argument, outcome, remembered, seconds,"
                " cost) VALUES (?,?,?,?,?,?,?,?)",
                row,
            )

    def spent(self) -> list[Spent]:
        """What each tool's calls came to so far, in all processes."""
        with self._lock, self._told():
            rows = self._connection.execute(
                "SELECT tool, count(*), sum(remembered), sum(outcome = 'refusal'),"
                " sum(outcome = 'late'), sum(outcome = 'bug'), sum(seconds), sum(cost),"
                " max(seconds) FROM call GROUP BY tool ORDER BY tool"
            ).fetchall()
        return [Spent(*row) for row in rows]

    def entries(self) -> Iterator[Entry]:
        """The ledger's calls in their order."""
        with self._lock, self._told():
            rows = self._connection.execute(
                "SELECT tool, version, argument, outcome, remembered, seconds, cost FROM call"
                " ORDER BY number"
            ).fetchall()
        for tool, version, argument, outcome, remembered, seconds, cost in rows:
            yield Entry(tool, version, argument, outcome, bool(remembered), seconds, cost)

    def close(self) -> None:
        """Let the file go."""
        with self._lock:
            self._connection.close()

    def _prepare(self) -> None:
        [[version]] = self._connection.execute("PRAGMA user_version").fetchall()
        if version not in (0, 1, VERSION):
            raise StoreError(f"{self.path}: of another version of graft; take another file")
        tables = self._connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        if strange := {str(name) for (name,) in tables} - {"answer", "call", "offer"}:
            raise StoreError(
                f"{self.path}: a database of something else (its table '{min(strange)}'); take"
                " another file"
            )
        self._keeps_offers = version == VERSION or not self._to_read
        if self._to_read:
            self._connection.execute("SELECT 1 FROM answer, call LIMIT 1")
            return
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = NORMAL")
        if version != VERSION:
            self._connection.executescript(_SCHEMA)
            self._connection.execute(f"PRAGMA user_version = {VERSION}")

    @contextlib.contextmanager
    def _told(self) -> Generator[None]:
        """Turns what the database cannot do into a `StoreError` with the remedy."""
        try:
            yield
        except sqlite3.DatabaseError as error:
            if remedy := _REMEDIES.get(getattr(error, "sqlite_errorcode", 0) & 0xFF):
                raise StoreError(
                    f"{self.path}: cannot be used: {error}; {remedy}, and run the same command"
                    " again"
                ) from error
            raise StoreError(
                f"{self.path}: is damaged or no file of answers ({error}); move it away, and"
                " what it knew is asked again"
            ) from error


_REMEDIES = {
    sqlite3.SQLITE_FULL: "free the disk",
    sqlite3.SQLITE_IOERR: "free the disk, or look after it",
    sqlite3.SQLITE_BUSY: "let other processes end",
    sqlite3.SQLITE_LOCKED: "let other processes end",
    sqlite3.SQLITE_CANTOPEN: "let it and its folder be written, or name another file",
    sqlite3.SQLITE_READONLY: "let it and its folder be written, or name another file",
    sqlite3.SQLITE_PERM: "let it and its folder be written, or name another file",
}
"""What helps against what the database says; against all else, another file."""


def _writable(path: Path) -> bool:
    return os.access(path, os.W_OK) and os.access(path.resolve().parent, os.W_OK)


def _address(path: Path) -> str:
    """To be read; where nothing can be written beside it, and nothing is, without a lock."""
    beside = path.with_name(f"{path.name}-wal")
    alone = not _writable(path) and not (beside.is_file() and beside.stat().st_size)
    return f"{path.resolve().as_uri()}?mode=ro{'&immutable=1' * alone}"


def open_answers(settings: AnswersConfig) -> Answers | None:
    """The file of answers that is asked for, if one is."""
    return None if settings.file is None else Answers(settings.file, settings.mode)


def key_of(tool: Tool, argument: str, context: Context) -> bytes:
    """By what an answer is known: tool, version, settings, argument, date and text."""
    asked = (
        *(tool.name, tool.version, tool.max_result_characters, argument),
        *(str(context.date), context.text if tool.by_text else ""),
    )
    return hashlib.blake2b(json.dumps(asked).encode(), digest_size=16).digest()


def outcome_of(known: str | ToolError) -> Outcome:
    """How a call ended."""
    if isinstance(known, str):
        return "answer"
    return "late" if isinstance(known, LateError) else "refusal"


_AS_IT_IS = "surrogatepass"
"""Halves of characters, which no text should hold, come back as they were."""


def _legible(argument: str) -> str:
    return argument[:LONGEST_IN_LEDGER].encode(errors="replace").decode()


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
