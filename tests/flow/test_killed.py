"""The stages of Toolformer, killed at moments drawn over their whole time, and gone on with.

Ten kills of each stage (`GRAFT_KILLS=3` for fewer), each command a process of its own.
"""

from pathlib import Path

import pytest

from disturbing import Undisturbed, kill_at_random_moments
from graft.world.shipped import FOLDER
from processes import Commands

RECIPE = """
shard_texts = 3
limit = 24
annotate.call_tokens = 20
annotate.sampling = { threshold = 0.0, positions = 2, samples = 2 }
annotate.tools = {}
keep = { threshold = -5.0, tools = {} }
train = { batch = 2, epochs = 1, evaluate_every = 1, dev_share = 0.2 }
"""
WRITES = {
    "annotate": ("corpus", "annotate"),
    "keep": ("score", "keep"),
    "train": ("train",),
}
"""The folders in which a stage works."""


def command(folder: Path, stage: str, run: Path) -> list[str]:
    if stage != "annotate":
        return ["toolformer", stage, str(run)]
    recipe = str(folder / "recipe.toml")
    flags = ["--tools", "calculator,calendar", "--config", recipe, "--out", str(run)]
    return ["toolformer", stage, str(FOLDER / "corpus.jsonl"), *flags]


@pytest.fixture(scope="module")
def undisturbed(commands: Commands, tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    whole = Undisturbed(tmp_path_factory.mktemp("undisturbed"), command)
    (whole.folder / "recipe.toml").write_text(RECIPE)
    whole.go_through(commands, list(WRITES))
    return whole


@pytest.mark.parametrize("stage", WRITES)
def test_killed_at_random_moments_and_gone_on_with_a_stage_ends_in_the_same_bytes(
    stage: str, commands: Commands, undisturbed: Undisturbed, tmp_path: Path
) -> None:
    kill_at_random_moments(commands, undisturbed, stage, WRITES[stage], tmp_path)
