"""The records that pass between the stages, and how a call is spliced into a text.

A corpus is read into `Text`s; `annotate` makes an `Annotated` of each, with its `Candidate`s;
`keep` scores them and merges the helpful ones into `Merged` texts, which `train` reads.

Legend: a text is `tokens[0..n)`; position i stands before token i, as in Schick et al. 2023.
"""

import datetime
import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from graft.models.language import LanguageModel
from graft.toolformer.call import ARROW, CLOSE, OPEN, Call, render_asked
from graft.toolformer.tools.tool import Context


@dataclass(frozen=True, slots=True)
class Text:
    """One document: `id` is unique in its corpus, `date` the day it was written."""

    id: str
    text: str
    date: datetime.date | None = None

    @property
    def context(self) -> Context:
        """What a tool may know of it."""
        return Context(self.date, self.text)


@dataclass(frozen=True, slots=True)
class Candidate:
    """An answered call that could stand before token `position` of its text."""

    position: int
    call: Call
    probability: float
    """p(<API>) at the position, or 1 where rules proposed it."""


@dataclass(frozen=True, slots=True)
class Annotated:
    """A text, the calls that could stand in it, and what became of the other proposals.

    `counts` holds, as `Calculator.unclosed` and the like, how many proposals went which way.
    """

    text: Text
    candidates: tuple[Candidate, ...] = ()
    counts: Counter[str] = field(default_factory=Counter[str])


@dataclass(frozen=True, slots=True)
class Losses:
    """The three losses of a candidate, in nats (Section 2)."""

    with_result: float
    """L_i(e(c, r)), the paper's L+."""
    without_result: float
    """L_i(e(c, empty))."""
    without_call: float
    """L_i(empty)."""

    @property
    def gain(self) -> float:
        """L- minus L+: nats that the result saves over the best alternative."""
        return min(self.without_result, self.without_call) - self.with_result


@dataclass(frozen=True, slots=True)
class Scored:
    """A text and its candidates, each with its losses."""

    text: Text
    candidates: tuple[tuple[Candidate, Losses], ...] = ()


@dataclass(frozen=True, slots=True)
class Merged:
    """A text with its kept calls, as tokens; `plain` is the same text without them."""

    text: Text
    tokens: tuple[int, ...]
    plain: tuple[int, ...]
    calls: tuple[Call, ...]
    candidates: int = 0
    """How many calls there were to choose from."""


def call_tokens(model: LanguageModel, call: Call) -> list[int]:
    """The tokens of ` [Calculator(27 * 3) -> 81]`, each marker and part by itself.

    So written, no byte-pair merge reaches over a marker: while decoding, the model meets the
    same tokens, for there the parts are joined by hand as well.
    """
    tokens = [*model.encode_after(OPEN), *model.encode_after(render_asked(call))]
    if call.result is None:
        return [*tokens, *model.encode_after(CLOSE)]
    return [*tokens, *model.encode_after(ARROW), *answer_tokens(model, call.result)]


def answer_tokens(model: LanguageModel, result: str) -> list[int]:
    """The tokens of ` 81]`, which follow the arrow."""
    spoken = model.encode_after(f" {result}") if result else []
    return [*spoken, *model.encode_after(CLOSE)]


def splice(
    model: LanguageModel, tokens: Sequence[int], calls: Sequence[tuple[int, Call]]
) -> list[int]:
    """A text's tokens with calls in front of their positions; its own stay as they are."""
    merged: list[int] = []
    done = 0
    for position, call in sorted(calls, key=lambda placed: placed[0]):
        merged += [*tokens[done:position], *call_tokens(model, call)]
        done = position
    return [*merged, *tokens[done:]]


def generator(seed: int, *names: object) -> np.random.Generator:
    """Random draws that belong to what `names` names, whatever stands beside it."""
    digest = hashlib.blake2b(repr((seed, *names)).encode(), digest_size=16).digest()
    return np.random.default_rng(int.from_bytes(digest, "big"))
