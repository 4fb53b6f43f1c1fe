from dataclasses import fields, replace
from pathlib import Path

import pytest

from graft.config import load
from graft.controlnet.study.levers import compare_levers, lever_variants, script_of
from graft.controlnet.workshop import TeachConfig
from graft.world.shipped import FOLDER

DEMO = load(TeachConfig, FOLDER.parent / "controlnet.toml", ['images="pictures"'])


def changed(one: TeachConfig, other: TeachConfig) -> set[str]:
    """The settings of training in which two variants differ."""
    names = [field.name for field in fields(one.train)]
    return {name for name in names if getattr(one.train, name) != getattr(other.train, name)}


def test_each_lever_is_the_script_with_one_thing_changed() -> None:
    found = {one.name: one.config for one in lever_variants(DEMO)}
    script = found["script-rate-1"]
    assert changed(script, found["hint-rate"]) == {"hint_rate"}
    assert found["hint-rate"].train.hint_rate == DEMO.train.hint_rate
    assert changed(script, found["late-times"]) == {"time_power"}
    assert changed(script, found["zero-rate"]) == {"zero_rate"}
    assert changed(script, found["accumulate"]) == {"accumulate"}
    assert changed(script, found["latent-hint"]) == {"control"}
    assert changed(script, found["average"]) == {"average_decay"}
    assert changed(script, found["decay"]) == {"decay", "warm_up"}
    assert changed(script, found["clip"]) == {"clip_norm"}
    assert changed(script, found["empty-prompts"]) == {"no_prompt"}
    assert changed(script, found["short-memory"]) == {"beta2"}
    assert changed(script, found["script-rate-4"]) == {"learning_rate"}
    assert changed(script, found["warm-start"]) == set()


def test_together_is_the_recipe_and_each_lever_of_it_is_let_go_of_once() -> None:
    found = {one.name: one.config for one in lever_variants(DEMO)}
    together = found["together"]
    assert together.train == replace(DEMO.train, stop_when_converged=False)
    assert changed(together, found["together-without-hint-rate"]) == {"hint_rate"}
    assert found["together-without-hint-rate"].train.hint_rate == 1.0
    assert changed(together, found["together-without-decay"]) == {"decay", "warm_up"}
    assert changed(together, found["together-with-zero-rate"]) == {"zero_rate"}
    pulled = {name.removeprefix("together-without-") for name in found if "without" in name}
    assert pulled == {"hint-rate", "late-times", "average", "decay", "clip"}
    assert changed(together, found["together-with-empty-prompts"]) == {"no_prompt"}
    assert changed(together, found["together-with-short-memory"]) == {"beta2"}
    assert changed(together, found["together-with-rate-2"]) == {"learning_rate"}
    twice = 2 * together.train.learning_rate
    assert found["together-with-rate-2"].train.learning_rate == twice
    assert not any(one.train.stop_when_converged for one in found.values())


def test_a_warm_start_begins_with_a_control_that_was_taught_before_it() -> None:
    variants = lever_variants(DEMO)
    names = [one.name for one in variants]
    warm = [one for one in variants if one.begins_with]
    assert [one.name for one in warm] == ["warm-start", "together-with-warm-start"]
    for one in warm:
        assert names.index(one.begins_with) < names.index(one.name)
    related = variants[names.index("related")].config
    assert related.condition != DEMO.condition


def test_the_script_of_a_script_is_itself() -> None:
    assert script_of(script_of(DEMO.train)) == script_of(DEMO.train)


def half(step: float | None, steps: int = 800) -> dict[str, object]:
    one = None if step is None else {"mean": step, "low": step, "high": step, "n": 4}
    return {"half_way": one, "steps": steps}


def test_levers_are_compared_with_the_script_at_its_best_rate() -> None:
    found = {
        "script-rate-1": half(None),
        "script-rate-2": half(500.0),
        "script-rate-4": half(400.0),
        "together": half(100.0),
        "average": half(None),
    }
    told = compare_levers(found)
    assert told["script"] == "script-rate-4"
    assert told["script_reached"] is True
    fewer = told["times_fewer"]
    assert fewer["together"] == pytest.approx(4.0)
    assert fewer["script-rate-2"] == pytest.approx(0.8)
    assert fewer["average"] is None


def test_a_script_that_never_comes_half_way_gives_a_lower_bound() -> None:
    told = compare_levers({"script-rate-1": half(None, 800), "together": half(200.0)})
    assert told["script_reached"] is False
    assert told["times_fewer"]["together"] == pytest.approx(4.0)


def test_without_a_condition_of_ones_own_the_pictures_are_the_recipes() -> None:
    assert {one.config.images for one in lever_variants(DEMO)} == {Path("pictures")}
