"""Rows that are continued together, each at its own length.

Legend: B rows of one step, R all rows, T tokens, C columns, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor

from graft.errors import ModelError
from graft.models.language import Ids
from graft.models.slots import Slots, pad

if TYPE_CHECKING:
    from graft.models.huggingface import HuggingFaceModel


class SlotDecoder:
    """A cache of rows; a row is token t at column t + 1, and is rewound by its length alone."""

    def __init__(self, model: HuggingFaceModel, rows: int) -> None:
        self.model = model
        self.slots = Slots(model.layers, rows)
        self.lengths = [0] * rows

    def feed(self, rows: Sequence[int], tokens: Sequence[Ids]) -> Float[Tensor, "B V"]:
        """Append tokens to rows; the log-probabilities of what comes next in each.

        An empty row begins with the model's start token. Raises ModelError past the context.
        """
        fed = [
            [*(self.model.start if self.lengths[row] == 0 else []), *new]
            for row, new in zip(rows, tokens, strict=True)
        ]
        full = [row for row, new in zip(rows, fed, strict=True) if self._over(row, new)]
        if full:
            raise ModelError(
                f"{self.model.name}: row {full[0]} is longer than its context of "
                f"{self.model.context} tokens"
            )
        single = [k for k, new in enumerate(fed) if len(new) == 1]
        longer = [k for k, new in enumerate(fed) if len(new) != 1]
        results: dict[int, Tensor] = {}
        for part in (single, longer):
            if part:
                logprob_BV = self._feed_some([rows[k] for k in part], [fed[k] for k in part])
                results.update(zip(part, logprob_BV, strict=True))
        return torch.stack([results[k] for k in range(len(rows))])

    def rewind(self, row: int, length: int) -> None:
        """Forget all but the first `length` tokens of a row, the start token not counted.

        A row of length 0 is empty: its start token is fed again with what comes next.
        """
        kept = length + len(self.model.start) if length else 0
        self.lengths[row] = min(self.lengths[row], kept)

    def _feed_some(self, rows: list[int], fed: list[list[int]]) -> Float[Tensor, "B V"]:
        """One pass; where most rows take part, idle ones cost less than a copy of them."""
        if len(rows) * 2 <= len(self.lengths):
            return self._feed(rows, fed)
        everyone = list(range(len(self.lengths)))
        given = dict(zip(rows, fed, strict=True))
        return self._feed(everyone, [given.get(row, []) for row in everyone])[rows]

    def _over(self, row: int, new: Ids) -> bool:
        return self.lengths[row] + len(new) > self.model.context

    def _feed(self, rows: list[int], fed: list[list[int]]) -> Float[Tensor, "B V"]:
        width = max(map(len, fed))
        count_B = torch.tensor([len(new) for new in fed])
        before_B = torch.tensor([self.lengths[row] for row in rows])
        t_T = torch.arange(width)
        real_BT = t_T < count_B[:, None]
        position_BT = torch.where(real_BT, before_B[:, None] + t_T, 0)
        column_BT = torch.where(real_BT, position_BT + 1, 0)
        seen = int((before_B + count_B).max()) + 1
        c_C = torch.arange(seen)
        causal_BTC = (c_C >= 1) & (c_C <= column_BT[:, :, None])
        mask_BTC = torch.where(real_BT[:, :, None], causal_BTC, c_C == 0)
        self.slots.place(torch.tensor(rows), column_BT, seen)
        hidden_BTD = self.model.extend(
            self.slots, pad(fed, width), position_BT, mask_BTC[:, None], int(count_B.sum())
        )
        for row, new in zip(rows, fed, strict=True):
            self.lengths[row] += len(new)
        last_BD = hidden_BTD[torch.arange(len(rows)), (count_B - 1).clamp(min=0)]
        return self.model.logits(last_BD).log_softmax(dim=-1)
