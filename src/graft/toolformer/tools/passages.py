"""Short passages out of a folder of texts: what the search tool looks through.

Reads `.txt` and `.md` (the file's name is the title), `.jsonl` and `.parquet` (`text`, and
`title` where there is one), in a stream: memory does not grow with the corpus.
"""

import contextlib
import hashlib
import json
import re
from collections.abc import Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from graft.errors import DataError

SUFFIXES = (".jsonl", ".md", ".parquet", ".txt")
WORDS_PER_PASSAGE = 100

_SENTENCE_END = re.compile(r"(?<=[.!?])\s+|\n+")
_BATCH_ROWS = 1000


@dataclass(frozen=True, slots=True)
class Passage:
    """About a hundred words of one document, on one line."""

    title: str
    text: str


def source_files(source: Path) -> list[Path]:
    """The readable files of a folder in a fixed order, or the one file that `source` is."""
    with _refusal_told(source):
        there = source.exists()
    if not there:
        raise DataError(f"{source}: no such file or folder")
    if source.is_file():
        if source.suffix.lower() not in SUFFIXES:
            raise DataError(f"{source}: not one of {', '.join(SUFFIXES)}")
        return [source]
    files = sorted(
        path
        for path in source.rglob("*")
        if path.suffix.lower() in SUFFIXES and path.is_file() and not path.name.startswith(".")
    )
    if not files:
        raise DataError(f"{source}: holds no {', '.join(SUFFIXES)}")
    return files


def fingerprint_of(source: Path) -> str:
    """Changes with any file's name, size or content, and with how passages are cut."""
    digest = hashlib.sha256(f"1 {WORDS_PER_PASSAGE}".encode())
    for path in source_files(source):
        with _refusal_told(path), path.open("rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
        name = path.relative_to(source if source.is_dir() else source.parent)
        digest.update(f"\n{name} {path.stat().st_size} {content}".encode(errors="replace"))
    return digest.hexdigest()


def read_passages(source: Path) -> Iterator[Passage]:
    """Every passage of `source`, in the order of its files and their records.

    Raises:
        DataError: a file or record that cannot be used, by its name and number.
    """
    for path in source_files(source):
        match path.suffix.lower():
            case ".jsonl":
                yield from _of_records(path, "line", _json_lines(path))
            case ".parquet":
                yield from _of_records(path, "row", _parquet_rows(path))
            case _:
                yield from cut(path.stem, _text_lines(path))


@contextlib.contextmanager
def _refusal_told(path: Path) -> Generator[None]:
    """Turns the system's refusal to read `path` into a DataError that names it."""
    try:
        yield
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error


def cut(title: str, lines: Iterable[str]) -> Iterator[Passage]:
    """Passages of whole sentences, each ended at the first end of a sentence that fills it."""
    title = _one_line(title.replace("_", " "))
    words: list[str] = []
    for sentence in (part for line in lines for part in sentences(line)):
        words += _one_line(sentence).split()
        if len(words) >= WORDS_PER_PASSAGE:
            yield from _pieces(title, words)
            words = []
    yield from _pieces(title, words)


def sentences(text: str) -> list[str]:
    """`text` at the ends of its sentences, or what looks like them."""
    return [part for part in _SENTENCE_END.split(text) if part.strip()]


def _pieces(title: str, words: list[str]) -> Iterator[Passage]:
    """One passage, or several where a sentence never ends."""
    step = WORDS_PER_PASSAGE if len(words) >= 2 * WORDS_PER_PASSAGE else len(words)
    for start in range(0, len(words), step or 1):
        yield Passage(title, " ".join(words[start : start + step]))


def _of_records(
    path: Path, unit: str, records: Iterable[tuple[int, object]]
) -> Iterator[Passage]:
    for number, record in records:
        if not isinstance(record, Mapping):
            raise DataError(f"{path}, {unit} {number}: not a record with a text")
        fields = cast("Mapping[str, object]", record)
        text, title = fields.get("text"), fields.get("title")
        if not isinstance(text, str):
            raise DataError(f"{path}, {unit} {number}: its 'text' is missing or no string")
        yield from cut(title if isinstance(title, str) and title else path.stem, [text])


def _text_lines(path: Path) -> Iterator[str]:
    try:
        with path.open(encoding="utf-8-sig") as file:
            for number, line in enumerate(file, start=1):
                if "\0" in line:
                    raise DataError(f"{path}, line {number}: a binary file, not text")
                yield line
    except UnicodeDecodeError as broken:
        raise DataError(f"{path}: not UTF-8 text ({broken.reason})") from None


def _json_lines(path: Path) -> Iterator[tuple[int, object]]:
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                yield number, json.loads(line.decode("utf-8-sig"))
            except (ValueError, RecursionError):
                raise DataError(f"{path}, line {number}: not JSON in UTF-8") from None


def _parquet_rows(path: Path) -> Iterator[tuple[int, object]]:
    import pyarrow  # heavy, and needed for this one format only
    import pyarrow.parquet

    number = 0
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            columns = [name for name in ("title", "text") if name in file.schema_arrow.names]
            for batch in file.iter_batches(batch_size=_BATCH_ROWS, columns=columns):
                for record in batch.to_pylist():
                    number += 1
                    yield number, record
    except UnicodeDecodeError:
        raise DataError(f"{path}, row {number + 1} or one of the next: not UTF-8") from None
    except (pyarrow.ArrowException, OSError) as broken:
        raise DataError(f"{path}: not a whole Parquet file ({broken})") from None


def _one_line(text: str) -> str:
    """Without line breaks, control spaces, nul bytes and halves of characters."""
    whole = text.replace("\0", " ").encode(errors="replace").decode()
    return " ".join(whole.split())
