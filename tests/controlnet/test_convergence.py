"""The verdict on curves whose truth is known, as a training would show them check by check."""

import json
from dataclasses import replace

import numpy as np
import pytest

from graft.controlnet.convergence import (
    Check,
    Convergence,
    ConvergenceConfig,
    confidence_of_nothing,
    fit_rise,
    fit_rises,
    judge,
    onset_of,
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


def test_a_gap_without_a_rise_is_told_to_go_on() -> None:
    checks = [replace(check, fidelity=(0.1,) * 16) for check in checks_of(1000)]
    last = watch(checks)[-1]
    assert last.verdict == "learning"
    assert not last.ended
    assert "the pictures do not show it yet" in last.advice


def test_a_rise_that_still_rises_has_not_converged() -> None:
    checks = checks_of(1900, width=300)
    assert watch(checks)[-1].verdict == "learning"


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


def test_a_fitted_rise_gives_back_its_own_numbers() -> None:
    step_N = np.arange(0, 1001, 25.0)
    value_N = 0.2 + 0.6 / (1 + np.exp(-(step_N - 400) / 20))
    rise = fit_rise(step_N, value_N)
    assert rise.middle == pytest.approx(400, abs=5)
    assert rise.low == pytest.approx(0.2, abs=0.01)
    assert rise.high == pytest.approx(0.8, abs=0.01)


def test_fitting_many_curves_is_fitting_each() -> None:
    step_N = np.arange(0, 1001, 50.0)
    curves = np.array([np.array(c.fidelity) for c in checks_of(500, steps=1000, every=50)]).T
    low_R, high_R, middle_R, width_R = fit_rises(step_N, curves)
    for row, curve in enumerate(curves):
        alone = fit_rise(step_N, curve)
        assert (alone.middle, alone.width) == (middle_R[row], width_R[row])
        assert alone.low == pytest.approx(low_R[row])
        assert alone.high == pytest.approx(high_R[row])


def test_the_fit_is_the_best_one_of_a_slow_search() -> None:
    step_N = np.arange(0, 1001, 50.0)
    value_N = np.random.default_rng(3).normal(0.2, 0.02, 21) + 0.5 * (step_N > 610)
    rise = fit_rise(step_N, value_N)
    ours = ((rise.at(step_N) - value_N) ** 2).sum()
    best = np.inf
    for middle in np.linspace(5, 1000, 200):
        for width in 1000 * np.array([0.004, 0.01, 0.02, 0.04, 0.07, 0.12]):
            shape = 1 / (1 + np.exp(-np.clip((step_N - middle) / width, -60, 60)))
            basis = np.stack([np.ones_like(shape), shape], axis=1)
            solved, *_ = np.linalg.lstsq(basis, value_N, rcond=None)
            if solved[1] >= 0:
                best = min(best, ((basis @ solved - value_N) ** 2).sum())
    assert ours == pytest.approx(best, rel=1e-6)


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
