import datetime
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graft.config import dump, fill, load, to_table
from graft.errors import ConfigError


@dataclass(frozen=True, kw_only=True, slots=True)
class KeepConfig:
    threshold: float = 1.0
    per_tool: int | None = None
    rule: Literal["min", "empty"] = "min"

    def __post_init__(self) -> None:
        if self.threshold < 0:
            raise ValueError("threshold must not be negative")


@dataclass(frozen=True, kw_only=True, slots=True)
class RunConfig:
    keep: KeepConfig = field(default_factory=KeepConfig)
    other: KeepConfig | None = None
    model: str = "seedling"
    tools: tuple[str, ...] = ("calculator",)
    out: Path = Path("runs/a")
    today: datetime.date | None = None
    seed: int = 0


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    return tmp_path / "run.toml"


def test_a_file_and_an_override(recipe: Path) -> None:
    recipe.write_text("seed = 7\n")
    assert load(RunConfig, recipe, ["keep.threshold=0.5"]) == RunConfig(
        keep=KeepConfig(threshold=0.5), seed=7
    )


def test_without_a_file_the_defaults_stand() -> None:
    assert load(RunConfig) == RunConfig()


@dataclass(frozen=True, kw_only=True, slots=True)
class StudyConfig:
    run: RunConfig = field(
        default_factory=lambda: RunConfig(keep=KeepConfig(threshold=4.0, per_tool=2), seed=3)
    )


def test_what_a_begun_section_leaves_out_is_as_its_own_default_has_it() -> None:
    found = load(StudyConfig, overrides=["run.model=other", "run.keep.per_tool=5"]).run
    assert (found.model, found.seed) == ("other", 3)
    assert found.keep == KeepConfig(threshold=4.0, per_tool=5)
    with pytest.raises(ConfigError, match=r"unknown setting 'run\.keep\.treshold'"):
        load(StudyConfig, overrides=["run.keep.treshold=5"])


def test_every_kind_of_value_is_read_from_toml(recipe: Path) -> None:
    recipe.write_text(
        'tools = ["a", "b"]\nout = "x/y"\ntoday = 2024-02-29\n[keep]\nthreshold = 2\n'
    )
    assert load(RunConfig, recipe) == RunConfig(
        keep=KeepConfig(threshold=2.0),
        tools=("a", "b"),
        out=Path("x/y"),
        today=datetime.date(2024, 2, 29),
    )


def test_an_override_needs_no_quotes_for_a_text() -> None:
    assert load(RunConfig, None, ["model=org/name"]).model == "org/name"
    assert load(RunConfig, None, ['model="7"']).model == "7"


def test_the_last_override_wins() -> None:
    assert load(RunConfig, None, ["seed=1", "seed=2"]).seed == 2


def refusal(recipe: Path, written: str = "", overrides: tuple[str, ...] = ()) -> str:
    recipe.write_text(written)
    with pytest.raises(ConfigError) as refused:
        load(RunConfig, recipe, overrides)
    return str(refused.value)


def test_a_misspelt_setting_is_refused_with_a_hint(recipe: Path) -> None:
    said = refusal(recipe, "[keep]\ntreshold = 0.5\n")
    assert said == f"{recipe}: unknown setting 'keep.treshold' (did you mean 'threshold'?)"


def test_a_setting_in_the_wrong_section_is_shown_its_place(recipe: Path) -> None:
    assert "unknown setting 'threshold' (did you mean 'keep.threshold'?)" in refusal(
        recipe, "threshold = 0.5\n"
    )


def test_a_setting_like_no_other_gets_no_hint(recipe: Path) -> None:
    assert refusal(recipe, "zzz = 1\n") == f"{recipe}: unknown setting 'zzz'"


def test_an_unknown_setting_inside_an_optional_section_is_refused(recipe: Path) -> None:
    assert "'other.rul' (did you mean 'rule'?)" in refusal(recipe, "[other]\nrul = 'min'\n")


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("seed = '7'", "setting 'seed' should be a valid integer, not '7'"),
        ("seed = 7.0", "setting 'seed' should be a valid integer, not 7.0"),
        ("seed = true", "setting 'seed' should be a valid integer, not True"),
        ("model = 7", "setting 'model' should be a valid string, not 7"),
        ("tools = 'a'", "setting 'tools' should be a valid array, not 'a'"),
        ("tools = ['a', 1]", "setting 'tools.1' should be a valid string, not 1"),
        ("keep = 1", "setting 'keep' should be an object, not 1"),
        ("keep.threshold = '1'", "setting 'keep.threshold' should be a valid number, not '1'"),
        ("keep.rule = 'max'", "setting 'keep.rule' should be 'min' or 'empty', not 'max'"),
    ],
)
def test_an_ill_typed_setting_is_refused_by_name(recipe: Path, written: str, said: str) -> None:
    assert refusal(recipe, written) == f"{recipe}: {said}"


def test_what_a_section_itself_refuses_is_told_with_its_name(recipe: Path) -> None:
    said = refusal(recipe, "keep.threshold = -1")
    assert said == f"{recipe}: keep: threshold must not be negative"


def test_all_that_is_wrong_is_told_at_once(recipe: Path) -> None:
    said = refusal(recipe, "seed = 'a'\nmodl = 'b'\n")
    assert "'seed'" in said
    assert "'modl' (did you mean 'model'?)" in said


def test_a_wrong_override_is_blamed_and_not_the_file(recipe: Path) -> None:
    said = refusal(recipe, "", ("keep.treshold=1",))
    assert said.startswith("override 'keep.treshold=1': unknown setting")
    assert str(recipe) not in said


@pytest.mark.parametrize("override", ["seed", "=1", "keep.=1", ".seed=1"])
def test_an_override_without_name_or_value_is_refused(recipe: Path, override: str) -> None:
    assert "section.key=value" in refusal(recipe, "", (override,))


def test_an_override_below_a_value_is_refused(recipe: Path) -> None:
    assert "'seed' is a value, not a section" in refusal(recipe, "seed = 1", ("seed.x=1",))


def test_an_override_cannot_smuggle_in_a_second_setting() -> None:
    assert load(RunConfig, None, ['model="a"\nseed = 3']).seed == 0


@pytest.mark.parametrize("written", [b"seed = ", b"\xff", b"[keep\n"])
def test_a_file_that_is_no_recipe_is_named(recipe: Path, written: bytes) -> None:
    recipe.write_bytes(written)
    with pytest.raises(ConfigError, match=r"run\.toml: is not a recipe"):
        load(RunConfig, recipe)


def test_a_missing_file_is_named(recipe: Path) -> None:
    with pytest.raises(ConfigError, match=r"run\.toml: cannot be read: No such file"):
        load(RunConfig, recipe)


def test_json_that_is_not_a_table_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "recipe.json"
    path.write_text("[1]")
    with pytest.raises(ConfigError, match="holds no settings by name"):
        load(RunConfig, path)


@dataclass(frozen=True, kw_only=True)
class NeedsModel:
    model: str


def test_a_setting_without_default_must_be_given(recipe: Path) -> None:
    recipe.write_text("")
    with pytest.raises(ConfigError, match=r"run\.toml: setting 'model' is missing"):
        load(NeedsModel, recipe)


keep_configs = st.builds(
    KeepConfig,
    threshold=st.floats(min_value=0),
    per_tool=st.none() | st.integers(-(2**63), 2**63 - 1),
    rule=st.sampled_from(["min", "empty"]),
)
run_configs = st.builds(
    RunConfig,
    keep=keep_configs,
    other=st.none() | keep_configs,
    model=st.text(st.characters(exclude_categories=["Cs"])),
    tools=st.lists(st.text(st.characters(exclude_categories=["Cs"]))).map(tuple),
    out=st.sampled_from([Path("a"), Path("/b/c d"), Path("ü")]),
    today=st.none() | st.dates(),
    seed=st.integers(),
)


@given(run_configs)
def test_what_is_dumped_is_loaded_as_it_was(settings: RunConfig) -> None:
    assert fill(RunConfig, json.loads(dump(settings))) == settings
    assert fill(RunConfig, to_table(settings)) == settings


def test_a_dump_is_a_recipe(tmp_path: Path) -> None:
    path = tmp_path / "recipe.json"
    settings = RunConfig(keep=KeepConfig(threshold=float("inf")), model="straße")
    path.write_text(dump(settings), encoding="utf-8")
    assert load(RunConfig, path) == settings
