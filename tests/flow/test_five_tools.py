"""The recipe of the five tools, on a few texts: every tool is asked, and the report says so."""

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from graft.cli.app import app
from graft.world.questions import ALL
from graft.world.shipped import write_world

RECIPE = Path(__file__).parents[2] / "recipes" / "five-tools.toml"
TOOLS = {"Calculator", "Calendar", "MT", "QA", "Search"}


@pytest.mark.slow
def test_the_recipe_of_five_tools_runs_at_small_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without Apertium four tools are left."""
    monkeypatch.chdir(tmp_path)
    write_world(Path("runs/world"), texts=90, questions=2, kinds=ALL)
    left = TOOLS if shutil.which("apertium") else TOOLS - {"MT"}
    chosen = ["train.epochs=1", "train.dev_texts=4", "shard_texts=45"]
    if "MT" not in left:
        chosen.append('tools=["calculator", "calendar", "search", "qa"]')
    words = ["toolformer", "teach", "runs/world/corpus.jsonl", "--config", str(RECIPE)]
    words += ["--search", "runs/world/encyclopedia.jsonl", "--out", "runs/five"]
    for one in chosen:
        words += ["--set", one]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output[-2000:] + str(done.exception)
    report = json.loads(Path("runs/five/report.json").read_text(encoding="utf-8"))
    assert set(report["tasks"]) == set(ALL)
    assert set(report["ledger"]["annotate"]) == left
    assert set(report["corpus"]["kept"]) == left
    assert all(report["corpus"]["kept"][tool] > 0 for tool in left)
    assert "Calculator: " in done.output
