"""Lessons packed into rows of tokens, the same for the same seed and step.

Legend: B rows, T tokens.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Int
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from graft.grow.lessons import Piece

Row = list[tuple[int, bool]]


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows of documents, each begun by the end token; `learnt_BT` marks tokens to predict."""

    tokens_BT: Int[Tensor, "B T"]
    learnt_BT: Bool[Tensor, "B T"]


def draw_batch(
    tokenizer: PreTrainedTokenizerFast,
    draw: Callable[[np.random.Generator], list[Piece]],
    shape: tuple[int, int],
    seed: tuple[int, int],
) -> Batch:
    """Documents that fit, whole, into `shape` rows and tokens; drawn from `seed` alone."""
    rng, end = np.random.default_rng(seed), tokenizer.eos_token_id
    assert isinstance(end, int)
    rows: list[Row] = [[] for _ in range(shape[0])]
    misses = 0
    while misses < 8:
        document = encode_pieces(tokenizer, draw(rng), end)
        room = (row for row in rows if len(row) + len(document) <= shape[1])
        row = max(room, key=len, default=None)
        if row is None:
            misses += 1
        else:
            row.extend(document)
    for row in rows:
        row.extend([(end, False)] * (shape[1] - len(row)))
    cells = np.array(rows)
    return Batch(torch.from_numpy(cells[..., 0]), torch.from_numpy(cells[..., 1] == 1))


def encode_pieces(tokenizer: PreTrainedTokenizerFast, pieces: list[Piece], end: int) -> Row:
    """The tokens of a document between two end tokens, of which the last is learnt too."""
    row: Row = [(end, False)]
    for text, learnt in pieces:
        tokens = tokenizer.encode(text, add_special_tokens=False)
        row.extend((token, learnt) for token in tokens)
    return [*row, (end, pieces[-1][1])]
