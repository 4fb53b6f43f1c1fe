"""The documents of a user's texts, one at a time: what an index is made of.

Reads `.txt` and `.md` (the file's name is the title), `.jsonl` and `.parquet` (`text`, and
`title` where there is one), all but the last gzipped too, Wikipedia dumps (`.xml`, `.xml.bz2`)
and `.zim` files, in a stream: memory does not grow with the corpus.
"""

import codecs
import contextlib
import gzip
import hashlib
import io
import json
import zlib
from collections.abc import Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, cast

from graft.errors import DataError
from graft.toolformer.tools.passages import WORDS_PER_PASSAGE, Passage, cut

if TYPE_CHECKING:
    import pyarrow

TEXTS = (".jsonl", ".md", ".parquet", ".txt", ".jsonl.gz", ".md.gz", ".txt.gz")
ENCYCLOPEDIAS = (".xml", ".xml.bz2", ".zim")
SUFFIXES = TEXTS + ENCYCLOPEDIAS
LONGEST_LINE = 64 << 20
"""Bytes of a line of JSON; a longer one is no record."""

_AT_ONCE = 1 << 20
_BATCH_ROWS = 1000


@dataclass(frozen=True, slots=True)
class Document:
    """One document of a file; or why a record is none.

    Args:
        number: which record of its file, from 1.
        passages: its passages in order, made as they are asked for.
        reason: why it is left out.
        broken: whether that is a fault of the file, and not the kind of record it is.
        where: what a person would look for in the file.
    """

    number: int
    passages: Iterable[Passage] = ()
    reason: str | None = None
    broken: bool = False
    where: str = ""

    def told(self, path: Path) -> str:
        """Where it is and what is wrong with it."""
        return f"{path}{', ' * bool(self.where)}{self.where}: {self.reason}"


@dataclass(slots=True)
class Meter:
    """How many bytes of a file are read."""

    at: int = 0


def source_files(source: Path) -> list[Path]:
    """The readable files of a folder in a fixed order, or the one file that `source` is.

    Raises:
        DataError: there is nothing that can be read.
    """
    with refusal_told(source):
        there = source.exists()
    if not there:
        raise DataError(f"{source}: no such file or folder")
    if source.is_file():
        if not _ends(source, SUFFIXES):
            raise DataError(f"{source}: not one of {', '.join(SUFFIXES)}")
        return [source]
    files = sorted(
        path
        for path in source.rglob("*")
        if _ends(path, SUFFIXES) and path.is_file() and not path.name.startswith(".")
        if path.suffix.lower() != ".xml" or _is_dump(path)
    )
    if not files:
        raise DataError(f"{source}: holds no {', '.join(SUFFIXES)}")
    return files


def fingerprint_of(source: Path) -> str:
    """Changes with any file's name, size or content, and with how passages are cut."""
    looking = look_at(source)
    while True:
        try:
            next(looking)
        except StopIteration as end:
            return end.value


def look_at(source: Path) -> Generator[int, None, str]:
    """The fingerprint of `source`; on the way the bytes that were read, bit by bit."""
    digest = hashlib.sha256(f"2 {WORDS_PER_PASSAGE}".encode())
    for path in source_files(source):
        content, size = hashlib.sha256(), 0
        with refusal_told(path), path.open("rb") as file:
            while block := file.read(_AT_ONCE):
                content.update(block)
                size += len(block)
                yield len(block)
        name = path.relative_to(source if source.is_dir() else source.parent)
        digest.update(f"\n{name} {size} {content.hexdigest()}".encode(errors="replace"))
    return digest.hexdigest()


def read_documents(
    path: Path, start: int = 1, meter: Meter | None = None, workers: int = 1
) -> Iterator[Document]:
    """The documents of one file from number `start` on, and what is left out.

    Args:
        path: of `SUFFIXES`.
        start: the first record that is wanted; those before it are passed over quickly.
        meter: is told how much of the file is read.
        workers: processes that turn a dump's markup into text.

    Raises:
        DataError: the file is damaged; or a package that reads it is missing.
    """
    meter = meter or Meter()
    if _ends(path, (".xml", ".xml.bz2")):
        from graft.toolformer.tools.dumps import read_dump

        return read_dump(path, start, meter, workers)
    match _bare(path).suffix.lower():
        case ".zim":
            from graft.toolformer.tools.zim import read_zim

            return read_zim(path, start, meter)
        case ".jsonl":
            return _json_lines(path, start, meter)
        case ".parquet":
            return _parquet_rows(path, start, meter)
        case _:
            return _text_file(path, start, meter)


@contextlib.contextmanager
def refusal_told(path: Path) -> Generator[None]:
    """Turns the system's refusal to read `path` into a DataError that names it."""
    try:
        yield
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(
            f"{path}: damaged or cut short ({error}); get the whole file again, or take it out"
        ) from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error


def _ends(path: Path, suffixes: Iterable[str]) -> bool:
    return path.name.lower().endswith(tuple(suffixes))


def _bare(path: Path) -> Path:
    """The path as it would be unpacked."""
    return path.with_suffix("") if path.suffix.lower() == ".gz" else path


@contextlib.contextmanager
def _unpacked(path: Path, raw: IO[bytes]) -> Generator[IO[bytes]]:
    if path.suffix.lower() != ".gz":
        yield raw
        return
    with gzip.open(raw) as file:
        yield cast("IO[bytes]", file)


def _is_dump(path: Path) -> bool:
    with refusal_told(path), path.open("rb") as file:
        return b"<mediawiki" in file.read(1024)


def _text_file(path: Path, start: int, meter: Meter) -> Iterator[Document]:
    """The file as one document, if it is text to its end."""
    if start == 1:
        flaw = _flaw(path)
        yield flaw or Document(1, cut(_bare(path).stem, _text_lines(path, meter)))


def _flaw(path: Path) -> Document | None:
    decoder, lines = codecs.getincrementaldecoder("utf-8")(), 1
    with refusal_told(path), path.open("rb") as raw, _unpacked(path, raw) as file:
        while True:
            block = file.read(_AT_ONCE)
            try:
                decoder.decode(block, final=not block)
            except UnicodeDecodeError as broken:
                return Document(1, reason=f"not UTF-8 text ({broken.reason})", broken=True)
            if b"\0" in block:
                line = lines + block[: block.index(b"\0")].count(b"\n")
                reason = "a binary file, not text"
                return Document(1, reason=reason, broken=True, where=f"line {line}")
            if not block:
                return None
            lines += block.count(b"\n")


def _text_lines(path: Path, meter: Meter) -> Iterator[str]:
    with refusal_told(path), path.open("rb") as raw, _unpacked(path, raw) as file:
        lines = io.TextIOWrapper(file, encoding="utf-8-sig")
        while line := lines.readline(_AT_ONCE):
            meter.at = raw.tell()
            yield line


def _json_lines(path: Path, start: int, meter: Meter) -> Iterator[Document]:
    with refusal_told(path), path.open("rb") as raw, _unpacked(path, raw) as file:
        number = 0
        while line := file.readline(LONGEST_LINE):
            number, whole = number + 1, line
            while len(line) == LONGEST_LINE and not line.endswith(b"\n"):
                line = file.readline(LONGEST_LINE)
            meter.at = raw.tell()
            if number >= start and whole.strip():
                yield _of_line(path, number, whole)


def _of_line(path: Path, number: int, line: bytes) -> Document:
    where = f"line {number}"
    if len(line) == LONGEST_LINE:
        longest = f"longer than {LONGEST_LINE >> 20} MiB"
        return Document(number, reason=longest, broken=True, where=where)
    try:
        record: object = json.loads(line.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        return Document(number, reason="not JSON in UTF-8", broken=True, where=where)
    return _of_record(path, number, record, where)


def _of_record(path: Path, number: int, record: object, where: str) -> Document:
    if not isinstance(record, Mapping):
        reason = "not a record with a text"
        return Document(number, reason=reason, broken=True, where=where)
    fields = cast("Mapping[str, object]", record)
    text, title = fields.get("text"), fields.get("title")
    if not isinstance(text, str):
        reason = "its 'text' is missing or no string"
        return Document(number, reason=reason, broken=True, where=where)
    return Document(
        number, cut(title if isinstance(title, str) and title else _bare(path).stem, [text])
    )


def _parquet_rows(path: Path, start: int, meter: Meter) -> Iterator[Document]:
    import pyarrow  # heavy, and needed for this one format only
    import pyarrow.parquet

    number, size = 0, path.stat().st_size
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            rows = file.metadata.num_rows or 1
            columns = [name for name in ("title", "text") if name in file.schema_arrow.names]
            for group in range(file.num_row_groups):
                if number + file.metadata.row_group(group).num_rows < start:
                    number += file.metadata.row_group(group).num_rows
                    continue
                for batch in file.iter_batches(_BATCH_ROWS, [group], columns):
                    for record in _records(batch):
                        number += 1
                        if number >= start:
                            meter.at = size * number // rows
                            yield _of_row(path, number, record)
    except (pyarrow.ArrowException, OSError) as broken:
        raise DataError(f"{path}: not a whole Parquet file ({broken})") from None


def _of_row(path: Path, number: int, record: object) -> Document:
    where = f"row {number}"
    if record is None:
        return Document(number, reason="not UTF-8", broken=True, where=where)
    return _of_record(path, number, record, where)


def _records(batch: "pyarrow.RecordBatch") -> Iterator[object]:
    """The rows one by one, None for one that is not UTF-8: Parquet does not look at that."""
    try:
        yield from batch.to_pylist()
    except UnicodeDecodeError:
        for index in range(batch.num_rows):
            try:
                yield from batch.slice(index, 1).to_pylist()
            except UnicodeDecodeError:
                yield None
