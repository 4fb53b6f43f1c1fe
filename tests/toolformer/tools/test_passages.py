import gzip
import json
import re
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from graft.errors import DataError
from graft.toolformer.tools.documents import (
    SUFFIXES,
    fingerprint_of,
    read_documents,
    source_files,
)
from graft.toolformer.tools.passages import Passage, cut


def passages_in(source: Path) -> list[Passage]:
    found = [one for path in source_files(source) for one in read_documents(path)]
    assert not any(one.broken for one in found)
    return [passage for one in found for passage in one.passages]


def test_every_kind_of_file_is_read_in_the_order_of_names(tmp_path: Path) -> None:
    (tmp_path / "b_river.txt").write_text(
        "The Osk is long.\n\nIt is cold.", encoding="utf-8-sig"
    )
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "c.md").write_text("# Tovel\nA town.")
    (tmp_path / "a.jsonl").write_text(
        json.dumps({"title": "Lind_Mara", "text": "A painter."}) + "\n\n"
        + json.dumps({"text": "No title."}) + "\n"
    )  # fmt: skip
    pq.write_table(
        pa.table({"text": ["Two", "Three"], "title": ["T", None]}), tmp_path / "d.parquet"
    )
    (tmp_path / "picture.png").write_bytes(b"\x89PNG")
    (tmp_path / ".hidden.txt").write_text("hidden")
    (tmp_path / "e_hill.txt.gz").write_bytes(gzip.compress("Lörn is a hill.".encode()))
    (tmp_path / "f.jsonl.gz").write_bytes(gzip.compress(b'{"text": "Packed."}\n'))
    assert passages_in(tmp_path) == [
        Passage("Lind Mara", "A painter."),
        Passage("a", "No title."),
        Passage("b river", "The Osk is long. It is cold."),
        Passage("T", "Two"),
        Passage("d", "Three"),
        Passage("c", "# Tovel A town."),
        Passage("e hill", "Lörn is a hill."),
        Passage("f", "Packed."),
    ]


def test_one_file_may_be_the_whole_source(tmp_path: Path) -> None:
    path = tmp_path / "river.txt"
    path.write_text("The Osk is long.")
    assert passages_in(path) == [Passage("river", "The Osk is long.")]


def test_long_texts_are_cut_at_the_ends_of_sentences_near_a_hundred_words() -> None:
    text = " ".join(f"Sentence number {n} has exactly seven words." for n in range(60))
    found = list(cut("t", [text]))
    assert [len(passage.text.split()) for passage in found] == [105, 105, 105, 105]
    assert all(passage.text.endswith("words.") for passage in found)


@given(st.lists(st.text(alphabet=st.sampled_from("ab .!\n\0\x85")), max_size=20))
def test_cutting_loses_no_word_and_leaves_one_line(lines: list[str]) -> None:
    found = list(cut("t", lines))
    words = "\n".join(lines).replace("\0", " ").split()
    assert " ".join(passage.text for passage in found).split() == words
    assert all(passage.text and "\n" not in passage.text for passage in found)


def test_a_sentence_that_never_ends_is_cut_all_the_same() -> None:
    found = list(cut("t", [" ".join("abcdefgh" for _ in range(1_000_050))]))
    assert {len(passage.text.split()) for passage in found} == {100, 50}


def test_halves_of_characters_do_not_get_through() -> None:
    [passage] = cut("a\ud800", ["b \udfff c"])
    (passage.title + passage.text).encode()


@pytest.mark.parametrize(
    ("name", "content", "where"),
    [
        ("a.jsonl", b'{"text": "x"}\n{"title": "t"}\n', r"a\.jsonl, line 2: its 'text'"),
        ("a.jsonl", b'{"text": 5}\n', r"a\.jsonl, line 1: its 'text'"),
        ("a.jsonl", b'{"text": "x"}\n\n{"text": \n', r"a\.jsonl, line 3: not JSON"),
        ("a.jsonl", b'["text"]\n', r"a\.jsonl, line 1: not a record"),
        ("a.jsonl", b"\xff\xfe{}\n", r"a\.jsonl, line 1: not JSON in UTF-8"),
        ("a.jsonl", b"[" * 100_000, r"a\.jsonl, line 1: not JSON"),
        ("a.txt", b"good\n\xff\xfe\x00", r"a\.txt: not UTF-8"),
        ("a.md", b"good\nbad \x00\x01\n", r"a\.md, line 2: a binary file"),
    ],
)
def test_a_record_that_cannot_be_used_is_named_by_file_and_place(
    tmp_path: Path, name: str, content: bytes, where: str
) -> None:
    path = tmp_path / name
    for suffix, written in (("", content), (".gz", gzip.compress(content))):
        packed = path.with_name(name + suffix)
        packed.write_bytes(written)
        [told] = [one.told(path) for one in read_documents(packed) if one.broken]
        assert re.search(where, told)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.parquet", b"", "not a whole Parquet file"),
        ("a.parquet", b"PAR1 and then nothing", "not a whole Parquet file"),
        pytest.param(
            "a.jsonl.gz",
            gzip.compress(b'{"text": "x"}' * 99)[:-9],
            "damaged or cut short",
            id="cut short",
        ),
        ("a.txt.gz", b"plain", "damaged or cut short"),
    ],
)
def test_a_damaged_file_is_refused_by_its_name(
    tmp_path: Path, name: str, content: bytes, said: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=rf"{name}: {said}"):
        passages_in(tmp_path)


def test_a_row_that_is_not_utf_8_is_left_out_alone(tmp_path: Path) -> None:
    broken = pa.array([b"One.", b"\xff\xfe", b"Three."]).view(pa.string())
    pq.write_table(pa.table({"text": broken}), tmp_path / "a.parquet")
    found = list(read_documents(tmp_path / "a.parquet"))
    assert [(one.where, one.reason) for one in found if one.broken] == [("row 2", "not UTF-8")]
    assert [one.text for good in found for one in good.passages] == ["One.", "Three."]


def test_a_truncated_or_textless_parquet_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"text": ["word " * 50] * 500}), path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"a\.parquet: not a whole Parquet file"):
        passages_in(path)
    pq.write_table(pa.table({"title": ["a"]}), path)
    [textless] = read_documents(path)
    assert "a.parquet, row 1: its 'text' is missing" in textless.told(path)


def test_a_missing_empty_or_foreign_source_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        source_files(tmp_path / "nowhere")
    with pytest.raises(DataError, match="holds no"):
        source_files(tmp_path)
    (tmp_path / "a.pdf").write_bytes(b"%PDF")
    with pytest.raises(DataError, match=SUFFIXES[0]):
        source_files(tmp_path / "a.pdf")


def test_the_fingerprint_changes_with_names_and_contents_and_nothing_else(
    tmp_path: Path,
) -> None:
    path = tmp_path / "a.txt"
    path.write_text("one")
    first = fingerprint_of(tmp_path)
    path.touch()
    assert fingerprint_of(tmp_path) == first
    path.write_text("two")
    second = fingerprint_of(tmp_path)
    path.rename(tmp_path / "b.txt")
    assert len({first, second, fingerprint_of(tmp_path)}) == 3
