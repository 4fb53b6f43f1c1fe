from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graft.toolformer.tasks.task import Question, read_number, same_number, within_words


@pytest.mark.parametrize(
    ("text", "number"),
    [
        (" 81 plums, not 82.", "81"),
        (" so 27 * 3 = 81.", "81"),
        (" 5+3=8 and 1+1=2", "8"),
        (" 7 (the = is missing)", "7"),
        (" $1,234.50 in all", "1234.5"),
        (" 1,23", "1"),
        (" .5 of it", "0.5"),
        (" it is -5.", "-5"),
        (" 10-4", "10"),
        (" = 10-4", "10"),
        ("2-3", "2"),
        (" x =-3", "-3"),
        (" 3.", "3"),
    ],
)
def test_the_first_number_or_the_first_after_an_equals_sign_is_read(
    text: str, number: str
) -> None:
    assert read_number(text) == Fraction(number)


@pytest.mark.parametrize("text", ["", " no number", " ٣", "9" * 5000])
def test_where_there_is_no_number_none_is_read(text: str) -> None:
    assert read_number(text) is None


@given(st.text())
def test_no_text_breaks_the_reading_of_numbers_and_words(text: str) -> None:
    read_number(text)
    assert not within_words(text, "", 5)


@pytest.mark.parametrize(
    ("said", "answer", "same"),
    [
        (" 3.33", "3.3333333", True),
        (" 3.34", "3.3333333", False),
        (" 0.12", "0.125", True),
        (" 0.13", "0.125", True),
        (" 9.0 apples", "9", True),
        (" 9.01", "9", False),
        (" 1,000", "1000", True),
        (" eighty", "80", False),
        (" -5", "5", False),
    ],
)
def test_numbers_are_compared_to_two_decimals(said: str, answer: str, *, same: bool) -> None:
    assert same_number(said, answer) is same


@pytest.mark.parametrize(
    ("said", "answer", "most", "right"),
    [
        (" Tolvik, by the sea", "Tolvik", 5, True),
        (" one two three four Tolvik", "Tolvik", 5, True),
        (" one two three four five Tolvik", "Tolvik", 5, False),
        (" one - two … three , four ! Tolvik", "Tolvik", 5, True),
        (" TOLVIK", "tolvik", 1, True),
        (" Tolviken", "Tolvik", 5, False),
        (" Old-Tolvik-on-Sea", "Tolvik", 1, True),
        (" on Monday, January 30, 2023.", "Monday January 30 2023", 5, True),
        (" on a Monday, January 30, 2023.", "Monday, January 30, 2023", 5, False),
        (" January 30, 2023", "Monday, January 30, 2023", 5, False),
        (" the U.S. army", "u.s.", 2, True),
        (" don't", "dont", 1, True),
        (" don\u2019t", "don't", 1, True),
        (" 308", "\uff13\uff10\uff18", 1, True),
        (" Mara Lind", "Lind Mara", 5, False),
        # three ideographs are three words
        (" 丹佛野马队", "佛野", 3, True),
        (" 丹佛野马队", "野马", 3, False),
        # a vowel sign is part of its word
        (" पैंथर्स डिफ़ेंस", "पैंथर्स", 1, True),
        (" पैंथर्स डिफ़ेंस", "पै", 1, False),
    ],
)
def test_an_answer_counts_where_it_stands_whole_within_the_first_words(
    said: str, answer: str, most: int, *, right: bool
) -> None:
    assert within_words(said, answer, most) is right


def test_any_of_several_answers_is_right() -> None:
    question = Question("1", "Where?", ("Tolvik", "Old Tolvik"), "within_5_words")
    assert question.is_right(" in Tolvik", 0)
    assert not question.is_right(" in Bran", 0)


def test_the_words_that_count_are_those_of_the_metric() -> None:
    continuation = " ".join(["word"] * 19 + ["Tolvik"])
    for most, right in ((5, False), (10, False), (19, False), (20, True)):
        question = Question("1", "Where?", ("Tolvik",), f"within_{most}_words")
        assert question.is_right(continuation, 1) is right


def test_a_text_that_needs_no_call_is_judged_by_the_calls_alone() -> None:
    question = Question("1", "It rained.", (), "no_call")
    assert question.is_right(" anything", 0)
    assert not question.is_right(" anything", 1)


@pytest.mark.parametrize(
    ("answers", "metric", "message"),
    [
        (("1",), "first_numbr", "unknown metric 'first_numbr'; there are first_number"),
        (("1",), "within_0_words", "unknown metric"),
        (("five",), "first_number", "first_number cannot judge by"),
        ((), "within_5_words", "within_5_words cannot judge by"),
        (("1",), "no_call", "no_call cannot judge by"),
    ],
)
def test_a_question_that_could_not_be_judged_is_refused(
    answers: tuple[str, ...], metric: str, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        Question("1", "?", answers, metric)


@pytest.mark.parametrize(
    ("said", "right"),
    [
        (" Monday, January 30, 2023, and all is well.", True),
        (" January 30.", True),
        (" 7 boats. It is January 30, 2023", True),
        (" Sunday, January 30, 2023", False),
        (" Monday, January 30, 2024", False),
        (" January 3, 2023", False),
        (" February 30", False),
        (" January 29 or January 30", False),
        (" Monday.", False),
        ("", False),
    ],
)
def test_a_date_is_right_in_all_that_is_said_of_it(said: str, *, right: bool) -> None:
    asked = Question("1", "Today is", ("2023-01-30",), "date")
    assert asked.is_right(said, 0) is right


def test_a_date_question_needs_a_day_as_its_answer() -> None:
    with pytest.raises(ValueError, match="date cannot judge by"):
        Question("1", "Today is", ("Monday",), "date")
