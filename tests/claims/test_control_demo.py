"""What the documents claim of ControlNet's demonstration, held against its recorded results."""

from pathlib import Path
from typing import cast

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


def test_the_grounds_that_prompts_ask_for_are_seen_and_the_judge_is_right() -> None:
    assert PROMPTS["samples"]["ground"]["mean"] >= 0.9
    assert min(one["mean"] for one in PROMPTS["real pictures"].values()) >= 0.97
