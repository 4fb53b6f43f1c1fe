import pytest

from graft.train.schedule import Decay, warm_up_then


def test_the_rate_rises_in_equal_steps_and_falls_in_equal_steps() -> None:
    factor = warm_up_then("linear", steps=8, warm_up=0.5)
    assert [factor(step) for step in range(9)] == pytest.approx(
        [1 / 5, 2 / 5, 3 / 5, 4 / 5, 1.0, 3 / 4, 2 / 4, 1 / 4, 0.0]
    )


def test_a_cosine_falls_by_half_at_half_time() -> None:
    factor = warm_up_then("cosine", steps=11, warm_up=1 / 11)
    assert [factor(step) for step in (0, 1, 6, 11)] == pytest.approx([0.5, 1.0, 0.5, 0.0])
    assert factor(3) == pytest.approx(0.9045085)


def test_a_constant_rate_stays_where_the_warm_up_left_it() -> None:
    factor = warm_up_then("constant", steps=20, warm_up=0.1)
    assert [factor(step) for step in range(2, 21)] == [1.0] * 19
    assert factor(0) == pytest.approx(1 / 3)


@pytest.mark.parametrize("decay", ["linear", "cosine"])
def test_the_rate_ends_on_its_floor_and_stays_there(decay: Decay) -> None:
    factor = warm_up_then(decay, steps=10, warm_up=0.0, floor=0.1)
    assert [factor(step) for step in (0, 10, 50)] == pytest.approx([1.0, 0.1, 0.1])


@pytest.mark.parametrize("decay", ["linear", "cosine", "constant"])
def test_a_single_step_is_taken_at_the_peak(decay: Decay) -> None:
    assert warm_up_then(decay, steps=1, warm_up=0.1)(0) == 1.0
