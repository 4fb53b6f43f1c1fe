from pathlib import Path

import pytest

from graft.errors import StoreError
from graft.store.folders import remove_folder, remove_partial_folders, whole_folder


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_folder_stands_when_its_block_has_ended(tmp_path: Path) -> None:
    with whole_folder(tmp_path / "runs" / "model") as folder:
        (folder / "deep").mkdir()
        (folder / "deep" / "weights").write_bytes(b"1")
        assert not (tmp_path / "runs" / "model").exists()
    assert (tmp_path / "runs" / "model" / "deep" / "weights").read_bytes() == b"1"
    assert names(tmp_path / "runs") == ["model"]


def test_a_block_that_fails_leaves_no_trace(tmp_path: Path) -> None:
    def fill_and_fail() -> None:
        with whole_folder(tmp_path / "model") as folder:
            (folder / "half").write_bytes(b"1")
            raise KeyError

    with pytest.raises(KeyError):
        fill_and_fail()
    assert names(tmp_path) == []


def test_what_stands_already_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    with (
        pytest.raises(StoreError, match="model: stands already; delete it"),
        whole_folder(tmp_path / "model"),
    ):
        pass
    assert names(tmp_path) == ["model"]


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(StoreError, match="file/model: cannot be written"),
        whole_folder(tmp_path / "file" / "model"),
    ):
        pass


def test_a_folder_is_removed_with_all_that_is_in_it(tmp_path: Path) -> None:
    (tmp_path / "old" / "deep").mkdir(parents=True)
    remove_folder(tmp_path / "old")
    assert names(tmp_path) == []


def test_only_what_killed_writers_left_is_cleared_away(tmp_path: Path) -> None:
    left = whole_folder(tmp_path / "model")
    (left.__enter__() / "half").write_bytes(b"1")  # never left: as if killed
    (tmp_path / "kept").mkdir()
    (tmp_path / ".file.partial").write_text("of graft.store.whole")
    remove_partial_folders(tmp_path)
    assert names(tmp_path) == [".file.partial", "kept"]
