"""The records of a corpus as they lie in files, or come from the hub, one at a time.

What cannot be read as a record is told with its reason; a damaged file is an error, for
nobody knows what is missing from it.
"""

import contextlib
import gzip
import importlib
import json
import os
import zlib
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, cast

import pyarrow as pa
import pyarrow.parquet as pq

from graft.errors import DataError

SUFFIXES = (".txt", ".md", ".jsonl", ".txt.gz", ".md.gz", ".jsonl.gz", ".parquet")
HUB = "hub:"
"""How a dataset of the hub is called: `hub:OWNER/NAME`, `...:CONFIG`, `...:CONFIG:SPLIT`."""

_COLUMNS = ("id", "text", "date", "url", "timestamp", "metadata")
_ROWS_AT_ONCE = 64


@dataclass(frozen=True, slots=True)
class Found:
    """What stands at a place of the corpus: a record, or the reason why there is none."""

    place: str
    record: Mapping[str, object] = field(default_factory=dict[str, object])
    reason: str = ""


def find_records(source: Path, longest_bytes: int) -> Iterator[Found]:
    """The records of a file, a folder or a dataset of the hub, in a stable order.

    Raises:
        DataError: there is no such thing, or nothing readable in it; later, a damaged file.
    """
    if str(source).startswith(HUB):
        return _hub_rows(str(source))
    return _in_files(source, corpus_files(source), longest_bytes)


def corpus_files(source: Path) -> list[Path]:
    """The files of a corpus in the order of their names; hidden ones are left out.

    Raises:
        DataError: there is none.
    """
    kinds = ", ".join(SUFFIXES)
    with _damage_told(source):
        there = source.exists()
    if not there:
        hint = f"; for a dataset of the hub write {HUB}OWNER/NAME"
        raise DataError(f"{source}: no such file or folder{hint}")
    if source.is_file():
        if not source.name.lower().endswith(SUFFIXES):
            raise DataError(f"{source}: not one of {kinds}")
        return [source]
    files = [
        path
        for path in _below(source)
        if path.name.lower().endswith(SUFFIXES) and path.is_file() and path.name[0] != "."
    ]
    if not files:
        raise DataError(f"{source}: holds no {kinds}")
    return sorted(files, key=lambda path: path.relative_to(source).as_posix())


def _below(folder: Path) -> Iterator[Path]:
    """Every path in a folder and its folders; one that may not be looked into is an error."""

    def refuse(error: OSError) -> None:
        raise error

    with _damage_told(folder):
        for parent, _, names in os.walk(folder, onerror=refuse):
            yield from (Path(parent, name) for name in names)


def _in_files(source: Path, files: list[Path], longest_bytes: int) -> Iterator[Found]:
    root = source if source.is_dir() else source.parent
    for path in files:
        place = path.relative_to(root).as_posix().encode(errors="backslashreplace").decode()
        name = path.name.lower().removesuffix(".gz")
        with _damage_told(path):
            if name.endswith(".parquet"):
                yield from _parquet_rows(path, place)
            elif name.endswith(".jsonl"):
                yield from _json_lines(path, place, longest_bytes)
            else:
                yield _whole_file(path, place, longest_bytes)


@contextlib.contextmanager
def _damage_told(path: Path) -> Generator[None]:
    try:
        yield
    except (OSError, EOFError, zlib.error, pa.ArrowException) as error:
        said = " ".join(str(error).split())
        raise DataError(
            f"{path}: damaged, cut short or not readable ({said}); fetch the file again, or"
            " move it out of the corpus"
        ) from error


@contextlib.contextmanager
def _bytes_of(path: Path) -> Generator[BinaryIO]:
    if path.name.lower().endswith(".gz"):
        with gzip.open(path, "rb") as unpacked:
            yield cast("BinaryIO", unpacked)
    else:
        with path.open("rb") as file:
            yield file


def _whole_file(path: Path, place: str, longest_bytes: int) -> Found:
    with _bytes_of(path) as file:
        content = file.read(longest_bytes + 1)
    if len(content) > longest_bytes:
        return Found(place, reason="too long")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return Found(place, reason="not UTF-8")
    return Found(place, {"text": text.replace("\r\n", "\n")})


def _json_lines(path: Path, place: str, longest_bytes: int) -> Iterator[Found]:
    with _bytes_of(path) as file:
        number = 0
        while line := file.readline(longest_bytes + 1):
            number += 1
            at = f"{place}:{number}"
            if len(line) > longest_bytes:
                _skip_rest(file, line)
                yield Found(at, reason="too long")
            elif line.strip():
                yield _json_record(line, at)


def _skip_rest(file: BinaryIO, line: bytes) -> None:
    """Pass over what is left of a line, never holding more of it than was read before."""
    while line and not line.endswith(b"\n"):
        line = file.readline(len(line))


def _json_record(line: bytes, place: str) -> Found:
    try:
        record: object = json.loads(line.decode("utf-8-sig"))
    except UnicodeDecodeError:
        return Found(place, reason="not UTF-8")
    except (ValueError, RecursionError):
        return Found(place, reason="not JSON")
    if not isinstance(record, dict):
        return Found(place, reason="not a record")
    return Found(place, cast("dict[str, object]", record))


def _parquet_rows(path: Path, place: str) -> Iterator[Found]:
    with pq.ParquetFile(path) as file:
        names = file.schema_arrow.names
        if "text" not in names:
            raise DataError(f"{path}: no column 'text' among {', '.join(names)}; rename one")
        columns = [name for name in _COLUMNS if name in names]
        number = 0
        for batch in file.iter_batches(batch_size=_ROWS_AT_ONCE, columns=columns):
            for row in _rows(_without_nanoseconds(batch)):
                number += 1
                reason = "" if row is not None else "not UTF-8"
                yield Found(f"{place}:{number}", row or {}, reason)


def _rows(batch: pa.RecordBatch) -> Iterator[dict[str, object] | None]:
    """The rows one by one, None for one that is not UTF-8: Parquet does not look at that."""
    try:
        yield from batch.to_pylist()
    except UnicodeDecodeError:
        for index in range(batch.num_rows):
            yield _row(batch, index)


def _row(batch: pa.RecordBatch, index: int) -> dict[str, object] | None:
    try:
        [row] = batch.slice(index, 1).to_pylist()
    except UnicodeDecodeError:
        return None
    return row


def _without_nanoseconds(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The same rows with times that Python can hold."""
    columns = [
        column.cast(pa.timestamp("us"), safe=False)
        if pa.types.is_timestamp(column.type)
        else column
        for column in batch.columns
    ]
    return pa.RecordBatch.from_arrays(columns, names=batch.schema.names)


def _hub_rows(source: str) -> Iterator[Found]:
    try:
        datasets = importlib.import_module("datasets")
    except ImportError as error:
        raise DataError(
            f"{source}: a dataset of the hub needs the package 'datasets'; install it with"
            " pip install 'graft-models[hub]'"
        ) from error
    name, config, split = [*source.removeprefix(HUB).split(":"), "", ""][:3]
    try:
        rows = datasets.load_dataset(
            name, config or None, split=split or "train", streaming=True
        )
    except (OSError, ValueError) as error:
        raise DataError(
            f"{source}: cannot be loaded ({error}); the form is {HUB}OWNER/NAME:CONFIG:SPLIT"
        ) from error
    for number, row in enumerate(cast("Iterator[dict[str, object]]", rows), start=1):
        yield Found(f"row:{number}", row)
