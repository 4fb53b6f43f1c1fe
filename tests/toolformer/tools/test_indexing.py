"""An index of large texts is built in steps, killed and continued, and never mixed up."""

import fcntl
import gzip
import json
import os
import random
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from encyclopedias import articles, write_dump, write_zim
from graft.cli.app import app
from graft.errors import ConfigError, DataError, StoreError
from graft.toolformer.tools import indexing, tantivy_words
from graft.toolformer.tools.index import Index, index_file
from graft.toolformer.tools.index_writer import WORDS as LISTS
from graft.toolformer.tools.index_writer import Engine
from graft.toolformer.tools.indexing import index_texts, read_indexed
from graft.toolformer.tools.tool import Context
from graft.toolformer.tools.toolbox import tools_by_name
from processes import finish, kill_when, start

ENGINES: list[Engine] = ["sqlite", "tantivy"]
GRAFT = [sys.executable, "-c", "from graft.cli import main; main()"]
WORDS = "river town hill bridge old new long cold famous painter mayor sea north".split()


def write_texts(folder: Path, records: int) -> Path:
    """Every kind of file, with some records that cannot be used."""
    folder.mkdir()
    draw = random.Random(1)
    rows = [
        {"title": f"Place {n}", "text": " ".join(draw.choices(WORDS, k=150)) + f" {n}."}
        for n in range(records)
    ]
    half = len(rows) // 2
    lines = [json.dumps(row) for row in rows[:half]]
    lines[1:1] = ["{broken", '{"title": "no text"}', ""]
    (folder / "a.jsonl").write_text("\n".join(lines) + "\n")
    pq.write_table(pa.Table.from_pylist(rows[half:]), folder / "b.parquet", row_group_size=50)
    (folder / "c.txt").write_text("\n".join(f"Line {n} of a long text." for n in range(3000)))
    (folder / "c.txt.gz").write_bytes(gzip.compress(b"A packed text.\n" * 3000))
    (folder / "d.md").write_bytes(b"good\n\xff\xfe")
    write_dump(folder / "e.xml.bz2", articles(max(10, records // 10)))
    return folder


def build(out: Path, *sources: Path, engine: Engine = "sqlite") -> None:
    for _ in index_texts(sources, out, engine=engine):
        pass


def answers(out: Path) -> list[object]:
    index = Index(out)
    queries = [f"{one} {other} {n}" for n, one in enumerate(WORDS) for other in WORDS[:4]]
    queries += [f"Town {n} people" for n in range(20)]
    return [index.passages, *(index.find(query, 5) for query in queries)]


def test_an_index_of_every_kind_of_file_says_what_is_in_it(tmp_path: Path) -> None:
    texts = write_texts(tmp_path / "texts", 40)
    found = CliRunner().invoke(app, ["tools", "index", str(texts), "--out", f"{tmp_path}/ix"])
    assert found.exit_code == 0, found.output
    said = found.output
    told = read_indexed(tmp_path / "ix")
    assert told.documents == 40 + 2 + 10
    assert told.paragraphs == Index(tmp_path / "ix").passages
    assert f"52 documents, {told.paragraphs:,} paragraphs" in said
    for left in (
        "10 a redirect (first: e.xml.bz2, record 2)",
        "10 no article (talk, template, ...) (first: e.xml.bz2, record 3)",
        "1 not JSON in UTF-8 (first: a.jsonl, line 2)",
        "1 its 'text' is missing or no string (first: a.jsonl, line 3)",
        "1 not UTF-8 text (invalid start byte) (first: d.md, record 1)",
    ):
        assert f"left out: {left}" in said
    again = CliRunner().invoke(app, ["tools", "index", str(texts), "--out", f"{tmp_path}/ix"])
    assert again.output.splitlines()[-len(said.splitlines()) + 3 :] == said.splitlines()[3:]


@pytest.mark.parametrize("engine", ENGINES)
def test_search_and_qa_read_the_folder_by_place_and_by_flag(
    tmp_path: Path, engine: Engine
) -> None:
    texts = tmp_path / "texts"
    texts.mkdir()
    (texts / "Marie Curie.txt").write_text("Marie Curie was born in Warsaw in 1867.")
    (texts / "Eiffel Tower.txt").write_text("The Eiffel Tower was finished in 1889.")
    build(tmp_path / "ix", texts, engine=engine)
    tools = tools_by_name([f"search:{tmp_path}/ix", f"qa:{tmp_path}/ix"])
    assert tools["Search"].answer("Curie born", Context()) == (
        "Marie Curie > Marie Curie was born in Warsaw in 1867."
    )
    assert tools["QA"].answer("Where was Marie Curie born?", Context()) == (
        "Warsaw (Marie Curie)"
    )
    by_flag = tools_by_name(["search"], corpus=tmp_path / "ix")["Search"]
    assert by_flag.version == tools["Search"].version
    with pytest.raises(ConfigError, match=r"search:.*nowhere.*not a search index"):
        tools_by_name([f"search:{tmp_path}/nowhere"])


@pytest.fixture(scope="module", params=ENGINES)
def large(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Engine, list[object]]:
    folder = tmp_path_factory.mktemp("large")
    texts = write_texts(folder / "texts", 1000)
    build(folder / "whole", texts, engine=request.param)
    return texts, request.param, answers(folder / "whole")


SLOW = """
import time
from graft.toolformer.tools import indexing, tantivy_words
from graft.toolformer.tools.index_writer import IndexWriter
indexing.PASSAGES_PER_STEP, tantivy_words.ROWS_PER_STEP = 40, 100
write = IndexWriter.write
IndexWriter.write = lambda *told: (write(*told), time.sleep(0.05))
from graft.cli import main
main()
"""


@pytest.mark.parametrize("seed", range(3))
def test_who_is_killed_goes_on_and_the_answers_are_the_same(
    tmp_path: Path, large: tuple[Path, Engine, list[object]], seed: int
) -> None:
    texts, engine, expected = large
    out, draw = tmp_path / "ix", random.Random(seed)
    options = ["--out", str(out), "--engine", engine]
    command = [sys.executable, "-c", SLOW, "tools", "index", str(texts), *options]
    before = 0
    for _ in range(3):
        wanted = before + draw.randint(60, 300)
        kill_when(start(command), lambda wanted=wanted: written(out) >= wanted)
        assert before < written(out) < expected[0]
        before = written(out)
        with pytest.raises(DataError, match="not a finished search index"):
            Index(out)
    assert "paragraphs" in finish(start(command))
    assert answers(out) == expected


def written(out: Path) -> int:
    """How many passages are on disk."""
    if not index_file(out).is_file():
        return 0
    try:
        database = sqlite3.connect(f"file:{index_file(out)}?mode=ro", uri=True)
        told = database.execute("SELECT told FROM state").fetchone()
        database.close()
    except sqlite3.OperationalError:  # at its very beginning
        return 0
    return json.loads(told[0])["passages"] if told else 0


def test_steps_of_any_size_give_the_same_answers(
    tmp_path: Path, large: tuple[Path, Engine, list[object]], monkeypatch: pytest.MonkeyPatch
) -> None:
    texts, engine, expected = large
    monkeypatch.setattr(indexing, "PASSAGES_PER_STEP", 7)
    monkeypatch.setattr(tantivy_words, "ROWS_PER_STEP", 13)
    build(tmp_path / "ix", texts, engine=engine)
    assert answers(tmp_path / "ix") == expected


@pytest.mark.parametrize("steps", [1, 3, 9])
def test_word_lists_go_on_behind_the_last_rows_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, steps: int
) -> None:
    texts = write_texts(tmp_path / "texts", 100)
    monkeypatch.setattr(tantivy_words, "ROWS_PER_STEP", 20)
    build(tmp_path / "whole", texts, engine="tantivy")
    building = index_texts([texts], tmp_path / "ix", engine="tantivy")
    listed = (one.done for one in building if one.stage == "join word lists")
    assert [next(listed) for _ in range(steps)] == [20 * n for n in range(1, steps + 1)]
    building.close()
    with pytest.raises(DataError, match="not a finished search index"):
        Index(tmp_path / "ix")
    left = index_texts([texts], tmp_path / "ix", engine="tantivy")
    listed = (one.done for one in left if one.stage == "join word lists")
    assert next(listed) == 20 * (steps + 1)
    assert list(listed)[-1] == Index(tmp_path / "whole").passages
    assert answers(tmp_path / "ix") == answers(tmp_path / "whole")


def test_another_engine_a_missing_one_and_damaged_lists_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, out = tmp_path / "one.txt", tmp_path / "ix"
    one.write_text("Alpha.")
    build(out, one, engine="tantivy")
    build(tmp_path / "usual", one)
    places = [f"search:{tmp_path}/usual", f"search:{out}"]
    assert len({tools_by_name([place])["Search"].version for place in places}) == 2
    with pytest.raises(StoreError, match=r"the engine \(tantivy\) changed since, or was"):
        build(out, one)
    lists = index_file(out).with_name(LISTS)
    with monkeypatch.context() as without:
        without.setattr(tantivy_words, "find_spec", lambda _name: None)
        for asked in (lambda: Index(out), lambda: build(tmp_path / "x", one, engine="tantivy")):
            with pytest.raises(ConfigError, match=r"pip install 'graft-models\[tantivy\]'"):
                asked()
    assert not (tmp_path / "x").exists()
    (lists / "meta.json").write_text("{")
    with pytest.raises(DataError, match=r"words: no word lists, or damaged: .*delete .*/ix"):
        Index(out)
    shutil.rmtree(lists)
    with pytest.raises(DataError, match=r"words: no word lists, or damaged: .*delete .*/ix"):
        Index(out)


def test_another_process_is_refused(tmp_path: Path) -> None:
    texts = write_texts(tmp_path / "texts", 8)
    out = tmp_path / "ix"
    out.mkdir()
    lock = os.open(out / ".lock", os.O_RDWR | os.O_CREAT)
    fcntl.flock(lock, fcntl.LOCK_EX)
    done = subprocess.run(
        [*GRAFT, "tools", "index", str(texts), "--out", str(out)],
        capture_output=True,
        text=True,
        check=False,
    )
    os.close(lock)
    assert done.returncode == 1
    assert "another process is working on this" in done.stderr


def test_other_texts_or_changed_ones_are_refused_with_the_remedy(tmp_path: Path) -> None:
    one, other = tmp_path / "one.txt", tmp_path / "other.txt"
    one.write_text("Alpha.")
    other.write_text("Beta.")
    build(tmp_path / "ix", one)
    with pytest.raises(StoreError, match=r"other\.txt .*choose another --out, or delete"):
        build(tmp_path / "ix", one, other)
    one.write_text("Gamma.")
    with pytest.raises(StoreError, match=r"one\.txt changed since"):
        build(tmp_path / "ix", one)
    assert Index(tmp_path / "ix").find("alpha")
    moved = tmp_path / "moved" / "one.txt"
    moved.parent.mkdir()
    moved.write_text("Alpha.")
    build(tmp_path / "ix", moved)


def test_a_source_without_a_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": ""}\n{"title": "x"}\n')
    with pytest.raises(DataError, match="holds no text"):
        build(tmp_path / "ix", tmp_path / "a.jsonl")
    with pytest.raises(ConfigError, match="name texts"):
        build(tmp_path / "ix")


def test_a_damaged_file_stops_with_its_name_and_the_mended_index_is_made(
    tmp_path: Path,
) -> None:
    dump = write_dump(tmp_path / "wiki.xml", articles(30))
    whole = dump.read_bytes()
    dump.write_bytes(whole[:-400])
    with pytest.raises(DataError, match=r"wiki\.xml: damaged behind page 8\d"):
        build(tmp_path / "ix", dump)
    index_file(tmp_path / "ix").write_bytes(b"what is this" * 1000)
    with pytest.raises(StoreError, match="damaged or no index"):
        build(tmp_path / "ix", dump)


def test_a_zim_file_is_indexed(tmp_path: Path) -> None:
    pytest.importorskip("libzim")
    pages = {"Osk": "<p>The Osk is a river.</p>", "Tovel": "<p>A town on a hill.</p>"}
    build(tmp_path / "ix", write_zim(tmp_path / "wiki.zim", pages))
    assert [one.title for one in Index(tmp_path / "ix").find("hill")] == ["Tovel"]
    assert read_indexed(tmp_path / "ix").documents == 2


@pytest.mark.parametrize("engine", ENGINES)
def test_an_index_that_is_damaged_in_its_middle_is_named_with_the_remedy(
    tmp_path: Path, engine: Engine
) -> None:
    out = tmp_path / "ix"
    build(out, write_texts(tmp_path / "texts", 300), engine=engine)
    files = [index_file(out)]
    if engine == "tantivy":
        files = [*index_file(out).with_name(LISTS).glob("*.idx")]
        files += index_file(out).with_name(LISTS).glob("*.term")
    for path in files:
        content = bytearray(path.read_bytes())
        begin, end = len(content) // 4, 3 * len(content) // 4
        content[begin:end] = b"\xff" * (end - begin)
        path.write_bytes(content)
    with pytest.raises(DataError, match=r"damaged: .*delete"):
        answers(out)
