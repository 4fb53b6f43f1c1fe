"""Questions and sentences cut to words, and the stretches of a sentence that could be answers.

English: the kinds of questions, function words and endings are. Of other languages what is
left is the words that question and sentence share, and their distance.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from graft.toolformer.tools.index import FUNCTION_WORDS

LONGEST_QUESTION = 400
LONGEST_SENTENCE = 80
"""Words of a sentence that are read."""
LONGEST_WORD = 60
"""Characters; what is longer is no word of an answer."""
LONGEST_SPAN = 7
"""Words and signs of an answer."""

_TOKEN = re.compile(r"[$£€]?[^\W_]+(?:[.,'\u2019\u2013/-][^\W_]+)*[%°]?|[^\w\s]")
_ENDINGS = re.compile(r"(?<=\w{3})(?:ies|ied|ing|ed|es|s|ly|e|y)\Z")
_DOUBLED = re.compile(r"([bdgmnprt])\1\Z")
_AUXILIARY = frozenset(
    "am is are was were be been do does did has have had can could will would shall should may"
    " might must".split()
)
_LITTLE_WORDS = (
    FUNCTION_WORDS
    | _AUXILIARY
    | frozenset(
        "about after also although any because before being between but during each even if"
        " just many more most much no not only other our out over own same so some such than"
        " then there these those through under until up very while within without yet one's"
        " its s us my your me him himself itself themselves among both all since into onto"
        " upon against however around per via nor either neither".split()
    )
)
"""Words that no answer begins or ends with."""
_ASKING = frozenset("who whom whose when where what which why how".split())
_MONTHS = frozenset(
    "january february march april may june july august september october november"
    " december".split()
)
_NUMBER_WORDS = frozenset(
    "one two three four five six seven eight nine ten eleven twelve dozen twenty thirty forty"
    " fifty hundred thousand million billion trillion half third quarter twice once".split()
)
_TIMES = frozenset("year date day month century decade era period time season week".split())
_PLACES = frozenset(
    "country city town state place region province continent location area county street"
    " village nation district island".split()
)
_PERSONS = frozenset(
    "person man woman actor actress author king queen emperor leader president player singer"
    " artist scientist general minister director coach name chancellor politician".split()
)
_AMOUNTS = frozenset("percentage percent number amount population rate age size score".split())


@dataclass(frozen=True, slots=True)
class Word:
    """A word or sign of a sentence, and where it stands in it."""

    text: str
    stem: str
    start: int
    end: int

    @property
    def lower(self) -> str:
        """As it stands, in small letters."""
        return self.text.lower()

    @property
    def little(self) -> bool:
        """Whether it tells nothing by itself."""
        return self.lower in _LITTLE_WORDS

    @property
    def sign(self) -> bool:
        """Whether it is punctuation."""
        return not any(letter.isalnum() for letter in self.text)

    @property
    def capital(self) -> bool:
        """Whether it begins with a capital letter."""
        return self.text[:1].isupper()

    @property
    def number(self) -> bool:
        """Whether it tells a number, in figures or as a word."""
        return any(one.isdigit() for one in self.text) or self.lower in _NUMBER_WORDS

    @property
    def year(self) -> bool:
        """Whether it looks like a year."""
        return re.fullmatch(r"1\d\d\d|20\d\d|1\d\d\ds|20\d0s", self.text) is not None

    @property
    def month(self) -> bool:
        """Whether it is the name of a month."""
        return self.lower in _MONTHS and self.capital


@dataclass(frozen=True, slots=True)
class Asked:
    """A question: its words, what kind of answer it wants, and how it is built.

    Args:
        words: its words in order, without signs.
        kind: `who`, `when`, `where`, `many`, `much`, `why`, `how` or `what`.
        head: the stem of the word that says what is asked for: `river` in `which river`.
        subject: whether the answer may be what does the deed: `who wrote`, not `who did he
            see`; questions with `how` are taken so too.
    """

    words: tuple[Word, ...]
    kind: str
    head: str
    subject: bool

    @property
    def telling(self) -> tuple[Word, ...]:
        """The words that a sentence with the answer may share, each once."""
        found = {
            word.stem: word
            for word in self.words
            if not word.little and word.lower not in _ASKING and word.lower != "name"
        }
        return tuple(found.values())


def words_of(sentence: str) -> list[Word]:
    """The words and signs of a sentence, the first `LONGEST_SENTENCE` of them."""
    found = list[Word]()
    for one in _TOKEN.finditer(sentence[: LONGEST_SENTENCE * 12]):
        if one.end() - one.start() <= LONGEST_WORD:
            found.append(Word(one[0], stem(one[0]), one.start(), one.end()))
        if len(found) == LONGEST_SENTENCE:
            break
    return found


def stem(word: str) -> str:
    """The word in small letters without its usual English ending."""
    word = word.lower().removesuffix("'s").removesuffix("\u2019s")
    short = _ENDINGS.sub("", word[:LONGEST_WORD])
    return _DOUBLED.sub(r"\1", short) if short != word else word


def read_question(question: str) -> Asked:
    """What a question asks for."""
    words = tuple(one for one in words_of(question[:LONGEST_QUESTION]) if not one.sign)
    lower = [one.lower for one in words]
    at = next((place for place, one in enumerate(lower) if one in _ASKING), None)
    if at is None:
        return Asked(words, "what", "", subject=False)
    rest = lower[at + 1 :]
    kind, noun = _kind_and_noun(lower[at], rest)
    verb = rest[len(noun) :] if noun else rest
    subject = not verb or verb[0] not in _AUXILIARY
    return Asked(words, kind, stem(noun[-1]) if noun else "", subject=subject)


def _kind_and_noun(asking: str, rest: list[str]) -> tuple[str, list[str]]:
    """The kind of a question, and the words between what it begins with and its verb."""
    first = rest[0] if rest else ""
    noun = list[str]()
    if asking in ("what", "which", "whose") or first in ("many", "much"):
        for one in rest[first in ("many", "much") :]:
            if one in _LITTLE_WORDS or len(noun) == 3 or (noun and one.endswith("ed")):
                break
            noun.append(one)
    match asking:
        case "who" | "whom" | "whose":
            return "who", noun
        case "when":
            return "when", noun
        case "where" | "why":
            return asking, noun
        case "how":
            return _kind_of_how(first), noun
        case _:
            return _kind_of_noun(noun, rest), noun


def _kind_of_how(first: str) -> str:
    if first in ("many", "few", "old", "often"):
        return "many"
    return "much" if first in ("much", "long", "far", "large", "tall", "big", "high") else "how"


def _kind_of_noun(noun: list[str], rest: list[str]) -> str:
    """The kind of `what city ...`, `which of the kings ...`, `what is the name of ...`."""
    after = [one for one in rest if one not in _LITTLE_WORDS]
    told = {stem(one) for one in (noun[-1:] or after[:1])}
    for kind, known in (
        ("when", _TIMES),
        ("where", _PLACES),
        ("who", _PERSONS),
        ("much", _AMOUNTS),
    ):
        if told & {stem(one) for one in known}:
            return kind
    return "what"


def spans_of(words: list[Word]) -> Iterator[tuple[int, int]]:
    """Where an answer could stand in a sentence: from the first word to behind the last."""
    for first, opening in enumerate(words):
        if _at_an_end(opening):
            for behind in range(first + 1, min(first + LONGEST_SPAN, len(words)) + 1):
                if words[behind - 1].sign and words[behind - 1].text not in _INSIDE:
                    break
                if _at_an_end(words[behind - 1]):
                    yield first, behind


_INSIDE = frozenset(",-\u2013'&\u2019\"/")


def _at_an_end(word: Word) -> bool:
    return not word.little and not word.sign
