from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graft.errors import DataError, ToolError
from graft.toolformer.call import Call, render
from graft.toolformer.tools.execute import Executor
from graft.toolformer.tools.index import build_index
from graft.toolformer.tools.passages import Passage
from graft.toolformer.tools.search import rules, search_tool, snippet
from graft.toolformer.tools.tool import Context, Tool

ANYTIME = Context()


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("search")
    (folder / "Mara_Lind.txt").write_text(
        "Mara Lind is a painter. She was born in Tovel in 1931. She likes the sea."
    )
    (folder / "Tovel.txt").write_text("Tovel is a town on a hill. Mara Lind was born there.")
    return build_index(folder, folder / "i.sqlite")


@pytest.fixture(scope="module")
def tool(index: Path) -> Tool:
    return search_tool(index)


def proposals(text: str) -> list[tuple[str, str]]:
    return [(text[at:].split()[0], call.argument) for at, call in rules(text, ANYTIME)]


def test_the_answer_is_the_best_sentence_behind_its_title(tool: Tool) -> None:
    assert tool.answer("Where was Mara Lind born?", ANYTIME) == (
        "Mara Lind > She was born in Tovel in 1931."
    )
    assert tool.answer("town Tovel", ANYTIME) == "Tovel > Tovel is a town on a hill."


def test_several_passages_may_be_quoted(index: Path) -> None:
    answer = search_tool(index, passages=2).answer("Tovel", ANYTIME)
    assert sorted(answer.split(" | ")) == [
        "Mara Lind > She was born in Tovel in 1931.",
        "Tovel > Tovel is a town on a hill.",
    ]


def test_nothing_found_is_no_answer(tool: Tool) -> None:
    with pytest.raises(ToolError, match="nothing found for 'xylophone'"):
        tool.answer("xylophone", ANYTIME)


def test_the_argument_is_quoted_and_the_answer_fits_a_call(tool: Tool) -> None:
    assert tool.quoted
    call = Call(tool.name, "Lind 1931", quoted=tool.quoted)
    assert render(call.answered(tool.answer(call.argument, ANYTIME))) == (
        '[Search("Lind 1931") -> Mara Lind > She was born in Tovel in 1931.]'
    )


def test_a_long_sentence_is_quoted_around_the_words_asked_for() -> None:
    text = " ".join(f"word{n}" for n in range(100))
    quoted = snippet(Passage("T", text), "word60 word62", longest=5)
    assert quoted == "T > word58 word59 word60 word61 word62"


def test_the_version_tells_the_texts_and_the_settings(index: Path, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("Other texts.")
    other = build_index(tmp_path, tmp_path / "i.sqlite")
    tools = [
        search_tool(index),
        search_tool(index, passages=2),
        search_tool(index, snippet_words=9),
        search_tool(other),
    ]
    assert len({tool.version for tool in tools}) == 4
    assert search_tool(index).version == tools[0].version


def test_without_an_index_there_is_no_tool(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="not a search index"):
        search_tool(tmp_path / "i.sqlite")


def test_texts_of_five_words_are_seen(tool: Tool) -> None:
    assert tool.sees("One two three four five", ANYTIME)
    assert not tool.sees("One two three four ", ANYTIME)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Mara Lind was born in Tovel.", [("Tovel.", "Mara Lind born")]),
        (
            "Mara Lind was born in Tovel. She moved to Lemark in 1950.",
            [
                ("Tovel.", "Mara Lind born"),
                ("Lemark", "Mara Lind born tovel moved"),
                ("1950.", "Mara Lind born tovel moved lemark"),
            ],
        ),
        ("The river Osk flows into the Sund.", [("Sund.", "Osk flows")]),
        ("The Eiffel Tower was finished in 1889.", [("1889.", "Eiffel Tower finished")]),
        ("In London the Bank of England was founded.", [("Bank", "London")]),
        ("He is here. She is there. It is late.", []),
        ("nobody at all, 5 times", []),
        ("Mara Lind said that Mara Lind paints.", []),
        ("", []),
    ],
)
def test_names_are_looked_up_before_what_is_told_of_them(
    text: str, expected: list[tuple[str, str]]
) -> None:
    assert proposals(text) == expected


def test_a_text_gets_three_proposals_at_most_and_each_at_a_space() -> None:
    text = "Mara Lind met Ada, Bea, Cleo, Dora and Eve in Tovel in 1950."
    found = rules(text, ANYTIME)
    assert len(found) == 3
    assert all(text[at] == " " for at, _call in found)


def test_a_name_far_back_is_no_longer_asked_for() -> None:
    assert proposals("Mara Lind" + " paints" * 40 + " in Tovel") == []


@given(st.text(alphabet=st.sampled_from("AbcÉ \n.0,9'\"[]->"), max_size=60))
def test_the_rules_propose_only_what_can_be_written_before_a_word(text: str) -> None:
    for at, call in rules(text, ANYTIME):
        assert call.quoted
        assert call.argument.strip()
        assert text[at] == " "
        assert not text[at + 1].isspace()


def test_a_text_does_not_find_itself_where_search_is_to_keep_apart(index: Path) -> None:
    itself = "Tovel is a town on a hill. Mara Lind was born there, they say."
    apart, open_to_all = search_tool(index, apart=True), search_tool(index)
    asked = Context(text=itself)
    assert open_to_all.answer("town Tovel", asked).startswith("Tovel > ")
    assert apart.answer("Tovel born", asked) == "Mara Lind > She was born in Tovel in 1931."
    assert apart.answer("town Tovel", Context(text="Another text.")).startswith("Tovel > ")
    assert apart.version != open_to_all.version


def test_answers_that_hang_on_the_text_are_remembered_by_the_text(index: Path) -> None:
    executor, apart = Executor(), search_tool(index, apart=True)
    first = executor.answer(apart, "town Tovel", Context(text="Another text."))
    own = Context(text="Tovel is a town on a hill.")
    assert executor.answer(apart, "Tovel", own) != first
    assert executor.usage["Search"].memo_hits == 0
