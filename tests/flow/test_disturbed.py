"""A run of Toolformer by rules that meets Ctrl-C, a full disk, and files that may not grow."""

import random
import re
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from disturbing import FULL, LIMITED, differing, lasting, try_stages
from processes import Commands

STAGES = ("annotate", "keep", "train")
RECIPE = """
shard_texts = 4
annotate.proposer = "rules"
keep = { threshold = -9.0, tools = {} }
train = { batch = 4, epochs = 1, evaluate_every = 2, dev_share = 0.2 }
"""
LATER = re.compile("score|keep|train")


@dataclass(frozen=True)
class Whole:
    """The corpus and the recipe, and a run that nothing disturbed."""

    folder: Path
    files: dict[str, bytes]
    seconds: dict[str, float]

    def words(self, stage: str, run: Path) -> list[str]:
        return words(self.folder, stage, run)


def words(folder: Path, stage: str, run: Path) -> list[str]:
    if stage != "annotate":
        return ["toolformer", stage, str(run)]
    flags = ["--tools", "calculator", "--config", str(folder / "recipe.toml")]
    return ["toolformer", stage, str(folder / "texts.jsonl"), *flags, "--out", str(run)]


@pytest.fixture(scope="module")
def whole(commands: Commands, tmp_path_factory: pytest.TempPathFactory) -> Whole:
    folder = tmp_path_factory.mktemp("whole")
    (folder / "recipe.toml").write_text(RECIPE)
    lines = (
        f'{{"id": "{n}", "text": "Mara had {n} apples and 38 plums, in all {n + 38}."}}\n'
        for n in range(40, 64)
    )
    (folder / "texts.jsonl").write_text("".join(lines))
    seconds = {s: commands.run(*words(folder, s, folder / "run")) for s in STAGES}
    return Whole(folder, lasting(folder / "run"), seconds)


@pytest.mark.parametrize("stage", STAGES)
def test_ctrl_c_at_any_moment_says_how_to_go_on_and_what_follows_ends_the_same(
    stage: str, commands: Commands, whole: Whole, tmp_path: Path
) -> None:
    run, moments, seconds = tmp_path / "run", random.Random(stage), whole.seconds[stage]
    for before in STAGES[: STAGES.index(stage)]:
        commands.run(*whole.words(before, run))
    stopped = 0
    while stopped < 2 and seconds > 0.01:
        moment = moments.uniform(0.05, 0.8) * seconds
        code, said = commands.stop_after(moment, signal.SIGINT, *whole.words(stage, run))
        assert code in {0, 130}, said
        assert "Traceback" not in said
        assert code == 0 or said.endswith("stopped; the same command goes on from here\n")
        stopped += code == 130
        seconds /= 1 + (code == 0)  # the machine is faster now than it was
    assert stopped
    for after in STAGES[STAGES.index(stage) :]:
        commands.run(*whole.words(after, run))
    assert differing(run, whole.files) == []


def test_where_files_may_not_grow_each_stage_says_so_and_goes_on_once_they_may(
    commands: Commands, whole: Whole, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    sizes = {name: len(content) for name, content in whole.files.items()}
    annotated = max(size for name, size in sizes.items() if not LATER.match(name))
    kept = max(size for name, size in sizes.items() if not name.startswith("train"))
    done: list[int] = []
    for size in (1000, annotated - 1, annotated, kept - 1, kept, max(sizes.values())):
        with commands.largest_file(size):
            done.append(try_stages(commands, STAGES, whole.words, run, LIMITED))
    assert done == [0, 0, 1, 1, 2, 2]
    assert try_stages(commands, STAGES, whole.words, run, LIMITED) == len(STAGES)
    assert differing(run, whole.files) == []


def test_on_a_disk_that_is_really_full_each_stage_says_so_and_goes_on_with_more_space(
    commands: Commands, whole: Whole, disk: Path
) -> None:
    done = []
    for size in ("4k", "20k", "60k", "120k", "20m", "200m"):
        subprocess.run(["mount", "-o", f"remount,size={size}", str(disk)], check=True)
        done.append(try_stages(commands, STAGES, whole.words, disk / "run", FULL))
    assert done == sorted(done)
    assert {0, 1, 2, 3} == set(done)
    assert differing(disk / "run", whole.files) == []
