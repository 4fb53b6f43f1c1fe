"""Tasks and their metrics: what is asked, and when a continuation is right.

Schick et al. 2023, Section 4.2: no exact match, for the models were not told how to answer.
"""

import datetime
import re
import unicodedata
from dataclasses import dataclass
from fractions import Fraction

from graft.toolformer.tools.calendar import MONTHS, WEEKDAYS

_NUMBER = re.compile(
    r"(?:(?<![\w.)-])-)?"
    r"(?:(?:[0-9]{1,3}(?:,[0-9]{3})+(?![0-9])|[0-9]+)(?:\.[0-9]+)?|(?<!\w)\.[0-9]+)"
)
_WITHIN = re.compile(r"within_([1-9][0-9]{0,3})_words")
_WORD_BY_ITSELF = re.compile("([\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff])")
_DATE = re.compile(
    rf"(?:({'|'.join(WEEKDAYS)}),? )?\b({'|'.join(MONTHS)})"
    r" ([0-9]{1,2})\b(?:,? ([0-9]{4})\b)?"
)
_MOST_DIGITS = 100
_AGREES = Fraction(1, 200)  # two decimals


@dataclass(frozen=True, slots=True)
class Question:
    """One prompt and the answers that are right; `date` is the day on which it is asked.

    `metric` is one of

    * `first_number`: the first number is the answer, or the first after `=` if there is one;
    * `within_5_words`, or another number: an answer stands within the first words;
    * `date`: the first date that is written, `Monday, January 30, 2023` or a part of it, has
      the right month and day, and no wrong weekday or year; the answer is as 2023-01-30;
    * `no_call`: whatever is written, no tool is called.

    Raises ValueError for another metric, or answers that do not go with it.
    """

    id: str
    prompt: str
    answers: tuple[str, ...]
    metric: str
    date: datetime.date | None = None

    def __post_init__(self) -> None:
        """Refuse what could never be judged right."""
        if self.metric == "first_number":
            fitting = any(read_number(answer) is not None for answer in self.answers)
        elif _WITHIN.fullmatch(self.metric):
            fitting = any(answer.strip() for answer in self.answers)
        elif self.metric == "date":
            fitting = any(read_day(answer) is not None for answer in self.answers)
        elif self.metric == "no_call":
            fitting = not self.answers
        else:
            known = "first_number, within_5_words (or another number), date, no_call"
            raise ValueError(f"unknown metric {self.metric!r}; there are {known}")
        if not fitting:
            raise ValueError(f"{self.metric} cannot judge by the answers {self.answers}")

    def is_right(self, continuation: str, calls: int) -> bool:
        """Whether a continuation, with its calls taken out, is right; `calls` were made."""
        if self.metric == "no_call":
            return calls == 0
        if self.metric == "first_number":
            return any(same_number(continuation, answer) for answer in self.answers)
        if self.metric == "date":
            return any(same_day(continuation, answer) for answer in self.answers)
        most = int(_WITHIN.sub(r"\1", self.metric))
        return any(within_words(continuation, answer, most) for answer in self.answers)


@dataclass(frozen=True, slots=True)
class Task:
    """Questions under one name."""

    name: str
    questions: tuple[Question, ...]


def read_number(text: str) -> Fraction | None:
    """The first number of `text`, or the first after the first `=` that has one behind it.

    Thousands may have commas; digits are those of ASCII. None if there is no number, or it has
    more than a hundred digits.
    """
    _, _, behind = text.partition("=")
    found = _NUMBER.search(behind) or _NUMBER.search(text)
    if found is None or len(found[0]) > _MOST_DIGITS:
        return None
    return Fraction(found[0].replace(",", ""))


def same_number(continuation: str, answer: str) -> bool:
    """Whether both begin with the same number, to two decimals."""
    said, right = read_number(continuation), read_number(answer)
    return said is not None and right is not None and abs(said - right) <= _AGREES


def read_day(written: str) -> datetime.date | None:
    """The day that is written as 2023-01-30, or None."""
    try:
        return datetime.date.fromisoformat(written)
    except ValueError:
        return None


def same_day(continuation: str, answer: str) -> bool:
    """Whether the first date of a continuation is that day, in all that it says of it."""
    said, right = _DATE.search(continuation), read_day(answer)
    if said is None or right is None:
        return False
    weekday, month, day, year = said.groups()
    return (
        (month, int(day)) == (MONTHS[right.month - 1], right.day)
        and weekday in (None, WEEKDAYS[right.weekday()])
        and year in (None, str(right.year))
    )


def within_words(continuation: str, answer: str, most: int) -> bool:
    """Whether `answer` stands, whole, within the first `most` words of a continuation.

    Case, punctuation and the width of letters do not count. A word is what stands between
    spaces; an ideograph is one by itself.
    """
    said = [part for word in _first_words(continuation)[:most] for part in word]
    right = [part for word in _first_words(answer) for part in word]
    places = range(len(said) - len(right) + 1)
    return bool(right) and any(said[at : at + len(right)] == right for at in places)


def _first_words(text: str) -> list[list[str]]:
    """The words of `text`, each as the parts between its punctuation."""
    spaced = _WORD_BY_ITSELF.sub(r" \1 ", unicodedata.normalize("NFKC", text).casefold())
    words = ["".join(map(_letter_or_space, word)).split() for word in spaced.split()]
    return [word for word in words if word]


def _letter_or_space(character: str) -> str:
    """Letters, marks and digits as they are, apostrophes away, a space for all else."""
    if character in "'\u2019":
        return ""
    return character if unicodedata.category(character)[0] in "LMN" else " "
