"""Is the onset that is found while training that of the whole curve, and what moves it?

Several conditions and seeds, and beside each the same pictures with their conditions mixed up,
from which nothing can be learnt.

And a hypothesis. With Adam a weight that begins at zero grows by the learning rate in each
step. The signal is a product of two such factors, the zero convolutions at both ends of the
copy: it reaches a given strength after steps that go as 1 / rate if both learn at it, as the
square root of that if only one does.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import cast

import numpy as np
from scipy.stats import t

from graft.config import changed
from graft.controlnet.grids import file_names, write_picture
from graft.controlnet.study.variants import Variant
from graft.controlnet.workshop import TeachConfig, Workshop
from graft.errors import StoreError
from graft.store.folders import whole_folder
from graft.store.shards import read_column
from graft.store.whole import write_text

CONDITIONS = ("canny", "scribble", "palette")
SEEDS = (0, 1, 2)
TIMES_RATE = (0.25, 0.5, 1.0, 2.0, 4.0)


def onset_variants(
    config: TeachConfig, out: Path, conditions: Sequence[str], seeds: Sequence[int]
) -> list[Variant]:
    """Each condition with each seed, to the last step; and mixed up, until that is said."""
    whole = changed(config.train, stop_when_converged=False)
    stopped = changed(config.train, stop_when_converged=True)
    found: list[Variant] = []
    for name in conditions:
        true = changed(config, condition=name, annotator={})
        keep = changed(config.keep, drop_misfits=False)
        mixed = changed(true, images=mixed_up(out, name), keep=keep)
        for seed in seeds:
            train = changed(whole, seed=seed)
            found.append(Variant(f"{name}-{seed}", changed(true, train=train)))
        for seed in seeds:
            train = changed(stopped, seed=seed)
            found.append(Variant(f"{name}-{seed}-mixed", changed(mixed, train=train)))
    return found


def mixed_up(out: Path, condition: str) -> Path:
    """Where pictures lie with each other's conditions."""
    return out / f"mixed-{condition}"


def write_mixed_up(shop: Workshop, folder: Path) -> None:
    """A folder of a run's pictures, each with the condition of the one before it."""
    if folder.exists():
        return
    try:
        with whole_folder(folder) as partial:
            _write_mixed_up(shop, partial)
    except StoreError:
        if not folder.exists():  # another process came first, with the same pictures
            raise


def _write_mixed_up(shop: Workshop, folder: Path) -> None:
    lines, ids = list[str](), [one for path in shop.shards() for one in read_column(path, "id")]
    files = file_names(cast("list[str]", ids))
    before = list(shop.pairs())[-1].condition.pixels_HWC
    for pair in shop.pairs():
        name = f"{files[pair.id]}.png"
        write_picture(folder / "pictures" / name, pair.pixels_HWC)
        write_picture(folder / "conditions" / name, before)
        before = pair.condition.pixels_HWC
        line = {"file_name": f"pictures/{name}", "text": pair.caption}
        line["conditioning_image"] = f"conditions/{name}"
        lines.append(json.dumps(line))
    write_text(folder / "metadata.jsonl", "\n".join(lines) + "\n")


def compare_onsets(found: Mapping[str, Mapping[str, object]]) -> dict[str, object]:
    """By how much each onset is off the whole curve's, and which mixed ones are refused."""
    true = {name: one for name, one in found.items() if not name.endswith("-mixed")}
    mixed = {name: one for name, one in found.items() if name.endswith("-mixed")}
    return {
        "off": {name: _off(one) for name, one in true.items()},
        "converged": [name for name, one in true.items() if one["verdict"] == "converged"],
        "refused": [n for n, one in mixed.items() if one["verdict"] == "will not converge"],
    }


def _off(one: Mapping[str, object]) -> float | None:
    """As a share of the whole curve's onset; None where none was found."""
    told, whole = one["onset_step"], one["onset_of_whole_curve"]
    if told is None or whole is None:
        return None
    return abs(cast("int", told) - cast("int", whole)) / cast("int", whole)


def rate_variants(config: TeachConfig, times: Sequence[float] = TIMES_RATE) -> list[Variant]:
    """Higher and lower rates: of everything, and of the convolutions behind the copy alone.

    The rate is held constant and nothing is averaged, so that it means the same at every step.
    """
    plain = changed(
        config.train,
        stop_when_converged=False,
        decay="constant",
        warm_up=0.0,
        average_decay=0.0,
    )
    found: list[Variant] = []
    for factor in times:
        every = changed(plain, learning_rate=factor * plain.learning_rate)
        found.append(Variant(f"all-{factor:g}", changed(config, train=every)))
    for factor in times:
        doors = changed(plain, zero_rate=factor * plain.zero_rate)
        if factor != 1.0:
            found.append(Variant(f"doors-{factor:g}", changed(config, train=doors)))
    return found


def compare_rates(found: Mapping[str, Mapping[str, object]]) -> dict[str, object]:
    """The slope of log(steps half way) over log(rate), for each kind: -1 is 1 / rate."""
    slopes: dict[str, object] = {}
    for kind in ("all", "doors"):
        points = list(_points(found, kind))
        slopes[kind] = None if len(points) < 3 else _slope(points)
    return slopes


def _points(
    found: Mapping[str, Mapping[str, object]], kind: str
) -> Iterator[tuple[float, float]]:
    for name, one in found.items():
        own, _, factor = name.partition("-")
        step = cast("Mapping[str, float] | None", one["half_way"])
        if step is not None and (own == kind or factor == "1"):
            yield float(factor), step["mean"]


def _slope(points: Sequence[tuple[float, float]]) -> dict[str, float]:
    """Least squares on both logarithms; its 95% interval from the scatter about the line."""
    rate_N = np.log([factor for factor, _ in points])
    step_N = np.log([max(step, 1.0) for _, step in points])
    slope, at_one = np.polyfit(rate_N, step_N, 1)
    left_N = step_N - (slope * rate_N + at_one)
    error = np.sqrt(left_N @ left_N / (len(points) - 2)) / np.sqrt(
        ((rate_N - rate_N.mean()) ** 2).sum()
    )
    wide = float(t.ppf(0.975, len(points) - 2) * error)
    return {
        "slope": float(slope),
        "low": float(slope - wide),
        "high": float(slope + wide),
        "steps_at_1": float(np.exp(at_one)),
    }
