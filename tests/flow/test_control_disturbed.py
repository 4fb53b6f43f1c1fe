"""The stages of ControlNet, each command a process of its own, and what may come between.

Killed at moments drawn over a stage's whole time and gone on with, ten kills of each stage
(`GRAFT_KILLS=3` for fewer); Ctrl-C; files that may not grow; a full disk.
"""

import json
import random
import shutil
import signal
import subprocess
from pathlib import Path

import pytest
import torch
from torch import nn

from disturbing import (
    FULL,
    LIMITED,
    Undisturbed,
    differing,
    kill_at_random_moments,
    lasting,
    try_stages,
)
from graft.train.checkpoint import save_checkpoint
from graft.world.gallery import write_gallery
from processes import Commands
from small_bases import make_pipeline

RECIPE = """
size = 32
shard_pictures = 2
[train]
steps = 5
batch = 2
learning_rate = 1e-3
validate_every = 4
gap_every = 2
checkpoint_every = 1
[validation]
pictures = 2
run = { steps = 2 }
[evaluate]
pictures = 3
run = { steps = 2 }
"""
STAGES = ("annotate", "keep", "train", "evaluate")
WRITES = {"annotate": ("annotate",), "keep": ("keep",), "train": ("latents", "train")}
"""The folders in which a stage works."""


def command(folder: Path, stage: str, run: Path) -> list[str]:
    if stage != "annotate":
        return ["controlnet", stage, str(run)]
    flags = ["--base", str(folder / "base"), "--config", str(folder / "r.toml")]
    return ["controlnet", stage, str(folder / "pictures"), *flags, "--out", str(run)]


@pytest.fixture(scope="module")
def whole(commands: Commands, tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    whole = Undisturbed(tmp_path_factory.mktemp("undisturbed"), command)
    make_pipeline("sd1", "v_prediction").save_pretrained(whole.folder / "base")
    write_gallery(whole.folder / "pictures", 20, size=512)  # slow to read
    (whole.folder / "r.toml").write_text(RECIPE)
    whole.go_through(commands, STAGES)
    return whole


def half_written(run: Path, whole: dict[str, bytes]) -> list[str]:
    """Files under their final names that are not what they are to be in the end."""
    growing = {"train/convergence.json"}  # whole, and written anew at every check
    for name in growing & set(lasting(run)):
        json.loads((run / name).read_bytes())
    return [
        name
        for name, content in lasting(run).items()
        if name in whole and content != whole[name] and name not in growing
    ]


@pytest.mark.parametrize("stage", WRITES)
def test_killed_at_random_moments_and_gone_on_with_a_stage_ends_in_the_same_bytes(
    stage: str, commands: Commands, whole: Undisturbed, tmp_path: Path
) -> None:
    def nothing_is_half_written(run: Path) -> None:
        assert half_written(run, whole.after[stage]) == []

    kill_at_random_moments(
        commands,
        whole,
        stage,
        WRITES[stage],
        tmp_path,
        after_a_kill=nothing_is_half_written,
    )


def test_whatever_files_killed_writers_left_anywhere_are_cleared_away(
    commands: Commands, whole: Undisturbed, tmp_path: Path
) -> None:
    run = Path(shutil.copytree(whole.before["keep"], tmp_path / "run"))
    left = [
        *("keep/.report.json.0.partial", "latents/.a.safetensors.0.partial"),
        *("train/.base.json.0.partial", "train/pictures/.step-000004.png.0.partial"),
        *("train/.control.0.partial/config.json", "evaluate/none/.00000.png.0.partial"),
        *("evaluate/.grid.png.0.partial", ".report.json.0.partial"),
    ]
    for name in left:
        (run / name).parent.mkdir(parents=True, exist_ok=True)
        (run / name).write_bytes(b"half")
    for stage in STAGES[1:]:
        commands.run(*whole.words(stage, run))
    assert differing(run, whole.after["evaluate"]) == []


def test_a_training_that_was_killed_while_it_cleared_up_is_cleared_up_the_next_time(
    commands: Commands, whole: Undisturbed, tmp_path: Path
) -> None:
    run = Path(shutil.copytree(whole.before["evaluate"], tmp_path / "run"))
    model = nn.Linear(1, 1)
    save_checkpoint(run / "train", 4, model, torch.optim.AdamW(model.parameters()), value=0)
    commands.run(*whole.words("train", run))
    assert differing(run, whole.after["train"]) == []


@pytest.mark.parametrize("stage", STAGES)
def test_ctrl_c_at_any_moment_says_how_to_go_on_and_what_follows_ends_the_same(
    stage: str, commands: Commands, whole: Undisturbed, tmp_path: Path
) -> None:
    run = Path(shutil.copytree(whole.before[stage], tmp_path / "run"))
    moments, seconds, stopped = random.Random(stage), whole.seconds[stage], 0
    while not stopped and seconds > 0.01:
        moment = moments.uniform(0.2, 0.8) * seconds
        code, said = commands.stop_after(moment, signal.SIGINT, *whole.words(stage, run))
        assert code in {0, 130}, said
        assert "Traceback" not in said
        assert code == 0 or said.endswith("stopped; the same command goes on from here\n")
        stopped += code == 130
        seconds /= 1 + (code == 0)  # the machine is faster now than it was
    assert stopped
    commands.run(*whole.words(stage, run))
    assert differing(run, whole.after[stage]) == []


def largest(whole: Undisturbed, *folders: str) -> int:
    files = whole.after["evaluate"].items()
    return max(len(content) for name, content in files if name.split("/")[0] in folders)


def test_where_files_may_not_grow_each_stage_says_so_and_goes_on_once_they_may(
    commands: Commands, whole: Undisturbed, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    recipe, kept = largest(whole, "annotate", "recipe.json"), largest(whole, "keep")
    weights = largest(whole, "train")
    assert recipe < kept < weights
    done: list[int] = []
    for size in (1000, recipe - 1, kept - 1, kept, weights - 1):
        with commands.largest_file(size):
            done.append(try_stages(commands, STAGES, whole.words, run, LIMITED))
    assert done == [0, 0, 1, 2, 2]
    assert try_stages(commands, STAGES, whole.words, run, LIMITED) == len(STAGES)
    assert differing(run, whole.after["evaluate"]) == []


def test_on_a_disk_that_is_really_full_each_stage_says_so_and_goes_on_with_more_space(
    commands: Commands, whole: Undisturbed, disk: Path
) -> None:
    done = []
    for size in ("4k", "40k", "180k", "2m", "100m"):
        subprocess.run(["mount", "-o", f"remount,size={size}", str(disk)], check=True)
        done.append(try_stages(commands, STAGES, whole.words, disk / "run", FULL))
    assert done == sorted(done)
    assert {0, 1, 2, 4} == set(done)
    assert differing(disk / "run", whole.after["evaluate"]) == []
