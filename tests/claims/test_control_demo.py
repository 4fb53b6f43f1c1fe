"""What the documents claim of ControlNet's demonstration, held against its recorded results."""

from pathlib import Path
from typing import cast

import pytest

from graft.store.whole import read_json

RESULTS = Path(__file__).parents[2] / "docs" / "results"
REPORT = cast(
    "dict[str, dict[str, float]]", read_json(RESULTS / "demo-controlnet.json")["report"]
)
PROMPTS = cast(
    "dict[str, dict[str, dict[str, dict[str, float]]]]",
    read_json(RESULTS / "seedling-diffusion.json")["report"],
)["prompts"]


def test_the_base_is_unchanged_and_the_control_was_silent_at_step_0() -> None:
    assert REPORT["frozen_unchanged"] is True
    assert REPORT["step0_max_difference"] == 0.0


def test_the_report_has_what_it_promises() -> None:
    names = {"metric", "controlled", "none", "shuffled", "ceiling", "n", "low", "high"}
    assert set(REPORT["fidelity"]) == names
    assert {"onset_step", "steps", "verdict", "confidence"} <= set(REPORT["convergence"])
    assert {"base", "controlled"} == set(REPORT["prompt_agreement"])


def test_three_quarters_of_the_way_to_real_pictures_are_closed() -> None:
    found = REPORT["fidelity"]
    way = found["ceiling"] - found["none"]
    assert (found["controlled"] - found["none"]) / way >= 0.75
    assert found["shuffled"] < found["none"] + 0.1 * way


def test_it_has_converged_and_its_onset_is_that_of_the_whole_curve() -> None:
    found = REPORT["convergence"]
    assert found["verdict"] == "converged"
    assert found["confidence"] >= 0.9
    assert found["onset_step"] == pytest.approx(found["onset_of_whole_curve"], rel=0.1)


def test_prompts_are_followed_as_by_the_base_alone() -> None:
    assert REPORT["prompt_agreement"]["controlled"] >= REPORT["prompt_agreement"]["base"]


def test_it_takes_less_than_five_minutes() -> None:
    assert sum(REPORT["seconds"].values()) < 300


@pytest.mark.parametrize("case", ["samples", "samples, new pairs of shape and colour"])
@pytest.mark.parametrize("what", ["colours", "shapes", "pairs", "ground"])
def test_what_prompts_ask_for_is_seen_in_four_fifths_of_the_samples(
    case: str, what: str
) -> None:
    assert PROMPTS[case][what]["mean"] >= 0.8


def test_the_judge_sees_what_real_pictures_show() -> None:
    assert min(one["mean"] for one in PROMPTS["real pictures"].values()) >= 0.97


def test_on_photographs_in_tiles_the_control_is_surely_above_none() -> None:
    found = cast(
        "dict[str, dict[str, float]]", read_json(RESULTS / "photographs.json")["report"]
    )
    fidelity = found["fidelity"]
    assert fidelity["low"] > max(fidelity["none"], fidelity["shuffled"])
    told = [f"{fidelity[name]:.3f}" for name in ("none", "controlled", "ceiling")]
    assert told == ["0.124", "0.368", "0.601"]
    assert found["held_out"] == {"pairs": 48, "pictures": 4}
    assert found["frozen_unchanged"] is True
