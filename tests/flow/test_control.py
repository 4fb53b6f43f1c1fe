"""`graft controlnet teach` on a tiny base: whole, again, and killed on its way."""

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import ControlNetModel, StableDiffusionControlNetPipeline
from PIL import Image

from graft.world.gallery import write_gallery
from processes import GRAFT, Graft, finish, kill_when, start
from small_bases import make_pipeline

RECIPE = """
size = 32
shard_pictures = 8
[train]
steps = 6
batch = 2
learning_rate = 1e-3
validate_every = 3
gap_every = 3
checkpoint_every = 2

[validation]
pictures = 2
run = { steps = 2 }

[evaluate]
pictures = 3
run = { steps = 2 }
"""
CHANGING = {"log.jsonl", "seconds.json"}
"""Files that tell how long something took."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("control")
    make_pipeline("sd1", "v_prediction").save_pretrained(folder / "base")
    write_gallery(folder / "pictures", 20, size=32)
    (folder / "recipe.toml").write_text(RECIPE)
    return folder


def command(out: str) -> list[str]:
    return [
        *("controlnet", "teach", "pictures", "--base", "base", "--condition", "canny"),
        *("--config", "recipe.toml", "--out", out),
    ]


def run(folder: Path, out: str) -> subprocess.Popen[str]:
    return start([*GRAFT, *command(out)], folder)


def lasting(folder: Path) -> dict[str, bytes]:
    """Every file that must not depend on when, where and how often it was made."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
        and path.name not in CHANGING
        and path not in (folder / "report.json", folder / "train" / "convergence.png")
    }


def report(folder: Path) -> dict[str, object]:
    whole = json.loads((folder / "report.json").read_text())
    return {name: part for name, part in whole.items() if name != "seconds"}


@pytest.fixture(scope="module")
def taught(folder: Path, graft: Graft) -> Path:
    done = graft(*command("one"), folder=folder)
    assert done.returncode == 0, done.stderr
    assert "fidelity" in done.stdout
    return folder / "one"


def assert_same(one: Path, other: Path) -> None:
    first, second = lasting(one), lasting(other)
    assert list(first) == list(second)
    assert [name for name in first if first[name] != second[name]] == []
    assert report(one) == report(other)


def test_killed_in_annotate_and_in_train_it_ends_in_the_same_bytes(
    taught: Path, folder: Path
) -> None:
    out = folder / "killed"
    shards, checkpoint = out / "annotate" / "shards", out / "train" / "checkpoint-4"
    kill_when(run(folder, "killed"), lambda: any(shards.glob("shard-*.parquet")))
    kill_when(run(folder, "killed"), checkpoint.is_dir)
    assert not (out / "train" / "control").exists()
    finish(run(folder, "killed"))
    assert_same(taught, out)


def test_the_report_has_every_figure(taught: Path) -> None:
    whole = json.loads((taught / "report.json").read_text())
    fidelity = whole["fidelity"]
    assert fidelity["metric"] == "edge_f1"
    assert {"controlled", "none", "shuffled", "ceiling", "n", "low", "high"} < set(fidelity)
    assert fidelity["n"] == 3
    assert {"onset_step", "steps", "verdict", "confidence"} <= set(whole["convergence"])
    assert whole["convergence"]["steps"] == 6
    assert whole["frozen_unchanged"] is True
    assert whole["step0_max_difference"] == 0.0
    assert set(whole["prompt_agreement"]) == {"base", "controlled"}
    stages = {"annotate", "keep", "latents", "train", "evaluate"}
    assert set(whole["seconds"]) == stages


def test_pictures_of_the_run_can_be_looked_at(taught: Path) -> None:
    for name in ("evaluate/grid.png", "keep/sheet.png", "train/convergence.png"):
        with Image.open(taught / name) as image:
            assert min(image.size) > 90
    assert len(list((taught / "train" / "pictures").glob("step-*.png"))) == 2
    assert len(list((taught / "evaluate" / "controlled").glob("*.png"))) == 3


def test_the_control_gives_the_same_picture_in_diffusers_own_pipeline(
    taught: Path, folder: Path, graft: Graft
) -> None:
    control = taught / "train" / "control"
    hint = next((folder / "pictures").glob("*.png"))
    done = graft(
        *("controlnet", "run", "a red star", "--control", str(control), "--hint", str(hint)),
        *("--base", "base", "--out", "drawn", "--seed", "3"),
        *("--set", "steps=3", "--set", "guidance=2.0"),
        folder=folder,
    )
    assert done.returncode == 0, done.stderr
    [path] = done.stdout.split()
    ours = np.array(Image.open(folder / path)).astype(int)
    pipeline = StableDiffusionControlNetPipeline.from_pretrained(
        folder / "base",
        controlnet=ControlNetModel.from_pretrained(control),
        safety_checker=None,
    )
    pipeline.set_progress_bar_config(disable=True)
    pixels = torch.from_numpy(np.array(Image.open(hint))).permute(2, 0, 1)[None].float() / 255
    noise = torch.randn((1, 4, 8, 8), generator=torch.Generator().manual_seed(3))
    theirs = pipeline(
        "a red star",
        image=pixels,
        latents=noise,
        num_inference_steps=3,
        guidance_scale=2.0,
        output_type="np",
    ).images[0]
    assert np.abs((theirs * 255).round() - ours).max() <= 1


def test_stages_alone_come_to_what_teach_comes_to(
    taught: Path, folder: Path, graft: Graft
) -> None:
    begin = ["annotate", "pictures", "--base", "base", "--condition", "canny"]
    for words in (
        [*begin, "--config", "recipe.toml", "--out", "alone"],
        ["keep", "alone"],
        ["train", "alone"],
        ["evaluate", "alone"],
    ):
        done = graft("controlnet", *words, folder=folder)
        assert done.returncode == 0, done.stderr
    assert_same(taught, folder / "alone")


def test_a_base_that_changed_under_a_run_is_refused(
    taught: Path, folder: Path, graft: Graft
) -> None:
    noted = taught / "train" / "base.json"
    before = noted.read_bytes()
    noted.write_text(json.dumps({"name": "base", "sha256": "of other weights"}))
    try:
        done = graft(*command("one"), folder=folder)
    finally:
        noted.write_bytes(before)
    assert done.returncode == 1
    assert "has other weights than when the training began" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.usefixtures("taught")
def test_another_run_in_its_folder_is_refused(folder: Path, graft: Graft) -> None:
    done = graft(*command("one"), "--set", "condition=softedge", folder=folder)
    assert done.returncode == 1
    assert "was begun with condition = 'canny'" in done.stderr
