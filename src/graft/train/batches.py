"""Which examples are learnt in which step: a function of the seed and the step alone."""

from collections.abc import Iterator, Sequence

import numpy as np


def draw_batches(count: int, *, rows: int, seed: int, epoch: int) -> list[list[int]]:
    """The batches of one epoch, as indices: every example once, any beside any other.

    One batch is short where `rows` does not divide `count`; it stands anywhere.
    """
    rng = np.random.default_rng((seed, epoch))
    order = rng.permutation(count).tolist()
    drawn = [order[at : at + rows] for at in range(0, count, rows)]
    return [drawn[index] for index in rng.permutation(len(drawn))]


def stream_batches(count: int, *, rows: int, seed: int, start: int = 0) -> Iterator[list[int]]:
    """The batches of step `start` and all later ones, epoch after epoch, without end."""
    epoch, skipped = 0, 0
    while count:
        drawn = draw_batches(count, rows=rows, seed=seed, epoch=epoch)
        yield from drawn[max(0, start - skipped) :]
        epoch, skipped = epoch + 1, skipped + len(drawn)


def split_batch(batch: Sequence[int], lengths: Sequence[int], tokens: int) -> list[list[int]]:
    """`batch`, the shortest first, in parts of at most `tokens` tokens; a longer one alone."""
    parts: list[list[int]] = []
    size = 0
    for index in sorted(batch, key=lengths.__getitem__):
        size += lengths[index]
        if parts and size <= tokens:
            parts[-1].append(index)
        else:
            parts.append([index])
            size = lengths[index]
    return parts
