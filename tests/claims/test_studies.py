"""What the documents claim of the studies, held against the results that they are made of."""

from pathlib import Path
from typing import cast

from graft.store.whole import read_json

RESULTS = Path(__file__).parents[2] / "docs" / "results"
Result = dict[str, float]


def report(name: str) -> dict[str, object]:
    return cast("dict[str, object]", read_json(RESULTS / f"study-{name}.json")["report"])


def sizes() -> dict[str, dict[str, dict[str, Result]]]:
    """Per model its tasks, the smallest first."""
    models = cast("list[dict[str, object]]", report("scaling")["models"])
    return {
        cast("str", one["name"]): cast("dict[str, dict[str, Result]]", one["tasks"])
        for one in models
    }


def parameters(name: str) -> int:
    models = cast("list[dict[str, object]]", report("scaling")["models"])
    return next(cast("int", one["parameters"]) for one in models if one["name"] == name)


def surely_above(one: Result, other: Result) -> bool:
    return one["low"] > other["high"]


def test_small_and_taught_does_the_sums_that_large_and_untaught_does_not() -> None:
    small, large = "180k", "4.5m"
    assert parameters(large) > 25 * parameters(small)
    taught, untaught = sizes()[small]["arithmetic"], sizes()[large]["arithmetic"]
    assert surely_above(taught["together"], untaught["base"])
    assert f"{taught['together']['accuracy']:.0%}" == "92%"
    assert f"{untaught['base']['accuracy']:.0%}" == "1%"


def test_small_and_taught_knows_dates_that_large_and_untaught_does_not() -> None:
    small, large = "400k", "4.5m"
    assert 11 < parameters(large) / parameters(small) < 12
    assert surely_above(sizes()[small]["dates"]["together"], sizes()[large]["dates"]["base"])


def test_the_family_spans_five_sizes_over_a_factor_of_thirty() -> None:
    assert len(sizes()) >= 5
    assert parameters("4.5m") > 30 * parameters("90k")


def test_more_examples_move_the_size_from_which_tools_help() -> None:
    tasks = sizes()
    for size in ("180k", "400k", "seedling"):
        arithmetic = tasks[size]["arithmetic"]
        assert surely_above(arithmetic["more"], arithmetic["recipe"])
    assert surely_above(tasks["400k"]["dates"]["together"], tasks["400k"]["dates"]["more"])


def test_without_its_tools_no_size_does_sums_or_dates() -> None:
    for tasks in sizes().values():
        for task in ("arithmetic", "dates"):
            assert tasks[task]["base"]["accuracy"] < 0.01


def test_calls_of_higher_gain_are_useful_more_often() -> None:
    """Of each tool, the bins from half a nat on beside those below nothing."""
    quality = cast("dict[str, list[dict[str, object]]]", report("quality")["quality"])
    for tool, bins in quality.items():
        high = [one for one in bins if one["from"] is not None and one["from"] >= 0.5]  # type: ignore[operator]
        low = [one for one in bins if one["to"] is not None and one["to"] <= 0]  # type: ignore[operator]
        assert min(_useful(one) for one in high) > max(_useful(one) for one in low), tool


def _useful(one: dict[str, object]) -> float:
    return cast("Result", one["useful"])["mean"]


def test_on_real_word_problems_toolformer_is_better_than_its_control() -> None:
    found = cast("dict[str, dict[str, dict[str, Result]]]", problems())
    assert found["over"]["asdiv"]["control"]["low"] > 0
    assert found["tasks"]["asdiv"]["toolformer"]["n"] > 2000
    assert cast("dict[str, dict[str, int]]", found["corpus"])["kept"]["Calculator"] == 261


def problems() -> object:
    return read_json(RESULTS / "word-problems.json")["report"]
