import gzip
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graft.errors import DataError
from graft.toolformer.tools import index as index_module
from graft.toolformer.tools.index import Index, build_index
from graft.toolformer.tools.passages import Passage


def texts_in(folder: Path, **texts: str) -> Path:
    folder.mkdir(exist_ok=True)
    for name, text in texts.items():
        (folder / f"{name}.txt").write_text(text)
    return folder


@pytest.fixture(scope="module")
def towns(tmp_path_factory: pytest.TempPathFactory) -> Index:
    folder = tmp_path_factory.mktemp("towns")
    source = texts_in(
        folder / "texts",
        osk="The Osk is a river. It rises near Tovel and runs to the sea.",
        tovel="Tovel is a town of 900 people. The town lies on a hill.",
        zurich="Zürich is a city. It is not on the Osk.",
        twin_a="Twins read the same words.",
        twin_b="Twins read the same words.",
    )
    return Index(build_index(source, folder / "towns.sqlite"))


def titles(index: Index, query: str, limit: int = 1) -> list[str]:
    return [passage.title for passage in index.find(query, limit)]


def test_the_best_passage_comes_first(towns: Index) -> None:
    assert titles(towns, "Where does the river Osk rise?") == ["osk"]
    assert titles(towns, "people of Tovel", 2) == ["tovel", "osk"]


def test_case_accents_and_endings_do_not_matter(towns: Index) -> None:
    assert titles(towns, "ZURICH") == ["zurich"]
    assert titles(towns, "rivers") == ["osk"]


def test_ties_are_broken_by_the_order_of_the_source(towns: Index) -> None:
    assert titles(towns, "twins", 2) == ["twin a", "twin b"]


def test_nothing_is_found_where_no_word_matches(towns: Index) -> None:
    assert towns.find("xylophone") == []
    assert towns.find("") == []
    assert towns.find(" _ ?! ") == []


def test_words_that_every_text_has_are_used_only_when_there_are_no_others(towns: Index) -> None:
    assert towns.telling_terms("what is the river") == ["river"]
    assert towns.telling_terms("what is the") == ["what", "is", "the"]
    assert titles(towns, "the") != []


def test_very_common_terms_are_dropped(towns: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index_module, "COMMON_AT_LEAST", 1)
    assert towns.telling_terms("Osk river") == ["river"]
    assert towns.telling_terms("Osk") == ["osk"]


@given(st.text(max_size=40))
def test_any_query_is_a_query_and_none_is_syntax(towns: Index, query: str) -> None:
    for written in (query, f'{query}" OR (*:^ NEAR/2', f"title:{query} NOT - AND"):
        assert isinstance(towns.find(written, 2), list)


def test_a_query_of_a_megabyte_is_cut(towns: Index) -> None:
    assert titles(towns, "river " + "word " * 200_000) == ["osk"]


def test_many_threads_get_the_answers_of_one(towns: Index) -> None:
    queries = ["river Osk", "town hill", "twins", "city", "sea"] * 20
    alone = [towns.find(query, 3) for query in queries]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda query: towns.find(query, 3), queries)) == alone


def test_an_index_is_built_again_only_when_its_source_changes(tmp_path: Path) -> None:
    source = texts_in(tmp_path / "texts", a="Alpha.")
    path = build_index(source, tmp_path / "deep" / "i.sqlite")
    first = path.stat().st_ino
    assert build_index(source, path).stat().st_ino == first
    texts_in(source, b="Beta.")
    assert Index(build_index(source, path)).find("beta") == [Passage("b", "Beta.")]
    assert [file.name for file in path.parent.iterdir()] == ["i.sqlite"]


def test_the_same_source_gives_the_same_answers_whenever_it_is_built(tmp_path: Path) -> None:
    source = texts_in(tmp_path / "texts", a="One two.", b="Two one.", c="Two two one.")
    indexes = [Index(build_index(source, tmp_path / f"{n}.sqlite")) for n in range(2)]
    assert indexes[0].fingerprint == indexes[1].fingerprint
    assert indexes[0].find("one two", 3) == indexes[1].find("one two", 3)


def test_a_failed_build_leaves_the_old_index_and_nothing_else(tmp_path: Path) -> None:
    source = texts_in(tmp_path / "texts", a="Alpha.")
    path = build_index(source, tmp_path / "i" / "i.sqlite")
    (source / "b.parquet").write_bytes(b"PAR1")
    with pytest.raises(DataError, match=r"b\.parquet"):
        build_index(source, path)
    assert [file.name for file in path.parent.iterdir()] == ["i.sqlite"]
    assert Index(path).find("alpha") == [Passage("a", "Alpha.")]


def test_records_that_cannot_be_used_are_left_out_and_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source = tmp_path / "a.jsonl.gz"
    lines = '{"text": "Alpha."}\n{"title": "t"}\n{broken\n{"text": " "}\n{"id": 1}\n'
    source.write_bytes(gzip.compress(lines.encode()))
    index = Index(build_index(source, tmp_path / "i.sqlite"))
    assert index.find("alpha") == [Passage("a", "Alpha.")]
    assert caplog.messages == [
        f"{source}: left out: 2 its 'text' is missing or no string (first: a.jsonl.gz, line 2);"
        " 1 not JSON in UTF-8 (first: a.jsonl.gz, line 3)"
    ]


def test_a_source_without_a_word_is_refused_with_what_was_left_out(tmp_path: Path) -> None:
    source = texts_in(tmp_path / "texts", a=" \n ")
    with pytest.raises(
        DataError, match=r"holds no text: 1 no text \(first: a\.txt, record 1\)"
    ):
        build_index(source, tmp_path / "i.sqlite")
    assert not (tmp_path / "i.sqlite").exists()


def test_what_is_no_index_is_refused_or_built_over(tmp_path: Path) -> None:
    broken = tmp_path / "i.sqlite"
    with pytest.raises(DataError, match="not a search index"):
        Index(broken)
    broken.write_bytes(b"SQLite? no." * 100)
    with pytest.raises(DataError, match="not a search index"):
        Index(broken)
    build_index(texts_in(tmp_path / "texts", a="Alpha."), broken)
    assert Index(broken).passages == 1


def test_an_index_cannot_be_written_through_its_readers(towns: Index) -> None:
    with (
        towns._connection() as connection,
        pytest.raises(sqlite3.OperationalError, match="readonly"),
    ):
        connection.execute("DELETE FROM passage")


def test_folders_with_signs_of_addresses_in_their_name_work(tmp_path: Path) -> None:
    source = texts_in(tmp_path / "what?#%20 ü", a="Alpha.")
    assert Index(build_index(source, source / "i?mode=rw#.sqlite")).find("alpha")
