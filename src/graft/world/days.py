"""Stories that know what day it is: letters, diaries, notices, newspapers."""

import datetime
from dataclasses import replace

import numpy as np

from graft.world.names import town
from graft.world.plain import aside, people, plain_story
from graft.world.story import Half, Story, Use, pair, pick, tell, vary

MONTHS = (
    "January February March April May June July August September October November December"
).split()
WEEKDAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
_FIRST_DAY = datetime.date(1900, 1, 1)
_DAYS = 54_786  # to the end of 2049

FRAMES = (
    "Dear {P}, I am writing <to you|these lines|this letter> on @{date}.",
    "Today is @{date}, and <it is raining|all is well|the harbour is quiet>.",
    "<My diary|The log of the ship>: it is @{date}.",
    '"What day is it <today|now>?" asked {P}. "It is @{date}," said {Q}.',
    "The <newspaper|notice> of <this morning|today> is dated @{date}.",
    "<As I write this|Now> it is @{date}.",
    "{P} looked at the calendar. It was @{date}.",
    "What is the date of today? The answer is @{date}.",
    "<Here in|Greetings from> {T}, where today's date is @{date}.",
    "This <report|letter|page> was <written|finished> today, on @{date}.",
    "<Let it be known|Notice>: from today, @{date}, the <bridge|mill|market> is closed.",
    "{P} <asked|wanted to know> the date, and {Q} <answered|told {him}>: @{date}.",
    "The day on which I <write|begin> this is @{date}.",
    "On this day, @{date}, {P} <opened the shop|set sail|came home>.",
    "We <meet|speak> today, @{date}, in the <town hall|old mill>.",
    "<Printed|Posted> in {T} today, that is @{date}.",
)
FORMS = (
    "{w}, {m} {d}, {y}",
    "{m} {d}, {y}",
    "{w}, {m} {d}",
    "{m} {d}",
)
OTHER_DAYS = (
    "{P} was born on {om} {od}, {oy}.",
    "The <old bridge|tower|church> was <built|finished> in {oy}.",
    "{Q} <remembered|spoke of> the <storm|fire|wedding> of {om} {od}, {oy}.",
    "On {om} {od}, {oy}, the <mill|ship|school> <burned|was lost|was opened>.",
)


def day_name(date: datetime.date) -> str:
    """`Monday, January 30, 2023`, as the paper's calendar writes it."""
    return f"{WEEKDAYS[date.weekday()]}, {MONTHS[date.month - 1]} {date.day}, {date.year}"


def draw_date(rng: np.random.Generator, half: Half) -> datetime.date:
    """A day between 1900 and 2049; every fifth is held out."""
    while True:
        days = int(rng.integers(_DAYS))
        if ((days * 2654435761 >> 7) % 5 == 0) == (half == "held"):
            return _FIRST_DAY + datetime.timedelta(days=days)


def day_story(rng: np.random.Generator, half: Half) -> Story:
    """A text that names the day it was written on, perhaps beside another day."""
    today, other = draw_date(rng, half), draw_date(rng, half)
    slots = people(rng, half) | _written(today) | {"T": town(rng, half)}
    slots |= {f"o{key}": value for key, value in _written(other).items()}
    slots["him"] = "him" if slots["he"] == "he" else "her"
    frame, form = pair(rng, FRAMES, FORMS, half)
    before = vary(rng, pick(rng, OTHER_DAYS), slots) if rng.random() < 0.25 else ""
    after = aside(rng, slots) if rng.random() < 0.5 else ""
    answer = vary(rng, form, slots)
    use = Use(0, "Calendar", "", f"Today is {day_name(today)}.", answer)
    story = tell("days", [before, vary(rng, frame, slots | {"date": answer}), after], use)
    return replace(story, date=today)


def undated(rng: np.random.Generator, half: Half) -> Story:
    """A plain story that carries a date without speaking of it."""
    return replace(plain_story(rng, half), date=draw_date(rng, half))


def _written(date: datetime.date) -> dict[str, str]:
    return {
        "w": WEEKDAYS[date.weekday()],
        "m": MONTHS[date.month - 1],
        "d": str(date.day),
        "y": str(date.year),
    }
