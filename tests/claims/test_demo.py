"""What the documents claim of the demonstration, held against the result they are made of."""

from pathlib import Path
from typing import cast

from graft.store.whole import read_json

RESULT = read_json(Path(__file__).parents[2] / "docs" / "results" / "demo.json")
REPORT = cast("dict[str, dict[str, dict[str, dict[str, float]]]]", RESULT["report"])


def accuracy(task: str, system: str) -> float:
    return REPORT["tasks"][task][system]["accuracy"]


def test_arithmetic_and_dates_are_ten_times_the_base_and_sixty_percent() -> None:
    for task in ("arithmetic", "dates"):
        assert accuracy(task, "toolformer") >= max(0.6, 10 * accuracy(task, "base"))


def test_facts_are_five_times_the_base() -> None:
    assert accuracy("facts", "toolformer") >= 5 * accuracy("facts", "base")


def test_texts_that_need_no_call_have_none_and_the_base_never_calls() -> None:
    assert REPORT["tasks"]["plain"]["toolformer"]["call_rate"] <= 0.05
    for task in REPORT["tasks"].values():
        assert task["base"]["call_rate"] == 0


def test_disabled_the_taught_model_predicts_as_well_as_its_control() -> None:
    perplexity = cast("dict[str, float]", REPORT["perplexity"])
    assert perplexity["disabled"] <= 1.01 * perplexity["control"]
