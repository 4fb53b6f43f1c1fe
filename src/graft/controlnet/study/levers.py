"""Which setting makes a control converge sooner, alone and together?

Beside the settings of the usual script (one rate for everything, held constant; gradients up
to a length of 1; times drawn evenly; no prompt emptied; no running average) stands each lever
alone, all that a recipe pulls together, the recipe without each of them, and with those that
it does not pull.
"""

from collections.abc import Mapping, Sequence
from typing import cast

from graft.config import changed
from graft.controlnet.control import ControlConfig
from graft.controlnet.study.variants import Variant
from graft.controlnet.trainee import TrainConfig
from graft.controlnet.workshop import TeachConfig

RELATED = "softedge"
"""The condition whose control the variants `warm-start` begin with."""

_TIMES_RATE = (1, 2, 4)
"""The script is given the recipe's learning rate and higher ones; its best one counts."""

_TWICE = 2
_TIMES_ZERO = 10.0
_TIMES_BATCH = 2
_SILENT = 0.25
_SHORT_MEMORY = 0.99


def lever_variants(config: TeachConfig) -> list[Variant]:
    """The trainings of the study; `config` is the recipe, `together`."""
    recipe = changed(config.train, stop_when_converged=False)
    script = script_of(recipe)
    pulled, others = _pulled(recipe), _others(recipe)
    rest = {
        name: {field: getattr(script, field) for field in one} for name, one in pulled.items()
    }
    trainings: dict[str, TrainConfig] = {
        f"script-rate-{times}": changed(script, learning_rate=times * recipe.learning_rate)
        for times in _TIMES_RATE
    }
    trainings |= {name: changed(script, **one) for name, one in (pulled | others).items()}
    trainings["together"] = recipe
    trainings |= {
        f"together-without-{name}": changed(recipe, **one) for name, one in rest.items()
    }
    trainings |= {
        f"together-with-{name}": changed(recipe, **one) for name, one in others.items()
    }
    twice = changed(recipe, learning_rate=_TWICE * recipe.learning_rate)
    trainings[f"together-with-rate-{_TWICE}"] = twice
    related = changed(config, condition=RELATED, annotator={}, train=recipe)
    return [
        *(Variant(name, changed(config, train=train)) for name, train in trainings.items()),
        Variant("related", related),
        Variant("warm-start", changed(config, train=script), "related"),
        Variant("together-with-warm-start", changed(config, train=recipe), "related"),
    ]


def script_of(recipe: TrainConfig) -> TrainConfig:
    """A recipe with what the usual script leaves at one value, or does not have."""
    return changed(
        recipe,
        accumulate=1,
        hint_rate=1.0,
        zero_rate=1.0,
        beta2=0.999,
        clip_norm=1.0,
        warm_up=0.0,
        decay="constant",
        no_prompt=0.0,
        time_power=1.0,
        average_decay=0.0,
        control=ControlConfig(),
        start_from=None,
    )


def compare_levers(found: Mapping[str, Mapping[str, object]]) -> dict[str, object]:
    """How many times fewer steps each variant needs than the script at its best rate.

    By `half_way`; None where a variant never comes half way, or is there before its first
    step. If the script never comes there, its last step stands in its place, and the factor is
    a lower bound.
    """
    scripts = {name: half_way(one) for name, one in found.items() if name.startswith("script")}
    reached = {name: step for name, step in scripts.items() if step is not None}
    best = min(reached, key=reached.__getitem__) if reached else next(iter(scripts))
    steps = reached.get(best, cast("float", found[best]["steps"]))
    fewer = {
        name: steps / own if (own := half_way(one)) is not None and own > 0 else None
        for name, one in found.items()
    }
    return {"script": best, "script_reached": bool(reached), "times_fewer": fewer}


def half_way(one: Mapping[str, object]) -> float | None:
    """The step at which an outcome is half way, if it ever is."""
    step = cast("Mapping[str, float] | None", one["half_way"])
    return None if step is None else step["mean"]


def _pulled(recipe: TrainConfig) -> dict[str, Mapping[str, object]]:
    """The levers that the recipe pulls, by their settings there."""
    script, names = script_of(recipe), dict[str, Sequence[str]](_LEVERS)
    return {
        name: {field: getattr(recipe, field) for field in fields}
        for name, fields in names.items()
        if any(getattr(recipe, field) != getattr(script, field) for field in fields)
    }


def _others(recipe: TrainConfig) -> dict[str, Mapping[str, object]]:
    """The levers that it does not."""
    possible: dict[str, Mapping[str, object]] = {
        "zero-rate": {"zero_rate": _TIMES_ZERO},
        "accumulate": {"accumulate": _TIMES_BATCH},
        "empty-prompts": {"no_prompt": _SILENT},
        "latent-hint": {"control": ControlConfig(latent_hint=True)},
        "short-memory": {"beta2": _SHORT_MEMORY},
    }
    return {name: one for name, one in possible.items() if name not in _pulled(recipe)}


_LEVERS = {
    "hint-rate": ("hint_rate",),
    "zero-rate": ("zero_rate",),
    "late-times": ("time_power",),
    "accumulate": ("accumulate",),
    "latent-hint": ("control",),
    "average": ("average_decay",),
    "empty-prompts": ("no_prompt",),
    "decay": ("decay", "warm_up"),
    "clip": ("clip_norm",),
    "short-memory": ("beta2",),
}
