"""Finished controls at work, on a tiny base."""

import json
import shutil
from pathlib import Path

import pytest

from graft.controlnet.control import ControlConfig
from graft.controlnet.evaluate import EvaluateConfig
from graft.controlnet.sampling import RunConfig
from graft.controlnet.study.running import study_together, study_weighting
from graft.controlnet.teach import teach
from graft.controlnet.trainee import TrainConfig
from graft.controlnet.validation import ValidationConfig
from graft.controlnet.workshop import TeachConfig, Workshop
from graft.errors import ConfigError, DataError
from graft.store.whole import read_json, write_json
from graft.world.gallery import write_gallery
from small_bases import make_pipeline


@pytest.fixture(scope="module")
def unlocked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose decoder has learned as well, and far."""
    folder = tmp_path_factory.mktemp("unlocked")
    make_pipeline("sd1", "v_prediction").save_pretrained(folder / "base")
    write_gallery(folder / "pictures", 12, size=32)
    config = TeachConfig(
        images=folder / "pictures",
        base=str(folder / "base"),
        size=32,
        train=TrainConfig(
            steps=2,
            batch=2,
            learning_rate=5e-2,
            average_decay=0.0,
            control=ControlConfig(unlock_decoder=True),
            validate_every=2,
            gap_every=2,
        ),
        validation=ValidationConfig(pictures=2, run=RunConfig(steps=1, guidance=1.0)),
        evaluate=EvaluateConfig(pictures=2, run=RunConfig(steps=2, guidance=2.0)),
    )
    list(teach(Workshop.begin(folder / "run", config)))
    return folder / "run"


def test_an_unlocked_decoder_takes_part_as_it_does_in_the_evaluation(unlocked: Path) -> None:
    found = dict[str, object]()
    list(study_weighting(unlocked, [2.0], found))
    evaluated = read_json(unlocked / "report.json")["fidelity"]
    assert found["none"]["2"]["mean"] == pytest.approx(evaluated["controlled"])


def test_two_unlocked_decoders_are_not_run_together(unlocked: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(unlocked, tmp_path / "other"))
    write_json(other / "recipe.json", read_json(other / "recipe.json") | {"condition": "tile"})
    with pytest.raises(ConfigError, match="2 of these controls were taught with an unlocked"):
        list(study_together(unlocked, other, tmp_path / "out", {}))
    assert not (tmp_path / "out").exists()


def test_a_run_that_holds_out_no_picture_is_told(unlocked: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(unlocked, tmp_path / "run"))
    division = json.loads((run / "train" / "division.json").read_text())
    write_json(run / "train" / "division.json", division | {"evaluation": []})
    with pytest.raises(DataError, match=r"run: holds out no picture.*evaluate\.pictures"):
        list(study_weighting(run, [2.0], {}))


def test_guidances_that_are_none_are_refused_before_anything_is_loaded(tmp_path: Path) -> None:
    Workshop.begin(tmp_path / "run", TeachConfig(images=tmp_path, base="nowhere"))
    with pytest.raises(ConfigError, match="no guidance is named"):
        list(study_weighting(tmp_path / "run", [], {}))
    with pytest.raises(ConfigError, match="finite number, not nan; asked for: guidance = nan"):
        list(study_weighting(tmp_path / "run", [1.0, float("nan")], {}))
