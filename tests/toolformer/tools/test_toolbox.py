import datetime
import shutil
from pathlib import Path

import pytest

from graft.errors import ConfigError, DataError
from graft.toolformer.tools.tool import Context
from graft.toolformer.tools.toolbox import NAMES, default_index_folder, tools_by_name


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    folder = tmp_path / "corpus"
    folder.mkdir()
    (folder / "osk.txt").write_text("The Osk is a river.")
    return folder


def test_tools_are_found_in_any_case_and_keyed_as_calls_name_them(
    corpus: Path, tmp_path: Path
) -> None:
    tools = tools_by_name(
        ["SEARCH", " Calendar", "calculator"], corpus=corpus, index_folder=tmp_path
    )
    assert list(tools) == ["Search", "Calendar", "Calculator"]
    assert all(name == tool.name for name, tool in tools.items())
    assert tools["Search"].answer("river", Context()) == "osk > The Osk is a river."


def test_every_name_has_a_tool(corpus: Path, tmp_path: Path) -> None:
    here = [name for name in NAMES if name != "mt" or shutil.which("apertium")]
    assert len(tools_by_name(here, corpus=corpus, index_folder=tmp_path)) == len(here)
    assert tools_by_name([]) == {}


def test_the_calendar_gets_its_today() -> None:
    tools = tools_by_name(["calendar"], today=datetime.date(2023, 1, 30))
    assert tools["Calendar"].answer("", Context()) == "Today is Monday, January 30, 2023."


def test_a_misspelt_name_is_refused_with_a_hint() -> None:
    with pytest.raises(ConfigError, match=r"'calcualtor' .did you mean 'calculator'"):
        tools_by_name(["calcualtor"])
    with pytest.raises(
        ConfigError, match="'xyz'; there are calculator, calendar, search, qa, mt"
    ):
        tools_by_name(["xyz"])


def test_search_without_texts_is_refused_with_the_remedy() -> None:
    with pytest.raises(ConfigError, match="name a folder of"):
        tools_by_name(["search"])


def test_search_in_a_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nowhere"):
        tools_by_name(["search"], corpus=tmp_path / "nowhere", index_folder=tmp_path)


def test_two_corpora_of_one_name_have_two_indexes(corpus: Path, tmp_path: Path) -> None:
    other = tmp_path / "other" / "corpus"
    other.mkdir(parents=True)
    (other / "ask.txt").write_text("The Ask is a river.")
    for source, title in [(corpus, "osk"), (other, "ask"), (corpus, "osk")]:
        tool = tools_by_name(["search"], corpus=source, index_folder=tmp_path / "i")["Search"]
        assert tool.answer("river", Context()).startswith(title)
    assert len(list((tmp_path / "i").iterdir())) == 2


def test_indexes_rest_in_the_users_cache(
    monkeypatch: pytest.MonkeyPatch, corpus: Path, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert default_index_folder() == tmp_path / "cache" / "graft" / "search"
    tools_by_name(["search"], corpus=corpus)
    assert [path.suffix for path in default_index_folder().iterdir()] == [".sqlite"]
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert default_index_folder() == Path.home() / ".cache" / "graft" / "search"
