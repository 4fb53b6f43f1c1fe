"""What the documents claim of the studies of controls, held against their results."""

import re
from pathlib import Path
from typing import cast

from graft.store.whole import read_json

ROOT = Path(__file__).parents[2]
PAGE = " ".join((ROOT / "docs" / "controlnet.md").read_text(encoding="utf-8").split())
Result = dict[str, float]


def report(name: str) -> dict[str, object]:
    path = ROOT / "docs" / "results" / f"study-{name}.json"
    return cast("dict[str, object]", read_json(path)["report"])


def half_way(variant: str) -> Result:
    variants = cast("dict[str, dict[str, object]]", report("convergence")["variants"])
    return cast("Result", variants[variant]["half_way"])


def times_fewer(variant: str) -> float:
    return cast("dict[str, float]", report("convergence")["times_fewer"])[variant]


def told(variant: str) -> str:
    found = half_way(variant)
    return f"{found['mean']:.0f} steps ({found['low']:.0f}-{found['high']:.0f})"


def test_the_recipe_takes_less_than_half_the_steps_of_the_script_at_its_best_rate() -> None:
    script = cast("str", report("convergence")["script"])
    assert times_fewer("together") > 2
    assert half_way("together")["high"] < half_way(script)["low"]
    for variant in (script, "together"):
        assert f"after {told(variant)} with" in PAGE
    assert f"recipe, {times_fewer('together'):.1f} times fewer" in PAGE


def test_with_short_gradients_canny_takes_as_many_steps_as_are_told() -> None:
    variants = cast("dict[str, dict[str, object]]", report("onset")["variants"])
    found = [cast("Result", variants[f"canny-{seed}"]["half_way"]) for seed in range(3)]
    first, second, third = (f"{one['mean']:.0f}" for one in found)
    assert f"half way after {first}, {second} and {third} steps on three seeds" in PAGE
    script = half_way(cast("str", report("convergence")["script"]))
    assert max(one["mean"] for one in found) < script["mean"] / 2
    assert max(one["high"] for one in found) < script["low"]


def test_no_lever_let_go_of_or_pulled_besides_surely_hastens_the_recipe() -> None:
    variants = cast("dict[str, dict[str, object]]", report("convergence")["variants"])
    others = {name for name in variants if name.startswith("together-")}
    begun = "together-with-warm-start"  # with what another training has learnt
    assert len(others) == 12
    for name in others - {begun}:
        assert half_way(name)["high"] > half_way("together")["low"]
        assert re.search(rf"\b{half_way(name)['mean']:.0f}\b", PAGE)
    assert half_way(begun)["mean"] == 0


def test_the_hint_encoders_rate_is_the_strongest_lever_then_short_gradients() -> None:
    variants = cast("dict[str, dict[str, object]]", report("convergence")["variants"])
    found = cast("dict[str, float | None]", report("convergence")["times_fewer"])
    begun = {"related", "warm-start"}
    alone = {name for name in variants if not name.startswith(("script", "together"))} - begun
    assert times_fewer("hint-rate") > times_fewer("clip")
    assert max(found[name] or 0 for name in alone - {"hint-rate", "clip"}) < 1.02
    for name in ("hint-rate", "late-times"):
        assert half_way(f"together-without-{name}")["low"] > half_way("together")["high"]
    for name in ("hint-rate", "clip"):
        assert f"{times_fewer(name):.1f}" in PAGE
    ends = [
        cast("Result", variants[name]["fidelity"])["controlled"]
        for name in ("together-without-clip", "together")
    ]
    told = f"{ends[0]:.3f} without them, {ends[1]:.3f} with them"
    assert told.replace("0.", ".") in PAGE


def test_what_is_sooner_than_the_recipe_is_told() -> None:
    variants = cast("dict[str, dict[str, object]]", report("convergence")["variants"])
    sooner = {
        name
        for name in variants
        if name.startswith("together-")
        and 0 < half_way(name)["mean"] < half_way("together")["mean"]
    }
    assert sooner == {"together-without-decay", "together-with-short-memory"}
    for name in sooner:
        assert half_way(name)["high"] > half_way("together")["low"]
    assert "both intervals overlap the recipe's" in PAGE


def test_no_schedule_is_surely_sooner_on_canny_and_one_with_a_short_memory_ends_lower() -> None:
    chosen = cast("dict[str, dict[str, object]]", report("schedule-canny")["choices"])
    first, *others = chosen
    assert first == "constant-0.999"
    steps = {name: round(cast("float", one["half_way"])) for name, one in chosen.items()}
    warm, constant = steps["warm-up-cosine-0.999"], steps[first]
    told = f"{warm} steps with the demonstration's warm-up and decay and after {constant} at"
    assert told in PAGE
    both = steps["warm-up-cosine-0.99"], steps["constant-0.99"]
    assert "with a short memory after {} and {}.".format(*both) in PAGE
    surely = set[str]()
    for name in others:
        later = cast("Result", chosen[name]["times_later"])
        more = cast("Result", chosen[name]["closed_more"])
        assert chosen[name]["n"] == chosen[name]["came_half_way"] == 3
        assert later["low"] < 1 < later["high"]
        if more["high"] < 0 or more["low"] > 0:
            surely.add(name)
            less = [-100 * more[at] for at in ("mean", "high", "low")]
            assert "by {:.1f} points ({:.1f} to {:.1f})".format(*less) in PAGE
    assert surely == {"warm-up-cosine-0.99"}
    closed = [100 * cast("float", one["closed"]) for one in chosen.values()]
    assert f"close {min(closed):.0f} to {max(closed):.0f}% of the way" in PAGE


def test_the_same_training_recorded_twice_on_one_machine_is_the_same() -> None:
    first = cast("dict[str, dict[str, object]]", report("convergence")["variants"])
    again = cast("dict[str, dict[str, object]]", report("schedule-canny")["variants"])
    for name, other in (
        ("together", "canny-0-warm-up-cosine-0.999"),
        ("together-without-decay", "canny-0-constant-0.999"),
        ("together-with-short-memory", "canny-0-warm-up-cosine-0.99"),
    ):
        for what in ("half_way", "fidelity", "curve"):
            assert first[name][what] == again[other][what]
    steps = [
        cast("Result", again[f"canny-{seed}-warm-up-cosine-0.999"]["half_way"])["mean"]
        for seed in (0, 1, 2)
    ]
    assert "`schedule` after {:.0f}, {:.0f} and {:.0f}".format(*steps) in PAGE


def test_on_palette_two_seeds_tell_no_schedule_apart() -> None:
    found = report("schedule-palette")
    chosen = cast("dict[str, dict[str, object]]", found["choices"])
    for one in chosen.values():
        more = cast("Result", one["closed_more"])
        assert one["n"] == 2
        assert more["low"] <= 0 <= more["high"]
    variants = cast("dict[str, dict[str, object]]", found["variants"])
    assert len(variants) == 8
    for one in variants.values():
        fidelity = cast("Result", one["fidelity"])
        assert one["verdict"] in ("converged", "learning")
        assert fidelity["low"] > fidelity["none"]
    assert "seeds tell nothing apart: all of the eight learn" in PAGE


def test_emptied_prompts_a_latent_hint_and_twice_the_rate_delay_the_recipe() -> None:
    for name in ("empty-prompts", "latent-hint", "rate-2"):
        assert half_way(f"together-with-{name}")["mean"] > half_way("together")["mean"]


def test_the_power_form_stays_level_over_guidance_where_the_others_fall() -> None:
    forms = cast("dict[str, dict[str, Result]]", report("weighting")["weighting"])

    def fallen(form: str) -> float:
        return forms[form]["1.5"]["mean"] - forms[form]["5"]["mean"]

    assert abs(fallen("power")) < 0.01
    assert fallen("none") > 0.1
    assert fallen("resolution") > 0.1


def test_onsets_found_while_training_are_those_of_the_whole_curve() -> None:
    found = report("onset")
    variants = cast("dict[str, dict[str, object]]", found["variants"])
    off = cast("dict[str, float | None]", found["off"])
    assert set(off) == {
        f"{name}-{seed}" for name in ("canny", "scribble", "palette") for seed in range(3)
    }
    assert all(one is not None and one < 0.07 for one in off.values())
    later = {name for name in off if variants[name]["verdict"] != "converged"}
    assert later == {"palette-2"}
    assert variants["palette-2"]["found_at"] == variants["palette-2"]["steps"]
    front = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    for page in (PAGE, front):
        assert "eight of nine onsets were found while training" in page
        assert "within 7% of the onset of the whole curve" in page


def test_pairs_that_were_mixed_up_are_refused() -> None:
    variants = cast("dict[str, dict[str, object]]", report("onset")["variants"])
    mixed = {name for name in variants if name.endswith("-mixed")}
    assert len(mixed) == 9
    assert set(cast("list[str]", report("onset")["refused"])) == mixed


def test_two_controls_at_once_are_as_faithful_as_each_alone() -> None:
    found = cast("dict[str, dict[str, Result]]", report("together")["together"])
    for condition, alone in (("canny", "first alone"), ("palette", "second alone")):
        both = found["both"][condition]["mean"]
        assert both > found[alone][condition]["mean"]
        told = f"{both:.3f} beside {found[alone][condition]['mean']:.3f} alone"
        assert told.replace("0.", ".").removesuffix(" alone") in PAGE
    assert found["both at 0.5"]["canny"]["high"] < found["both"]["canny"]["mean"]
    assert found["both"]["palette"]["mean"] - found["both at 0.5"]["palette"]["mean"] < 0.01


def test_what_keep_leaves_of_a_spoiled_folder_teaches_as_well_as_so_many_clean_pairs() -> None:
    path = ROOT / "docs" / "results" / "benchmark-cleaned.json"
    rows = cast("list[dict[str, float]]", read_json(path)["rows"])
    clean, spoiled, cleaned, few = rows
    assert cleaned["learnt from"] == few["learnt from"]
    assert abs(cleaned["fidelity"] - few["fidelity"]) < 0.01
    assert spoiled["to"] < cleaned["from"]
    for row in (spoiled, cleaned, few):
        told = f"{row['fidelity']:.3f} ({row['from']:.3f}-{row['to']:.3f})"
        assert told.replace("0.", ".") in PAGE
    assert f"{clean['fidelity']:.3f}".removeprefix("0") in PAGE


def test_from_a_hundred_pictures_on_fidelity_is_level() -> None:
    variants = cast("dict[str, dict[str, Result]]", report("pictures")["variants"])
    found = {int(name): one["fidelity"] for name, one in variants.items()}
    for count, one in found.items():
        assert f"{one['controlled']:.3f}".removeprefix("0") in PAGE, count
    level = [one for count, one in found.items() if count >= 100]
    assert max(one["low"] for one in level) < min(one["high"] for one in level)
    assert found[30]["controlled"] < min(one["controlled"] for one in level)


def test_gaussian_convolutions_open_later_and_the_light_version_loses_a_little() -> None:
    variants = cast("dict[str, dict[str, Result]]", report("ablations")["variants"])
    prompts = cast("dict[str, dict[str, Result]]", report("ablations")["prompts"])
    zero, gaussian = (variants[name]["half_way"] for name in ("zero", "gaussian"))
    assert zero["high"] < gaussian["low"]
    for told in (zero, gaussian):
        assert f"{told['mean']:.0f} " in PAGE
        assert f"({told['low']:.0f}-{told['high']:.0f})" in PAGE
    for name in variants:
        assert f"{prompts[name]['perfect']['mean']:.3f}".removeprefix("0") in PAGE
    assert prompts["middle-only"]["perfect"]["high"] < prompts["light"]["perfect"]["low"]


def test_an_unlocked_decoder_helps_where_the_prompt_does_not() -> None:
    prompts = cast("dict[str, dict[str, Result]]", report("ablations")["prompts"])
    zero, unlocked = prompts["zero"], prompts["unlocked"]
    assert zero["perfect"]["high"] > unlocked["perfect"]["mean"]
    for kind in ("none", "conflicting"):
        told = f"{unlocked[kind]['mean']:.3f} beside {zero[kind]['mean']:.3f}"
        assert told.replace("0.", ".") in PAGE
    assert zero["none"]["high"] < unlocked["none"]["mean"]


def test_the_onset_does_not_go_as_one_over_the_zero_convolutions_rate() -> None:
    slopes = cast("dict[str, Result]", report("rate")["slopes"])
    assert slopes["doors"]["low"] > -0.5
    for kind in ("doors", "all"):
        one = slopes[kind]
        assert f"{one['slope']:+.2f}" in PAGE
        assert f"{one['low']:+.2f} to {one['high']:+.2f})" in PAGE
    variants = cast("dict[str, dict[str, object]]", report("rate")["variants"])
    assert variants["all-4"]["verdict"] == "will not converge"


def test_onsets_of_curves_that_the_rule_was_not_chosen_on_are_near_too() -> None:
    chosen_on = ("zero", "30")  # the first is a curve of the study of onsets
    off = list[float]()
    for name in ("ablations", "pictures"):
        variants = cast("dict[str, dict[str, float]]", report(name)["variants"])
        off += [
            abs(one["onset_step"] / one["onset_of_whole_curve"] - 1)
            for variant, one in variants.items()
            if variant not in chosen_on
        ]
    assert len(off) == 8
    assert 0.05 < max(off) < 0.071
    assert "found and whole-curve onsets are at most about 7% apart" in PAGE
