import math
from dataclasses import replace

import pytest
from scipy.stats import ttest_1samp

from graft.config import changed, load
from graft.controlnet.study.schedule import choices, compare_schedules, schedule_variants
from graft.controlnet.trainee import TrainConfig
from graft.controlnet.workshop import TeachConfig
from graft.world.shipped import FOLDER

DEMO = load(TeachConfig, FOLDER.parent / "controlnet.toml", ['images="pictures"'])
FIRST, *OTHERS = choices()


def outcome(half: float | None, closed: float) -> dict[str, object]:
    step = None if half is None else {"mean": half, "low": half, "high": half, "n": 4}
    return {"half_way": step, "closed": closed}


def found_of(
    steps: dict[str, list[float | None]], closed: dict[str, list[float]]
) -> dict[str, dict[str, object]]:
    return {
        f"canny-{seed}-{name}": outcome(steps[name][seed], closed[name][seed])
        for name in choices()
        for seed in range(len(steps[name]))
    }


def test_choices_differ_in_nothing_but_what_they_are_named_by() -> None:
    found = {one.name: one.config for one in schedule_variants(DEMO, ["canny", "tile"], [0, 4])}
    assert len(found) == 4 * len(choices())
    plain = found[f"tile-4-{FIRST}"]
    assert (plain.condition, plain.train.seed) == ("tile", 4)
    assert not plain.train.stop_when_converged
    for name in OTHERS:
        other = found[f"tile-4-{name}"]
        assert other != plain
        assert replace(other, train=changed(other.train, **choices()[FIRST])) == plain


def test_the_first_is_what_training_does_untold() -> None:
    assert changed(TrainConfig(), **choices()[FIRST]) == TrainConfig()


def test_choices_are_compared_pair_by_pair() -> None:
    steps = {name: [40.0, 50.0, 80.0] for name in choices()}
    closed = {name: [0.5, 0.7, 0.6] for name in choices()}
    other = OTHERS[0]
    steps[other], closed[other] = [80.0, 110.0, 150.0], [0.6, 0.7, 0.8]
    told = compare_schedules(found_of(steps, closed))
    assert told[FIRST]["times_later"] == {"mean": 1.0, "low": 1.0, "high": 1.0}
    assert (told[other]["half_way"], told[other]["n"]) == (pytest.approx(340 / 3), 3)
    assert told[other]["closed"] == pytest.approx(0.7)
    logs = [math.log(one / own) for one, own in zip(steps[other], steps[FIRST], strict=True)]
    wide = ttest_1samp(logs, 0).confidence_interval(0.95)
    assert told[other]["times_later"] == {
        "mean": pytest.approx(math.exp(sum(logs) / 3)),
        "low": pytest.approx(math.exp(wide.low)),
        "high": pytest.approx(math.exp(wide.high)),
    }
    more = ttest_1samp([0.1, 0.0, 0.2], 0).confidence_interval(0.95)
    assert told[other]["closed_more"] == {
        "mean": pytest.approx(0.1),
        "low": pytest.approx(more.low),
        "high": pytest.approx(more.high),
    }


def test_who_never_comes_half_way_is_counted_and_in_no_ratio() -> None:
    steps: dict[str, list[float | None]] = {name: [40.0, 50.0] for name in choices()}
    closed = {name: [0.5, 0.7] for name in choices()}
    steps[OTHERS[0]], steps[OTHERS[1]] = [None, 100.0], [None, None]
    told = compare_schedules(found_of(steps, closed))
    once, never = told[OTHERS[0]], told[OTHERS[1]]
    assert (once["half_way"], once["came_half_way"], once["n"]) == (100.0, 1, 2)
    assert once["times_later"] == {"mean": pytest.approx(2.0), "low": None, "high": None}
    assert (never["half_way"], never["came_half_way"]) == (None, 0)
    assert never["times_later"] == {"mean": None, "low": None, "high": None}
