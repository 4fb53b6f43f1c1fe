"""The calendar: today's date, which for a document is the day it was written.

Schick et al. 2023, Section 3 and Appendix A: the date comes from the document's URL.
"""

import datetime
import re

from dateutil import parser as dateutil_parser

from graft.errors import ToolError
from graft.toolformer.call import Call
from graft.toolformer.tools.tool import Context, Demonstration, Prompt, Tool

NAME = "Calendar"
MAX_POSITIONS = 20
"""Places of one text in front of which the rules propose."""

WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)

PROMPT = Prompt(
    "Your task is to add calls of a calendar to a text. A call gives today's date and helps "
    'to write what depends on it. Write a call as "[Calendar()]".',
    (
        Demonstration(
            "Today is Friday, so the market is open.",
            "Today is [Calendar()] Friday, so the market is open.",
            datetime.date(2023, 6, 2),
        ),
        Demonstration(
            "The mill was built in 1987, that is 36 years ago.",
            "The mill was built in 1987, that is [Calendar()] 36 years ago.",
            datetime.date(2023, 6, 2),
        ),
        Demonstration(
            "It is now the year 2021.",
            "It is now the year [Calendar()] 2021.",
            datetime.date(2021, 3, 9),
        ),
        Demonstration(
            "Our summer fair begins next month, in June.",
            "Our summer fair begins next month, in [Calendar()] June.",
            datetime.date(2023, 5, 8),
        ),
        Demonstration(
            "Only 12 days are left until the first of May.",
            "Only [Calendar()] 12 days are left until the first of May.",
            datetime.date(2023, 4, 19),
        ),
    ),
)

LONGEST_DATE = 100
"""Characters of a date; reading one takes time with their square."""

_MONTH = "|".join(MONTHS)
_DATED = re.compile(
    r"(?<= )(?:"
    rf"(?:{'|'.join(WEEKDAYS)})\b"
    rf"|(?:[0-3]?[0-9](?:st|nd|rd|th)? (?:of )?)?(?:{_MONTH})\b"
    r"|(?:19|20)[0-9]{2}(?:-[01][0-9]-[0-3][0-9])?(?![\w,.]?[0-9])"
    r"|[0-9]{1,3} (?:days?|weeks?|months?|years?)\b"
    r"|(?:today|yesterday|tomorrow|tonight|now|currently)\b"
    r"|(?:this|last|next) (?:week|month|year|spring|summer|autumn|fall|winter)\b"
    r")"
)
_DATE_IN_URL = re.compile(
    r"(?<![0-9])(?P<year>(?:19|20)[0-9]{2})(?P<by>[-/_])(?P<month>[01]?[0-9]"
    r"|jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)(?P=by)(?P<day>[0-3]?[0-9])(?![0-9])",
    re.IGNORECASE,
)
_WRITTEN = (
    rf"(?:(?:{'|'.join(day[:3] for day in WEEKDAYS)})\w*,? )?"
    rf"(?:(?:{'|'.join(month[:3] for month in MONTHS)})[a-z]*\.? [0-3]?[0-9](?:st|nd|rd|th)?, "
    rf"|[0-3]?[0-9](?:st|nd|rd|th)? (?:{'|'.join(month[:3] for month in MONTHS)})[a-z]*\.?,? )"
    r"[0-9]{4}|[0-9]{4}-[0-9]{2}-[0-9]{2}"
)
_DATELINE = re.compile(
    r"\s*(?:(?:published|posted|updated|written|dated|date)\b(?: on)?:? |[A-Z][\w. ]{1,40}, )?"
    rf"(?P<day>{_WRITTEN})"
    r"(?: \([A-Z][^()]{1,40}\))?(?:\s*$|\s*[-\u2013\u2014:]\s)",
    re.IGNORECASE,
)
DATELINES, LONGEST_LINE = 5, 200
"""Lines of a text in which its own day is sought, and characters of each."""
_ISO = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}(?:[T ].*)?")
_NAMED_MONTH = re.compile(rf"\b(?:{'|'.join(month[:3] for month in MONTHS)})", re.IGNORECASE)
_YEAR = re.compile(r"\b[0-9]{4}\b")


def calendar_tool(today: datetime.date | None = None) -> Tool:
    """The calendar as a tool; `today` is the answer for a text without a date of its own."""

    def answer(argument: str, context: Context) -> str:
        if argument.strip():
            raise ToolError("the calendar takes no argument")
        date = context.date or today
        if date is None:
            raise ToolError("this text has no date")
        return f"Today is {write_date(date)}."

    version = f"1 {today}" if today else "1"
    return Tool(
        name=NAME,
        answer=answer,
        prompt=PROMPT,
        sees=sees,
        rules=rules,
        version=version,
        helps="Texts whose date is known, by a field of theirs, their URL or a dateline: they"
        " say which day it is, or how long ago something was.",
        limits="Tells the day and nothing else: no holidays, and no sums of days.",
    )


def write_date(date: datetime.date) -> str:
    """`Monday, January 30, 2023`, in English whatever the locale."""
    return f"{WEEKDAYS[date.weekday()]}, {MONTHS[date.month - 1]} {date.day}, {date.year}"


def sees(_text: str, context: Context) -> bool:
    """Appendix A: only a text whose date is known."""
    return context.date is not None


def rules(text: str, _context: Context) -> list[tuple[int, Call]]:
    """A call before each date, weekday, month, year, span of time, or word such as `today`."""
    places = [found.start() - 1 for found in _DATED.finditer(text)]
    return [(place, Call(NAME, "")) for place in places[:MAX_POSITIONS]]


def date_of_url(url: str) -> datetime.date | None:
    """The day that stands in a URL as `2023/01/30`, `2023-01-30` or `2023/jan/30`.

    None where there is no day, or where two different days could be meant.
    """
    dates = {_date_in_url(found) for found in _DATE_IN_URL.finditer(url)} - {None}
    return dates.pop() if len(dates) == 1 else None


def date_of_text(text: str) -> datetime.date | None:
    """The day of a dateline: of one of the first lines, alone or with a text behind it.

    `Published: January 30, 2023`, `OSK, 30 Jan 2023 (Herald) - Rain ...`; a day within a
    sentence is what the text speaks of, and no dateline. None where two lines differ.
    """
    lines = text[: DATELINES * LONGEST_LINE].splitlines()[:DATELINES]
    found = {
        date_of_metadata(line["day"])
        for line in map(_DATELINE.match, (one[:LONGEST_LINE] for one in lines))
        if line is not None
    } - {None}
    return found.pop() if len(found) == 1 else None


def date_of_metadata(written: object) -> datetime.date | None:
    """The day of a metadata field: a date, an ISO string, or a date with its month's name.

    None for anything that leaves the day open; bare numbers and `01/02/2023` are not guessed.
    A time zone is not converted: the day is the one that is written.
    """
    match written:
        case datetime.datetime():
            return written.date()
        case datetime.date():
            return written
        case str():
            return _date_of_string(written.strip())
        case _:
            return None


def _date_in_url(found: re.Match[str]) -> datetime.date | None:
    month = found["month"]
    names = [name[:3].lower() for name in MONTHS]
    number = int(month) if month.isdigit() else names.index(month.lower()) + 1
    try:
        return datetime.date(int(found["year"]), number, int(found["day"]))
    except ValueError:
        return None


def _date_of_string(written: str) -> datetime.date | None:
    if len(written) > LONGEST_DATE:
        return None
    try:
        if _ISO.fullmatch(written):
            return dateutil_parser.isoparse(written).date()
        if _NAMED_MONTH.search(written) and _YEAR.search(written):
            return _complete_date(written)
    except (ValueError, OverflowError):
        return None
    return None


def _complete_date(written: str) -> datetime.date | None:
    """What dateutil reads in `written`, unless it had to fill in a part of the day."""
    readings = {
        dateutil_parser.parse(written, default=default, ignoretz=True).date()
        for default in (datetime.datetime(2000, 1, 1), datetime.datetime(2001, 2, 2))
    }
    return readings.pop() if len(readings) == 1 else None
