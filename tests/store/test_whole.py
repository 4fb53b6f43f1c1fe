import errno
import json
from pathlib import Path

import pytest
from safetensors import SafetensorError

from graft.errors import StoreError
from graft.store.whole import (
    PARTIAL,
    append_line,
    read_json,
    reading,
    remove_partial,
    whole_file,
    write_json,
    writing,
)


def test_what_was_written_is_read(tmp_path: Path) -> None:
    value = {"accuracy": 0.5, "tools": ["Calculator"], "naïve": {"n": 3}}
    write_json(tmp_path / "report.json", value)
    assert read_json(tmp_path / "report.json") == value
    assert "naïve" in (tmp_path / "report.json").read_text(encoding="utf-8")


@pytest.mark.parametrize("content", ["", "{", "[1, 2]", "3", "null"])
def test_what_is_no_json_object_is_refused_by_name(tmp_path: Path, content: str) -> None:
    path = tmp_path / "report.json"
    path.write_text(content)
    with pytest.raises(StoreError, match=r"report\.json: .*; run its stage again"):
        read_json(path)


def test_a_missing_file_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"absent\.json: cannot be read"):
        read_json(tmp_path / "absent.json")


def test_a_writer_that_fails_leaves_the_old_bytes_and_no_trace(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    write_json(path, {"old": 1})

    def write_half() -> None:
        with whole_file(path) as file:
            file.write(b'{"new": 2}')
            raise RuntimeError("boom")

    with pytest.raises(RuntimeError, match="boom"):
        write_half()
    assert json.loads(path.read_text()) == {"old": 1}
    assert [one.name for one in tmp_path.iterdir()] == ["report.json"]


def test_what_a_killed_writer_left_is_cleared_away_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / f".report.json.1234{PARTIAL}").write_text("half")
    (tmp_path / "report.json").write_text("{}")
    remove_partial(tmp_path)
    assert [one.name for one in tmp_path.iterdir()] == ["report.json"]


def test_a_place_that_cannot_be_written_is_named_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=r"report\.json: cannot be written"):
        write_json(tmp_path / "file" / "report.json", {})


@pytest.mark.parametrize(
    "refusal",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        SafetensorError("Error while serializing: I/O error: No space (os error 28)"),
    ],
)
def test_a_full_disk_is_told_with_the_remedy_whoever_meets_it(
    tmp_path: Path, refusal: Exception
) -> None:
    path = tmp_path / "model.safetensors"
    told = f"{path}: cannot be written: the disk is full; free"
    with pytest.raises(StoreError, match=told), writing(path):
        raise refusal


def test_what_safetensors_refuses_otherwise_is_told_in_its_words(tmp_path: Path) -> None:
    with (
        pytest.raises(StoreError, match="cannot be written: invalid header"),
        writing(tmp_path),
    ):
        raise SafetensorError("invalid header")


def test_what_may_not_be_read_is_named(tmp_path: Path) -> None:
    told = f"{tmp_path}: cannot be read: Permission denied"
    with pytest.raises(StoreError, match=told), reading(tmp_path):
        raise PermissionError(errno.EACCES, "Permission denied")


def test_a_diary_goes_on_behind_a_line_that_was_cut(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    append_line(path, {"step": 1})
    with path.open("a") as file:
        file.write('{"step"')
    append_line(path, {"step": 3})
    append_line(path, {"step": 4})
    assert path.read_text() == '{"step": 1}\n{"step"\n{"step": 3}\n{"step": 4}\n'


def test_half_a_folder_is_not_taken_for_half_a_file(tmp_path: Path) -> None:
    (tmp_path / f".checkpoint-3.1234{PARTIAL}").mkdir()
    remove_partial(tmp_path)
    assert len(list(tmp_path.iterdir())) == 1
