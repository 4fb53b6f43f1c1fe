"""A key-value cache whose rows are written and seen at columns of their own.

One cache serves reading, sampling and decoding: every row holds tokens at columns that its
owner chooses, and an explicit mask says which columns a token sees. Nothing is copied to fork
a text: the samples of all its positions share its row.

Column 0 is scratch: padding is written there and only padding sees it.

Legend: R rows, B rows of one step, T tokens, H heads, C columns, D head dimension.
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from transformers.cache_utils import Cache, CacheLayerMixin

_GROWTH = 128


class _SlotLayer(CacheLayerMixin):
    """Keys and values of one layer, `[R, H, C, D]`."""

    def __init__(self, slots: "Slots") -> None:
        super().__init__()
        self.slots = slots

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        shape = (self.slots.rows, key_states.shape[1], self.slots.capacity)
        self.keys = key_states.new_zeros((*shape, key_states.shape[3]))
        self.values = value_states.new_zeros((*shape, value_states.shape[3]))
        self.is_initialized = True

    def update(
        self, key_states: Tensor, value_states: Tensor, *_args: object, **_kwargs: object
    ) -> tuple[Tensor, Tensor]:
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        assert self.keys is not None
        assert self.values is not None
        at = self.slots.at
        rows_B1 = at.rows_B[:, None]
        self.keys[rows_B1, :, at.columns_BT] = key_states.transpose(1, 2)
        self.values[rows_B1, :, at.columns_BT] = value_states.transpose(1, 2)
        keys, values = self.keys[:, :, : at.seen], self.values[:, :, : at.seen]
        if len(at.rows_B) < self.slots.rows:
            return keys[at.rows_B], values[at.rows_B]
        return keys, values

    def widen(self, capacity: int) -> None:
        """Make room for `capacity` columns."""
        if self.keys is None or self.values is None:
            return
        extra = capacity - self.keys.shape[2]
        self.keys = torch.nn.functional.pad(self.keys, (0, 0, 0, extra))
        self.values = torch.nn.functional.pad(self.values, (0, 0, 0, extra))

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return self.slots.at.seen + query_length * 0, 0

    def get_seq_length(self) -> int:
        return 0

    def get_max_length(self) -> int:
        return -1


class _At:
    """Where the tokens of one step are written, and how many columns they may see."""

    def __init__(self, rows_B: Tensor, columns_BT: Tensor, seen: int) -> None:
        self.rows_B, self.columns_BT, self.seen = rows_B, columns_BT, seen


class Slots(Cache):
    """A cache of `rows` rows; before each forward pass, `place` says where it writes."""

    def __init__(self, layers: int, rows: int, capacity: int = _GROWTH) -> None:
        self.rows, self.capacity = rows, capacity
        empty = torch.empty(0, dtype=torch.long)
        self.at = _At(empty, empty, 0)
        super().__init__(layers=[_SlotLayer(self) for _ in range(layers)])

    def place(
        self, rows_B: Int[Tensor, " B"], columns_BT: Int[Tensor, "B T"], seen: int
    ) -> None:
        """The next pass writes token t of row b to `columns_BT[b, t]` and sees `[0, seen)`.

        `rows_B` is either all rows in order, or some of them.
        """
        if seen > self.capacity:
            self.capacity = seen + _GROWTH
            for layer in self.layers:
                assert isinstance(layer, _SlotLayer)
                layer.widen(self.capacity)
        self.at = _At(rows_B, columns_BT, seen)

    def fill(self, source: "Slots", columns: int) -> None:
        """Copy the first `columns` columns of a cache of one row into every row."""
        for mine, theirs in zip(self.layers, source.layers, strict=True):
            assert isinstance(mine, _SlotLayer)
            assert isinstance(theirs, _SlotLayer)
            assert theirs.keys is not None
            assert theirs.values is not None
            if not mine.is_initialized:
                mine.lazy_initialization(theirs.keys, theirs.values)
            assert mine.keys is not None
            assert mine.values is not None
            mine.keys[:, :, :columns] = theirs.keys[:, :, :columns]
            mine.values[:, :, :columns] = theirs.values[:, :, :columns]


def causal_mask(lengths: Int[Tensor, " B"], prefix: int, width: int) -> Bool[Tensor, "B 1 T C"]:
    """What right-padded rows see: the scratch-free prefix, then themselves up to each token.

    Row b has `lengths[b]` tokens at columns `1 + prefix + t`; padding sees only column 0.
    """
    t_T = torch.arange(width, device=lengths.device)
    c_C = torch.arange(1 + prefix + width, device=lengths.device)
    seen_TC = (c_C >= 1) & (c_C <= 1 + prefix + t_T[:, None])
    real_BT = t_T < lengths[:, None]
    return torch.where(real_BT[:, :, None], seen_TC, c_C == 0)[:, None]


def pad(rows: list[list[int]], width: int) -> Int[Tensor, "B T"]:
    """Rows of different length as one tensor, padded on the right with zeros."""
    return torch.tensor([row + [0] * (width - len(row)) for row in rows], dtype=torch.long)


def chosen_logprob(
    logits: Float[Tensor, "N V"], token_N: Int[Tensor, " N"]
) -> Float[Tensor, " N"]:
    """Log softmax of one entry per row."""
    return logits.gather(1, token_N[:, None])[:, 0] - logits.logsumexp(dim=-1)
