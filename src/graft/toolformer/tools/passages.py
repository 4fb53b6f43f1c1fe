"""Short passages out of texts: what the search tool looks through."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

WORDS_PER_PASSAGE = 100

_SENTENCE_END = re.compile(r"(?<=[.!?])\s+|\n+")


@dataclass(frozen=True, slots=True)
class Passage:
    """About a hundred words of one document, on one line."""

    title: str
    text: str


def cut(title: str, lines: Iterable[str]) -> Iterator[Passage]:
    """Passages of whole sentences, each ended at the first end of a sentence that fills it."""
    title = _one_line(title.replace("_", " "))
    words: list[str] = []
    for sentence in (part for line in lines for part in sentences(line)):
        words += _one_line(sentence).split()
        if len(words) >= WORDS_PER_PASSAGE:
            yield from _pieces(title, words)
            words = []
    yield from _pieces(title, words)


def sentences(text: str) -> list[str]:
    """`text` at the ends of its sentences, or what looks like them."""
    return [part for part in _SENTENCE_END.split(text) if part.strip()]


def _pieces(title: str, words: list[str]) -> Iterator[Passage]:
    """One passage, or several where a sentence never ends."""
    step = WORDS_PER_PASSAGE if len(words) >= 2 * WORDS_PER_PASSAGE else len(words)
    for start in range(0, len(words), step or 1):
        yield Passage(title, " ".join(words[start : start + step]))


def _one_line(text: str) -> str:
    """Without line breaks, control spaces, nul bytes and halves of characters."""
    whole = text.replace("\0", " ").encode(errors="replace").decode()
    return " ".join(whole.split())
