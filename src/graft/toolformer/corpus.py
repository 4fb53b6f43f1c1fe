"""Reading a corpus of plain text, cutting long texts, and writing texts as shards.

A text is a whole `.txt` or `.md` file, a line of JSON (`.jsonl`), or a row of Parquet; the
first three may be gzipped. A record has `text`, and may have an `id` and the day on which it
was written.
Texts come in the order of their files' names and of their places in them, one at a time:
what grows with the corpus is only some dozen bytes per text, to notice a repeated id.
"""

import datetime
import hashlib
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice, pairwise
from pathlib import Path
from typing import cast

from graft.errors import DataError, StoreError
from graft.models.language import LanguageModel
from graft.store.shards import list_shards, shard_name, write_shard
from graft.toolformer.dataset import Text
from graft.toolformer.records import TEXT
from graft.toolformer.sources import Found, find_records
from graft.toolformer.tools.calendar import (
    date_of_metadata,
    date_of_text,
    date_of_url,
)

LONGEST_BYTES = 4 * 2**20
"""A longer file, line or text is skipped; `War and Peace` has 3.2 million characters."""

_BREAKS = (
    re.compile(r"\n\s*\n"),  # paragraphs
    re.compile(r"[.!?…][\"'”’)\]]*\s+|[。！？]|\n+"),  # noqa: RUF001  # sentences, lines
    re.compile(r"\s+"),
)


Count = Callable[[str], int]
"""How many tokens a text has."""


class CorpusReader:
    """The texts of a corpus, and after reading them what was left out.

    Args:
        source: a file, a folder, or `hub:OWNER/NAME` for a dataset of the hub.
        limit: so many texts at most.
        longest_bytes: a longer file, line or text is skipped.

    `skipped` counts what cannot be used by the reason, `first_skipped` has the first place of
    each. A record without an id is called by its place; an id that was there before gets its
    place behind it, `7@pages.jsonl:12`. Iterating again reads again.
    """

    def __init__(
        self, source: Path, *, limit: int | None = None, longest_bytes: int = LONGEST_BYTES
    ) -> None:
        self.source, self.limit, self.longest_bytes = source, limit, longest_bytes
        self.skipped: Counter[str] = Counter()
        self.first_skipped: dict[str, str] = {}

    def __iter__(self) -> Iterator[Text]:
        """Begin at the first text.

        Raises:
            DataError: there is nothing to read, a file is damaged, or no record has a text.
        """
        self.skipped.clear()
        self.first_skipped.clear()
        return islice(self._texts(find_records(self.source, self.longest_bytes)), self.limit)

    def _texts(self, found: Iterator[Found]) -> Iterator[Text]:
        seen: set[int] = set()
        for one in found:
            if reason := one.reason or _flaw(one.record, self.longest_bytes):
                self.skipped[reason] += 1
                self.first_skipped.setdefault(reason, one.place)
                continue
            name = _id(one.record) or one.place
            name = f"{name}@{one.place}" if _digest(name) in seen else name
            seen.add(_digest(name))
            yield Text(name, cast("str", one.record["text"]), _date(one.record))
        if not seen:
            raise DataError(f"{self.source}: no text in it: {self.told() or 'no record'}")

    def told(self) -> str:
        """What was skipped, why, and where first; nothing if nothing was."""
        return "; ".join(
            f"{count} {reason} (first: {self.first_skipped[reason]})"
            for reason, count in self.skipped.most_common()
        )


def read_corpus(source: Path, *, limit: int | None = None) -> Iterator[Text]:
    """The texts of a corpus in a stable order; see `CorpusReader` for what is left out."""
    return iter(CorpusReader(source, limit=limit))


def write_corpus(texts: Iterable[Text], folder: Path, texts_per_shard: int) -> Iterator[Path]:
    """Write texts as shards of so many, the last one with what is left; each when it is done.

    Raises:
        DataError: there is no text.
        StoreError: a shard cannot be written, or `folder` holds more of them than there are.
    """
    remaining, shards = iter(texts), 0
    while rows := [TEXT.to_row(text) for text in islice(remaining, texts_per_shard)]:
        path = folder / shard_name(shards)
        write_shard(path, rows, TEXT.schema)
        yield path
        shards += 1
    if shards == 0:
        raise DataError(f"there is no text to write to {folder}")
    if stale := list_shards(folder)[shards:]:
        raise StoreError(f"{stale[0]}: left by another corpus; delete {folder} and try again")


def split_passages(text: Text, model: LanguageModel, most_tokens: int) -> Iterator[Text]:
    """A text as passages of at most `most_tokens`, or unchanged if it is no longer than that.

    It is cut between paragraphs; a paragraph that is too long by itself between sentences,
    then words, at last anywhere. The passages `id#0`, `id#1`, ... joined are the text. A
    single character of more tokens stays whole.
    """

    def count(part: str) -> int:
        return len(model.encode(part))

    if count(text.text) <= most_tokens:
        yield text
        return
    passages = _filled(_atoms(text.text, count, most_tokens), count, most_tokens)
    for number, passage in enumerate(passages):
        yield Text(f"{text.id}#{number}", passage, text.date)


def _atoms(text: str, count: Count, most: int, level: int = 0) -> Iterator[tuple[str, int]]:
    """The largest parts of `text` that fit by themselves, with their tokens."""
    tokens = count(text)
    if tokens <= most or len(text) == 1:
        yield text, tokens
        return
    half = len(text) // 2
    halves = [text[:half], text[half:]]
    for part in _parts(text, _BREAKS[level]) if level < len(_BREAKS) else halves:
        yield from _atoms(part, count, most, level + 1)


def _parts(text: str, end: re.Pattern[str]) -> list[str]:
    """`text` cut behind each `end`; white space in front belongs to the first part."""
    cuts = [found.end() for found in end.finditer(text) if found.end() < len(text)]
    if cuts and text[: cuts[0]].isspace():
        cuts = cuts[1:]
    return [text[start:stop] for start, stop in pairwise([0, *cuts, len(text)])]


def _filled(atoms: Iterable[tuple[str, int]], count: Count, most: int) -> Iterator[str]:
    """Atoms joined while they fit. Their tokens are added up, and counted when that is full."""
    passage: list[str] = []
    total = 0
    for atom, tokens in atoms:
        if total + tokens > most:
            total = count("".join(passage))
        if passage and total + tokens > most:
            yield from _sealed(passage, count, most)
            passage, total = [], 0
        passage.append(atom)
        total += tokens
    yield from _sealed(passage, count, most)


def _sealed(passage: list[str], count: Count, most: int) -> list[str]:
    """One passage; two where joining made more tokens than there were before."""
    text = "".join(passage)
    if len(passage) == 1 or count(text) <= most:
        return [text]
    return [*_sealed(passage[:-1], count, most), passage[-1]]


def _flaw(record: Mapping[str, object], longest_bytes: int) -> str:
    """Why a record cannot be used, or nothing."""
    text = record.get("text")
    if not isinstance(text, str):
        return "without text"
    if not text.strip():
        return "empty"
    if "\0" in text:
        return "binary"
    try:
        return "too long" if len(text.encode()) > longest_bytes else ""
    except UnicodeEncodeError:  # JSON can write half of a character
        return "not UTF-8"


def _id(record: Mapping[str, object]) -> str:
    match record.get("id"):
        case str(written) if written.strip() and written.isprintable():
            return written
        case int(number) if not isinstance(number, bool):
            return str(number)
        case _:
            return ""


def _digest(name: str) -> int:
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest())


def _date(record: Mapping[str, object]) -> datetime.date | None:
    """The day a record was written: as it says, else as its URL says (the paper's way).

    Then comes a dateline of its text. A `timestamp` is last, for often it is the crawler's.
    """
    places = [record]
    if isinstance(inner := record.get("metadata"), Mapping):
        places.append(cast("Mapping[str, object]", inner))
    stated = [date_of_metadata(place.get("date")) for place in places]
    urls = [url for place in places if isinstance(url := place.get("url"), str)]
    crawled = [date_of_metadata(place.get("timestamp")) for place in places]
    written = date_of_text(cast("str", record["text"]))
    days = (*stated, *(date_of_url(url) for url in urls), written, *crawled)
    return next((day for day in days if day), None)
