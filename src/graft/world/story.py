"""A story, where in it a tool would have helped, and how sentences are varied."""

import datetime
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeVar

import numpy as np

Half = Literal["read", "held", "strange"]
"""Which half of the world's names, numbers and sentence shapes a story may draw from.

`strange` is the half that is read, but for its names: those are put together anew from all
syllables, and are nobody's.
"""

Item = TypeVar("Item")
_CHOICE = re.compile(r"<([^<>]*)>")
_SLOT = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True, slots=True)
class Use:
    """The place in a story whose continuation a tool knows.

    `position` counts characters and stands before the space that precedes the answer.
    """

    position: int
    tool: str
    argument: str
    result: str
    answer: str


@dataclass(frozen=True, slots=True)
class Story:
    """A text, the day it was written on if it says so, and where tools would help."""

    kind: str
    text: str
    date: datetime.date | None = None
    uses: tuple[Use, ...] = ()


def pick(rng: np.random.Generator, items: Sequence[Item]) -> Item:
    """One of `items`, all equally likely."""
    return items[int(rng.integers(len(items)))]


def pair(
    rng: np.random.Generator, firsts: Sequence[Item], seconds: Sequence[Item], half: Half
) -> tuple[Item, Item]:
    """Two parts that make a sentence shape together; every fourth pair is held out.

    Every part stands in pairs of both halves where there are at least four of the other, so a
    held-out shape is new as a whole and made of known words.
    """
    while True:
        i, j = int(rng.integers(len(firsts))), int(rng.integers(len(seconds)))
        if ((i * 3 + j) % 4 == 3) == (half == "held"):
            return firsts[i], seconds[j]


def vary(rng: np.random.Generator, shape: str, slots: Mapping[str, str]) -> str:
    """Fill the `{slots}` of a shape and choose one of each `<this|or that>`."""
    chosen = _CHOICE.sub(lambda found: pick(rng, found[1].split("|")), shape)
    return _SLOT.sub(lambda found: slots[found[1]], chosen)


def tell(kind: str, sentences: Sequence[str], use: Use | None) -> Story:
    """Join sentences into a story; `use.position` is where the mark `@` stands in it."""
    text = " ".join(sentence for sentence in sentences if sentence)
    at = text.find(" @")
    if at < 0 or use is None:
        return Story(kind, text.replace("@", ""))
    return Story(kind, text.replace("@", ""), uses=(replace(use, position=at),))
