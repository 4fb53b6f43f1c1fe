"""Which examples are learnt in which step: a function of the seed and the step alone."""

from collections.abc import Iterator, Sequence

import numpy as np

_POOL = 16  # batches whose examples are sorted together; more: less padding, less mixing


def draw_batches(
    lengths: Sequence[int], *, rows: int, seed: int, epoch: int, tokens: int | None = None
) -> list[list[int]]:
    """The batches of one epoch, as indices: every example once, those of like length together.

    A batch has at most `rows` examples and, padded, at most `tokens` tokens; an example that
    is longer stands alone. Within a batch, lengths rise.
    """
    rng = np.random.default_rng((seed, epoch))
    order = rng.permutation(len(lengths)).tolist()
    pools = [order[at : at + rows * _POOL] for at in range(0, len(order), rows * _POOL)]
    drawn = [
        batch
        for pool in pools
        for batch in split_batch(sorted(pool, key=lengths.__getitem__), lengths, tokens, rows)
    ]
    return [drawn[index] for index in rng.permutation(len(drawn))]


def stream_batches(
    lengths: Sequence[int], *, rows: int, seed: int, start: int = 0, tokens: int | None = None
) -> Iterator[list[int]]:
    """The batches of step `start` and all later ones, epoch after epoch, without end."""
    epoch, skipped = 0, 0
    while lengths:
        drawn = draw_batches(lengths, rows=rows, seed=seed, epoch=epoch, tokens=tokens)
        yield from drawn[max(0, start - skipped) :]
        epoch, skipped = epoch + 1, skipped + len(drawn)


def split_batch(
    batch: Sequence[int],
    lengths: Sequence[int],
    tokens: int | None = None,
    rows: int | None = None,
) -> list[list[int]]:
    """`batch`, sorted by length, in parts of at most `rows` rows and `tokens` padded tokens."""
    parts: list[list[int]] = []
    for index in sorted(batch, key=lengths.__getitem__):
        size = len(parts[-1]) + 1 if parts else 0
        fits = tokens is None or size * lengths[index] <= tokens
        if parts and fits and (rows is None or size <= rows):
            parts[-1].append(index)
        else:
            parts.append([index])
    return parts
