import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graft.errors import ToolError
from graft.toolformer.call import Call, parse, render
from graft.toolformer.tools.index import build_index
from graft.toolformer.tools.passages import Passage
from graft.toolformer.tools.qa import FURTHEST_CHARACTERS, qa_tool, weights
from graft.toolformer.tools.reader import candidates, read_answers
from graft.toolformer.tools.spans import LONGEST_SPAN, read_question
from graft.toolformer.tools.tool import Context, Tool
from graft.world.facts import QUESTIONS
from graft.world.questions import ALL, encyclopedia, question_facts

ANYTIME = Context()
TEXTS = {
    "Mara Lind": "Mara Lind is a painter. Mara Lind was born in Tovel in 1931.",
    "Tovel": "Tovel is a town on a hill. The mayor of Tovel is Anlin Galand.",
    "Harbour": "The harbour of Osk has 48 cranes. It was built by Peter Halden.",
    "Bread": "A loaf of Karst bread costs $4.50 at the market.",
    "Sund": "The river Lorn flows into the Sund Sea.",
}


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("qa")
    for title, text in TEXTS.items():
        (folder / f"{title}.txt").write_text(text)
    return build_index(folder, folder / "i.sqlite")


@pytest.fixture(scope="module")
def tool(index: Path) -> Tool:
    return qa_tool(index)


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("Where was Mara Lind born?", "Tovel (Mara Lind)"),
        ("When was Mara Lind born?", "1931 (Mara Lind)"),
        ("Who is the mayor of Tovel?", "Anlin Galand (Tovel)"),
        ("How many cranes has the harbour of Osk?", "48 (Harbour)"),
        ("How much does a loaf of Karst bread cost?", "$4.50 (Bread)"),
        ("Which sea does the river Lorn flow into?", "Sund Sea (Sund)"),
    ],
)
def test_each_kind_of_question_is_answered_with_its_source(
    tool: Tool, question: str, answer: str
) -> None:
    assert tool.answer(question, ANYTIME) == answer


def test_of_many_articles_alike_the_sentence_that_tells_it_is_read(tmp_path: Path) -> None:
    """A subject stands in each sentence of its article; what is asked of it in one of them."""
    facts = question_facts(5, 150, ALL)
    articles = tmp_path / "articles.jsonl"
    articles.write_text("".join(json.dumps(one) + "\n" for one in encyclopedia(5, facts)))
    tool = qa_tool(build_index(articles, tmp_path / "i.sqlite"), source=False)
    asked = {QUESTIONS[fact.relation].format(s=fact.subject): fact for fact in facts}
    right = dict[str, list[bool]]()
    for question, fact in asked.items():
        answer = tool.answer(question, ANYTIME)
        right.setdefault(fact.relation, []).append(answer == fact.value)
    assert set(right) == set(QUESTIONS)
    assert all(sum(some) >= len(some) / 2 for some in right.values()), right
    assert sum(map(sum, right.values())) > 0.9 * len(asked)


def test_the_source_may_be_left_out_and_is_part_of_the_version(index: Path, tool: Tool) -> None:
    bare = qa_tool(index, source=False)
    assert bare.answer("When was Mara Lind born?", ANYTIME) == "1931"
    assert len({bare.version, tool.version, qa_tool(index, passages=1).version}) == 3


@pytest.mark.parametrize("question", ["", "?", "xylophone", "Who?", '" OR (*:^', "a" * 100_000])
def test_what_the_texts_do_not_tell_has_no_answer(tool: Tool, question: str) -> None:
    with pytest.raises(ToolError, match="no answer found"):
        tool.answer(question, ANYTIME)


def test_a_text_is_not_answered_out_of_itself(index: Path) -> None:
    apart, own = qa_tool(index, apart=True), Context(text=TEXTS["Mara Lind"])
    assert apart.by_text
    question = "Where was Mara Lind born?"
    assert apart.answer(question, ANYTIME) == "Tovel (Mara Lind)"
    with pytest.raises(ToolError):
        apart.answer(question, own)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Mara Lind was born in Tovel.", [("Tovel.", "Where was Mara Lind born?")]),
        ("The Osk Mill was built in 1840.", [("1840.", "When was the Osk Mill built?")]),
        ("Osk was founded on May 4, 1712.", [("May", "When was Osk founded?")]),
        ("Osk was founded by Ada.", [("Ada.", "Who was Osk founded by?")]),
        ("It is in the sea.", []),
        ("mara was born in Tovel", []),
        ("", []),
    ],
)
def test_questions_are_put_before_what_the_text_tells(
    tool: Tool, text: str, expected: list[tuple[str, str]]
) -> None:
    found = tool.rules(text, ANYTIME)
    assert [(text[at:].split()[0], call.argument) for at, call in found] == expected
    assert all(text[at] == " " and call.quoted for at, call in found)


BORN = "Where was Mara Lind born?"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"{BORN} In Tovel.", [("Tovel.", BORN)]),
        (f'"{BORN}" asked Ada. "It was Tovel," said Osk.', [('Tovel,"', BORN)]),
        (f'"{BORN}" asked Ada. "Tovel!" said Osk.', [('"Tovel!"', BORN)]),
        (f"{BORN} In Tovelby, or Osk.", []),
        (f"{BORN} In Osk.", []),
        (f"In Tovel. {BORN}", []),
        (BORN, []),
        (f"{BORN}{' so' * (FURTHEST_CHARACTERS // 3)} Tovel.", []),
        ("How? Where? Who is it? A [b]? xylophone?", []),
    ],
)
def test_a_texts_own_question_is_put_before_the_answer_that_is_found(
    tool: Tool, text: str, expected: list[tuple[str, str]]
) -> None:
    found = tool.rules(text, ANYTIME)
    assert [(text[at:].split()[0], call.argument) for at, call in found] == expected
    assert all(text[at] == " " and call.quoted for at, call in found)


def test_own_questions_are_looked_for_in_linear_time(tool: Tool) -> None:
    for text in ("Who " * 5000, "Who " + "x" * 20_000, f"{BORN} " * 1000, "Who?" * 5000):
        assert len(tool.rules(text, ANYTIME)) <= 6


@pytest.mark.parametrize(
    ("question", "kind", "head", "subject"),
    [
        ("Who wrote the book?", "who", "", True),
        ("Whom did Ada see?", "who", "", False),
        ("In what year was Osk founded?", "when", "year", False),
        ("Which city is on the hill?", "where", "cit", False),
        ("How many cranes are there?", "many", "cran", True),
        ("How long is the Osk?", "much", "", True),
        ("Name the town.", "what", "", False),
    ],
)
def test_a_question_says_what_it_asks_for(
    question: str, kind: str, head: str, *, subject: bool
) -> None:
    asked = read_question(question)
    assert (asked.kind, asked.head, asked.subject) == (kind, head, subject)


HOSTILE = st.text(
    alphabet=st.sampled_from('AbcÉ 19.0,?!()[]"->$%\n\u2028\ud800 where born Tovel Osk'),
    max_size=300,
)


@settings(deadline=None)
@given(HOSTILE, HOSTILE)
def test_any_passage_is_read_and_an_answer_stands_in_it(question: str, text: str) -> None:
    passage = Passage("T", f"Osk {text}")
    for one in read_answers(f"{question} Osk", [passage], lambda _: 1.0, weights()):
        assert one.text in passage.text
        written = render(Call("QA", "q", quoted=True).answered(f"{one.text} ({one.title})"))
        assert parse(written) is not None


@pytest.mark.parametrize(
    "text",
    [
        "Osk" + "x" * 1_000_000,
        "Osk " * 250_000,
        "Osk, " * 200_000,
        "Osk [QA(" + "[" * 100_000,
        "-" * 500_000 + " Osk",
        "Osk'" * 200_000,
    ],
)
def test_work_is_bounded_whatever_a_passage_holds(text: str) -> None:
    asked = read_question("Where is Osk?" + text)
    found = list(candidates(asked, [Passage("T", text)] * 5, lambda _: 1.0))
    assert len(found) <= 6 * 80 * LONGEST_SPAN
