import pytest

from graft.grow.language import GrowConfig, two_rounds


def test_the_rate_rises_and_falls_twice_the_second_time_less_high() -> None:
    config = GrowConfig(steps=100, again_steps=50, again_rate=0.6, warm_up=0.1, floor=0.0)
    factor = two_rounds(config)
    rates = [factor(step) for step in range(150)]
    assert max(rates[:100]) == 1.0
    assert max(rates[100:]) == pytest.approx(0.6)
    assert rates[99] < 0.02
    assert rates[100] < rates[104] < rates[105]
    assert rates[149] < 0.02
