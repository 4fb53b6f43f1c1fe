from dataclasses import replace
from pathlib import Path

import pytest

from graft.config import load, to_table
from graft.errors import ConfigError, DataError, StoreError
from graft.store.whole import PARTIAL, write_json
from graft.toolformer.compare import evaluate_run
from graft.toolformer.teach import teach
from graft.toolformer.tools.tool import Context
from graft.toolformer.tools.toolbox import tools_by_name
from graft.toolformer.workshop import TeachConfig, Workshop, tools_of


def test_another_run_in_a_begun_folder_is_refused_and_the_recipe_stays(tmp_path: Path) -> None:
    config = TeachConfig(corpus=Path("texts.jsonl"))
    Workshop.begin(tmp_path, config)
    (tmp_path / "annotate").mkdir()
    write_json(tmp_path / "annotate" / "recipe.json", {})
    before = (tmp_path / "recipe.json").read_bytes()
    with pytest.raises(StoreError, match="begun with model = 'seedling'"):
        Workshop.begin(tmp_path, replace(config, model="another"))
    assert (tmp_path / "recipe.json").read_bytes() == before
    later = Workshop.resume(tmp_path, ["keep.threshold=0.25"])
    assert later.config.keep.threshold == 0.25


def test_a_begun_runs_recipe_is_changed_by_a_stage_that_takes_its_settings_only(
    tmp_path: Path,
) -> None:
    Workshop.begin(tmp_path, TeachConfig(corpus=Path("texts.jsonl")))
    write_json(tmp_path / "annotate" / "recipe.json", {})
    with Workshop.resume(tmp_path).open("score", {"separator": "a"}):
        pass
    before = (tmp_path / "recipe.json").read_bytes()
    later = Workshop.resume(tmp_path, ["keep.separator=b"])
    with pytest.raises(StoreError, match='separator was "a", is "b"'):
        later.open("score", {"separator": "b"})
    assert (tmp_path / "recipe.json").read_bytes() == before
    with later.open("score", {"separator": "a"}):
        pass
    assert Workshop.resume(tmp_path).config.keep.separator == "b"


def test_a_model_is_not_evaluated_under_other_settings_of_its_training(tmp_path: Path) -> None:
    shop = Workshop.begin(tmp_path, TeachConfig(corpus=Path("texts.jsonl")))
    write_json(tmp_path / "annotate" / "recipe.json", {})
    for kind in ("control", "toolformer"):
        card = {"settings": to_table(shop.config.train)}
        write_json(tmp_path / "train" / kind / "model" / "graft.json", card)
    later = Workshop.resume(tmp_path, ["train.seed=5"])  # would be put to texts it has learnt
    with pytest.raises(StoreError, match="taught with other settings: seed was 0, is 5; take"):
        list(evaluate_run(later))
    assert Workshop.resume(tmp_path).config == shop.config


def test_a_folder_of_other_files_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(StoreError, match=r"holds other files \(thesis\.tex\) and no run"):
        Workshop.begin(tmp_path, TeachConfig(corpus=Path("texts.jsonl")))
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_damaged_recipe_of_a_begun_run_is_named_with_the_remedy(tmp_path: Path) -> None:
    config = TeachConfig(corpus=Path("texts.jsonl"))
    Workshop.begin(tmp_path, config)
    write_json(tmp_path / "annotate" / "recipe.json", {})
    (tmp_path / "recipe.json").write_text("{")
    with pytest.raises(StoreError, match=r"recipe\.json: is damaged; put back .* --out"):
        Workshop.begin(tmp_path, config)


def test_what_a_killed_process_left_of_a_recipe_is_cleared_away(tmp_path: Path) -> None:
    (tmp_path / f".recipe.json.1234{PARTIAL}").write_text("half")
    Workshop.begin(tmp_path, TeachConfig(corpus=Path("texts.jsonl")))
    assert [path.name for path in tmp_path.iterdir()] == ["recipe.json"]


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        (
            "keep.tools={Calculater=1.0}",
            r"'keep\.tools\.Calculater' .did you mean 'Calculator'",
        ),
        ("annotate.tools={search={}}", r"'annotate\.tools\.search' .did you mean 'Search'"),
        ("shard_texts=0", "'shard_texts' and 'limit' begin at 1"),
        ("limit=-1", "'shard_texts' and 'limit' begin at 1"),
        ("annotate.call_tokens=-1", "annotate: 'call_tokens' and 'batch_tokens' begin at 1"),
        ("annotate.batch_tokens=0", "annotate: 'call_tokens' and 'batch_tokens' begin at 1"),
        ("annotate.sampling.positions=-1", "annotate.sampling: 'positions' and 'samples'"),
        ("annotate.sampling.temperature=nan", "'temperature' above 0"),
        ("keep.cap=0", "keep: 'cap' and 'calls_per_text' begin at 1"),
    ],
)
def test_a_setting_that_cannot_be_or_is_of_no_tool_is_refused(setting: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        load(TeachConfig, None, ["corpus=texts.jsonl", setting])


def test_a_task_that_is_not_there_is_told_before_hours_of_work(tmp_path: Path) -> None:
    (tmp_path / "texts.jsonl").write_text('{"text": "7 and 8 are 15."}\n')
    given = [f'corpus="{tmp_path / "texts.jsonl"}"', 'evaluate.tasks=["nowhere/sums.jsonl"]']
    shop = Workshop.begin(tmp_path / "run", load(TeachConfig, None, given))
    with pytest.raises(DataError, match=r"nowhere/sums\.jsonl: cannot be read"):
        next(teach(shop))
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["recipe.json"]


UNITS = """
def miles(km: float) -> str:
    return f"{km / 1.609344:.1f} miles"
"""


def taught_with(folder: Path, *tools: dict[str, str]) -> Path:
    write_json(folder / "graft.json", {"tools": list(tools)})
    return folder


@pytest.mark.parametrize(
    "card", [{"name": "miles", "place": "units.py:miles"}, {"name": "units.py:miles"}]
)
def test_a_models_card_runs_no_python(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, card: dict[str, str]
) -> None:
    (tmp_path / "units.py").write_text('raise SystemExit("run")')
    monkeypatch.chdir(tmp_path)
    model = taught_with(tmp_path, {"name": "Calculator"}, card)
    with pytest.raises(ConfigError, match=r"unasked.*Calculator,units\.py:miles"):
        tools_of(model, None, None, None)
    (tmp_path / "units.py").write_text(UNITS)
    assert list(tools_of(model, ["units.py:miles"], None, None)) == ["miles"]


def test_a_setting_of_a_tool_that_stands_in_python_is_checked_once_it_is_there(
    tmp_path: Path,
) -> None:
    (tmp_path / "units.py").write_text(UNITS)
    place = f"{tmp_path / 'units.py'}:miles"
    corpus = tmp_path / "texts.jsonl"

    def shop(setting: str) -> Workshop:
        given = [f'corpus="{corpus}"', f'tools=["{place}"]', f"keep.tools.{setting}=0.5"]
        return Workshop(tmp_path, load(TeachConfig, None, given))

    tools = shop("miles").tools
    assert tools["miles"].place == place
    with pytest.raises(ConfigError, match=r"'keep.tools.mils' \(did you mean 'miles'"):
        _ = shop("mils").tools


def test_answers_outlive_a_run_where_a_file_is_named(tmp_path: Path) -> None:
    answers = f'answers.file="{tmp_path / "answers.sqlite"}"'
    given = ['corpus="texts.jsonl"', answers]
    first = Workshop(tmp_path, load(TeachConfig, None, given)).executor
    calculator = tools_by_name(["calculator"])["Calculator"]
    assert first.answer(calculator, "6 * 7", Context()) == "42"
    gone = replace(calculator, answer=lambda *_: pytest.fail("asked"))
    replayed = load(TeachConfig, None, [*given, "answers.mode=replay"])
    assert Workshop(tmp_path, replayed).executor.answer(gone, "6 * 7", Context()) == "42"
    with pytest.raises(ConfigError, match="'file' of answers is needed"):
        load(TeachConfig, None, ['corpus="texts.jsonl"', "answers.mode=record"])
    assert Workshop(tmp_path, TeachConfig(corpus=Path("texts.jsonl"))).executor.answers is None


def test_a_recipe_has_settings_of_each_tool(tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.toml"
    recipe.write_text("""
corpus = "texts.jsonl"
tools = ["calculator", "graft.toolformer.call:strip"]
[tool.Calculator]
timeout_seconds = 1.5
cost = 0.25
[tool.strip]
examples = ['Bare: [strip("A [B(1)] c")] A c']
""")
    with pytest.raises(ConfigError, match="write calls as"):
        _ = Workshop(tmp_path, load(TeachConfig, recipe, [])).tools
    recipe.write_text(recipe.read_text().replace("A [B(1)] c", "A c"))
    tools = Workshop(tmp_path, load(TeachConfig, recipe, [])).tools
    assert (tools["Calculator"].timeout_seconds, tools["Calculator"].cost) == (1.5, 0.25)
    assert tools["strip"].prompt.demonstrations[0].text == "Bare: A c"
    for given, message in (
        (
            "tool.Calclator.cost=1",
            "unknown setting 'tool.Calclator' .did you mean 'Calculator'",
        ),
        ("tool.Calculator.pattern=x", "Calculator: brings its own examples and rules"),
    ):
        with pytest.raises(ConfigError, match=message):
            _ = Workshop(tmp_path, load(TeachConfig, recipe, [given])).tools
    with pytest.raises(ConfigError, match="timeout_seconds is at least"):
        load(TeachConfig, recipe, ["tool.strip.timeout_seconds=0"])


def test_a_taught_models_tools_have_the_limits_that_they_were_taught_with(
    tmp_path: Path,
) -> None:
    card = {"tools": [{"name": "Calculator"}], "tool": {"Calculator": {"timeout_seconds": 1.5}}}
    write_json(tmp_path / "graft.json", card)
    assert tools_of(tmp_path, None, None, None)["Calculator"].timeout_seconds == 1.5
    write_json(tmp_path / "graft.json", {**card, "tool": {"Calculator": {"timeout": 1.5}}})
    with pytest.raises(ConfigError, match=r"graft\.json, tool: unknown setting 'timeout'"):
        tools_of(tmp_path, None, None, None)
