"""`graft toolformer study`: each study on a small run, whole and again."""

import json
import shutil
from pathlib import Path

import pytest

from graft.config import load
from graft.models.seedlings import SEEDLINGS
from graft.toolformer.study.scaling import Family, study_scaling
from graft.toolformer.workshop import TeachConfig
from graft.world.shipped import FOLDER
from processes import Graft

RECIPE = f"""
corpus = "{FOLDER / "corpus.jsonl"}"
tools = ["calculator"]
shard_texts = 12
limit = 24
annotate.call_tokens = 20
annotate.sampling = {{ threshold = 0.0, positions = 2, samples = 2 }}
annotate.tools = {{}}
keep = {{ threshold = -5.0, tools = {{}} }}
train = {{ batch = 4, epochs = 1, evaluate_every = 8, dev_share = 0.2 }}
run.max_new_tokens = 8
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, graft: Graft) -> Path:
    folder = tmp_path_factory.mktemp("study")
    lines = (FOLDER / "tasks" / "arithmetic.jsonl").read_text().splitlines()[:6]
    (folder / "sums.jsonl").write_text("\n".join(lines) + "\n")
    tasks = f'evaluate.tasks = ["{folder / "sums.jsonl"}"]'
    (folder / "recipe.toml").write_text(RECIPE + tasks + "\n")
    flags = ("--config", "recipe.toml", "--out", "scaling", "--record", "told")
    chosen = ("seedling", "--variants", "recipe,together")
    done = graft("toolformer", "study", "scaling", *chosen, *flags, folder=folder)
    assert done.returncode == 0, done.stderr
    assert "sums: " in done.stdout
    return folder


def study(graft: Graft, folder: Path, name: str, *flags: str) -> None:
    words = ("study", name, "scaling/seedling/recipe", "--record", "told", *flags)
    done = graft("toolformer", *words, folder=folder)
    assert done.returncode == 0, done.stderr


def recorded(folder: Path, name: str) -> dict[str, object]:
    """What a study wrote for the documents: figures with their origin, a page and a picture."""
    told = folder / "told"
    found = json.loads((told / f"study-{name}.json").read_text())
    assert (told / f"study-{name}.png").stat().st_size > 5000
    assert found["command"].startswith(f"graft toolformer study {name} ")
    assert f"`{found['command']}`" in (told / f"study-{name}.md").read_text()
    assert {"date", "machine", "commit"} <= set(found)
    return found["report"]


def test_scaling_teaches_every_model_in_every_variant(folder: Path) -> None:
    report = recorded(folder, "scaling")
    [model] = report["models"]
    assert model["parameters"] == 1_568_000
    assert list(model["tasks"]["sums"]) == ["base", "control", "recipe", "together"]
    assert {one["n"] for one in model["tasks"]["sums"].values()} == {6}
    recipe, together = (
        json.loads((folder / "scaling" / "seedling" / variant / "recipe.json").read_text())
        for variant in ("recipe", "together")
    )
    assert recipe["annotate"]["proposer"] == "model"
    assert together["annotate"]["proposer"] == "rules"
    assert together["corpus"].endswith("scaling/world/corpus.jsonl")
    assert together["train"]["epochs"] == 4 * recipe["train"]["epochs"]
    assert together["keep"]["threshold"] == 0.2


def test_a_model_is_added_to_a_recorded_study(folder: Path, graft: Graft) -> None:
    """The same weights under another name: only they are taught, and only by the recipe."""
    shutil.copytree(SEEDLINGS["seedling"], folder / "twin")
    before = recorded(folder, "scaling")["models"][0]
    flags = ("--config", "recipe.toml", "--out", "added", "--record", "both")
    onto = ("twin", "--variants", "recipe", "--onto", "told/study-scaling.json")
    done = graft("toolformer", "study", "scaling", *onto, *flags, folder=folder)
    assert done.returncode == 0, done.stderr
    found = json.loads((folder / "both" / "study-scaling.json").read_text())
    earlier, twin = found["report"]["models"]
    command = "twin --variants recipe --onto told/study-scaling.json --config recipe.toml"
    assert f" {command} " in found["command"]
    assert "--record" not in found["command"]
    assert "--variants recipe,together" in earlier.pop("measured")["command"]
    assert earlier == before
    assert twin["tasks"]["sums"]["recipe"] == before["tasks"]["sums"]["recipe"]
    assert "together" not in twin["tasks"]["sums"]
    page = (folder / "both" / "study-scaling.md").read_text()
    assert "| not run |" in page
    assert "* seedling: `graft toolformer study scaling seedling" in page
    assert not (folder / "added" / "seedling").exists()


def test_a_file_that_is_no_record_is_refused(folder: Path, graft: Graft) -> None:
    onto = ("seedling", "--onto", "scaling/seedling/recipe/recipe.json", "--out", "none")
    done = graft("toolformer", "study", "scaling", *onto, folder=folder)
    assert done.returncode == 1
    told = "scaling/seedling/recipe/recipe.json is no record of a study of sizes"
    assert told in done.stderr
    assert not (folder / "none").exists()


def test_a_variant_that_keeps_nothing_is_told_so_and_tried_again_the_next_time(
    folder: Path,
) -> None:
    """The recipe's run is there already; the texts of `more` have no number to call for."""
    plain = folder / "plain.jsonl"
    texts = ("The wind blew over the hill.", "They sat by the window and waited.") * 3
    plain.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    config = load(TeachConfig, folder / "recipe.toml", [])
    out = folder / "scaling"
    family = Family(
        models={"seedling": "seedling"}, config=config, more=plain, variants=("recipe", "more")
    )
    for _ in range(2):
        assert (
            len([one for one in study_scaling(family, out) if one.stage == "study scaling"])
            == 2
        )
        [model] = json.loads((out / "report.json").read_text())["models"]
        assert "nothing to learn from" in model["failed"]["more"]
        assert list(model["tasks"]["sums"]) == ["base", "control", "recipe"]
        assert not (out / "seedling" / "more" / "report.json").exists()


def test_decoding_opens_no_call_at_0_and_one_everywhere_at_10(
    folder: Path, graft: Graft
) -> None:
    study(graft, folder, "decoding")
    ranks = recorded(folder, "decoding")["decoding"]["sums"]
    assert list(ranks) == ["0", "1", "3", "10"]
    assert ranks["0"]["call_rate"] == 0.0
    assert ranks["0"]["with_call"] is None
    assert ranks["10"]["call_rate"] >= ranks["1"]["call_rate"]
    assert ranks["10"]["call_rate"] > 0.5


def test_quality_sorts_every_scored_candidate(folder: Path, graft: Graft) -> None:
    study(graft, folder, "quality")
    bins = recorded(folder, "quality")["quality"]["Calculator"]
    kept = json.loads((folder / "scaling/seedling/recipe/keep/report.json").read_text())
    assert sum(one["useful"]["n"] for one in bins) == kept["candidates"]["Calculator"]


def test_threshold_keeps_less_the_higher_it_is_and_goes_on_where_it_was(
    folder: Path, graft: Graft
) -> None:
    flags = ("--thresholds", "-5,50")
    study(graft, folder, "threshold", *flags)
    report = recorded(folder, "threshold")
    assert report["-5"]["corpus"]["kept"]["Calculator"] > 0
    assert "nothing to learn from" in report["50"]["failed"]
    run = folder / "scaling/seedling/recipe/study/threshold/-5"
    model = run / "train" / "toolformer" / "model" / "model.safetensors"
    before = model.stat().st_mtime_ns
    study(graft, folder, "threshold", *flags)
    assert model.stat().st_mtime_ns == before
    assert recorded(folder, "threshold") == report
