"""The verdict on curves whose truth is known, as a training would show them check by check."""

import json
from dataclasses import replace

import numpy as np
import pytest

from graft.controlnet.convergence import (
    Check,
    Convergence,
    ConvergenceConfig,
    Rise,
    confidence_of_nothing,
    confidence_of_standstill,
    is_level,
    judge,
    onset_of,
    rise_of,
    step_at,
)

CEILING = [0.9] * 16
CONFIG = ConvergenceConfig()


def checks_of(
    onset: float | None,
    *,
    steps: int = 2000,
    every: int = 100,
    width: float = 40.0,
    gap: float = 0.1,
    noise: float = 0.05,
    seed: int = 0,
) -> list[Check]:
    """What 16 pictures would show: fidelity from .1 to .8 around `onset`, a gap before it."""
    rng = np.random.default_rng(seed)
    apart = rng.normal(0, 0.08, 16)  # pictures differ, and differ the same way each time
    found = []
    for step in range(0, steps + 1, every):
        rise = 0.0 if onset is None else 0.7 / (1 + np.exp(-(step - onset) / width))
        opened = 0.0 if onset is None else gap / (1 + np.exp(-(step - 0.6 * onset) / width))
        fidelity = 0.1 + rise + apart + rng.normal(0, noise, 16)
        true = 0.5 - opened + rng.normal(0, 0.004, 16)
        shuffled = 0.5 + rng.normal(0, 0.004, 16)
        lists = [tuple(one.tolist()) for one in (fidelity, true, shuffled)]
        found.append(Check(step, *lists, none=(0.5,) * 16))
    return found


def watch(checks: list[Check], config: ConvergenceConfig = CONFIG) -> list[Convergence]:
    """The verdicts one after the other, as in training."""
    steps, before = checks[-1].step, None
    verdicts = []
    for count in range(1, len(checks) + 1):
        before = judge(checks[:count], CEILING, config, steps=steps, before=before)
        verdicts.append(before)
    return verdicts


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("onset", [400, 800, 1200])
def test_the_onset_found_while_training_is_that_of_the_whole_curve(
    onset: int, seed: int
) -> None:
    checks = checks_of(onset, seed=seed)
    last = watch(checks)[-1]
    assert last.verdict == "converged"
    assert last.onset_step == pytest.approx(onset, rel=0.1)
    assert last.onset_step == pytest.approx(onset_of(checks), rel=0.1)
    assert last.found_at is not None
    assert onset < last.found_at <= onset + 900
    assert last.confidence >= CONFIG.sure
    assert last.onset_step is not None
    assert last.onset_low is not None
    assert last.onset_high is not None
    assert last.onset_low <= last.onset_step <= last.onset_high


def test_of_a_slow_rise_that_is_level_the_onset_is_found_with_a_wide_interval() -> None:
    """It has converged all the same: that its middle is less sure holds up nothing."""
    sudden, slow = (watch(checks_of(900, width=w, seed=3))[-1] for w in (20, 120))
    assert sudden.verdict == slow.verdict == "converged"

    def width(found: Convergence) -> int:
        assert found.onset_low is not None
        assert found.onset_high is not None
        return found.onset_high - found.onset_low

    assert width(slow) > 1.5 * width(sudden)


def test_before_the_onset_nothing_has_converged_and_after_it_the_onset_stays() -> None:
    checks = checks_of(800)
    verdicts = watch(checks)
    early = [v for v, check in zip(verdicts, checks, strict=True) if check.step <= 800]
    assert not any(v.verdict == "converged" for v in early)
    found = [v.onset_step for v in verdicts if v.onset_step is not None]
    assert len(set(found)) == 1


@pytest.mark.parametrize("seed", range(8))
def test_shuffled_pairs_are_told_that_they_will_not_converge(seed: int) -> None:
    checks = checks_of(None, seed=seed)
    verdicts = watch(checks)
    assert not any(v.verdict == "converged" for v in verdicts)
    assert verdicts[-1].verdict == "will not converge"
    assert "hints and pictures belong together" in verdicts[-1].advice
    patient = [v for v, check in zip(verdicts, checks, strict=True) if check.step < 1200]
    assert not any(v.ended for v in patient)


def telling(share_N: list[float], *, every: int = 50) -> list[Check]:
    """Checks without a rise, of which the true hint lowers the loss by these shares."""
    return [
        replace(check, true=tuple((np.array(check.shuffled) - 0.5 * share).tolist()))
        for check, share in zip(
            checks_of(None, steps=every * (len(share_N) - 1), every=every), share_N, strict=True
        )
    ]


@pytest.mark.parametrize(
    "share_N",
    [
        [0.0] * 8 + [0.001, 0.008, -0.002, 0.011, 0.015, 0.021, 0.016, 0.014, 0.011, 0.01],
        [0.0] * 8 + [0.003, 0.017, 0.008, 0.003, 0.001, 0.003, 0.009, 0.007, 0.004, 0.005],
    ],
)
def test_mixed_up_pairs_that_have_a_little_in_common_are_refused_in_the_end(
    share_N: list[float],
) -> None:
    verdicts = watch(telling(share_N))
    assert verdicts[-1].verdict == "will not converge"
    assert "in all its steps" in verdicts[-1].advice
    assert not any(verdict.ended for verdict in verdicts[:-1])


@pytest.mark.parametrize("share_N", [[0, 0, 0, 0.001, 0.004, 0.03], [0.0] * 9 + [0.01, 0.04]])
def test_what_is_about_to_open_when_the_steps_are_over_is_not_refused(
    share_N: list[float],
) -> None:
    assert not watch(telling(share_N))[-1].ended


def test_too_few_checks_say_nothing_of_a_standstill() -> None:
    assert confidence_of_standstill(telling([0.0] * 4), CONFIG) == 0.0
    assert confidence_of_standstill(telling([0.0] * 5), CONFIG) > 0.9999


def test_a_rise_without_a_gap_is_luck() -> None:
    rising, silent = checks_of(800), checks_of(None)
    checks = [
        replace(one, fidelity=other.fidelity) for one, other in zip(silent, rising, strict=True)
    ]
    assert watch(rising)[-1].verdict == "converged"
    assert watch(checks)[-1].verdict == "will not converge"


def test_a_gap_without_a_rise_is_told_to_go_on() -> None:
    checks = [replace(check, fidelity=(0.1,) * 16) for check in checks_of(1000)]
    last = watch(checks)[-1]
    assert last.verdict == "learning"
    assert not last.ended
    assert "the pictures do not show it yet" in last.advice


def test_a_rise_that_still_rises_has_not_converged() -> None:
    checks = checks_of(1900, width=300)
    assert watch(checks)[-1].verdict == "learning"


def test_the_onset_of_a_rise_that_is_not_level_is_told_when_the_steps_are_over() -> None:
    checks = checks_of(1000, steps=1400, width=300)
    *verdicts, last = watch(checks)
    assert all(one.verdict in ("waiting", "learning") for one in verdicts)
    assert all(one.onset_step is None for one in verdicts)
    assert (last.verdict, last.ended, last.found_at) == ("learning", False, 1400)
    assert last.onset_step == round(onset_of(checks) or 0)
    assert last.onset_low <= last.onset_step <= last.onset_high
    assert "more steps may do it good" in last.advice


def test_of_a_rise_that_a_few_pictures_make_no_onset_is_told() -> None:
    whole = checks_of(700, steps=1400, noise=0.0)
    checks = [
        replace(check, fidelity=check.fidelity[:3] + whole[0].fidelity[3:]) for check in whole
    ]
    last = watch(checks)[-1]
    assert (last.verdict, last.onset_step) == ("learning", None)
    assert 0.3 < last.confidence < CONFIG.sure


def test_a_fall_is_no_rise() -> None:
    rising = checks_of(800)
    falling = [
        replace(check, fidelity=tuple(0.9 - np.array(check.fidelity))) for check in rising
    ]
    assert not any(v.verdict == "converged" for v in watch(falling))


def test_the_first_check_alone_is_waited_on() -> None:
    [verdict] = watch(checks_of(800)[:1], ConvergenceConfig())
    assert verdict.verdict in ("waiting", "will not converge")
    assert verdict.onset_step is None


def test_a_rise_is_half_done_in_its_middle() -> None:
    step_N = np.arange(0, 1001, 25.0)
    value_N = 0.2 + 0.6 / (1 + np.exp(-(step_N - 400) / 20))
    rise = rise_of(step_N, value_N)
    assert (rise.low, rise.high) == (pytest.approx(0.2, abs=1e-6), pytest.approx(0.8, abs=1e-6))
    assert rise.middle == pytest.approx(400, abs=1e-3)


def test_the_middle_is_where_the_nearest_curve_that_never_falls_is_half_way() -> None:
    step_N = np.arange(0, 1001, 50.0)
    for seed in range(10):
        value_N = np.random.default_rng(seed).normal(0.2, 0.03, 21) + 0.5 * (step_N > 610)
        rise = rise_of(step_N, value_N)
        nearest_N = never_falling(value_N)
        assert rise.low == pytest.approx(nearest_N[0])
        assert rise.high == pytest.approx(value_N[-3:].mean())
        half = (rise.low + rise.high) / 2
        assert np.interp(rise.middle, step_N, nearest_N) == pytest.approx(half)
        assert 600 <= rise.middle <= 650


def never_falling(value_N: np.ndarray) -> np.ndarray:
    """The isotonic regression by its definition: the largest of means, each made smallest."""
    count = len(value_N)
    return np.array(
        [
            max(
                min(value_N[first : last + 1].mean() for last in range(at, count))
                for first in range(at + 1)
            )
            for at in range(count)
        ]
    )


def test_what_still_rises_slowly_moves_the_onset_by_less_than_a_tenth() -> None:
    for checks in (checks_of(500, seed=seed) for seed in range(5)):
        growing = [
            replace(
                check,
                fidelity=tuple(
                    np.array(check.fidelity) + 0.1 * max(0.0, check.step - 500) / 1500
                ),
            )
            for check in checks
        ]
        found = watch(growing)[-1].onset_step
        assert found is not None
        assert found == pytest.approx(onset_of(growing), rel=0.1)


def test_fewer_checks_than_must_be_level_are_not_level() -> None:
    patient = replace(CONFIG, level_checks=30)
    assert watch(checks_of(500))[-1].verdict == "converged"
    assert watch(checks_of(500), patient)[-1].verdict == "learning"


def test_what_is_being_lost_is_not_level() -> None:
    rising = checks_of(500, steps=700)
    assert watch(rising)[-1].verdict == "learning"
    falling = [
        replace(
            rising[-1],
            step=700 + 100 * lost,
            fidelity=tuple(np.array(rising[-1].fidelity) - 0.3 * lost),
        )
        for lost in (1, 2)
    ]
    assert watch(rising + falling)[-1].verdict == "learning"


def test_what_is_learnt_and_lost_again_has_not_converged() -> None:
    rising = checks_of(500, steps=1000)
    assert watch(rising)[-1].verdict == "converged"
    lost = [
        replace(check, step=check.step + 1000, fidelity=rising[0].fidelity)
        for check in checks_of(None, steps=1000)
    ]
    last = watch(rising + lost[1:])[-1]
    assert last.verdict != "converged"
    assert last.onset_step is None


def test_an_onset_that_was_found_is_not_taken_back_while_it_rises_on() -> None:
    rising = checks_of(500, steps=1000)
    found = watch(rising)[-1]
    ended = rising[-1]
    more = [
        replace(ended, step=1000 + at, fidelity=tuple(np.array(ended.fidelity) + at / 4000))
        for at in range(100, 700, 100)
    ]
    last = watch(rising + more)[-1]
    assert (last.verdict, last.onset_step) == ("converged", found.onset_step)


def test_of_curves_that_fall_or_stand_nothing_rises() -> None:
    step_N = np.arange(0, 501, 50.0)
    for value_N in (np.full(11, 0.3), np.linspace(0.5, 0.1, 11)):
        rise = rise_of(step_N, value_N)
        assert (rise.height, rise.middle) == (0.0, 500.0)


def test_a_hint_that_lowers_the_loss_by_a_tenth_is_not_nothing() -> None:
    telling, silent = checks_of(100, gap=0.05), checks_of(None)
    assert confidence_of_nothing(telling, CONFIG) < 0.05
    assert confidence_of_nothing(silent, CONFIG) > 0.95


def test_a_gap_that_is_small_and_surely_there_is_about_to_open() -> None:
    checks = [
        replace(check, true=tuple((np.array(check.shuffled) - 0.002).tolist()))
        for check in checks_of(None)
    ]
    assert confidence_of_nothing(checks, CONFIG) == 0.0


def test_a_check_comes_back_from_json_as_it_was() -> None:
    [check, *_] = checks_of(300)
    assert Check.from_table(json.loads(json.dumps(check.to_table()))) == check


def test_the_same_checks_give_the_same_verdict() -> None:
    checks = checks_of(700)
    assert watch(checks) == watch(checks)


def test_half_way_to_the_ceiling_is_read_from_the_curve_with_an_interval() -> None:
    """From .1 to .8 about step 800, where the ceiling is .9: half way is .5, just behind it."""
    checks = checks_of(800, noise=0.0)
    found = step_at(checks, CEILING, 0.5)
    assert found.mean == pytest.approx(800 + 40 * np.log(0.4 / 0.3), abs=40)
    assert found.low <= found.mean <= found.high
    assert found.high - found.low < 200
    assert found.n == 16
    assert step_at(checks, CEILING, 0.1).mean < found.mean < step_at(checks, CEILING, 0.8).mean


def test_what_never_comes_half_way_has_no_step() -> None:
    assert step_at(checks_of(None), CEILING, 0.5) is None
    assert step_at(checks_of(800), [3.0] * 16, 0.5) is None


def test_the_step_at_a_level_is_found_between_two_checks() -> None:
    values = [0.0, 0.2, 0.6, 0.6]
    checks = [
        Check(10 * index, (value, value), (0.5,) * 2, (0.5,) * 2, (0.5,) * 2)
        for index, value in enumerate(values)
    ]
    assert step_at(checks, [0.8, 0.8], 0.5).mean == pytest.approx(15.0)
    assert step_at(checks, [0.8, 0.8], 0.0).mean == 0.0
    taught = [replace(check, fidelity=(0.5, 0.7)) for check in checks]
    assert step_at(taught, [0.8, 0.8], 0.5) is None
    assert step_at(checks, [0.8, 0.8], 0.5, begin=[0.2, 0.4]).mean == pytest.approx(18.75)
    assert step_at(taught, [0.8, 0.8], 0.5, begin=[0.0, 0.0]).mean == 0.0


def test_what_may_still_rise_in_some_pictures_is_not_surely_level() -> None:
    """Both means are level; in one, pictures go up and down by nearly half the rise."""
    rise = Rise(0.1, 0.8, 500.0)

    def seen(swing: float) -> list[Check]:
        way_V = np.where(np.arange(16) % 2, swing, -swing)
        rows = [0.8 + way_V * place for place in (-1, -1, 0, 1)]
        nothing = (0.5,) * 16
        return [
            Check(1000 + 100 * at, tuple(row.tolist()), nothing, nothing, nothing)
            for at, row in enumerate(rows)
        ]

    assert is_level(seen(0.01), rise, CONFIG)
    assert not is_level(seen(0.3), rise, CONFIG)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("patience", -4.0), ("least_rise", float("nan")), ("level_checks", 1)),
        *(("sure", 1.5), ("resamples", 0), ("least_steps", -1)),
    ],
)
def test_a_setting_that_makes_no_sense_is_refused_by_name(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"{name} is "):
        replace(CONFIG, **{name: value})
