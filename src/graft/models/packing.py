"""Texts of any length through a network as one row, without padding and without a mask.

All layers but attention work on each token alone, so they may have all tokens in one row.
Attention takes the row apart again: texts of like length side by side, each seen by itself
only. So no text looks at another, and padding costs nothing but a little of attention.

Legend: N tokens of all texts, B texts of like length, T tokens of the longest, H heads, D head
dimension.
"""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn
from transformers import PreTrainedConfig
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from graft.models.language import Ids

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_NAME = "graft_packed"
_LIKE = 0.8  # the shortest text beside the longest: less padding or fewer calls of attention
_SHORT = 32  # tokens of padding that cost less than a call


@dataclass(frozen=True, slots=True)
class _Group:
    """Texts of like length that attention sees side by side."""

    tokens: slice
    """Where they stand in the packed row."""
    cells_K: Int[Tensor, " K"]
    """Where their tokens stand in a table of B texts of T tokens."""
    texts: int
    longest: int


@dataclass(frozen=True, slots=True)
class Packed:
    """Texts in one row, the longest first; `order` tells which text stands where."""

    tokens_1N: Int[Tensor, "1 N"]
    positions_1N: Int[Tensor, "1 N"]
    groups: tuple[_Group, ...]
    order: tuple[int, ...]


def pack(texts: Sequence[Ids], device: torch.device | None = None) -> Packed:
    """Join texts, none of them empty, to one row."""
    order = sorted(range(len(texts)), key=lambda k: -len(texts[k]))
    lengths = [len(texts[k]) for k in order]
    tokens = torch.tensor([[token for k in order for token in texts[k]]], device=device)
    positions = torch.cat([torch.arange(length) for length in lengths])[None]
    bounds = [0]
    for k, length in enumerate(lengths):
        longest = lengths[bounds[-1]]
        if length < min(_LIKE * longest, longest - _SHORT):
            bounds.append(k)
    groups: list[_Group] = []
    at = 0
    for first, last in pairwise([*bounds, len(lengths)]):
        group = _group(at, lengths[first:last], device)
        at = group.tokens.stop
        groups.append(group)
    return Packed(tokens, positions.to(device), tuple(groups), tuple(order))


def hidden_states(body: nn.Module, packed: Packed) -> Float[Tensor, "N D"]:
    """What a network gives for every token of packed texts, in their row's order."""
    with _packing(body):
        row = body(
            input_ids=packed.tokens_1N,
            position_ids=packed.positions_1N,
            attention_mask=None,
            use_cache=False,
            groups=packed.groups,
        )
    return row.last_hidden_state[0]


def packs(model: PreTrainedModel, body: nn.Module) -> bool:
    """Whether a network gives for packed texts what it gives for each by itself.

    It does where its attention is asked of `transformers` by name, as in most decoders of
    today; one look at two short texts decides.
    """
    texts = [[1, 2, 3, 4], [2, 4]]
    with torch.inference_mode():
        try:
            together = hidden_states(body, pack(texts, model.device))
        except TypeError:  # a forward pass that takes nothing which it does not know
            return False
        alone = [
            body(input_ids=torch.tensor([text], device=model.device), use_cache=False)
            for text in texts
        ]
    apart = torch.cat([one.last_hidden_state[0] for one in alone])
    return torch.allclose(together, apart, atol=1e-2, rtol=1e-2)


def _group(start: int, lengths: Sequence[int], device: torch.device | None) -> _Group:
    cells = [torch.arange(length) + b * lengths[0] for b, length in enumerate(lengths)]
    tokens = slice(start, start + sum(lengths))
    return _Group(tokens, torch.cat(cells).to(device), len(lengths), lengths[0])


@contextlib.contextmanager
def _packing(body: nn.Module) -> Generator[None]:
    """Let a network's layers ask for the attention below, for the time of one pass."""
    ALL_ATTENTION_FUNCTIONS.register(_NAME, _attend_in_groups)
    config = body.config
    assert isinstance(config, PreTrainedConfig)
    before = config._attn_implementation  # pyright: ignore[reportPrivateUsage]
    config._attn_implementation = _NAME  # pyright: ignore[reportPrivateUsage]
    try:
        yield
    finally:
        config._attn_implementation = before  # pyright: ignore[reportPrivateUsage]


def _attend_in_groups(
    _module: nn.Module,
    query: Float[Tensor, "1 H N D"],
    key: Float[Tensor, "1 G N D"],
    value: Float[Tensor, "1 G N E"],
    _mask: None = None,
    *,
    groups: Sequence[_Group],
    scaling: float | None = None,
    sliding_window: int | None = None,
    **_others: object,
) -> tuple[Float[Tensor, "1 N H E"], None]:
    seen = [
        _attend(query, key, value, group=group, scaling=scaling, window=sliding_window)
        for group in groups
    ]
    return torch.cat(seen)[None], None


def _attend(
    *rows: Tensor, group: _Group, scaling: float | None, window: int | None
) -> Float[Tensor, "N H E"]:
    query, key, value = (_table(row, group) for row in rows)
    narrow = window is not None and window < group.longest
    found_BHTE = F.scaled_dot_product_attention(
        query,
        key,
        value,
        attn_mask=_band(group.longest, window or 0).to(query.device) if narrow else None,
        is_causal=not narrow,
        scale=scaling,
        enable_gqa=query.shape[1] != key.shape[1],
    )
    return found_BHTE.transpose(1, 2).flatten(0, 1)[group.cells_K]


def _table(row: Float[Tensor, "1 H N D"], group: _Group) -> Float[Tensor, "B H T D"]:
    tokens_KHD = row[0, :, group.tokens].transpose(0, 1)
    cells, shape = group.texts * group.longest, tokens_KHD.shape[1:]
    padded = tokens_KHD.new_zeros(cells, *shape).index_copy(0, group.cells_K, tokens_KHD)
    return padded.view(group.texts, group.longest, *shape).transpose(1, 2)


def _band(length: int, window: int) -> Tensor:
    """What a token sees that looks back over `window` tokens, itself included."""
    seen = torch.ones(length, length, dtype=torch.bool)
    return seen.tril() & seen.triu(1 - window)
