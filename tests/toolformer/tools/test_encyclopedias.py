"""Dumps of MediaWiki and ZIM files are read as they are made, and refused where damaged."""

import contextlib
import subprocess
import sys
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from encyclopedias import HEAD, OSK, OSK_TEXT, articles, page, write_dump, write_zim
from graft.errors import DataError
from graft.toolformer.tools.documents import (
    Document,
    Meter,
    fingerprint_of,
    read_documents,
    source_files,
)
from graft.toolformer.tools.hypertext import text_of_page
from graft.toolformer.tools.passages import Passage

pytest.importorskip("mwparserfromhell")


@pytest.mark.parametrize("name", ["wiki.xml", "wiki.xml.bz2"])
def test_an_article_is_read_as_its_prose(tmp_path: Path, name: str) -> None:
    dump = write_dump(tmp_path / name, [page("Osk", OSK), page("R", "x", redirect="Osk")])
    assert source_files(tmp_path) == [dump]
    told = [(1, [Passage("Osk", OSK_TEXT)]), (2, [])]
    assert passages_of(list(read_documents(dump))) == told


def test_redirects_and_other_namespaces_are_left_out_by_name(tmp_path: Path) -> None:
    dump = write_dump(tmp_path / "wiki.xml", [*articles(2), page("", "A text.")])
    meter = Meter()
    found = list(read_documents(dump, meter=meter))
    reasons = [None, "a redirect", "no article (talk, template, ...)"]
    assert [one.reason for one in found] == [*reasons, *reasons, "a page without a title"]
    assert [one.number for one in found] == [1, 2, 3, 4, 5, 6, 7]
    assert [one.broken for one in found] == [False] * 6 + [True]
    assert found[-1].told(dump) == f"{dump}, page 7: a page without a title"
    assert meter.at == dump.stat().st_size


def passages_of(found: list[Document]) -> list[tuple[int, list[Passage]]]:
    return [(one.number, list(one.passages)) for one in found]


def test_reading_goes_on_in_the_middle_and_by_several_processes(tmp_path: Path) -> None:
    dump = write_dump(tmp_path / "wiki.xml.bz2", articles(60))
    whole = passages_of(list(read_documents(dump)))
    assert passages_of(list(read_documents(dump, start=100))) == whole[99:]
    assert passages_of(list(read_documents(dump, workers=2))) == whole


def test_memory_does_not_grow_with_a_dump(tmp_path: Path) -> None:
    peaks = list[int]()
    for count in (100, 800):
        pages = [page(f"Talk:{n}", f"I say {n}. " * 100, namespace=1) for n in range(count)]
        dump = write_dump(tmp_path / "wiki.xml", pages)
        tracemalloc.start()
        assert sum(1 for _ in read_documents(dump)) == count
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.5 * peaks[0]


@pytest.mark.parametrize("share", [0.3, 0.6, 0.99])
@pytest.mark.parametrize("name", ["wiki.xml", "wiki.xml.bz2"])
def test_a_dump_that_was_cut_is_refused_with_its_place(
    tmp_path: Path, name: str, share: float
) -> None:
    dump = write_dump(tmp_path / name, articles(30))
    content = dump.read_bytes()
    dump.write_bytes(content[: int(share * len(content))])
    with pytest.raises(DataError, match=rf"{name}: damaged behind page \d+ .*get the whole"):
        list(read_documents(dump))


def test_what_is_no_dump_is_refused_where_named_and_passed_over_in_a_folder(
    tmp_path: Path,
) -> None:
    (tmp_path / "pom.xml").write_text("<project><page/></project>")
    (tmp_path / "a.txt").write_text("Alpha.")
    with pytest.raises(DataError, match="no MediaWiki dump: its root is <project>"):
        list(read_documents(tmp_path / "pom.xml"))
    assert source_files(tmp_path) == [tmp_path / "a.txt"]


def test_a_bomb_of_entities_is_refused(tmp_path: Path) -> None:
    bomb = '<!DOCTYPE l [<!ENTITY a "ha">'
    for one, before in zip("bcdefghijklmnop", "abcdefghijklmno", strict=True):
        bomb += f'<!ENTITY {one} "{f"&{before};" * 10}">'
    dump = tmp_path / "wiki.xml"
    dump.write_text(bomb + "]>" + HEAD + "<page><title>x</title><revision><text>&p;</text>")
    with pytest.raises(DataError, match="amplification"):
        list(read_documents(dump))


@given(st.text(alphabet=st.sampled_from("[]{}|='<>/!-*#:\nab ref"), max_size=200))
def test_any_markup_is_read_or_named(markup: str) -> None:
    from graft.toolformer.tools.wikitext import MarkupError, plain_text

    with contextlib.suppress(MarkupError):
        assert isinstance(plain_text(markup), str)


def test_deep_markup_ends(tmp_path: Path) -> None:
    deep = ["[[a|" * 3000, "{{a|" * 3000, "<b>" * 3000, "'''''" * 3000, "{|\n" * 3000]
    dump = write_dump(tmp_path / "wiki.xml", [page(f"D{n}", one) for n, one in enumerate(deep)])
    found = list(read_documents(dump))
    assert {one.reason for one in found} <= {None, "markup that cannot be read"}
    assert found[0].told(dump) == f"{dump}, page 1 (D0): markup that cannot be read"


def test_a_page_in_html_is_read_without_menus_and_tables() -> None:
    read = text_of_page(
        "<html><head><title>no</title></head><body><nav>no<nav>no</nav>no</nav><h1>Osk</h1>"
        "<p>The <b>Osk</b> is a\n river.<sup>[1]</sup></p><table><tr><td>no</td></tr></table>"
        "<ul><li>It is &lt;long&gt;.<li>Cold.</ul><script>no()</script></p></i>x<br>y"
    )
    assert read == "Osk\nThe Osk is a river.\nIt is <long>.\nCold.\nx\ny"


def test_a_zim_file_is_read_page_by_page(tmp_path: Path) -> None:
    pytest.importorskip("libzim")
    pages = {"Osk": "<p>The Osk is a river.</p>", "Tovel": "<p>A town.</p>"}
    path = write_zim(tmp_path / "wiki.zim", pages)
    found = list(read_documents(path))
    assert [one for found in found for one in found.passages] == [
        Passage("Osk", "The Osk is a river."),
        Passage("Tovel", "A town."),
    ]
    assert sum(one.reason == "a redirect" for one in found) >= 1
    assert not any(one.broken for one in found)
    second = next(one.number for one in found if list(one.passages) == [])
    assert next(one.number for one in read_documents(path, start=second)) == second
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match=r"wiki\.zim: no whole ZIM file"):
        list(read_documents(path))


@pytest.mark.parametrize(
    ("package", "name", "extra"),
    [("mwparserfromhell", "wiki.xml", "wikipedia"), ("libzim", "wiki.zim", "zim")],
)
def test_a_missing_package_is_told_with_the_remedy(
    tmp_path: Path, package: str, name: str, extra: str
) -> None:
    (tmp_path / name).write_text(f"{HEAD}</mediawiki>")
    program = (
        f"import sys; sys.modules[{package!r}] = None\n"
        "from graft.cli import main; sys.argv = ['graft', *sys.argv[1:]]; main()"
    )
    words = ["tools", "index", str(tmp_path / name), "--out", str(tmp_path / "out")]
    done = subprocess.run(
        [sys.executable, "-c", program, *words], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert f"pip install 'graft-models[{extra}]'" in done.stderr


def test_the_fingerprint_is_of_the_packed_file(tmp_path: Path) -> None:
    dump = write_dump(tmp_path / "wiki.xml.bz2", articles(1))
    first = fingerprint_of(dump)
    write_dump(dump, articles(2))
    assert fingerprint_of(dump) != first
