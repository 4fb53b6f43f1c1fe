import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from graft.errors import StoreError
from graft.scale.local import Carried, carry
from graft.store.shards import Row, read_shard, read_shards, shard_name, write_shard

SCHEMA = pa.schema([("number", pa.int64())])


def square(rows: list[Row]) -> Iterator[Row]:
    for row in rows:
        number = row["number"]
        assert isinstance(number, int)
        yield {"number": number * number}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Shards of 3 rows: 0 1 2 | 3 4 5 | ..."""
    for index in range(5):
        numbers = range(3 * index, 3 * index + 3)
        write_shard(
            tmp_path / "in" / shard_name(index), [{"number": n} for n in numbers], SCHEMA
        )
    return tmp_path / "in"


def test_a_stage_is_carried_over_every_shard(source: Path, tmp_path: Path) -> None:
    done = list(carry(source, tmp_path / "out", square, SCHEMA))
    assert [row["number"] for row in read_shards(tmp_path / "out")] == [
        n * n for n in range(15)
    ]
    assert [(one.name, one.rows_in, one.rows_out, one.skipped) for one in done] == [
        (shard_name(index), 3, 3, False) for index in range(5)
    ]
    assert all(one.seconds > 0 for one in done)


def test_a_finished_shard_is_not_done_again(source: Path, tmp_path: Path) -> None:
    seen: list[object] = []

    def odd(rows: list[Row]) -> Iterator[Row]:
        seen.extend(row["number"] for row in rows)
        return (row for row in square(rows) if row["number"] in {1, 9, 25})

    first = carry(source, tmp_path / "out", odd, SCHEMA)
    next(first)
    next(first)
    again = list(carry(source, tmp_path / "out", odd, SCHEMA))
    assert again[:2] == [
        Carried(shard_name(0), 3, 1, 0.0, True),
        Carried(shard_name(1), 3, 2, 0.0, True),
    ]
    assert [one.skipped for one in again[2:]] == [False] * 3
    assert seen == list(range(15))


def test_nothing_is_done_before_it_is_asked_for(source: Path, tmp_path: Path) -> None:
    carried = carry(source, tmp_path / "out", square, SCHEMA)
    assert not (tmp_path / "out").exists()
    next(carried)
    assert len(list((tmp_path / "out").iterdir())) == 1


def test_a_bug_in_a_stage_names_its_shard_and_leaves_none(source: Path, tmp_path: Path) -> None:
    def breaks_at_seven(rows: list[Row]) -> Iterator[Row]:
        for row in square(rows):
            if row["number"] == 49:
                raise ZeroDivisionError("seven")
            yield row

    carried = carry(source, tmp_path / "out", breaks_at_seven, SCHEMA)
    with pytest.raises(ZeroDivisionError, match="seven") as raised:
        list(carried)
    assert raised.value.__notes__ == [f"in shard {source / shard_name(2)}"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        shard_name(0),
        shard_name(1),
    ]


def test_a_stage_may_empty_its_argument(source: Path, tmp_path: Path) -> None:
    def eats(rows: list[Row]) -> Iterator[Row]:
        while rows:
            yield rows.pop(0)

    assert {one.rows_in for one in carry(source, tmp_path / "out", eats, SCHEMA)} == {3}


def test_a_shard_of_another_source_is_refused(source: Path, tmp_path: Path) -> None:
    write_shard(tmp_path / "out" / shard_name(9), [], SCHEMA)
    with pytest.raises(StoreError, match=r"shard-00009\.parquet: comes from no shard of"):
        list(carry(source, tmp_path / "out", square, SCHEMA))


def test_a_damaged_finished_shard_is_named_with_the_remedy(
    source: Path, tmp_path: Path
) -> None:
    list(carry(source, tmp_path / "out", square, SCHEMA))
    (tmp_path / "out" / shard_name(1)).write_bytes(b"PAR1 not quite PAR1")
    with pytest.raises(StoreError, match=r"shard-00001\.parquet: is damaged .* delete it"):
        list(carry(source, tmp_path / "out", square, SCHEMA))


def test_an_empty_source_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no shards here"):
        list(carry(tmp_path, tmp_path / "out", square, SCHEMA))


SLOW = """
import sys, time
from pathlib import Path
import pyarrow as pa
from graft.scale.local import carry

def slow_square(rows):
    for row in rows:
        if row["number"] == 7 and "slow" in sys.argv:
            print("in the middle of a shard", flush=True)
            time.sleep(60)
        yield {"number": row["number"] ** 2}

source, target = Path(sys.argv[1]), Path(sys.argv[2])
schema = pa.schema([("number", pa.int64())])
for done in carry(source, target, slow_square, schema):
    print(done.name, done.skipped, flush=True)
"""


def test_a_killed_run_goes_on_to_the_same_bytes(source: Path, tmp_path: Path) -> None:
    out, whole = tmp_path / "out", tmp_path / "whole"
    command = [sys.executable, "-c", SLOW, str(source), str(out)]
    with subprocess.Popen([*command, "slow"], stdout=subprocess.PIPE, text=True) as victim:
        assert victim.stdout is not None
        while "middle" not in victim.stdout.readline():
            assert victim.poll() is None
        victim.send_signal(signal.SIGKILL)
    assert sorted(path.suffix for path in out.iterdir()) == [".parquet", ".parquet", ".partial"]
    assert len(read_shard(out / shard_name(1))) == 3

    said = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert [line.split()[1] for line in said.stdout.splitlines()] == [
        *["True"] * 2,
        *["False"] * 3,
    ]
    list(carry(source, whole, square, SCHEMA))
    assert {path.name: path.read_bytes() for path in out.iterdir()} == {
        path.name: path.read_bytes() for path in whole.iterdir()
    }
