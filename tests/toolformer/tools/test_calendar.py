import datetime
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graft.errors import ToolError
from graft.toolformer.tools.calendar import (
    calendar_tool,
    date_of_metadata,
    date_of_text,
    date_of_url,
    write_date,
)
from graft.toolformer.tools.tool import Context

JANUARY_30 = datetime.date(2023, 1, 30)
WRITTEN = Context(JANUARY_30)
ANYTIME = Context()


def places(text: str) -> list[str]:
    """What follows each place where the rules would ask."""
    return [text[at:].split()[0] for at, _call in calendar_tool().rules(text, WRITTEN)]


def test_the_date_of_the_text_is_told_as_the_paper_tells_it() -> None:
    assert calendar_tool().answer("", WRITTEN) == "Today is Monday, January 30, 2023."


def test_a_text_without_a_date_is_told_the_injected_day() -> None:
    tool = calendar_tool(datetime.date(2024, 2, 29))
    assert tool.answer(" ", ANYTIME) == "Today is Thursday, February 29, 2024."
    assert tool.answer("", WRITTEN) == "Today is Monday, January 30, 2023."
    assert tool.version != calendar_tool().version


def test_without_any_date_there_is_no_answer() -> None:
    with pytest.raises(ToolError, match="no date"):
        calendar_tool().answer("", ANYTIME)


def test_an_argument_is_refused() -> None:
    with pytest.raises(ToolError, match="no argument"):
        calendar_tool().answer("tomorrow", WRITTEN)


def test_only_texts_with_a_date_are_seen() -> None:
    assert calendar_tool().sees("Today it rains.", WRITTEN)
    assert not calendar_tool().sees("Today, January 30, it rains.", ANYTIME)


@given(st.dates())
def test_a_written_date_is_read_back_as_the_same_day(date: datetime.date) -> None:
    if date.year >= 1000:
        assert date_of_metadata(write_date(date)) == date
    assert date_of_metadata(date.isoformat()) == date


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com/2023/01/30/a-story",
        "https://example.com/2023/1/30",
        "https://example.com/news/2023-01-30-a-story.html",
        "https://example.com/world/2023/jan/30/a-story",
        "https://example.com/a_2023_01_30.html",
        "https://example.com/2023/01/30/diary-of-2023-01-30/",
        "http://[broken/2023/01/30",
    ],
)
def test_the_day_in_a_url_is_read(url: str) -> None:
    assert date_of_url(url) == JANUARY_30


@pytest.mark.parametrize(
    "url",
    [
        "",
        "https://example.com/2023/01/a-story",
        "https://example.com/a-story-11574168580",
        "https://example.com/20230130",
        "https://example.com/30-01-2023",
        "https://example.com/2023/02/30",
        "https://example.com/2023/13/01",
        "https://example.com/2023/01/300",
        "https://example.com/12023/01/30",
        "https://example.com/2023-01/30",
        "https://example.com/2023/01/30/what-happened-on-2023-01-29",
    ],
)
def test_a_url_without_one_clear_day_has_none(url: str) -> None:
    assert date_of_url(url) is None


@pytest.mark.parametrize(
    "written",
    [
        JANUARY_30,
        datetime.datetime(2023, 1, 30, 23, 59),
        "2023-01-30",
        " 2023-01-30T23:59:00Z ",
        "2023-01-30T00:01:00+14:00",
        "2023-01-30 12:00:00",
        "January 30, 2023",
        "30 Jan 2023",
        "Mon, 30 Jan 2023 10:00:00 GMT",
        "Mon, 30 Jan 2023 10:00:00 EST",
    ],
)
def test_the_day_in_metadata_is_read(written: object) -> None:
    assert date_of_metadata(written) == JANUARY_30


@pytest.mark.parametrize(
    "written",
    [None, 2023, 20230130, 1675036800, 3.5, "", "2023", "20230130", "1675036800", "2023-01",
     "01/02/2023", "January 2023", "30 January", "2023-02-30", "32 January 2023",
     "soon, in January", "may 9999 99999999999999", ["2023-01-30"], b"2023-01-30"],
)  # fmt: skip
def test_a_day_is_never_guessed(written: object) -> None:
    assert date_of_metadata(written) is None


@given(st.text() | st.from_regex(r"[A-Z][a-z]{2} [0-9 ,:/.-]{0,30}"))
def test_no_url_and_no_metadata_make_an_exception(written: str) -> None:
    for date in (date_of_url(written), date_of_metadata(written)):
        assert date is None or isinstance(date, datetime.date)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("It is Monday and we rest.", ["Monday"]),
        ("Signed on January 30, 2023 in Rome.", ["January", "2023"]),
        ("Signed on 30 January 2023 in Rome.", ["30", "2023"]),
        ("Signed on the 4th of July.", ["4th"]),
        ("Signed on 2023-01-30 in Rome.", ["2023-01-30"]),
        ("We leave today or tomorrow, not now.", ["today", "tomorrow,", "now."]),
        ("It was built 36 years ago, this year's best.", ["36", "this"]),
        ("It had 1950 m and 2,023 people in room 20191.", ["1950"]),
        ("I may march; they knowingly Mayor.", []),
        ("Today at the start of a line\nMonday", []),
    ],
)
def test_calls_are_proposed_before_what_depends_on_the_date(
    text: str, expected: list[str]
) -> None:
    assert places(text) == expected


def test_proposals_stand_at_a_space_and_are_at_most_twenty() -> None:
    text = "We met in 1999." * 3 + " and in 2004" * 100
    proposed = calendar_tool().rules(text, WRITTEN)
    assert len(proposed) == 20
    assert all(text[at] == " " and call.argument == "" for at, call in proposed)


def test_a_long_field_is_no_date_and_costs_no_time() -> None:
    started = time.monotonic()
    assert date_of_metadata("1 jan 2023 " + "1." * 1_000_000) is None
    assert time.monotonic() - started < 5


@pytest.mark.parametrize(
    "text",
    [
        "Rain in Osk\nPublished: January 30, 2023\nIt rains.",
        "posted on Mon, Jan 30, 2023",
        "OSK, January 30, 2023 (Herald) \u2014 It rains.",
        "Osk, 30th Jan. 2023 - It rains.",
        "2023-01-30\n\nIt rains.",
        "Monday, 30 January 2023: it rains.",
        "By Mara Lind\nUpdated 2023-01-30\nPublished 2023-01-30",
    ],
)
def test_a_dateline_tells_the_day_of_a_text(text: str) -> None:
    assert date_of_text(text) == datetime.date(2023, 1, 30)


@pytest.mark.parametrize(
    "text",
    [
        "On January 30, 2023 it rained.",
        "January 30, 2023 was a wet day.",
        "Mara was born on January 30, 2023 - a Monday.",
        "Published: January 30\nIt rains.",
        "01/02/2023\nIt rains.",
        "January 30, 2023\nPublished: January 31, 2023",
        "February 30, 2023\nIt rains.",
        "one\ntwo\nthree\nfour\nfive\n2023-01-30",
        "",
        "Published: " * 100_000,
    ],
)
def test_a_day_that_a_text_speaks_of_is_not_its_own(text: str) -> None:
    assert date_of_text(text) is None
