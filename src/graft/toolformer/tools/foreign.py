"""Where foreign words stand in a text, and what follows them.

Schick et al. 2023, Appendix A: a text is seen by the translation tool if a chunk of ten words
is in another language with a confidence above 0.8, and stands between text in its own.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from graft.toolformer.call import Call
from graft.toolformer.tools.languages import detector

CHUNK_WORDS = 10
LEAST_CONFIDENCE = 0.8
LEAST_OF_A_PART = 0.3
"""For a few words in quotes, of which no greater confidence can be asked."""
LONGEST_TEXT = 20_000
MAX_POSITIONS = 10
"""Places of one text in front of which the rules propose."""

_QUOTED = re.compile(
    r"(?<!\w)(?:\"(?P<a>[^\"\n\[\]]{2,300})\"|\u201c(?P<b>[^\u201c\u201d\n\[\]]{2,300})\u201d"
    r"|\u00ab ?(?P<c>[^\u00ab\u00bb\n\[\]]{2,300}?) ?\u00bb|\*(?P<d>[^*\n\[\]]{2,300})\*)"
)
_MEANS = re.compile(
    r",?(?: (?:which|that|it|this|and))?"
    r"(?: (?:means?|meant|meaning|is to say|says?|said|translates as|translates to|stands for"
    r"|is|or|i\.e\.|in English|that is)),?:?(?= )"
    r"|(?= \()|[:,]?(?= (?:-|\u2013|\u2014|=) )"
)
_NO_LETTERS = re.compile(r"[\W\d_]*")


@dataclass(frozen=True, slots=True)
class _Part:
    """A stretch of a text."""

    text: str
    start: int
    end: int


def sees_foreign(text: str, sources: frozenset[str], own: str) -> bool:
    """Whether a chunk, or a part in quotes, is foreign and stands between text that is not."""
    whole = text[:LONGEST_TEXT]
    chunks = [one for one in _chunks(whole) if not _NO_LETTERS.fullmatch(one.text)]
    languages = [_language(one.text, sources, own, LEAST_CONFIDENCE) for one in chunks]
    at_home = [place for place, language in enumerate(languages) if language == own]
    if not at_home:
        return False
    if any(languages[place] not in (None, own) for place in range(at_home[0], at_home[-1])):
        return True
    return any(True for _ in _foreign_parts(whole, sources, own))


def foreign_rules(
    text: str, sources: frozenset[str], own: str, name: str
) -> list[tuple[int, Call]]:
    """A call for each foreign part in quotes, before what says what it means, else behind it.

    The words stand before the call, so that it helps only with what follows (Appendix A drops
    calls whose input stands only after them).
    """
    proposed = list[tuple[int, Call]]()
    for part in _foreign_parts(text[:LONGEST_TEXT], sources, own):
        means = _MEANS.match(text, part.end)
        at = means.end() if means else _next_space(text, part.end)
        if at is not None and "->" not in part.text:
            proposed.append((at, Call(name, part.text, quoted=True)))
    return proposed[:MAX_POSITIONS]


def _foreign_parts(text: str, sources: frozenset[str], own: str) -> Iterator[_Part]:
    """Parts in quotes in another language, between text of the own one."""
    without = _QUOTED.sub(" ", text)
    if _language(without, sources, own, LEAST_CONFIDENCE) != own:
        return
    for found in _QUOTED.finditer(text):
        inside = next(one for one in found.groups() if one is not None)
        language = _language(inside, sources, own, LEAST_OF_A_PART)
        if language not in (None, own):
            yield _Part(inside, found.start(), found.end())


def _language(text: str, sources: frozenset[str], own: str, confidence: float) -> str | None:
    """The language of a stretch, among those that matter; None where it is not clear."""
    if not any(letter.isalpha() for letter in text):
        return None
    guess = detector(sources | {own}).detect(text)
    return guess.language if guess.confidence > confidence else None


def _chunks(text: str) -> Iterator[_Part]:
    words = list(re.finditer(r"\S+", text))
    for start in range(0, len(words), CHUNK_WORDS):
        first, last = words[start], words[min(start + CHUNK_WORDS, len(words)) - 1]
        yield _Part(text[first.start() : last.end()], first.start(), last.end())


def _next_space(text: str, start: int) -> int | None:
    place = text.find(" ", start, start + 3)
    return None if place < 0 else place
