import datetime
import gzip
import json
import sys
import time
import tracemalloc
import types
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from graft.errors import DataError, StoreError
from graft.models.language import LanguageModel
from graft.store.shards import read_shard
from graft.toolformer.corpus import CorpusReader, read_corpus, split_passages, write_corpus
from graft.toolformer.dataset import Text
from processes import without_privileges

JANUARY_30 = datetime.date(2023, 1, 30)


class Tokenizer(LanguageModel):
    """A token per three characters and per seam: joining can only make fewer."""

    name, context, tokens_processed, end = "thirds", 512, 0, 0

    def encode(self, text: str) -> list[int]:
        return [0] * ((len(text) + 2) // 3)


def lines(path: Path, *records: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(record) + "\n" for record in records), "utf-8")
    return path


def test_a_folder_is_read_in_the_order_of_its_names(tmp_path: Path) -> None:
    (tmp_path / "z.txt").write_text("last\r\nline")
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "b.md").write_bytes("\ufeffé first".encode())
    (tmp_path / ".hidden.txt").write_text("no")
    (tmp_path / "picture.png").write_text("no")
    lines(
        tmp_path / "m.jsonl",
        {"text": "one", "id": "1"},
        {"text": "two", "id": 2},
        {"text": "3"},
    )
    with gzip.open(tmp_path / "n.txt.gz", "wt") as file:
        file.write("packed")
    assert list(read_corpus(tmp_path)) == [
        Text("a/b.md", "é first"),
        Text("1", "one"),
        Text("2", "two"),
        Text("m.jsonl:3", "3"),
        Text("n.txt.gz", "packed"),
        Text("z.txt", "last\nline"),
    ]
    assert [text.id for text in read_corpus(tmp_path, limit=2)] == ["a/b.md", "1"]


@pytest.mark.parametrize(
    ("fields", "date"),
    [
        ({"date": "2023-01-30"}, JANUARY_30),
        ({"url": "https://news.example/2023/01/30/rain"}, JANUARY_30),
        ({"timestamp": "2023-01-30T12:00:00Z"}, JANUARY_30),
        ({"metadata": {"date": "January 30, 2023"}}, JANUARY_30),
        ({"metadata": {"url": "https://news.example/2023/jan/30"}}, JANUARY_30),
        # a crawl's time gives way to the URL, the URL to what the record says
        ({"timestamp": "2024-05-05", "url": "https://a.example/2023/01/30"}, JANUARY_30),
        ({"url": "https://a.example/2024/05/05", "date": "2023-01-30"}, JANUARY_30),
        ({"timestamp": "2024-05-05", "text": "OSK, 30 Jan 2023 - Rain."}, JANUARY_30),
        ({"url": "https://a.example/2023/01/30", "text": "2024-05-05\nRain."}, JANUARY_30),
        ({"date": 1675036800, "metadata": "none", "url": 7}, None),
        ({}, None),
    ],
)
def test_the_day_a_record_was_written_is_found(
    tmp_path: Path, fields: dict[str, object], date: datetime.date | None
) -> None:
    [text] = read_corpus(lines(tmp_path / "a.jsonl", {"text": "rain", **fields}))
    assert text.date == date


def test_parquet_is_read_with_its_times_and_nested_fields(tmp_path: Path) -> None:
    rows = pa.table(
        {
            "text": ["one", "two", None],
            "timestamp": pa.array([1675036800123456789, None, None], pa.timestamp("ns")),
            "metadata": [None, {"url": "https://a.example/2023-01-30"}, None],
        }
    )
    pq.write_table(rows, tmp_path / "a.parquet")
    reader = CorpusReader(tmp_path / "a.parquet")
    assert [(text.id, text.date) for text in reader] == [
        ("a.parquet:1", JANUARY_30),
        ("a.parquet:2", JANUARY_30),
    ]
    assert reader.skipped == {"without text": 1}


def test_a_repeated_id_is_told_apart_by_its_place(tmp_path: Path) -> None:
    lines(tmp_path / "a.jsonl", {"text": "one", "id": "7"}, {"text": "two", "id": 7})
    lines(tmp_path / "b.jsonl", {"text": "three", "id": "7"}, {"text": "4", "id": "b.jsonl:4"})
    with (tmp_path / "b.jsonl").open("a") as file:
        file.write('\n{"text": "five"}\n')
    ids = [text.id for text in read_corpus(tmp_path)]
    assert ids == ["7", "7@a.jsonl:2", "7@b.jsonl:1", "b.jsonl:4", "b.jsonl:4@b.jsonl:4"]


def test_what_cannot_be_used_is_counted_with_its_first_place(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(
        b'{"text": "good"}\n'
        b'{"text": "caf\xe9"}\n'
        b'{"text": "\\ud800"}\n'
        b'{"text": " \\n"}\n'
        b'{"title": "no text"}\n'
        b'{"text": ["no", "text"]}\n'
        b'{"text": "nul \\u0000"}\n'
        b"[1, 2]\n" + b"[" * 50_000 + b"\n"
        b'{"text": "' + b"long" * 100_000 + b'"}\n'
        b'{"text": "also good"}\n'
        b'{"text": "cut sho'
    )
    reader = CorpusReader(path, longest_bytes=100_000)
    for _ in range(2):  # reading again counts anew
        assert [text.text for text in reader] == ["good", "also good"]
        assert reader.skipped == {
            "not UTF-8": 2,
            "empty": 1,
            "without text": 2,
            "binary": 1,
            "not a record": 1,
            "not JSON": 2,
            "too long": 1,
        }
        assert reader.first_skipped["not UTF-8"] == "a.jsonl:2"
        assert reader.first_skipped["too long"] == "a.jsonl:10"
    assert "2 without text (first: a.jsonl:5)" in reader.told()


def test_files_that_are_no_text_are_counted_beside_those_that_are(tmp_path: Path) -> None:
    (tmp_path / "binary.txt").write_bytes(b"\0\1\2")
    (tmp_path / "empty.txt").write_bytes(b"")
    (tmp_path / "latin.txt").write_bytes(b"caf\xe9")
    (tmp_path / "long.txt").write_text("long " * 30)
    (tmp_path / "short.txt").write_text("short")
    reader = CorpusReader(tmp_path, longest_bytes=100)
    assert [text.text for text in reader] == ["short"]
    assert reader.first_skipped == {
        "binary": "binary.txt",
        "empty": "empty.txt",
        "not UTF-8": "latin.txt",
        "too long": "long.txt",
    }


def test_a_corpus_without_any_text_is_refused_with_the_reasons(tmp_path: Path) -> None:
    path = lines(tmp_path / "a.jsonl", {"body": "x"}, {"body": "y"}, 3)
    with pytest.raises(
        DataError, match=r"no text in it: 2 without text \(first: a.jsonl:1\); 1 not"
    ):
        list(read_corpus(path))
    path.write_text("")
    with pytest.raises(DataError, match="no text in it: no record"):
        list(read_corpus(path))


def test_a_source_that_is_not_there_or_not_readable_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match="no such file or folder; for a dataset of the hub write hub:"
    ):
        read_corpus(tmp_path / "missing")
    with pytest.raises(DataError, match=r"holds no \.txt, \.md, \.jsonl"):
        read_corpus(tmp_path)
    (tmp_path / "a.csv").write_text("a,b")
    with pytest.raises(DataError, match=r"a\.csv: not one of \.txt, \.md"):
        read_corpus(tmp_path / "a.csv")


@pytest.mark.parametrize("name", ["a.jsonl.gz", "a.txt.gz", "a.parquet"])
def test_a_file_that_was_cut_short_stops_the_reading(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if name.endswith(".parquet"):
        pq.write_table(pa.table({"text": ["one"] * 1000}), path)
    else:
        records = "".join(json.dumps({"text": f"{i * i}"}) + "\n" for i in range(9999))
        path.write_bytes(gzip.compress(records.encode()))
    path.write_bytes(path.read_bytes()[:-30])
    if name == "a.jsonl.gz":
        assert next(read_corpus(tmp_path)).text == "0"
    with pytest.raises(DataError, match=f"{name}: damaged, cut short or not readable"):
        list(read_corpus(tmp_path))


def test_parquet_without_the_column_text_is_refused_by_its_columns(tmp_path: Path) -> None:
    pq.write_table(pa.table({"content": ["one"]}), tmp_path / "a.parquet")
    with pytest.raises(DataError, match="no column 'text' among content"):
        list(read_corpus(tmp_path))


def test_rows_of_parquet_that_are_not_utf_8_are_counted_and_the_others_read(
    tmp_path: Path,
) -> None:
    offsets = pa.array([0, 4, 8, 13], pa.int32()).buffers()[1]
    rows = [None, offsets, pa.py_buffer(b"goodcaf\xe9again")]
    pq.write_table(
        pa.table({"text": pa.Array.from_buffers(pa.string(), 3, rows)}), tmp_path / "a.parquet"
    )
    reader = CorpusReader(tmp_path)
    assert [text.text for text in reader] == ["good", "again"]
    assert reader.told() == "1 not UTF-8 (first: a.parquet:2)"


def test_a_corpus_of_several_encodings_is_counted_line_by_line(tmp_path: Path) -> None:
    good = b'{"text": "good"}\n'
    latin, wide = '{"text": "café"}\n'.encode("latin-1"), '{"text": "x"}\n'.encode("utf-16-le")
    (tmp_path / "a.jsonl").write_bytes(
        good + latin + good + wide.replace(b"\n\0", b"\n") + good
    )
    reader = CorpusReader(tmp_path / "a.jsonl")
    assert len(list(reader)) == 3
    assert reader.first_skipped == {"not UTF-8": "a.jsonl:2", "not JSON": "a.jsonl:4"}


@pytest.mark.parametrize("name", ["a.jsonl", "a.txt", "a.parquet"])
def test_a_record_of_ten_megabytes_is_counted_in_little_time_and_memory(
    tmp_path: Path, name: str
) -> None:
    text = "There were 47 apples and 38 plums. " * (10 * 2**20 // 35)
    match name.partition(".")[2]:
        case "jsonl":
            lines(tmp_path / name, {"text": text}, {"text": "short"})
        case "parquet":
            pq.write_table(pa.table({"text": [text, "short"]}), tmp_path / name)
        case _:
            (tmp_path / name).write_text(text)
            (tmp_path / "b.txt").write_text("short")
    reader, started = CorpusReader(tmp_path), time.thread_time()
    tracemalloc.start()
    assert [one.text for one in reader] == ["short"]
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert reader.told() == f"1 too long (first: {name}{':1' * (name != 'a.txt')})"
    assert most < 3 * 10 * 2**20
    assert time.thread_time() - started < 5


def test_a_long_text_below_that_is_split_in_time_linear_in_its_length() -> None:
    text = Text("a", "There were 47 apples and 38 plums. " * (2**20 // 35))
    started = time.thread_time()
    assert "".join(one.text for one in split_passages(text, Tokenizer(), 200)) == text.text
    assert time.thread_time() - started < 10


def test_a_damaged_file_is_told_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"text": ["one"] * 1000}), path)
    content = bytearray(path.read_bytes())
    content[60] ^= 255
    content[len(content) // 3] ^= 255
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"a\.parquet: damaged") as told:
        list(read_corpus(path))
    assert "\n" not in str(told.value)


def test_what_may_not_be_read_is_an_error_and_never_left_out(tmp_path: Path) -> None:
    lines(tmp_path / "a.jsonl", {"text": "one"})
    lines(tmp_path / "shut" / "b.jsonl", {"text": "two"})
    with without_privileges():
        for shut in (tmp_path / "shut", tmp_path / "a.jsonl"):
            mode = shut.stat().st_mode
            shut.chmod(0)
            with pytest.raises(DataError, match=f"not readable .*Permission denied: '{shut}"):
                list(read_corpus(tmp_path))
            shut.chmod(mode)
        (tmp_path / "shut").chmod(0)
        with pytest.raises(DataError, match="Permission denied"):
            read_corpus(tmp_path / "shut" / "b.jsonl")
        (tmp_path / "shut").chmod(0o755)


def test_a_dataset_of_the_hub_is_streamed(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []

    def load_dataset(*args: object, **named: object) -> list[dict[str, object]]:
        asked.append((args, named))
        return [{"text": "one", "date": JANUARY_30}, {"text": ""}]

    module = types.SimpleNamespace(load_dataset=load_dataset)
    monkeypatch.setitem(sys.modules, "datasets", module)
    reader = CorpusReader(Path("hub:allenai/c4:en"))
    assert list(reader) == [Text("row:1", "one", JANUARY_30)]
    assert asked == [(("allenai/c4", "en"), {"split": "train", "streaming": True})]
    assert reader.skipped == {"empty": 1}


def test_without_the_package_the_hub_is_refused_with_the_remedy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(DataError, match=r"pip install 'graft-models\[hub\]'"):
        list(read_corpus(Path("hub:allenai/c4")))


def test_a_written_corpus_is_read_back(tmp_path: Path) -> None:
    texts = [Text(f"{i}", f"text {i}", JANUARY_30 if i % 2 else None) for i in range(7)]
    assert list(write_corpus(iter(texts), tmp_path, 3)) == sorted(tmp_path.iterdir())
    assert [len(read_shard(path)) for path in sorted(tmp_path.iterdir())] == [3, 3, 1]
    assert list(read_corpus(tmp_path)) == texts
    before = [path.read_bytes() for path in sorted(tmp_path.iterdir())]
    list(write_corpus(texts, tmp_path, 3))
    assert [path.read_bytes() for path in sorted(tmp_path.iterdir())] == before


def test_shards_of_another_corpus_are_noticed(tmp_path: Path) -> None:
    texts = [Text(f"{i}", "text") for i in range(7)]
    list(write_corpus(texts, tmp_path, 3))
    with pytest.raises(StoreError, match=r"shard-00002\.parquet: left by another corpus"):
        list(write_corpus(texts[:6], tmp_path, 3))
    with pytest.raises(DataError, match="there is no text to write"):
        list(write_corpus([], tmp_path, 3))


@given(
    st.text(st.sampled_from("ab .\n\t!é。"), min_size=1, max_size=200),
    st.integers(1, 30),
)
def test_passages_fit_and_joined_are_the_text(text: str, most_tokens: int) -> None:
    model = Tokenizer()
    passages = list(split_passages(Text("a", text, JANUARY_30), model, most_tokens))
    assert "".join(passage.text for passage in passages) == text
    assert all(len(model.encode(passage.text)) <= most_tokens for passage in passages)
    assert {passage.date for passage in passages} == {JANUARY_30}
    ids = [f"a#{number}" for number in range(len(passages))] if len(passages) > 1 else ["a"]
    assert [passage.id for passage in passages] == ids


def test_a_text_is_cut_between_paragraphs_then_sentences_then_words() -> None:
    text = Text("a", "One two. Three.\n\nFour five six. Seven!\n\nEight nine.")

    def cut(most_characters: int) -> list[str]:
        return [p.text for p in split_passages(text, Tokenizer(), most_characters // 3)]

    assert cut(48) == ["One two. Three.\n\nFour five six. Seven!\n\n", "Eight nine."]
    assert cut(24) == ["One two. Three.\n\n", "Four five six. Seven!\n\n", "Eight nine."]
    assert cut(18)[1:3] == ["Four five six. ", "Seven!\n\n"]
    assert cut(9) == [
        *(
            "One two. ",
            "Three.\n\n",
            "Four ",
            "five ",
            "six. ",
            "Seven!\n\n",
            "Eight ",
            "nine.",
        ),
    ]
    assert cut(3)[:4] == ["On", "e ", "tw", "o. "]
