import datetime
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graft.errors import ToolError
from graft.toolformer.tools.calculator import answer, calculator_tool, read_mentions
from graft.toolformer.tools.tool import Context

ANYTIME = Context()
FILLER = " word" * 99
tool = calculator_tool()


def proposals(text: str) -> list[tuple[str, str]]:
    """Each proposed argument, behind the text in front of it."""
    return [(text[:at][-12:], call.argument) for at, call in tool.rules(text, ANYTIME)]


def arguments(text: str) -> list[str]:
    return [argument for _before, argument in proposals(text)]


def test_the_papers_own_examples_are_answered() -> None:
    assert answer("400 / 1400", ANYTIME) == "0.29"
    assert answer("658,893 / 11.4%", ANYTIME) == "5779763.16"


def test_the_date_does_not_change_a_calculation() -> None:
    assert answer("6 * 7", Context(datetime.date(2023, 1, 30))) == answer("6 * 7", ANYTIME)


@given(st.text())
def test_every_argument_is_answered_in_plain_notation_or_refused(argument: str) -> None:
    try:
        written = answer(argument, ANYTIME)
    except ToolError:
        return
    assert re.fullmatch(r"-?[0-9]+(\.[0-9]?[1-9])?", written)


@pytest.mark.parametrize(
    "text",
    [
        "Of 48 clips she sold 24 and kept 24.",
        "She had 12 boxes with 8 pens each, 96 pens.",
        "First 96 pens were counted, in 12 boxes, 8 in each.",
        "Of 250 seats 20% were free, all in all 50.",
        f"5 {FILLER[:-10]} 7 and 12",
        "A week = 7 days",
        "That equals 5.",
        "It is equal to $5.",
        "There were a total of 12.",
        "It has an average of 3 rooms.",
    ],
)
def test_a_text_with_a_calculation_or_an_announced_number_is_seen(text: str) -> None:
    assert tool.sees(text, ANYTIME)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "No number at all.",
        "It has 3 rooms and 17 windows.",
        "Numbers 11, 29 and 57 do not fit together.",
        f"5 {FILLER} 7 {FILLER} 12",
        "A total of pens.",
        "At 10:30 on the 16th, version 1.2.3 of B2B.",
    ],
)
def test_a_text_without_is_not_seen(text: str) -> None:
    assert not tool.sees(text, ANYTIME)


def test_one_in_a_hundred_texts_with_three_unrelated_numbers_is_seen() -> None:
    texts = [f"Story {number}: eleven 11, 29 and 57." for number in range(10_100, 12_100)]
    seen = [text for text in texts if tool.sees(text, ANYTIME)]
    assert 8 <= len(seen) <= 32
    assert seen == [text for text in texts if tool.sees(text, ANYTIME)]


def test_numbers_are_read_as_they_stand() -> None:
    mentions = read_mentions("It cost $1,234.50, up 11.4% from 48/2.")
    assert [mention.written for mention in mentions] == ["1,234.50", "11.4%", "48", "2"]
    assert [float(mention.value) for mention in mentions] == [1234.5, 0.114, 48, 2]
    assert [mention.word for mention in mentions] == [2, 4, 6, 7]


@pytest.mark.parametrize("text", ["16th", "10:30", "1.2.3", "B2", "1,2", "1,2345", "3D"])
def test_what_only_looks_like_a_number_is_not_read(text: str) -> None:
    assert read_mentions(f"a {text} b") == []


def test_an_expression_written_out_is_proposed_before_its_result() -> None:
    text = "Natalia sold 48/2 = 24 clips."
    at = text.index(" 24")
    assert proposals(text) == [(text[:at][-12:], "48 / 2"), (text[:at][-12:], "48 * 2")]


@pytest.mark.parametrize(
    ("text", "argument"),
    [
        ("she earned 0.2 x 50 = $10.", "0.2 * 50"),
        ("needs 100 - 50 - 30 - 15 = $5 more", "100 - 50 - 30 - 15"),
        ("that is (2+3)*4 = 20", "(2 + 3) * 4"),
        ("in all $1,200+$300 = $1,500", "1,200 + 300"),
        ("he saved 25% * 80 = 20", "25% * 80"),
        ("so box 4, 3*5=15", "3 * 5"),
    ],
)
def test_expressions_are_read_in_the_forms_that_people_write(text: str, argument: str) -> None:
    assert arguments(text)[0] == argument


@pytest.mark.parametrize(
    ("text", "argument"),
    [
        ("She paid $45 and then $19, in all $64.", "45 + 19"),
        ("The mill ran from 1936 to 2004, for 68 years.", "2004 - 1936"),
        ("There are 12 pens in a box and 8 boxes, so 96 pens.", "12 * 8"),
        ("A rope of 7 m makes 4 parts of 1.75 m.", "7 / 4"),
        ("Of 250 guests 205 came, which is 82%.", "205 / 250 * 100"),
        ("Of 80 eggs 25% broke, that is 20 eggs.", "80 * 25%"),
        ("The town had 1,340 people and won 425, now 1,765.", "1,340 + 425"),
    ],
)
def test_an_operation_on_two_earlier_numbers_is_proposed(text: str, argument: str) -> None:
    assert argument in arguments(text)


def test_the_call_stands_before_the_space_and_the_currency_sign() -> None:
    text = "She paid $45 and then $19, in all $64."
    at, _call = tool.rules(text, ANYTIME)[0]
    assert text[at:] == " $64."


def test_every_number_gets_few_proposals_and_one_of_them_is_wrong() -> None:
    text = "He had 2 and 2 and 4 and 4 and 8, so 16."
    at_last = [
        call.argument for at, call in tool.rules(text, ANYTIME) if at == text.rindex(" ")
    ]
    answers = [answer(argument, ANYTIME) for argument in at_last]
    assert len(at_last) == len(set(at_last)) <= 5
    assert answers.count("16") == 2
    assert len(answers) == 3


def test_numbers_inside_an_expression_are_not_taken_for_results() -> None:
    assert arguments("He has 5 and 7; 5 + 7 = 12 pens.") == ["5 + 7", "5 - 7"]


def test_operations_that_say_nothing_are_not_proposed() -> None:
    assert arguments("With 1 cat and 5 dogs there were 5 bowls, and 0 birds, 5 nests.") == []


def test_numbers_too_far_apart_are_not_joined() -> None:
    assert arguments(f"5 {FILLER} {FILLER} 7 and 12") == []


def test_at_most_twenty_numbers_of_a_text_get_proposals() -> None:
    text = "It follows that " + " and ".join(f"{n} + 5 = {n + 5}" for n in range(10, 100))
    assert len({at for at, _call in tool.rules(text, ANYTIME)}) == 20


@given(st.text(alphabet=st.sampled_from("0123456789 ,.$%()=+-*/x"), max_size=80))
def test_what_the_rules_propose_is_writable_and_stands_before_a_number(text: str) -> None:
    for at, call in tool.rules(text, ANYTIME):
        assert call.tool == "Calculator"
        assert re.match(r" ?[$€£]?[0-9]", text[at:])


def test_a_page_of_hundreds_of_numbers_is_looked_through() -> None:
    page = " ".join(str(number * 7919 % 99991 + 0.13) for number in range(300))
    tool.sees(page, ANYTIME)
    assert len({at for at, _call in tool.rules(page, ANYTIME)}) <= 20
