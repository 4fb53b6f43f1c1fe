import json
from pathlib import Path

from graft.world.shipped import FOLDER, QUESTIONS, TEXTS, write_world


def files(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_the_shipped_files_are_what_write_world_writes(tmp_path: Path) -> None:
    write_world(tmp_path)
    written = files(tmp_path)
    assert sorted(written) == [
        "corpus.jsonl",
        "encyclopedia.jsonl",
        "tasks/arithmetic.jsonl",
        "tasks/dates.jsonl",
        "tasks/facts.jsonl",
        "tasks/plain.jsonl",
        "texts.jsonl",
    ]
    shipped = files(FOLDER)
    assert list(shipped) == list(written)
    assert [name for name in written if shipped[name] != written[name]] == []


def test_the_shipped_files_hold_what_they_say() -> None:
    lines = {
        name: [json.loads(line) for line in content.decode().splitlines()]
        for name, content in files(FOLDER).items()
    }
    assert len(lines["corpus.jsonl"]) == TEXTS
    assert {len(asked) for name, asked in lines.items() if "/" in name} == {QUESTIONS}
    read = {record["text"] for record in lines["corpus.jsonl"]}
    assert not read & {record["text"] for record in lines["texts.jsonl"]}


def test_a_small_world_is_written_from_its_seed(tmp_path: Path) -> None:
    write_world(tmp_path / "a", texts=8, questions=4, seed=3)
    write_world(tmp_path / "b", texts=8, questions=4, seed=3)
    write_world(tmp_path / "c", texts=8, questions=4, seed=4)
    one, again, other = (files(tmp_path / name) for name in "abc")
    assert one == again
    assert all(one[name] != other[name] for name in one)
