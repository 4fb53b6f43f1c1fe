import errno
import gc
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from graft.errors import DataError, StoreError
from graft.store import shards
from graft.store.shards import (
    count_rows,
    list_shards,
    read_column,
    read_shard,
    read_shards,
    shard_name,
    write_shard,
)

SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        ("gain", pa.float64()),
        ("tokens", pa.list_(pa.int32())),
    ]
)
ROWS = [
    {"id": "a", "gain": 0.5, "tokens": [1, 2, 3]},
    {"id": "b", "gain": None, "tokens": []},
]

rows_strategy = st.lists(
    st.fixed_dictionaries(
        {
            "id": st.text(st.characters(exclude_categories=["Cs"])),
            "gain": st.none() | st.floats(allow_nan=False),
            "tokens": st.none() | st.lists(st.integers(-(2**31), 2**31 - 1)),
        }
    )
)


@given(rows=rows_strategy)
def test_what_is_written_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, object]]
) -> None:
    path = tmp_path_factory.mktemp("shards") / shard_name(0)
    assert write_shard(path, iter(rows), SCHEMA) == len(rows)
    assert read_shard(path) == rows
    assert count_rows(path) == len(rows)
    assert read_column(path, "id") == [row["id"] for row in rows]


def test_equal_rows_give_equal_bytes(tmp_path: Path) -> None:
    first, second = tmp_path / "a" / shard_name(0), tmp_path / "b" / shard_name(0)
    rows = [{"id": f"{i}", "gain": i / 7, "tokens": [i] * (i % 5)} for i in range(3000)]
    write_shard(first, rows, SCHEMA)
    write_shard(second, iter(rows), SCHEMA)
    assert first.read_bytes() == second.read_bytes()


def test_a_folder_is_read_in_order_of_its_shards(tmp_path: Path) -> None:
    for index in (10, 2, 100_000, 99_999):
        write_shard(
            tmp_path / shard_name(index),
            [{"id": str(index), "gain": 0.0, "tokens": None}],
            SCHEMA,
        )
    assert [row["id"] for row in read_shards(tmp_path)] == ["2", "10", "99999", "100000"]


def test_the_name_of_a_shard_is_its_number() -> None:
    assert shard_name(7) == "shard-00007.parquet"


def test_a_column_that_is_not_there_is_named(tmp_path: Path) -> None:
    write_shard(tmp_path / shard_name(0), ROWS, SCHEMA)
    with pytest.raises(StoreError, match="has no column ids"):
        read_column(tmp_path / shard_name(0), "ids")


def test_a_folder_without_shards_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no shards here; run the stage"):
        list_shards(tmp_path / "missing")


def test_a_writer_that_fails_leaves_no_trace_and_the_old_shard(tmp_path: Path) -> None:
    path = tmp_path / shard_name(0)
    write_shard(path, ROWS, SCHEMA)

    def failing() -> Iterator[dict[str, object]]:
        yield from ROWS
        raise OSError(errno.ECONNRESET, "the tool's connection broke")

    with pytest.raises(OSError, match="the tool's connection broke") as raised:
        write_shard(path, failing(), SCHEMA)
    assert not isinstance(raised.value, StoreError)
    assert read_shard(path) == ROWS
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"id": "a", "gain": 1.0}, "row 1: its columns differ in tokens"),
        ({"id": "a", "gian": 1.0, "tokens": []}, "row 1: its columns differ in gain, gian"),
        ({"id": 7, "gain": 1.0, "tokens": []}, "rows 0 to 1: Expected bytes, got a 'int'"),
        ({"id": "a", "gain": "x", "tokens": []}, "rows 0 to 1: Could not convert 'x'"),
        ({"id": None, "gain": 1.0, "tokens": []}, "column id may not be empty"),
    ],
)
def test_a_row_that_does_not_fit_is_named(
    tmp_path: Path, row: dict[str, object], said: str
) -> None:
    path = tmp_path / shard_name(0)
    with pytest.raises(DataError, match=f"{path}: {said}"):
        write_shard(path, [ROWS[0], row], SCHEMA)
    assert not path.exists()


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.99])
def test_a_cut_off_shard_is_refused_with_the_remedy(tmp_path: Path, share: float) -> None:
    path = tmp_path / shard_name(0)
    write_shard(path, ROWS, SCHEMA)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(StoreError, match=f"{path}: is damaged .* delete it and run the same"):
        read_shard(path)


def test_a_damaged_shard_of_a_finished_stage_is_told_with_the_remedy_for_that(
    tmp_path: Path,
) -> None:
    """The stage that finds it makes none, and the one that does takes all for finished."""
    path = tmp_path / shard_name(0)
    path.write_bytes(b"PAR1")
    (tmp_path / "manifest.json").write_text("{}")
    told = (
        f"{path}: is damaged or no shard; put it back, or delete {tmp_path} and run the stage"
    )
    with pytest.raises(StoreError, match=told):
        read_shard(path)


def test_a_flipped_bit_in_the_records_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / shard_name(0)
    schema = pa.schema([("id", pa.string())])
    write_shard(path, [{"id": "0123456789abcdef"}], schema)
    content = bytearray(path.read_bytes())
    place = content.index(b"0123456789abcdef")
    content[place] ^= 1
    path.write_bytes(content)
    with pytest.raises(StoreError, match="is damaged"):
        read_shard(path)


def test_a_missing_shard_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no such shard; run the stage that makes it"):
        read_shard(tmp_path / shard_name(3))


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (errno.ENOSPC, "the disk is full; free some space and run the same command again"),
        (errno.EACCES, "no permission to write here"),
        (errno.EROFS, "the disk is read-only"),
        (errno.EIO, "Input/output error"),
    ],
)
def test_a_disk_that_refuses_is_told_with_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, said: str
) -> None:
    def refuse(_descriptor: int) -> None:
        raise OSError(number, os.strerror(number))

    path = tmp_path / shard_name(0)
    monkeypatch.setattr("os.fsync", refuse)
    with pytest.raises(StoreError, match=f"{path}: cannot be written: {said}"):
        write_shard(path, ROWS, SCHEMA)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreError, match=r"shard-00000\.parquet: cannot be written"):
        write_shard(tmp_path / "file" / shard_name(0), ROWS, SCHEMA)


WRITE_TOO_MUCH = """
import os, sys
from pathlib import Path
import pyarrow as pa
from graft.errors import StoreError
from graft.store.shards import write_shard
rows = ({"noise": os.urandom(1000)} for _ in range(5000))
try:
    write_shard(Path(sys.argv[1]), rows, pa.schema([("noise", pa.binary())]))
except StoreError as error:
    print(error)
"""


def test_a_file_that_outgrows_its_limit_is_told_and_removed(tmp_path: Path) -> None:
    path = tmp_path / shard_name(0)

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))

    ended = subprocess.run(
        [sys.executable, "-c", WRITE_TOO_MUCH, str(path)],
        preexec_fn=limit,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert ended.stdout.startswith(f"{path}: cannot be written: larger than a file may be here")
    assert ended.stderr == ""
    assert not list(tmp_path.iterdir())


def test_a_writer_that_is_given_up_before_it_is_used_says_nothing(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with (tmp_path / "a.parquet").open("wb") as file:
        opened = shards._parquet(file, tmp_path / "a.parquet", pa.schema([("x", pa.int64())]))
        assert opened.__enter__().is_open
    del opened  # as where Ctrl-C falls between `with` and its first line
    gc.collect()
    assert capfd.readouterr().err == ""
