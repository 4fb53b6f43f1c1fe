"""What the stages ask of a language model: positions, samples, scores and steps of decoding.

Everything is asked in tokens, so that a call is spliced into a text without touching the
tokens of the text. The reference implementation is `graft.models.huggingface`.

Legend: B rows, V entries of the vocabulary.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float
from torch import Tensor

Ids = Sequence[int]
"""Tokens by their number in the vocabulary."""


@dataclass(frozen=True, slots=True)
class Passage:
    """Tokens to read, and the indices of those whose log-probability is wanted.

    Where the tokens before a wanted one are all of the marker `barred` but its last, that last
    token is ruled out and the others' probabilities are renormalised; a wanted token that is
    the marker's last itself keeps its own, for the text does say it. So a barred marker of one
    token is ruled out everywhere, and of several where it would be completed.
    """

    tokens: Ids
    wanted: Ids
    barred: Ids = ()


@dataclass(frozen=True, slots=True)
class Branch:
    """Where to sample: before token `position` of text `text`, once per row of `draws`.

    `draws[j, t]` in [0, 1) decides token t of sample j, so a sample depends on nothing else.
    """

    text: int
    position: int
    draws: np.ndarray


@runtime_checkable
class Reading(Protocol):
    """Texts that were read once behind a prompt; asks about them encode nothing twice."""

    def probabilities(self, marker: Ids, floor: float = 0.0) -> list[np.ndarray]:
        """Per text of n tokens, n values: p(marker) before each token.

        Of a marker of several tokens the later ones are looked at only where the first
        alone is more probable than `floor`; elsewhere the first one's probability stands.
        """
        ...

    def sample(
        self, marker: Ids, branches: Sequence[Branch], stop: frozenset[int], temperature: float
    ) -> list[list[list[int]]]:
        """Per branch, its samples: the tokens after the marker up to the first in `stop`.

        A sample that never stops is as long as its draws and ends in another token.
        """
        ...


@runtime_checkable
class Decoder(Protocol):
    """Rows that are continued together, each at its own length."""

    def feed(self, rows: Sequence[int], tokens: Sequence[Ids]) -> Float[Tensor, "B V"]:
        """Append tokens to rows; the log-probabilities of what comes next in each."""
        ...

    def rewind(self, row: int, length: int) -> None:
        """Forget all but the first `length` tokens of a row."""
        ...


@runtime_checkable
class LanguageModel(Protocol):
    """A frozen causal language model with its tokenizer."""

    @property
    def name(self) -> str:
        """The hub id or folder it was loaded from."""
        ...

    @property
    def context(self) -> int:
        """The most tokens that it can read at once."""
        ...

    @property
    def tokens_processed(self) -> int:
        """Tokens that went through the network since it was loaded, padding not counted."""
        ...

    @property
    def end(self) -> int:
        """The token that ends a text."""
        ...

    def encode(self, text: str) -> list[int]:
        """The tokens of a whole text, without special ones."""
        ...

    def encode_after(self, text: str) -> list[int]:
        """The tokens of `text` where it continues another text."""
        ...

    def decode(self, tokens: Ids) -> str:
        """The text of tokens."""
        ...

    def token_at(self, text: str, character: int) -> int:
        """The index of the token that covers, or first follows, a character of `text`."""
        ...

    def tokens_with(self, text: str) -> frozenset[int]:
        """All entries of the vocabulary whose text contains `text`."""
        ...

    def read(self, prompt: Ids, inputs: Sequence[Ids], texts: Sequence[Ids]) -> Reading:
        """Read `prompt + inputs[b] + texts[b]` for all b; the prompt is encoded once."""
        ...

    def score(self, passages: Sequence[Passage]) -> list[np.ndarray]:
        """Per passage, log p(token | all before it) of its wanted tokens, in nats."""
        ...

    def decoder(self, rows: int) -> Decoder:
        """An empty decoder of so many rows."""
        ...
