"""Has a control converged? Measured while it trains.

ControlNets converge suddenly (Zhang et al. 2023, Figure 4): from one moment on the condition is
followed. Two curves show it. *Fidelity*: how well the condition is found again in generated
pictures. *The gap*: how much less the base's loss is with the true hint than with another
picture's, at fixed noise; it opens before the pictures show anything.

The onset is the middle of the rise: the step at which fidelity is half way from where it began
to where it stands now, read from the nearest curve that never falls (isotonic regression). A
logistic fit says the same of a rise that is sudden and then level; where fidelity goes on
rising slowly, it moves its middle about. How sure it is: the share of bootstrap resamples of
the validation pictures in which the rise is there. Where its middle lies in them is the onset's
interval: narrow of a sudden rise, wide of a slow one.

Legend: N checks, V pictures, R resamples.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Literal, NamedTuple, cast

import numpy as np
from scipy.optimize import isotonic_regression

from graft.config import require
from graft.measure.interval import Interval

Verdict = Literal["waiting", "learning", "converged", "will not converge"]


@dataclass(frozen=True, slots=True)
class Check:
    """What was measured after `step` steps, for each validation picture.

    `fidelity` is empty where no pictures were generated. The losses are the base's at fixed
    noise: with the true hint, with another picture's, and with none.
    """

    step: int
    fidelity: tuple[float, ...]
    true: tuple[float, ...]
    shuffled: tuple[float, ...]
    none: tuple[float, ...]

    @classmethod
    def from_table(cls, table: Mapping[str, object]) -> "Check":
        """The check that a JSON file holds."""
        lists = {name: tuple(cast("list[float]", table[name])) for name in _LISTS}
        return cls(step=cast("int", table["step"]), **lists)

    def to_table(self) -> dict[str, object]:
        """As JSON holds it."""
        return asdict(self)

    @property
    def is_finite(self) -> bool:
        """Whether its losses are."""
        return bool(np.isfinite([*self.true, *self.shuffled, *self.none]).all())

    @property
    def gap(self) -> np.ndarray:
        """How much each picture's loss is lower with its own hint than with another's [V]."""
        return np.array(self.shuffled) - np.array(self.true)


@dataclass(frozen=True, kw_only=True)
class ConvergenceConfig:
    """When a training is said to have converged, or to have no hope."""

    least_rise: float = 0.15  # of the way from no control to the ceiling
    level_checks: int = 3  # checks with pictures that must be level
    level: float = 0.05  # of the rise; what still comes is less than this from check to check
    patience: float = 0.6  # share of the steps before a hint that tells nothing is given up
    least_steps: int = 100  # and at least so many
    resamples: int = 200
    sure: float = 0.9  # confidence from which a verdict is given

    def __post_init__(self) -> None:
        least = ("least_rise", "level", "patience", "least_steps")
        require(self, least, lambda one: 0 <= one < math.inf, "at least 0, and finite")
        require(self, ("level_checks",), lambda count: count >= 2, "at least 2")
        require(self, ("resamples",), lambda count: count >= 1, "at least 1")
        require(self, ("sure",), lambda one: 0 <= one <= 1, "a share, from 0 to 1")


@dataclass(frozen=True, slots=True)
class Rise:
    """A rise from `low` to `high`, half done at step `middle`."""

    low: float
    high: float
    middle: float

    @property
    def height(self) -> float:
        """How far it rises; 0 of a flat curve."""
        return self.high - self.low


@dataclass(frozen=True, slots=True)
class Convergence:
    """A verdict, the onset's step where there is one, how sure both are, and what to do."""

    verdict: Verdict
    confidence: float
    advice: str
    onset_step: int | None = None
    onset_low: int | None = None
    onset_high: int | None = None
    """Between these the onset lies in 95% of the resamples."""
    found_at: int | None = None
    """The step at which the onset was first found; later checks do not move it."""

    @property
    def ended(self) -> bool:
        """Whether there is nothing to wait for."""
        return self.verdict in ("converged", "will not converge")


_LISTS = ("fidelity", "true", "shuffled", "none")
_LAST = 3  # checks that tell where a curve stands now
_FALL = 0.05  # of the rise, from check to check: what is still level
_LITTLE = 0.05  # of the loss: a hint that tells no more at the end tells next to nothing
_GROWN = 0.01  # of the loss: what tells so much more than at half time may be about to open
_SEED = 0  # of the resamples: the same checks, the same verdict


def judge(
    checks: Sequence[Check],
    ceiling: Sequence[float],
    settings: ConvergenceConfig,
    *,
    steps: int,
    before: Convergence | None = None,
) -> Convergence:
    """What the checks so far say.

    Args:
        checks: in the order of their steps; the first one is of step 0, the silent control.
        ceiling: the fidelity of the real pictures, for each validation picture.
        settings: when it is said to have converged.
        steps: so many the training has in all.
        before: the verdict before the last check; an onset that it found stays, unless what
            was learnt is lost again.
    """
    seen = [check for check in checks if check.fidelity]
    last = checks[-1].step
    confidence, rise, bounds = _surely_risen(seen, ceiling, settings)
    hopeless = confidence_of_nothing(checks, settings)
    if hopeless >= 0.5:  # the hint is not read: whatever rises, rises by luck
        rise = None
    if rise is not None and before is not None and before.onset_step is not None:
        return replace(before, confidence=confidence)
    if rise is not None and confidence >= settings.sure and is_level(seen, rise, settings):
        onset = round(rise.middle)
        advice = f"stop: the condition is followed since step {onset}, and it is level now"
        return Convergence("converged", confidence, advice, onset, *bounds, last)
    if rise is not None:
        if last >= steps and confidence >= settings.sure:
            onset = round(rise.middle)
            advice = f"the condition is followed since step {onset}; more steps may do it good"
            return Convergence("learning", confidence, advice, onset, *bounds, last)
        advice = f"go on: the condition begins to be followed near step {round(rise.middle)}"
        advice += _too_few(len(ceiling), settings)
        return Convergence("learning", confidence, advice)
    patience = max(settings.patience * steps, settings.least_steps)
    if hopeless >= settings.sure and last >= patience:
        advice = (
            "stop: another picture's hint serves as well as the right one; see that hints and"
            " pictures belong together, and that hints are not empty"
        )
        return Convergence("will not converge", hopeless, advice)
    if last >= steps and (spent := confidence_of_standstill(checks, settings)) >= settings.sure:
        advice = (
            "stop: in all its steps the right hint has not come to tell more than another"
            " picture's; see that hints and pictures belong together, or raise"
            " train.learning_rate"
        )
        return Convergence("will not converge", spent, advice)
    told = _no_rise_yet(checks, hopeless, done=last >= steps)
    return replace(told, advice=told.advice + _too_few(len(ceiling), settings))


def onset_of(checks: Sequence[Check]) -> float | None:
    """The middle of the rise in the whole curve, or None of fewer than three points."""
    seen = [check for check in checks if check.fidelity]
    if len(seen) < 3:
        return None
    return rise_of(_steps(seen), _fidelity(seen).mean(axis=0)).middle


def rise_of(step_N: np.ndarray, value_N: np.ndarray) -> Rise:
    """How a curve rises, by the never falling curve that is nearest to it in least squares.

    What was learnt and lost again is no rise: `high` is where the curve itself ends. One that
    ends no higher than it began is flat, with its middle at the end.
    """
    count = max(1, min(_LAST, len(value_N) // 3))
    nearest_N = isotonic_regression(value_N).x
    low, high = float(nearest_N[0]), float(value_N[-count:].mean())
    if high - low < 1e-9:
        return Rise(low, low, float(step_N[-1]))
    return Rise(low, high, _crossing(step_N, nearest_N, (low + high) / 2))


def step_at(
    checks: Sequence[Check],
    ceiling: Sequence[float],
    share: float,
    *,
    begin: Sequence[float] | None = None,
    resamples: int = 1000,
) -> Interval | None:
    """The step at which fidelity is `share` of the way from its beginning to the ceiling.

    `begin` is each picture's fidelity without a control, where the first check is not that.
    With the bounds of 95% of the bootstrap resamples of the pictures; one that never comes so
    far counts as the last step. None where the curve itself does not. Read from the nearest
    curve that never falls.
    """
    seen = [check for check in checks if check.fidelity]
    step_N, value_VN, ceiling_V = _steps(seen), _fidelity(seen), np.array(ceiling)
    begin_V = None if begin is None else np.array(begin)

    def reached(picked_V: np.ndarray) -> float | None:
        nearest_N = isotonic_regression(value_VN[picked_V].mean(axis=0)).x
        first = nearest_N[0] if begin_V is None else begin_V[picked_V].mean()
        level = (1 - share) * first + share * ceiling_V[picked_V].mean()
        return None if nearest_N[-1] < level else _crossing(step_N, nearest_N, level)

    middle = reached(np.arange(len(value_VN)))
    if middle is None:
        return None
    found = [reached(picked_V) for picked_V in _picks(len(value_VN), resamples)]
    step_R = [float(step_N[-1]) if one is None else one for one in found]
    low, high = np.quantile(step_R, [0.025, 0.975])
    return Interval(middle, float(low), float(high), len(value_VN))


def _crossing(step_N: np.ndarray, rising_N: np.ndarray, level: float) -> float:
    """The step at which a curve that never falls is at `level`, which it reaches."""
    after = int((rising_N >= level).argmax())
    if after == 0:
        return float(step_N[0])
    begin, end = rising_N[after - 1], rising_N[after]
    share = (level - begin) / (end - begin)
    return float(step_N[after - 1] + share * np.diff(step_N)[after - 1])


def is_level(seen: Sequence[Check], rise: Rise, settings: ConvergenceConfig) -> bool:
    """Whether the last checks do not fall, and surely rise by no more than is put up with.

    Surely: in the share `sure` of the resamples. By the mean alone a noisy curve that goes on
    rising is level now and then.
    """
    count = settings.level_checks
    if len(seen) <= count or seen[-count].step <= rise.middle:
        return False
    value_VN = _fidelity(seen)
    risen = value_VN[:, -count:].mean() - rise.low
    slope_V = np.polyfit(np.arange(count), value_VN[:, -count:].T, 1)[0]
    slope_R = slope_V[_picks(len(slope_V), settings.resamples)].mean(axis=1)
    surely = (slope_R <= settings.level * risen).mean() >= settings.sure
    return bool(surely and slope_V.mean() >= -_FALL * risen)


def confidence_of_nothing(checks: Sequence[Check], settings: ConvergenceConfig) -> float:
    """How sure it is that the true hint lowers the loss by less than a hundredth.

    Over the last three checks, for a single one is noisy. A gap that is small and yet surely
    there is no nothing: it is about to open.
    """
    recent = checks[-3:]
    gain_V = np.mean([check.gap for check in recent], axis=0)
    none_V = np.mean([check.none for check in recent], axis=0)
    picked_RV = _picks(len(gain_V), settings.resamples)
    share_R = gain_V[picked_RV].sum(axis=1) / none_V[picked_RV].sum(axis=1)
    surely_there = (share_R <= 0).mean() < 0.025
    if surely_there:
        return 0.0
    return _no_surer(float((share_R < 0.01).mean()), len(gain_V))


def confidence_of_standstill(checks: Sequence[Check], settings: ConvergenceConfig) -> float:
    """How sure it is that the true hint tells little, and no more than it did at half time.

    Little: it lowers the loss by less than a twentieth. What is about to open, where the steps
    were too few, grows. Asked of a training that is over: pictures whose hints are mixed up may
    still have something in common with them.
    """
    late = checks[len(checks) // 2 :]
    third = len(late) // 3
    if third == 0:
        return 0.0
    share_NV = np.array([check.gap for check in late]) / np.mean([c.none for c in late])
    then_V, now_V = share_NV[:third].mean(axis=0), share_NV[-third:].mean(axis=0)
    picked_RV = _picks(len(now_V), settings.resamples)
    little_R = now_V[picked_RV].mean(axis=1) < _LITTLE
    grown_R = (now_V - then_V)[picked_RV].mean(axis=1)
    return _no_surer(float((little_R & (grown_R < _GROWN)).mean()), len(now_V))


class _Risen(NamedTuple):
    """How sure a rise is, the rise if it is there in the mean of all, and its bounds."""

    confidence: float
    rise: Rise | None
    bounds: tuple[int, int] = (0, 0)


def _surely_risen(
    seen: Sequence[Check], ceiling: Sequence[float], settings: ConvergenceConfig
) -> _Risen:
    if len(seen) < 3:
        return _Risen(0.0, None)
    step_N, value_VN = _steps(seen), _fidelity(seen)
    way = float(np.mean(ceiling) - value_VN[:, 0].mean())
    least = max(settings.least_rise * way, 1e-9)
    rise = rise_of(step_N, value_VN.mean(axis=0))
    if rise.height < least:
        return _Risen(0.0, None)
    picked_RV = _picks(len(value_VN), settings.resamples)
    resampled = [rise_of(step_N, value_N) for value_N in value_VN[picked_RV].mean(axis=1)]
    low, high = np.quantile([one.middle for one in resampled], [0.025, 0.975])
    sure = float(np.mean([one.height >= least for one in resampled]))
    return _Risen(_no_surer(sure, len(value_VN)), rise, (round(low), round(high)))


def _no_rise_yet(checks: Sequence[Check], hopeless: float, *, done: bool) -> Convergence:
    if hopeless < 0.5:
        advice = "go on: the loss is lower with the right hint, the pictures do not show it yet"
        return Convergence("learning", 1 - hopeless, advice)
    if done:
        advice = "the steps were too few to tell: raise train.steps or train.learning_rate"
    else:
        advice = f"go on: nothing is to be seen after {checks[-1].step} steps"
    return Convergence("waiting", hopeless, advice)


def _no_surer(sure: float, count: int) -> float:
    """A confidence, no higher than so many pictures can make it.

    Resamples of a single picture are all the same. As in a sign test: where nothing is true,
    `count` pictures all say the same by luck once in 2**count times.
    """
    return min(sure, 1 - 0.5**count)


def _too_few(count: int, settings: ConvergenceConfig) -> str:
    if _no_surer(1.0, count) >= settings.sure:
        return ""
    return (
        f"; with {count} watched pictures no verdict is sure enough: raise validation.pictures,"
        " or bring more pictures"
    )


def _picks(count: int, resamples: int) -> np.ndarray:
    return np.random.default_rng(_SEED).integers(count, size=(resamples, count))


def _steps(seen: Sequence[Check]) -> np.ndarray:
    return np.array([check.step for check in seen], dtype=np.float64)


def _fidelity(seen: Sequence[Check]) -> np.ndarray:
    """Fidelity [V, N] by picture and check."""
    return np.array([check.fidelity for check in seen], dtype=np.float64).T
