"""Do a warm-up with a decay of the rate, and a shorter memory of AdamW, bring a control sooner?

Each by several seeds, for one training says little: half way moves from seed to seed by as much
as these settings move it. What differs by nothing but them is compared seed by seed.
"""

from collections.abc import Mapping, Sequence
from typing import cast

import numpy as np
from scipy.stats import t

from graft.config import changed
from graft.controlnet.study.levers import half_way
from graft.controlnet.study.variants import Variant
from graft.controlnet.workshop import TeachConfig

SCHEDULES: Mapping[str, Mapping[str, object]] = {
    "constant": {"warm_up": 0.0, "decay": "constant"},
    "warm-up-cosine": {"warm_up": 0.05, "decay": "cosine"},
}
MEMORIES = (0.999, 0.99)


def choices() -> dict[str, Mapping[str, object]]:
    """The settings that are compared, by name; the first is what `train` does untold."""
    return {
        f"{name}-{beta2:g}": {**settings, "beta2": beta2}
        for beta2 in MEMORIES
        for name, settings in SCHEDULES.items()
    }


def schedule_variants(
    config: TeachConfig, conditions: Sequence[str], seeds: Sequence[int]
) -> list[Variant]:
    """Each choice with each condition and seed, to the last step."""
    whole = changed(config.train, stop_when_converged=False)
    return [
        Variant(
            f"{condition}-{seed}-{name}",
            changed(
                config,
                condition=condition,
                annotator={},
                train=changed(whole, seed=seed, **settings),
            ),
        )
        for name, settings in choices().items()
        for condition in conditions
        for seed in seeds
    ]


def compare_schedules(found: Mapping[str, Mapping[str, object]]) -> dict[str, object]:
    """Each choice over its conditions and seeds, and beside the first, pair by pair.

    `half_way` and `closed` are means; `times_later` is the mean ratio of the steps half way to
    those of the first choice, on a scale of logarithms, and `closed_more` the mean difference,
    with 95% intervals of Student's t over the pairs (`low` and `high`, None where one pair is
    all). A pair of which one never comes half way has no ratio.
    """
    names = list(choices())
    return {name: _beside(found, name, names[0]) for name in names}


def _beside(
    found: Mapping[str, Mapping[str, object]], name: str, first: str
) -> dict[str, object]:
    own = {pair: found[f"{pair}-{name}"] for pair in _pairs(found, first)}
    base = {pair: found[f"{pair}-{first}"] for pair in own}
    steps = [step for one in own.values() if (step := half_way(one)) is not None]
    later = [
        np.log(mine / theirs)
        for pair, one in own.items()
        if (mine := half_way(one)) and (theirs := half_way(base[pair]))
    ]
    more = [_closed(one) - _closed(base[pair]) for pair, one in own.items()]
    return {
        "n": len(own),
        "came_half_way": len(steps),
        "half_way": float(np.mean(steps)) if steps else None,
        "closed": float(np.mean([_closed(one) for one in own.values()])),
        "times_later": {
            at: None if value is None else float(np.exp(value))
            for at, value in _interval(later).items()
        },
        "closed_more": _interval(more),
    }


def _pairs(found: Mapping[str, object], first: str) -> list[str]:
    """Conditions with seeds, as `canny-0`."""
    end = f"-{first}"
    return [name.removesuffix(end) for name in found if name.endswith(end)]


def _closed(one: Mapping[str, object]) -> float:
    return cast("float", one["closed"])


def _interval(values: Sequence[float]) -> dict[str, float | None]:
    if not values:
        return {"mean": None, "low": None, "high": None}
    mean, count = float(np.mean(values)), len(values)
    if count == 1:
        return {"mean": mean, "low": None, "high": None}
    wide = float(t.ppf(0.975, count - 1) * np.std(values, ddof=1) / np.sqrt(count))
    return {"mean": mean, "low": mean - wide, "high": mean + wide}
