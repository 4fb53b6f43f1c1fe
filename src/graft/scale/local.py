"""Carries a stage over its shards in this process, one after the other.

A stage's output for a shard depends on that shard alone, so an interrupted run goes on where
it stopped, and its bytes are those of an uninterrupted one.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from graft.errors import StoreError
from graft.store.shards import Row, count_rows, list_shards, read_shard, write_shard
from graft.store.whole import remove_partial

Stage = Callable[[list[Row]], Iterable[Mapping[str, object]]]


@dataclass(frozen=True, slots=True)
class Carried:
    """One shard that is done; `skipped` if it was found finished, and then in no time."""

    name: str
    rows_in: int
    rows_out: int
    seconds: float
    skipped: bool


def carry(source: Path, target: Path, stage: Stage, schema: pa.Schema) -> Iterator[Carried]:
    """Do `stage` for each shard in `source`; its rows go to the shard of that name in `target`.

    Yields after each shard. A shard that stands in `target` is finished and not done again.
    One process at a time may carry to a folder.

    Raises:
        StoreError: there is nothing to carry, or `target` holds shards of another source.
        Exception: whatever the stage raises, with a note that names the shard.
    """
    shards = list_shards(source)
    remove_partial(target)
    _refuse_strangers(target, {shard.name for shard in shards}, source)
    for shard in shards:
        finished = target / shard.name
        if finished.exists():
            yield Carried(shard.name, count_rows(shard), count_rows(finished), 0.0, True)
        else:
            yield _do(shard, finished, stage, schema)


def _do(shard: Path, finished: Path, stage: Stage, schema: pa.Schema) -> Carried:
    start = time.perf_counter()
    rows = read_shard(shard)
    rows_in = len(rows)  # before the stage has its hands on the list
    try:
        rows_out = write_shard(finished, stage(rows), schema)
    except Exception as error:
        error.add_note(f"in shard {shard}")
        raise
    return Carried(shard.name, rows_in, rows_out, time.perf_counter() - start, False)


def _refuse_strangers(target: Path, names: set[str], source: Path) -> None:
    strangers = sorted({path.name for path in target.glob("shard-*.parquet")} - names)
    if strangers:
        raise StoreError(
            f"{target / strangers[0]}: comes from no shard of {source}; delete {target}, or"
            " choose another --out"
        )
