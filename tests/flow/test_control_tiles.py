"""Few large pictures without captions, through the commands: cut into tiles, and mirrored."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from graft.cli.record import page
from graft.controlnet.records import PAIR
from graft.store.runs import DIARIES
from graft.store.shards import list_shards, read_shard
from graft.world.pictures import draw_picture
from processes import Commands
from small_bases import make_pipeline

RECIPE = """
size = 32
shard_pictures = 16
tiles = 3
[train]
flip = true
steps = 3
batch = 2
validate_every = 3
gap_every = 3
checkpoint_every = 2
[validation]
pictures = 3
run = { steps = 1, guidance = 1.0 }
[evaluate]
pictures = 4
run = { steps = 1, guidance = 1.0 }
"""
PICTURES = 10


def photograph(seed: int) -> np.ndarray:
    """Wider than high, with something to see in every part."""
    drawn_HWC = draw_picture(np.random.default_rng(seed), size=160).pixels_HWC
    noise_HWC = np.random.default_rng(seed).integers(0, 250, (20, 20, 3)).astype(np.uint8)
    rough_HWC = noise_HWC.repeat(8, axis=0).repeat(8, axis=1)
    return (drawn_HWC // 2 + rough_HWC // 2)[:96, :160]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tiles")
    make_pipeline("sd1", "v_prediction").save_pretrained(folder / "base")
    (folder / "recipe.toml").write_text(RECIPE)
    bare = RECIPE.replace("tiles = 3", "").replace("flip = true", "")
    (folder / "bare.toml").write_text(bare)
    (folder / "pictures").mkdir()
    for number in range(PICTURES):
        Image.fromarray(photograph(number)).save(folder / "pictures" / f"{number}.png")
    return folder


def words(folder: Path, recipe: str, out: str) -> list[str]:
    flags = ["--base", str(folder / "base"), "--config", str(folder / recipe)]
    return [str(folder / "pictures"), *flags, "--out", str(folder / out)]


def read(path: Path) -> dict[str, object]:
    return json.loads(path.read_text())


def lasting(run: Path) -> dict[str, bytes]:
    """Every file that must not depend on when, and by which commands, it was made."""
    return {
        path.relative_to(run).as_posix(): path.read_bytes()
        for path in sorted(run.rglob("*"))
        if path.is_file()
        and path.name not in {*DIARIES, ".lock"}
        and path not in (run / "report.json", run / "train" / "convergence.png")
    }


@pytest.fixture(scope="module")
def taught(commands: Commands, folder: Path) -> tuple[Path, str]:
    commands.begin("controlnet", "teach", *words(folder, "recipe.toml", "one"))
    code, said = commands.end()
    assert code == 0, said
    return folder / "one", " ".join(said.split())


def test_every_picture_comes_as_its_tiles(taught: tuple[Path, str]) -> None:
    run, _ = taught
    shards = list_shards(run / "annotate" / "shards")
    pairs = {
        pair.id: pair for shard in shards for pair in map(PAIR.from_row, read_shard(shard))
    }
    names = [f"{n}.png#{r},{c}" for n in range(PICTURES) for r in range(3) for c in range(5)]
    assert list(pairs) == names
    cut_HWC = photograph(7)[32:64, 128:160]
    assert np.array_equal(pairs["7.png#1,4"].pixels_HWC, cut_HWC)
    summary = read(run / "annotate" / "shards" / "manifest.json")["summary"]
    assert isinstance(summary, dict)
    assert (summary["pictures"], summary["tiles"]) == (PICTURES, 150)


def test_pictures_without_captions_are_kept_and_told_once(taught: tuple[Path, str]) -> None:
    run, said = taught
    report = read(run / "keep" / "report.json")
    assert (report["pairs"], report["kept"]) == (150, 150)
    assert report["faults"] == {"no caption": 150}
    assert len(report["warnings"]) == 1
    assert "100% of the pictures have no caption" in said


def test_no_picture_is_learnt_from_and_evaluated_on(taught: tuple[Path, str]) -> None:
    run, said = taught
    division = read(run / "train" / "division.json")
    parts = [division[name] for name in ("training", "validation", "evaluation")]
    pictures = [{name.partition("#")[0] for name in part} for part in parts]
    assert [len(part) for part in parts] == [90, 3, 4]
    assert [len(part) for part in pictures] == [6, 2, 2]
    assert len(set.union(*pictures)) == PICTURES
    assert read(run / "report.json")["held_out"] == {"pairs": 4, "pictures": 2}
    assert "4 held-out tiles of 2 pictures" in said


def test_what_words_do_is_not_told_where_there_are_none(taught: tuple[Path, str]) -> None:
    run, said = taught
    agreed = read(run / "report.json")["prompt_agreement"]
    assert agreed == {"base": None, "controlled": None}
    assert "prompt agreement: not asked, for no two captions differ" in said


def test_a_run_is_shown_again_and_recorded_without_its_pictures(
    taught: tuple[Path, str], commands: Commands, folder: Path
) -> None:
    told = folder / "told"
    named = ("--record", str(told), "--name", "tiles", "--no-pictures")
    commands.begin("controlnet", "report", str(taught[0]), *named)
    code, said = commands.end()
    assert code == 0, said
    assert "held-out tiles" in said
    assert {path.name for path in told.iterdir()} == {"tiles.json", "tiles.md", "tiles.png"}
    found = read(told / "tiles.json")
    assert found["report"] == read(taught[0] / "report.json")
    text = (told / "tiles.md").read_text()
    assert "Prompt agreement: base not asked, controlled not asked." in text
    assert text == page("tiles", found)
    commands.run("controlnet", "report", str(taught[0]), *named[:-1])
    assert (told / "tiles-pictures.png").is_file()


def test_flags_and_stages_alone_come_to_the_same_bytes(
    taught: tuple[Path, str], commands: Commands, folder: Path
) -> None:
    run, other = taught[0], folder / "other"
    begin = [*words(folder, "bare.toml", "other"), "--tiles", "3"]
    commands.run("controlnet", "annotate", *begin)
    commands.run("controlnet", "keep", str(other))
    commands.run("controlnet", "train", str(other), "--flip")
    commands.run("controlnet", "evaluate", str(other))
    first, second = lasting(run), lasting(other)
    assert list(first) == list(second)
    assert [name for name in first if first[name] != second[name]] == []


def test_without_mirrored_pairs_another_control_is_taught(
    taught: tuple[Path, str], commands: Commands, folder: Path
) -> None:
    plain = [*words(folder, "bare.toml", "plain"), "--tiles", "3"]
    commands.run("controlnet", "teach", *plain)
    same, others = lasting(taught[0]), lasting(folder / "plain")
    changed = {name for name in others if same.get(name) != others[name]}
    assert any(name.startswith("train/control/") for name in changed)
    assert not any(name.startswith(("annotate/", "keep/", "latents/")) for name in changed)
    assert others["train/division.json"] == same["train/division.json"]
    latents = [sum(name.startswith("latents/") for name in one) for one in (same, others)]
    assert latents == [20, 10]


def test_a_training_that_was_begun_otherwise_is_refused(
    taught: tuple[Path, str], commands: Commands
) -> None:
    flags = ["--set", "train.flip=false"]
    commands.begin("controlnet", "train", str(taught[0]), *flags)
    code, said = commands.end()
    assert code == 1, said
    assert "was taught with other settings" in " ".join(said.split())


def test_too_few_pictures_are_told_by_their_number(commands: Commands, folder: Path) -> None:
    few = [*words(folder, "recipe.toml", "few"), "--limit", "4"]
    commands.begin("controlnet", "teach", *few)
    code, said = commands.end()
    assert code == 1, said
    assert "60 good pairs of 4 pictures are too few" in " ".join(said.split())
