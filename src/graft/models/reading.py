"""Texts that were read once, and what is asked about them afterwards.

The samples of all positions of a text share the text's row of the cache: a sample is a chain
of columns, and its mask says that it sees the text up to its position, and itself.

Legend: B texts, T tokens, Q chains of one text that still grow, C columns, N positions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from graft.models.language import Branch, Ids
from graft.models.slots import Slots, causal_mask, chosen_logprob, pad

if TYPE_CHECKING:
    from graft.models.huggingface import HuggingFaceModel

_ROWS_OF_LOGITS = 1024


@dataclass(slots=True)
class _Chain:
    """Tokens that continue a text from a position; `columns` are where they stand."""

    text: int
    position: int
    columns: list[int] = field(default_factory=list)


class SlotReading:
    """`prompt + heads[b] + texts[b]`, read in one pass when it is made."""

    def __init__(
        self,
        model: HuggingFaceModel,
        prompt: Slots | None,
        prefix: int,
        heads: list[list[int]],
        texts: list[list[int]],
    ) -> None:
        self.model, self.prefix, self.heads, self.texts = model, prefix, heads, texts
        rows = [head + text for head, text in zip(heads, texts, strict=True)]
        self.width = max(map(len, rows))
        self.used = 1 + prefix + self.width
        self.slots = Slots(model.layers, len(rows), self.used + 64)
        if prompt is not None:
            self.slots.fill(prompt, 1 + prefix)
        self.hidden_BTD = self._read(rows)

    def probabilities(self, marker: Ids, floor: float = 0.0) -> list[np.ndarray]:
        """Per text of n tokens, n values: p(marker) before each token."""
        found = [
            self._probability_of(marker[0], text) if len(self.texts[text]) else np.zeros(0)
            for text in range(len(self.texts))
        ]
        if len(marker) == 1:
            return found
        for text, probability_N in enumerate(found):
            chains = [_Chain(text, int(i)) for i in np.flatnonzero(probability_N > floor)]
            for token, following in pairwise(marker):
                if not chains:
                    break
                logits_NV = self._grow(chains, [token] * len(chains))
                wanted_N = torch.full((len(chains),), following)
                factor_N = chosen_logprob(logits_NV, wanted_N).exp().numpy()
                probability_N[[chain.position for chain in chains]] *= factor_N
        return found

    def sample(
        self, marker: Ids, branches: Sequence[Branch], stop: frozenset[int], temperature: float
    ) -> list[list[list[int]]]:
        """Per branch, its samples: the tokens after the marker up to the first in `stop`."""
        stems = [_Chain(branch.text, branch.position) for branch in branches]
        samples = [[list[int]() for _ in branch.draws] for branch in branches]
        if not stems:
            return samples
        for token in marker[:-1]:
            self._grow(stems, [token] * len(stems))
        logits_NV = self._grow(stems, [marker[-1]] * len(stems))
        alive = [(k, j) for k, branch in enumerate(branches) for j in range(len(branch.draws))]
        chains = {
            (k, j): _Chain(stems[k].text, stems[k].position, list(stems[k].columns))
            for k, j in alive
        }
        rows = torch.tensor([k for k, _ in alive], dtype=torch.long)
        logits_NV = logits_NV[rows]
        for step in range(max(branch.draws.shape[1] for branch in branches)):
            draws = np.array([branches[k].draws[j, step] for k, j in alive])
            tokens = _drawn(logits_NV, draws, temperature)
            for (k, j), token in zip(alive, tokens, strict=True):
                samples[k][j].append(token)
            grown = [
                (which, token)
                for which, token in zip(alive, tokens, strict=True)
                if token not in stop and step + 1 < branches[which[0]].draws.shape[1]
            ]
            if not grown:
                break
            alive = [which for which, _ in grown]
            logits_NV = self._grow([chains[which] for which in alive], [t for _, t in grown])
        return samples

    def _read(self, rows: list[list[int]]) -> Float[Tensor, "B T D"]:
        length_B = torch.tensor([len(row) for row in rows])
        t_T = torch.arange(self.width)
        real_BT = t_T < length_B[:, None]
        column_BT = torch.where(real_BT, 1 + self.prefix + t_T, 0)
        position_BT = torch.where(real_BT, self.prefix + t_T, 0)
        self.slots.place(torch.arange(len(rows)), column_BT, self.used)
        mask_B1TC = causal_mask(length_B, self.prefix, self.width)
        return self.model.extend(
            self.slots, pad(rows, self.width), position_BT, mask_B1TC, int(length_B.sum())
        )

    def _probability_of(self, token: int, text: int) -> np.ndarray:
        first = len(self.heads[text]) - 1
        hidden_ND = self.hidden_BTD[text, first : first + len(self.texts[text])]
        parts = [
            chosen_logprob(self.model.logits(hidden), torch.full((len(hidden),), token))
            for hidden in hidden_ND.split(_ROWS_OF_LOGITS)
        ]
        return torch.cat(parts).exp().double().numpy()

    def _grow(self, chains: Sequence[_Chain], tokens: Sequence[int]) -> Float[Tensor, "N V"]:
        """Append one token to each chain; the logits of what follows each."""
        texts = sorted({chain.text for chain in chains})
        row_of = {text: row for row, text in enumerate(texts)}
        placed: list[list[tuple[_Chain, int]]] = [[] for _ in texts]
        where: list[tuple[int, int]] = []
        for chain, token in zip(chains, tokens, strict=True):
            row = placed[row_of[chain.text]]
            where.append((row_of[chain.text], len(row)))
            row.append((chain, token))
        width = max(map(len, placed))
        token_BQ = pad([[token for _, token in row] for row in placed], width)
        column_BQ, position_BQ = torch.zeros_like(token_BQ), torch.zeros_like(token_BQ)
        mask_BQC = torch.zeros(len(texts), width, self.used + width, dtype=torch.bool)
        mask_BQC[:, :, 0] = True
        for b, row in enumerate(placed):
            for q, (chain, _) in enumerate(row):
                read = len(self.heads[chain.text]) + chain.position
                column_BQ[b, q] = self.used + q
                position_BQ[b, q] = self.prefix + read + len(chain.columns)
                chain.columns.append(self.used + q)
                mask_BQC[b, q, 0] = False
                mask_BQC[b, q, 1 : 1 + self.prefix + read] = True
                mask_BQC[b, q, chain.columns] = True
        self.used += width
        self.slots.place(torch.tensor(texts), column_BQ, self.used)
        hidden_BQD = self.model.extend(
            self.slots, token_BQ, position_BQ, mask_BQC[:, None], len(chains)
        )
        row_N, q_N = torch.tensor(where).T
        return self.model.logits(hidden_BQD[row_N, q_N])


def _drawn(logits_NV: Tensor, draws: np.ndarray, temperature: float) -> list[int]:
    """One token per row by inverting the distribution function; the likeliest at 0."""
    if temperature == 0:
        return logits_NV.argmax(dim=-1).tolist()
    cumulative_NV = (logits_NV / temperature).softmax(dim=-1).double().cumsum(dim=-1)
    level_N1 = torch.from_numpy(draws)[:, None] * cumulative_NV[:, -1:]
    return torch.searchsorted(cumulative_NV, level_N1, right=True)[:, 0].tolist()
