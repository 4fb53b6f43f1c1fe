"""Shards: the records of a stage in Parquet files, each written whole or not at all.

Equal rows give equal bytes, so a shard can be compared, and computed anywhere. Every page has
a checksum: a damaged shard is refused and never half read.
"""

import contextlib
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import BinaryIO, Generic, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from graft.errors import DataError, StoreError
from graft.store.whole import whole_file, writing

Row = dict[str, object]

Record = TypeVar("Record")

_ROWS_PER_GROUP = 1024  # bounds the memory of a writer whose rows are made one by one


@dataclass(frozen=True, slots=True)
class Format(Generic[Record]):
    """The columns of one kind of record, and its way into a row."""

    name: str
    schema: pa.Schema
    to_row: Callable[[Record], Row]
    build: Callable[[Row], Record]

    def from_row(self, row: Row) -> Record:
        """The record that `row` was made of.

        Raises:
            DataError: the row has other columns: it was made by something else.
        """
        if set(row) != set(self.schema.names):
            raise DataError(
                f"not {self.name}: the columns are {', '.join(row)} and not"
                f" {', '.join(self.schema.names)}; name the folder of the stage before"
            )
        return self.build(row)


def shard_name(index: int) -> str:
    """The file name of shard number `index`, from 0."""
    return f"shard-{index:05d}.parquet"


def list_shards(folder: Path) -> list[Path]:
    """The shards in `folder` in their order.

    Raises:
        StoreError: there is no such folder, or no shard in it.
    """
    shards = sorted(
        folder.glob("shard-*.parquet"), key=lambda path: (len(path.name), path.name)
    )
    if not shards:
        raise StoreError(f"{folder}: no shards here; run the stage that makes them first")
    return shards


def write_shard(path: Path, rows: Iterable[Mapping[str, object]], schema: pa.Schema) -> int:
    """Write `rows` to `path`, whole or not at all, and give their number.

    Every row has exactly the columns of `schema`. Exceptions of `rows` itself pass unchanged.

    Raises:
        DataError: a row does not fit the schema; names the file, the row and the column.
        StoreError: the file cannot be written.
    """
    count = 0
    remaining = iter(rows)
    with whole_file(path) as file, _parquet(file, path, schema) as writer:
        while group := list(islice(remaining, _ROWS_PER_GROUP)):
            table = _table(group, schema, path, count)
            with writing(path):
                writer.write_table(table)
            count += len(group)
    return count


def read_shard(path: Path) -> list[Row]:
    """All rows of one shard.

    Raises:
        StoreError: the file is missing or damaged; names it and the remedy.
    """
    with _reading(path) as file:
        return file.read(use_threads=False).to_pylist()


def read_column(path: Path, name: str) -> list[object]:
    """One column of one shard, without reading the others.

    Raises:
        StoreError: the file is missing or damaged, or has no such column.
    """
    with _reading(path) as file:
        table = file.read(columns=[name], use_threads=False)
    if name not in table.column_names:
        raise StoreError(f"{path}: has no column {name}; move it away and run the stage again")
    return list[object](table[name].to_pylist())


def read_shards(folder: Path) -> Iterator[Row]:
    """The rows of every shard in `folder`, in the order of their names."""
    for path in list_shards(folder):
        yield from read_shard(path)


def count_rows(path: Path) -> int:
    """The number of rows of one shard, without reading them."""
    with _reading(path) as file:
        return file.metadata.num_rows


@contextlib.contextmanager
def _parquet(file: BinaryIO, path: Path, schema: pa.Schema) -> Generator[pq.ParquetWriter]:
    with writing(path):
        writer = pq.ParquetWriter(file, schema, compression="zstd", write_page_checksum=True)
    try:
        yield writer
    except GeneratorExit:  # given up by Ctrl-C before it was entered: its file is closed
        with contextlib.suppress(OSError, ValueError):
            writer.close()
        writer.is_open = False  # nothing is left to close
        raise
    finally:
        if writer.is_open:
            with writing(path):
                writer.close()


@contextlib.contextmanager
def _reading(path: Path) -> Generator[pq.ParquetFile]:
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            yield file
    except FileNotFoundError as error:
        raise StoreError(f"{path}: no such shard; run the stage that makes it") from error
    except (OSError, pa.ArrowException) as error:  # Arrow tells damage as either
        raise StoreError(
            f"{path}: is damaged or no shard; {_remedy(path)} ({error})"
        ) from error


def _remedy(path: Path) -> str:
    """How to have a shard anew: a finished stage makes none but all of them."""
    if (path.parent / "manifest.json").is_file():
        return f"put it back, or delete {path.parent} and run the stage that makes it again"
    return "delete it and run the same command again, which makes it anew"


def _table(
    group: Sequence[Mapping[str, object]], schema: pa.Schema, path: Path, start: int
) -> pa.Table:
    """The rows from number `start` on as a table, or a `DataError` that names what is wrong."""
    names = set(schema.names)
    for index, row in enumerate(group, start):
        if set(row) != names:
            differing = ", ".join(sorted(set(row) ^ names))
            raise DataError(f"{path}: row {index}: its columns differ in {differing}")
    try:
        table = pa.Table.from_pylist(list(group), schema=schema)
    except (pa.ArrowException, TypeError, OverflowError, ValueError) as error:
        raise DataError(f"{path}: rows {start} to {start + len(group) - 1}: {error}") from error
    for column in schema:
        if not column.nullable and table[column.name].null_count:
            raise DataError(f"{path}: column {column.name} may not be empty, and is")
    return table
