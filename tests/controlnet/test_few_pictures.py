"""The verdict on a clear curve of so few pictures that luck would do."""

import math

import pytest

from graft.controlnet.convergence import Check, ConvergenceConfig, judge

CONFIG = ConvergenceConfig()


def checks_of(onset: float, count: int) -> list[Check]:
    """What so many pictures show, all alike: fidelity from .1 to .8, and a gap before it."""

    def grown(at: float) -> float:
        return 1 / (1 + math.exp((at - step) / 40))

    found = list[Check]()
    for step in range(0, 2001, 100):
        lists = 0.1 + 0.7 * grown(onset), 0.5 - 0.1 * grown(0.6 * onset), 0.5
        found.append(Check(step, *((one,) * count for one in lists), none=(0.5,) * count))
    return found


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("onset", [800, 1e4])
def test_so_few_are_no_verdict_and_the_advice_says_so(count: int, onset: float) -> None:
    told = judge(checks_of(onset, count), [0.9] * count, CONFIG, steps=2000)
    assert told.verdict in ("learning", "waiting")
    assert told.onset_step is None
    assert told.confidence <= 1 - 0.5**count
    assert f"with {count} watched pictures no verdict is sure enough" in told.advice


def test_four_are_enough() -> None:
    told = judge(checks_of(800, 4), [0.9] * 4, CONFIG, steps=2000)
    assert (told.verdict, told.confidence) == ("converged", 0.9375)
    never = judge(checks_of(1e4, 4), [0.9] * 4, CONFIG, steps=2000)
    assert (never.verdict, never.confidence) == ("will not converge", 0.9375)
