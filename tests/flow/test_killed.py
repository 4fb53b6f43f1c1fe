"""The stages of Toolformer, killed at moments drawn over their whole time, and gone on with.

Ten kills of each stage (`GRAFT_KILLS=3` for fewer), each command a process of its own.
"""

import os
import random
import shutil
import signal
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from graft.world.shipped import FOLDER
from processes import Commands

KILLS = int(os.environ.get("GRAFT_KILLS", "10"))
RECIPE = """
shard_texts = 3
limit = 24
annotate.call_tokens = 20
annotate.sampling = { threshold = 0.0, positions = 2, samples = 2 }
annotate.tools = {}
keep = { threshold = -5.0, tools = {} }
train = { batch = 2, epochs = 1, evaluate_every = 1, dev_share = 0.2 }
"""
CHANGING = {"log.jsonl", "seconds.json"}
"""Files that tell how long something took."""
WRITES = {
    "annotate": ("corpus", "annotate"),
    "keep": ("score", "keep"),
    "train": ("train",),
}
"""The folders in which a stage works."""


@dataclass(frozen=True)
class Undisturbed:
    """A run that nobody disturbed: what stood before and after each stage, and its seconds."""

    folder: Path
    before: dict[str, Path] = field(default_factory=dict)
    after: dict[str, dict[str, bytes]] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)

    def words(self, stage: str, run: Path) -> list[str]:
        """The command of a stage on a run's folder."""
        if stage != "annotate":
            return ["toolformer", stage, str(run)]
        recipe = str(self.folder / "recipe.toml")
        flags = ["--tools", "calculator,calendar", "--config", recipe, "--out", str(run)]
        return ["toolformer", stage, str(FOLDER / "corpus.jsonl"), *flags]


@pytest.fixture(scope="module")
def undisturbed(commands: Commands, tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    whole = Undisturbed(tmp_path_factory.mktemp("undisturbed"))
    (whole.folder / "recipe.toml").write_text(RECIPE)
    run = whole.folder / "run"
    run.mkdir()
    for stage in WRITES:
        whole.before[stage] = Path(shutil.copytree(run, whole.folder / f"before-{stage}"))
        whole.seconds[stage] = commands.run(*whole.words(stage, run))
        whole.after[stage] = lasting(run)
    return whole


def lasting(folder: Path) -> dict[str, bytes]:
    """Every file, hidden ones too, that must not depend on who was killed when."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in CHANGING
    }


def made(run: Path, stage: str) -> list[str]:
    """The names of what stands finished in a stage's folders; half files are hidden."""
    paths = (path for name in WRITES[stage] for path in (run / name).rglob("*"))
    return sorted(
        path.relative_to(run).as_posix()
        for path in paths
        if not any(part.startswith(".") for part in path.relative_to(run).parts)
    )


@pytest.mark.parametrize("stage", WRITES)
def test_killed_at_random_moments_and_gone_on_with_a_stage_ends_in_the_same_bytes(
    stage: str, commands: Commands, undisturbed: Undisturbed, tmp_path: Path
) -> None:
    moments = random.Random(f"killed in {stage}")
    kills, kills_at_work, runs = 0, 0, 0
    while kills < KILLS:
        run = Path(shutil.copytree(undisturbed.before[stage], tmp_path / f"run-{runs}"))
        runs += 1
        words = undisturbed.words(stage, run)
        killed = True
        while killed and kills < KILLS:
            before = made(run, stage)
            moment = moments.uniform(0, undisturbed.seconds[stage])
            code, said = commands.stop_after(moment, signal.SIGKILL, *words)
            killed = code == -signal.SIGKILL
            assert killed or code == 0, said
            kills += killed
            kills_at_work += killed and made(run, stage) != before
        commands.run(*words)
        whole, now = undisturbed.after[stage], lasting(run)
        assert sorted(now) == sorted(whole)
        assert [name for name in whole if now[name] != whole[name]] == []
    assert kills_at_work >= KILLS // 4, f"{kills_at_work} of {kills} kills met work under way"
