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
    Json,
    called_names,
    calls_in,
    parse,
    parse_arguments,
    parse_asked,
    render,
    render_answer,
    render_arguments,
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


def test_every_call_of_a_text_is_found_with_what_follows_it() -> None:
    text = "A [Calculator(1 + 1) -> 2] 2, [Calendar() -> ] and [no call] [Calendar()]."
    assert list(calls_in(text)) == [
        (
            Call("Calculator", "1 + 1", "2"),
            " 2, [Calendar() -> ] and [no call] [Calendar()].",
        ),
        (Call("Calendar", "", ""), " and [no call] [Calendar()]."),
        (Call("Calendar", ""), "."),
    ]


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


anything = st.text(alphabet=st.characters(exclude_categories=()), max_size=12) | st.text(
    alphabet=st.sampled_from('ab[]()->"\\\n\u2028,={}'), max_size=12
)
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats(allow_nan=False, allow_infinity=False)
    | anything
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(anything, inner, max_size=3),
    max_leaves=6,
)
several = st.dictionaries(anything | st.sampled_from(["amount", "into", "größe"]), values)


@given(several)
@settings(max_examples=400)
def test_named_arguments_of_any_kind_come_back_through_a_call(given: dict[str, Json]) -> None:
    call = Call("Convert", render_arguments(given), "81")
    again = parse(f"It is {render(call)} 81.")
    assert again == call
    found = parse_arguments(again.argument, list(given))
    assert found == given
    assert list(map(repr, found.values())) == list(map(repr, given.values()))  # 1 is not 1.0


def test_several_arguments_are_written_by_their_names() -> None:
    given = {"amount": 3.5, "units": ["km", "mi"], "page-size": {"n": None, "exact": True}}
    written = render_arguments(given)
    assert written == ('amount=3.5, units=("km", "mi"), "page-size"={"n": null, "exact": true}')
    assert parse(f"[Convert({written}) -> 2.17]") == Call("Convert", written, "2.17")


@pytest.mark.parametrize(
    ("written", "found"),
    [
        ("", {}),
        (' 3.5 , "km",into = "mi"', {"a": 3.5, "b": "km", "into": "mi"}),
        ("3.5, km, mi", {"a": 3.5, "b": "km", "into": "mi"}),
        ("three and a half, b = New York", {"a": "three and a half", "b": "New York"}),
        ("a=(1, (2, 3)), b={}", {"a": [1, [2, 3]], "b": {}}),
        ('into="a, b=c (d)"', {"into": "a, b=c (d)"}),
        ("into=mi, 3, b=2", "twice|b"),
        ("a=1, into=2, a=3", "'a' twice"),
        ("1, 2, 3, 4", "4 values"),
        ("amout=3", "no argument 'amout'; there are: a, b, into"),
        ("sort-by=name", "no argument 'sort-by'; there are: a, b, into"),
        ('1, X-Request-Id="x"', "no argument 'X-Request-Id'"),
        (
            "a=http://x.org/?b=1, http://x.org/?c=2",
            {"a": "http://x.org/?b=1", "b": "http://x.org/?c=2"},
        ),
        ("a=", "not a value"),
        ('a="never closed', "not a value"),
        ("a=(1, 2", "not a value"),
        ('a="x" b=2', "no comma before"),
        ("a=(" * 5000, "not a value"),
        ("a=1e999", {"a": "1e999"}),
        ("a=(1e999)", "not a value"),
        ("a=NaN", {"a": "NaN"}),
    ],
)
def test_what_a_model_may_write_is_read_or_refused(
    written: str, found: dict[str, Json] | str
) -> None:
    if isinstance(found, str):
        with pytest.raises(ValueError, match=found):
            parse_arguments(written, ["a", "b", "into"])
    else:
        assert parse_arguments(written, ["a", "b", "into"]) == found


def test_foreign_names_of_arguments_are_bare_words_in_calls() -> None:
    theirs = ["sort-by", "sort_by", "sort.by", "filter[name]", "größe", "404", "", "-"]
    called = ["sort_by_2", "sort_by", "sort_by_3", "filter_name", "größe", "_404"]
    assert called_names(theirs) == [*called, "argument", "argument_2"]
    assert len(set(called_names(["-" * number for number in range(2_000)]))) == 2_000


@given(st.text(alphabet=st.sampled_from('ab1.,=()[]{}"\\ ->\n'), max_size=40))
@settings(max_examples=400)
def test_whatever_is_written_is_read_or_refused_and_nothing_else(written: str) -> None:
    try:
        found = parse_arguments(written, ["a", "b"])
    except ValueError:
        return
    assert parse_arguments(render_arguments(found), list(found)) == found


@pytest.mark.parametrize("piece", ['\\"', "a=(", "1,", '"a",', "(", 'a="\\"', "a,"])
def test_reading_arguments_takes_time_in_proportion(piece: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_arguments(piece * (200_000 // len(piece)), ["a", "b"])


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_a_number_that_is_none_is_not_written(number: float) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        render_arguments({"a": number})
