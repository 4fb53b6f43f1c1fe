"""`graft controlnet study`: each study on a tiny base, whole, in parts, and again."""

import json
import shutil
import sys
from pathlib import Path

import pytest

from graft.cli.studies import page
from graft.world.gallery import write_gallery
from processes import Commands, finish, start
from small_bases import make_pipeline

RECIPE = """
base = "BASE"
size = 32
shard_pictures = 8
[train]
steps = 4
batch = 2
learning_rate = 1e-3
hint_rate = 2.0
validate_every = 1
gap_every = 1
checkpoint_every = 4
[validation]
pictures = 3
run = { steps = 1, guidance = 1.0 }
[evaluate]
pictures = 4
run = { steps = 2, guidance = 1.5 }
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("studies")
    make_pipeline("sd1", "v_prediction").save_pretrained(folder / "base")
    write_gallery(folder / "pictures", 24, size=32)
    (folder / "recipe.toml").write_text(RECIPE.replace("BASE", str(folder / "base")))
    return folder


def study(commands: Commands, folder: Path, name: str, *flags: str) -> str:
    """Run a study into a folder of its name, recorded; what it said."""
    given = ("--images", str(folder / "pictures"), "--config", str(folder / "recipe.toml"))
    out = ("--out", str(folder / name), "--record", str(folder / "told"))
    commands.begin("controlnet", "study", name, *given, *out, *flags)
    code, said = commands.end()
    assert code == 0, said
    return said


def recorded(folder: Path, name: str) -> dict[str, object]:
    """A study's report; its page says what its JSON file does, and its pictures are there."""
    told = folder / "told"
    found = json.loads((told / f"study-{name}.json").read_text())
    text = (told / f"study-{name}.md").read_text()
    assert text == page(name, found)
    assert {"command", "date", "machine", "commit"} <= set(found)
    assert found["command"].startswith(f"graft controlnet study {name.partition('-')[0]}")
    assert "--record" not in found["command"]
    for picture in (f"study-{name}.png", *found.get("pictures", {}).values()):
        assert (told / picture).stat().st_size > 1000
        assert f"({picture})" in text
    return found["report"]


@pytest.fixture(scope="module")
def ablations(commands: Commands, folder: Path) -> dict[str, object]:
    said = study(commands, folder, "ablations", "--only", "zero,gaussian")
    assert "still to do: light, middle-only, unlocked" in said
    assert not (folder / "ablations" / "report.json").exists()
    before = (folder / "ablations/runs/zero/report.json").stat().st_mtime_ns
    study(commands, folder, "ablations")
    assert (folder / "ablations/runs/zero/report.json").stat().st_mtime_ns == before
    return recorded(folder, "ablations")


def test_ablations_are_taught_from_the_same_pairs_in_parts_or_whole(
    ablations: dict[str, object], folder: Path
) -> None:
    names = ["zero", "gaussian", "light", "middle-only", "unlocked"]
    assert list(ablations["variants"]) == list(ablations["prompts"]) == names
    assert len(list((folder / "ablations").glob("pairs-*"))) == 1
    divisions = {
        (folder / "ablations" / "runs" / name / "train" / "division.json").read_bytes()
        for name in names
    }
    assert len(divisions) == 1
    for found in ablations["prompts"].values():
        assert list(found) == ["none", "insufficient", "conflicting", "perfect"]
        assert all(one["n"] == 4 and one["low"] <= one["mean"] for one in found.values())


@pytest.mark.usefixtures("ablations")
def test_a_variant_is_what_teach_makes_of_its_recipe(commands: Commands, folder: Path) -> None:
    """The same bytes as a run of its own: what is shared changes nothing."""
    given = ("--config", str(folder / "recipe.toml"), "--out", str(folder / "alone"))
    setting = ("--set", "train.control.light=true")
    commands.run("controlnet", "teach", str(folder / "pictures"), *given, *setting)
    for name in ("train/control/diffusion_pytorch_model.safetensors", "train/convergence.json"):
        own = (folder / "ablations" / "runs" / "light" / name).read_bytes()
        assert own == (folder / "alone" / name).read_bytes(), name


@pytest.mark.usefixtures("ablations")
def test_gaussian_joints_begin_away_from_the_base_and_zero_ones_do_not(folder: Path) -> None:
    def first(name: str) -> dict[str, object]:
        told = (folder / "ablations" / "runs" / name / "train" / "convergence.json").read_text()
        return json.loads(told)["checks"][0]

    assert first("zero")["true"] == first("zero")["none"]
    assert first("gaussian")["true"] != first("gaussian")["none"]


def test_more_pictures_are_learnt_from_and_the_same_evaluated_on(
    commands: Commands, folder: Path
) -> None:
    study(commands, folder, "pictures", "--counts", "2,9")
    report = recorded(folder, "pictures")
    assert list(report["variants"]) == ["2", "9"]
    few, more = (
        json.loads((folder / f"pictures/runs/{count}/evaluate/fidelity.json").read_text())
        for count in (2, 9)
    )
    assert list(few) == list(more)
    assert few != more


def test_the_rates_of_everything_and_of_the_doors_are_scaled(
    commands: Commands, folder: Path
) -> None:
    said = study(commands, folder, "rate", "--only", "doors-4")
    assert "still to do: all-0.25, all-0.5, all-1" in said
    card = json.loads((folder / "rate/runs/doors-4/train/control/graft.json").read_text())
    assert card["settings"]["zero_rate"] == 4.0


def test_schedules_are_compared_on_the_conditions_that_are_named(
    commands: Commands, folder: Path
) -> None:
    asked = ("--conditions", "tile", "--seeds", "3")
    said = study(commands, folder, "schedule", *asked, "--only", "tile-3-constant-0.99")
    assert "still to do: tile-3-constant-0.999, tile-3-warm-up-cosine-0.999" in said
    card = folder / "schedule/runs/tile-3-constant-0.99/train/control/graft.json"
    settings = json.loads(card.read_text())["settings"]
    assert (settings["beta2"], settings["decay"], settings["warm_up"]) == (0.99, "constant", 0)
    study(commands, folder, "schedule", *asked)
    report = recorded(folder, "schedule-tile")
    names = ["constant-0.999", "warm-up-cosine-0.999", "constant-0.99", "warm-up-cosine-0.99"]
    assert list(report["variants"]) == [f"tile-3-{name}" for name in names]
    assert [one["n"] for one in report["choices"].values()] == [1] * 4


def test_onsets_are_looked_for_straight_and_mixed_up(commands: Commands, folder: Path) -> None:
    study(commands, folder, "onset", "--conditions", "canny", "--seeds", "3")
    report = recorded(folder, "onset")
    assert list(report["variants"]) == ["canny-3", "canny-3-mixed"]
    straight, mixed = (
        json.loads((folder / f"onset/runs/canny-3{kind}/keep/kept.json").read_text())["ids"]
        for kind in ("", "-mixed")
    )
    assert len(mixed) == len(straight) > 15


def test_a_warm_start_begins_with_the_related_control(commands: Commands, folder: Path) -> None:
    study(commands, folder, "convergence", "--only", "warm-start,related")
    runs = folder / "convergence" / "runs"
    begun = json.loads((runs / "warm-start" / "recipe.json").read_text())["train"]["start_from"]
    assert begun.endswith("convergence/runs/related/train/control")
    first = json.loads((runs / "warm-start" / "train" / "convergence.json").read_text())
    assert first["checks"][0]["true"] != first["checks"][0]["none"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("ablations --only zero,heavy", "no variant 'heavy'; there are: zero, gaussian"),
        ("pictures --counts 0", "0 pictures: at least one is learnt from"),
        ("pictures --counts few", "--counts few: numbers with commas between are needed"),
        ("pictures --counts 99", "99 pairs are to be learnt from, and there are"),
        ("convergence --only warm-start", "begins with the control of 'related', which is not"),
        ("schedule --conditions ,", "nothing to study: an option names nothing"),
        ("schedule --seeds ,", "nothing to study: an option names nothing"),
        ("onset --seeds 0.5", "--seeds 0.5: numbers with commas between are needed"),
    ],
)
def test_what_cannot_be_studied_is_told(
    commands: Commands, folder: Path, tmp_path: Path, words: str, told: str
) -> None:
    given = ("--images", str(folder / "pictures"), "--config", str(folder / "recipe.toml"))
    out = ("--out", str(tmp_path / "none"))
    commands.begin("controlnet", "study", *words.split(), *given, *out)
    code, said = commands.end()
    assert code == 1, said
    assert told in " ".join(said.split())
    assert "Traceback" not in said


@pytest.mark.usefixtures("ablations")
def test_what_was_taught_with_other_settings_does_not_pass_for_these(
    commands: Commands, folder: Path
) -> None:
    given = ("--images", str(folder / "pictures"), "--config", str(folder / "recipe.toml"))
    out = ("--out", str(folder / "ablations"), "--set", "train.steps=5")
    commands.begin("controlnet", "study", "ablations", *given, *out)
    code, said = commands.end()
    assert code == 1, said
    assert "runs/zero: was taught with another train.steps: 4, not 5; choose another" in said


@pytest.mark.usefixtures("ablations")
def test_two_processes_share_the_work(folder: Path, tmp_path: Path) -> None:
    """At the same time, from pairs that are there: neither is in the other's way."""
    pairs = next((folder / "ablations").glob("pairs-*"))
    shutil.copytree(pairs, tmp_path / "shared" / pairs.name)
    graft = (sys.executable, "-c", "from graft.cli import main; main()", "controlnet", "study")
    given = ("--images", str(folder / "pictures"), "--config", str(folder / "recipe.toml"))
    parts = [
        start([*graft, "ablations", *given, "--out", str(tmp_path / "shared"), "--only", names])
        for names in ("zero,light", "gaussian,unlocked")
    ]
    said = [finish(part) for part in parts]
    assert all("still to do: " in one for one in said)
    for name in ("zero", "light", "gaussian", "unlocked"):
        own = tmp_path / "shared" / "runs" / name / "train" / "convergence.json"
        first = folder / "ablations" / "runs" / name / "train" / "convergence.json"
        assert own.read_bytes() == first.read_bytes(), name


@pytest.fixture(scope="module")
def two_runs(commands: Commands, folder: Path) -> tuple[Path, Path]:
    runs = []
    for condition in ("canny", "palette"):
        out = folder / f"one-{condition}"
        given = ("--config", str(folder / "recipe.toml"), "--out", str(out))
        pictures = str(folder / "pictures")
        commands.run("controlnet", "teach", pictures, "--condition", condition, *given)
        runs.append(out)
    return runs[0], runs[1]


def working(commands: Commands, folder: Path, *words: str) -> None:
    commands.begin("controlnet", "study", *words, "--record", str(folder / "told"))
    code, said = commands.end()
    assert code == 0, said


def test_each_form_of_weighting_is_tried_at_each_guidance(
    commands: Commands, folder: Path, two_runs: tuple[Path, Path]
) -> None:
    working(commands, folder, "weighting", str(two_runs[0]), "--guidances", "1,3")
    report = recorded(folder, "weighting")
    assert list(report["weighting"]) == ["none", "resolution", "power", "logspace"]
    assert all(set(found) == {"1", "3"} for found in report["weighting"].values())


def test_two_controls_are_put_to_both_conditions(
    commands: Commands, folder: Path, two_runs: tuple[Path, Path]
) -> None:
    out = ("--out", str(folder / "both"))
    working(commands, folder, "together", *map(str, two_runs), *out)
    report = recorded(folder, "together")["together"]
    assert len(report) == 8
    assert all(set(found) == {"canny", "palette"} for found in report.values())
    alone = json.loads((two_runs[0] / "report.json").read_text())["fidelity"]
    assert report["first alone"]["canny"]["mean"] == pytest.approx(alone["controlled"])
    assert report["none"]["canny"]["mean"] == pytest.approx(alone["none"])


def test_two_controls_of_one_condition_and_odd_guidances_are_refused(
    commands: Commands, two_runs: tuple[Path, Path], tmp_path: Path
) -> None:
    run = str(two_runs[0])
    for words, told in (
        (("together", run, run, "--out", str(tmp_path)), "follow the same condition"),
        (("weighting", run, "--guidances", "much"), "--guidances much: numbers with commas"),
    ):
        commands.begin("controlnet", "study", *words)
        code, said = commands.end()
        assert code == 1, said
        assert told in " ".join(said.split())
