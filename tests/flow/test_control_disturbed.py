"""The stages of ControlNet, each command a process of its own, and what may come between.

Killed at moments drawn over a stage's whole time and gone on with, ten kills of each stage
(`GRAFT_KILLS=3` for fewer); Ctrl-C; files that may not grow; a full disk.
"""

import json
import os
import random
import shutil
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import torch
from torch import nn

from graft.train.checkpoint import save_checkpoint
from graft.world.gallery import write_gallery
from processes import Commands
from small_bases import make_pipeline

KILLS = int(os.environ.get("GRAFT_KILLS", "10"))
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
CHANGING = {"log.jsonl", "seconds.json"}
"""Files that tell how long something took; the report of a run tells it as well."""
FULL = "the disk is full; free some space and run the same command again"
LIMITED = "larger than a file may be here (ulimit -f); raise it and run the same command again"


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
            return ["controlnet", stage, str(run)]
        flags = ["--base", str(self.folder / "base"), "--config", str(self.folder / "r.toml")]
        return ["controlnet", stage, str(self.folder / "pictures"), *flags, "--out", str(run)]


@pytest.fixture(scope="module")
def whole(control_commands: Commands, tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    whole = Undisturbed(tmp_path_factory.mktemp("undisturbed"))
    make_pipeline("sd1", "v_prediction").save_pretrained(whole.folder / "base")
    write_gallery(whole.folder / "pictures", 20, size=512)  # slow to read
    (whole.folder / "r.toml").write_text(RECIPE)
    run = whole.folder / "run"
    run.mkdir()
    for stage in STAGES:
        whole.before[stage] = Path(shutil.copytree(run, whole.folder / f"before-{stage}"))
        whole.seconds[stage] = control_commands.run(*whole.words(stage, run))
        whole.after[stage] = lasting(run)
    return whole


def lasting(folder: Path) -> dict[str, bytes]:
    """Every file, hidden ones too, that must not depend on who was stopped when."""
    found = {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in CHANGING
    }
    if "report.json" in found:
        found["report.json"] = json.dumps(
            {**json.loads(found["report.json"]), "seconds": 0}
        ).encode()
    return found


def differing(run: Path, whole: dict[str, bytes]) -> list[str]:
    """The names of files that are not as in an undisturbed run, or only in one of both."""
    now = lasting(run)
    return [name for name in sorted({*now, *whole}) if now.get(name) != whole.get(name)]


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
    stage: str, control_commands: Commands, whole: Undisturbed, tmp_path: Path
) -> None:
    moments = random.Random(f"killed in {stage}")
    kills, kills_at_work, runs = 0, 0, 0
    while kills < KILLS:
        run = Path(shutil.copytree(whole.before[stage], tmp_path / f"run-{runs}"))
        runs += 1
        words = whole.words(stage, run)
        killed = True
        while killed and kills < KILLS:
            before = made(run, stage)
            moment = moments.uniform(0, whole.seconds[stage])
            code, said = control_commands.stop_after(moment, signal.SIGKILL, *words)
            killed = code == -signal.SIGKILL
            assert killed or code == 0, said
            assert half_written(run, whole.after[stage]) == []
            kills += killed
            kills_at_work += killed and made(run, stage) != before
        control_commands.run(*words)
        assert differing(run, whole.after[stage]) == []
    assert kills_at_work >= KILLS // 4, f"{kills_at_work} of {kills} kills met work under way"


def test_whatever_files_killed_writers_left_anywhere_are_cleared_away(
    control_commands: Commands, whole: Undisturbed, tmp_path: Path
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
        control_commands.run(*whole.words(stage, run))
    assert differing(run, whole.after["evaluate"]) == []


def test_a_training_that_was_killed_while_it_cleared_up_is_cleared_up_the_next_time(
    control_commands: Commands, whole: Undisturbed, tmp_path: Path
) -> None:
    run = Path(shutil.copytree(whole.before["evaluate"], tmp_path / "run"))
    model = nn.Linear(1, 1)
    save_checkpoint(run / "train", 4, model, torch.optim.AdamW(model.parameters()), value=0)
    control_commands.run(*whole.words("train", run))
    assert differing(run, whole.after["train"]) == []


@pytest.mark.parametrize("stage", STAGES)
def test_ctrl_c_at_any_moment_says_how_to_go_on_and_what_follows_ends_the_same(
    stage: str, control_commands: Commands, whole: Undisturbed, tmp_path: Path
) -> None:
    run = Path(shutil.copytree(whole.before[stage], tmp_path / "run"))
    moments, seconds, stopped = random.Random(stage), whole.seconds[stage], 0
    while not stopped and seconds > 0.01:
        moment = moments.uniform(0.2, 0.8) * seconds
        code, said = control_commands.stop_after(
            moment, signal.SIGINT, *whole.words(stage, run)
        )
        assert code in {0, 130}, said
        assert "Traceback" not in said
        assert code == 0 or said.endswith("stopped; the same command goes on from here\n")
        stopped += code == 130
        seconds /= 1 + (code == 0)  # the machine is faster now than it was
    assert stopped
    control_commands.run(*whole.words(stage, run))
    assert differing(run, whole.after[stage]) == []


def try_stages(commands: Commands, whole: Undisturbed, run: Path, told: str) -> int:
    """Run the stages until one fails, which must say `told`; how many ended well."""
    for done, stage in enumerate(STAGES):
        commands.begin(*whole.words(stage, run))
        code, said = commands.end()
        if code != 0:
            assert code == 1, said
            assert "Traceback" not in said
            assert f"{run}" in said.splitlines()[-1]
            assert told in said.splitlines()[-1]
            return done
    return len(STAGES)


def largest(whole: Undisturbed, *folders: str) -> int:
    files = whole.after["evaluate"].items()
    return max(len(content) for name, content in files if name.split("/")[0] in folders)


def test_where_files_may_not_grow_each_stage_says_so_and_goes_on_once_they_may(
    control_commands: Commands, whole: Undisturbed, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    recipe, kept = largest(whole, "annotate", "recipe.json"), largest(whole, "keep")
    weights = largest(whole, "train")
    assert recipe < kept < weights
    done: list[int] = []
    for size in (1000, recipe - 1, kept - 1, kept, weights - 1):
        with control_commands.largest_file(size):
            done.append(try_stages(control_commands, whole, run, LIMITED))
    assert done == [0, 0, 1, 2, 2]
    assert try_stages(control_commands, whole, run, LIMITED) == len(STAGES)
    assert differing(run, whole.after["evaluate"]) == []


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of its own, at first of one page."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = shutil.which("mount")
    tried = mount and subprocess.run(
        [mount, "-t", "tmpfs", "-o", "size=4k", "tmpfs", str(disk)],
        capture_output=True,
        check=False,
    )
    if not tried or tried.returncode:
        pytest.skip("only root can mount a disk to fill")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_on_a_disk_that_is_really_full_each_stage_says_so_and_goes_on_with_more_space(
    control_commands: Commands, whole: Undisturbed, disk: Path
) -> None:
    done = []
    for size in ("4k", "40k", "180k", "2m", "100m"):
        subprocess.run(["mount", "-o", f"remount,size={size}", str(disk)], check=True)
        done.append(try_stages(control_commands, whole, disk / "run", FULL))
    assert done == sorted(done)
    assert {0, 1, 2, 4} == set(done)
    assert differing(disk / "run", whole.after["evaluate"]) == []
