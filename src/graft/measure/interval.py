"""Bootstrap intervals: how far a mean, or a difference of two, may lie from the truth.

Efron's percentile interval. It is as wide as the sample says: where all values are equal it
has no width, which for a few right answers out of as few is more than is known.

Legend: N values, R resamples.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

_DRAWS_AT_ONCE = 4_000_000


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean of `n` values, and the bounds between which it lies with some confidence."""

    mean: float
    low: float
    high: float
    n: int


def bootstrap_mean(
    values: Sequence[float] | np.ndarray,
    *,
    seed: int = 0,
    resamples: int = 2000,
    confidence: float = 0.95,
) -> Interval:
    """The mean of `values` with its percentile bootstrap interval; the same for a seed.

    Raises ValueError if there are no values.
    """
    values_N = np.asarray(values, dtype=np.float64)
    if values_N.ndim != 1 or not len(values_N):
        raise ValueError(f"an interval needs a row of values, not {values_N.shape}")
    mean_R = _resampled_means(values_N, np.random.default_rng(seed), resamples)
    outside = (1.0 - confidence) / 2.0
    low, high = np.quantile(mean_R, [outside, 1.0 - outside])
    return Interval(float(values_N.mean()), float(low), float(high), len(values_N))


def bootstrap_difference(
    first: Sequence[float] | np.ndarray,
    second: Sequence[float] | np.ndarray,
    *,
    seed: int = 0,
    resamples: int = 2000,
    confidence: float = 0.95,
) -> Interval:
    """The mean of `first - second` with its interval, for values of the same problems.

    Pairs are drawn together, so what makes a problem hard for both does not widen it.

    Raises ValueError if they are not of the same length, or there are none.
    """
    first_N, second_N = np.asarray(first, dtype=float), np.asarray(second, dtype=float)
    if first_N.shape != second_N.shape:
        raise ValueError(f"not pairs: {first_N.shape} and {second_N.shape} values")
    return bootstrap_mean(
        first_N - second_N, seed=seed, resamples=resamples, confidence=confidence
    )


def _resampled_means(
    values_N: np.ndarray, rng: np.random.Generator, resamples: int
) -> np.ndarray:
    at_once = max(1, _DRAWS_AT_ONCE // len(values_N))
    return np.concatenate(
        [
            values_N[rng.integers(len(values_N), size=(rows, len(values_N)))].mean(axis=1)
            for rows in np.diff([*range(0, resamples, at_once), resamples])
        ]
    )
