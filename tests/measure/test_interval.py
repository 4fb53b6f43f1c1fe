import math

import numpy as np
import pytest

from graft.measure.interval import Interval, bootstrap_difference, bootstrap_mean


def test_the_mean_is_that_of_the_values() -> None:
    interval = bootstrap_mean([1.0, 0.0, 1.0, 1.0])
    assert (interval.mean, interval.n) == (0.75, 4)
    assert interval.low < 0.75 < interval.high


def test_many_values_give_the_interval_of_the_normal_distribution() -> None:
    values = np.random.default_rng(0).normal(3.0, 2.0, 4000)
    interval = bootstrap_mean(values, resamples=8000)
    reach = 1.96 * values.std() / math.sqrt(4000)
    assert interval.low == pytest.approx(values.mean() - reach, abs=0.05 * reach)
    assert interval.high == pytest.approx(values.mean() + reach, abs=0.05 * reach)


def test_two_values_give_the_quantiles_of_the_binomial_distribution() -> None:
    values = [0.0] * 5 + [1.0] * 5  # means of resamples: Binomial(10, 1/2) / 10
    assert bootstrap_mean(values, resamples=20_000).low == 0.2
    assert bootstrap_mean(values, resamples=20_000).high == 0.8
    assert bootstrap_mean(values, resamples=20_000, confidence=0.5).low == 0.4


def test_an_interval_of_ninety_percent_covers_the_truth_as_often() -> None:
    rng = np.random.default_rng(1)
    covered = 0
    for trial in range(400):
        interval = bootstrap_mean(rng.random(60), seed=trial, resamples=400, confidence=0.9)
        covered += interval.low <= 0.5 <= interval.high
    assert 0.86 <= covered / 400 <= 0.93


def test_equal_values_leave_no_room() -> None:
    assert bootstrap_mean([1.0] * 7) == Interval(1.0, 1.0, 1.0, 7)
    assert bootstrap_mean([0.25]) == Interval(0.25, 0.25, 0.25, 1)


def test_the_same_seed_gives_the_same_interval_and_another_another() -> None:
    values = np.random.default_rng(2).random(50)
    assert bootstrap_mean(values, seed=4) == bootstrap_mean(values, seed=4)
    assert bootstrap_mean(values, seed=4) != bootstrap_mean(values, seed=5)


def test_samples_too_large_to_draw_at_once_are_drawn_in_pieces() -> None:
    values = np.random.default_rng(3).random(30_000)
    interval = bootstrap_mean(values, resamples=301)
    reach = 1.96 * values.std() / math.sqrt(30_000)
    assert interval.high - interval.low == pytest.approx(2 * reach, rel=0.2)


def test_a_paired_difference_is_not_widened_by_hard_problems() -> None:
    hard = np.random.default_rng(4).normal(0.0, 100.0, 200)
    interval = bootstrap_difference(hard + 1.0, hard)
    assert interval.low == pytest.approx(1.0)
    assert interval.high == pytest.approx(1.0)


def test_a_difference_has_the_sign_of_the_first() -> None:
    interval = bootstrap_difference([1, 1, 1, 0], [0, 0, 1, 0])
    assert (interval.mean, interval.n) == (0.5, 4)
    assert 0.0 <= interval.low < interval.high <= 1.0


def test_nothing_has_no_interval() -> None:
    with pytest.raises(ValueError, match="needs a row of values"):
        bootstrap_mean([])


def test_values_that_are_no_pairs_are_refused() -> None:
    with pytest.raises(ValueError, match="not pairs"):
        bootstrap_difference([1.0], [1.0, 2.0])
