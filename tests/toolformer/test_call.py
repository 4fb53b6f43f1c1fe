import hashlib
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graft.toolformer.call import (
    ARROW,
    CLOSE,
    OPEN,
    Call,
    parse,
    parse_asked,
    render,
    render_answer,
    render_asked,
    strip,
)

PIECES = [
    "[",
    "]",
    "(",
    ")",
    " ->",
    "->",
    "-",
    ">",
    '"',
    "\n",
    " ",
    "A",
    "Calculator",
    "7",
    "→",
]
LETTERS = st.characters(exclude_characters="[]\n", exclude_categories=())
tools = st.from_regex(r"[A-Za-z]\w{0,9}", fullmatch=True)
awkward = st.text(alphabet=st.sampled_from('ab ()->"0,%→'), max_size=12)
lines = awkward | st.text(alphabet=LETTERS, max_size=20)
plain_texts = st.text(alphabet=st.sampled_from('ab .,()->\n"5'), max_size=40)


def buildable(tool: str, argument: str, result: str | None, *, quoted: bool) -> Call | None:
    try:
        return Call(tool, argument, result, quoted)
    except ValueError:
        return None


calls = st.builds(buildable, tools, lines, st.none() | lines, quoted=st.booleans()).filter(
    lambda call: call is not None
)


@given(calls)
@settings(max_examples=300)
def test_a_rendered_call_parses_back_to_itself(call: Call) -> None:
    assert parse(f"The sum is {render(call)} 81.") == call


@given(calls)
def test_what_a_call_asks_parses_back_without_its_result(call: Call) -> None:
    asked = Call(call.tool, call.argument, quoted=call.quoted)
    assert parse_asked(f" {render_asked(call)} ") == asked


@given(plain_texts, calls, calls, st.data())
def test_a_text_with_calls_is_the_text_again_without_them(
    text: str, first: Call, second: Call, data: st.DataObject
) -> None:
    early = data.draw(st.integers(0, len(text)))
    late = data.draw(st.integers(early, len(text)))
    written = f"{text[:early]} {render(first)}{text[early:late]} {render(second)}{text[late:]}"
    assert strip(written) == text


@pytest.mark.parametrize(
    ("call", "written"),
    [
        (Call("Calculator", "27 * 3", "81"), "[Calculator(27 * 3) -> 81]"),
        (Call("Calculator", "(2 + 3) * (4 - 1)"), "[Calculator((2 + 3) * (4 - 1))]"),
        (Call("Search", "the Osk", "", quoted=True), '[Search("the Osk") ->]'),
        (Call("Calendar", "", "Today is Monday."), "[Calendar() -> Today is Monday.]"),
    ],
)
def test_a_call_is_written_as_the_paper_writes_it(call: Call, written: str) -> None:
    assert render(call) == written


def test_a_call_is_its_three_parts_between_opening_and_close() -> None:
    call = Call("Calculator", "6 * 7", "42")
    assert OPEN + render_asked(call) + render_answer(call) == " [Calculator(6 * 7) -> 42]"
    assert render_answer(call) == f"{ARROW} 42{CLOSE}"


def test_an_empty_result_is_not_the_same_as_none() -> None:
    assert parse("[Calendar()]") == Call("Calendar", "", None)
    assert parse("[Calendar() ->]") == Call("Calendar", "", "")


@pytest.mark.parametrize(
    ("asked", "call"),
    [
        ("Calculator(658,893 / 11.4%)", Call("Calculator", "658,893 / 11.4%")),
        ("Calculator((1 + (2 - 3)) * 4)", Call("Calculator", "(1 + (2 - 3)) * 4")),
        ("Calendar()", Call("Calendar", "")),
        ('WikiSearch("Brown Act")', Call("WikiSearch", "Brown Act", quoted=True)),
        ('QA("Who was "Joe (Jr.)"?")', Call("QA", 'Who was "Joe (Jr.)"?', quoted=True)),
        ("MT(sécurité, всё, 安全)", Call("MT", "sécurité, всё, 安全")),
        ("  Calculator(1 + 1)  ", Call("Calculator", "1 + 1")),
    ],
)
def test_every_kind_of_argument_in_the_paper_is_read(asked: str, call: Call) -> None:
    assert parse_asked(asked) == call


@pytest.mark.parametrize(
    "asked",
    ["", "Calculator", "Calculator(", "Calculator(1", "(1)", "1(2)", "x Calculator(1)",
     "Calculator(1) and", "Calculator(1 -> 2)", "Calculator([1])", "Calculator(1\n)"],
)  # fmt: skip
def test_what_is_no_question_is_not_read(asked: str) -> None:
    assert parse_asked(asked) is None


@pytest.mark.parametrize(
    "text", ["", "81 [citation needed].", "[Calculator(1)", "[Calculator(1) - 1]", "[f(1) ->2]"]
)
def test_a_text_without_a_call_parses_to_none_and_stays_as_it_is(text: str) -> None:
    assert parse(text) is None
    assert strip(text) == text


def test_the_first_call_is_found_behind_one_that_cannot_be_read() -> None:
    text = "a [Search(x -> y) -> z] b [Search(q) -> r] c"
    assert parse(text) == Call("Search", "q", "r")
    assert strip(text) == "a [Search(x -> y) -> z] b c"


@pytest.mark.parametrize(
    ("tool", "argument", "result"),
    [
        ("Search", "a -> b", None),
        ("Search", "a [1]", None),
        ("Search", "a\nb", None),
        ("Search", "a", "b]"),
        ("Search", '"bare"', None),
        ("", "a", None),
        ("2nd", "a", None),
        ("Wiki Search", "a", None),
    ],
)
def test_a_call_that_could_not_be_read_back_cannot_be_built(
    tool: str, argument: str, result: str | None
) -> None:
    with pytest.raises(ValueError, match=r"not writable|not a tool's name|bare argument"):
        Call(tool, argument, result)


def test_brackets_arrows_and_line_breaks_in_an_answer_are_softened() -> None:
    answered = Call("Search", "x").answered("see [1]\r\nand\u2028[2] -> 3\n")
    assert answered.result == "see (1) and (2) → 3"


@given(st.text())
def test_no_answer_can_end_its_call_or_open_another(answer: str) -> None:
    answered = Call("Search", "x").answered(f" [Search(y) -> {answer}] ")
    assert parse(render(answered)) == answered
    assert strip(f"a {render(answered)} b") == "a b"


def test_half_a_character_in_an_answer_can_still_be_stored_and_read() -> None:
    answered = Call("Search", "x").answered("a\ud800b")
    assert answered.result == "a?b"
    assert render(answered).encode()


def test_ten_thousand_fuzzed_texts_are_read_without_an_exception() -> None:
    for seed in range(10_000):
        noise = hashlib.shake_128(str(seed).encode()).digest(24)
        text = "".join(PIECES[byte % len(PIECES)] for byte in noise)
        found, asked = parse(text), parse_asked(text)
        assert found is None or render(found) in text
        assert asked is None or render_asked(asked) == text.strip(" ")
        assert len(strip(text)) <= len(text)


@pytest.mark.parametrize(
    "piece", ["[A(", "[A()", ") -> ", "[A(1) -> ", "[A(" + ") -> ", "[AAAA"]
)
def test_a_long_hostile_text_is_read_in_time_linear_in_its_length(piece: str) -> None:
    hostile = "[A(" + piece * (1_000_000 // len(piece))
    started = time.thread_time()
    parse(hostile)
    strip(hostile)
    parse_asked(hostile)
    assert time.thread_time() - started < 2.0
