from pathlib import Path

import pytest

from graft.errors import ConfigError
from graft.toolformer.study.scaling import Family, compare, join
from graft.toolformer.workshop import TeachConfig

Result = dict[str, float]


def result(low: float, high: float) -> Result:
    return {"accuracy": (low + high) / 2, "low": low, "high": high, "n": 120}


def model(name: str, parameters: int, **systems: Result) -> dict[str, object]:
    return {"name": name, "parameters": parameters, "tasks": {"sums": systems}}


NOTHING = result(0.0, 0.02)
MODELS = [
    model("tiny", 100, base=NOTHING, recipe=result(0.0, 0.03), more=result(0.0, 0.04)),
    model("small", 250, base=NOTHING, recipe=result(0.04, 0.1), more=result(0.3, 0.5)),
    model("large", 5000, base=result(0.05, 0.15), recipe=result(0.7, 0.9), more=result(0.8, 1)),
]


def test_the_smallest_surely_above_the_largest_untaught_is_named_with_its_variant() -> None:
    found = compare(MODELS, ["recipe", "more"])["small_beats_large"]["sums"]
    assert found["largest_untaught"] == {"name": "large", **result(0.05, 0.15)}
    above = found["smallest_above"]
    assert (above["name"], above["variant"], above["times_smaller"]) == ("small", "more", 20)


def test_overlapping_intervals_are_not_sure() -> None:
    near = model("near", 500, base=result(0.0, 0.12), recipe=result(0.1, 0.3))
    found = compare([near, MODELS[2]], ["recipe"])["small_beats_large"]["sums"]
    assert found["smallest_above"]["name"] == "large"
    assert found["tools_help_from"] == {"recipe": "large"}


def test_tools_help_from_the_size_whose_own_base_is_surely_beaten() -> None:
    found = compare(MODELS, ["recipe", "more"])["small_beats_large"]["sums"]
    assert found["tools_help_from"] == {"recipe": "small", "more": "small"}
    none = compare(MODELS[:1], ["recipe"])["small_beats_large"]["sums"]
    assert none["tools_help_from"] == {"recipe": None}
    assert none["smallest_above"] is None


def test_a_variant_that_kept_nothing_is_left_out_of_the_comparison() -> None:
    bare = model("bare", 50, base=NOTHING, recipe=result(0.4, 0.6))
    found = compare([bare, MODELS[2]], ["recipe", "more"])["small_beats_large"]["sums"]
    assert found["smallest_above"]["name"] == "bare"
    assert found["tools_help_from"] == {"recipe": "bare", "more": "large"}


def test_models_are_added_to_an_earlier_report_by_their_size() -> None:
    between = model("between", 1000, base=NOTHING, recipe=NOTHING)
    assert [one["name"] for one in join(MODELS, [between])] == [
        "tiny",
        "small",
        "between",
        "large",
    ]


def test_a_model_taught_anew_takes_the_place_of_its_earlier_self() -> None:
    anew = model("small", 250, base=NOTHING, recipe=result(0.9, 1.0))
    joined = join(MODELS, [anew])
    assert [one["name"] for one in joined] == ["tiny", "small", "large"]
    assert joined[1] is anew


def test_models_that_were_asked_other_questions_are_not_joined() -> None:
    fewer = model("new", 300, base={**NOTHING, "n": 60}, recipe=NOTHING)
    with pytest.raises(ConfigError, match=r"'tiny' .* \{'sums': 120\} .* 'new' \{'sums': 60\}"):
        join(MODELS, [fewer])


@pytest.mark.parametrize(
    ("models", "variants", "said"),
    [({}, ["recipe"], "no model to study"), ({"a": "seedling"}, ["more"], "'recipe' is what")],
)
def test_what_cannot_be_compared_is_refused(
    models: dict[str, str], variants: list[str], said: str
) -> None:
    config = TeachConfig(corpus=Path("texts.jsonl"))
    with pytest.raises(ConfigError, match=said):
        Family(models=models, config=config, more=Path("more.jsonl"), variants=variants)
