"""One curve, one measure: a training is watched to its end as it was when it began."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from graft.controlnet.sampling import RunConfig
from graft.controlnet.teach import train_control
from graft.controlnet.train import train
from graft.controlnet.validation import ValidationConfig
from graft.controlnet.workshop import Workshop
from graft.errors import StoreError
from graft.store.whole import read_json, write_json
from small_trainings import SETTINGS, Setting

SHORT = replace(
    SETTINGS, steps=2, accumulate=1, gap_every=2, validate_every=2, checkpoint_every=1
)


@pytest.fixture
def own(tmp_path: Path) -> Setting:
    """A setting whose measure may be changed."""
    return Setting(tmp_path / "setting")


def measured(setting: Setting, **changed: float) -> None:
    """From now on its pictures are generated otherwise."""
    settings = setting.validation.settings
    run = replace(settings.run, **changed)
    setting.validation.settings = replace(settings, run=run)


def stop_after_a_checkpoint(setting: Setting, folder: Path) -> None:
    begun = train(
        setting.base, setting.lessons, setting.empty, setting.validation, SHORT, folder
    )
    for step in begun:
        if step.index == 2:  # the checkpoint of step 1 is written by now
            break
    begun.close()


def test_a_begun_training_does_not_go_on_under_another_measure(
    own: Setting, tmp_path: Path
) -> None:
    folder = tmp_path / "train"
    stop_after_a_checkpoint(own, folder)
    measured(own, guidance=3.0)
    told = r"checkpoint-1: .* validation\.run\.guidance was 2\.0, is 3\.0; take the same"
    with pytest.raises(StoreError, match=told):
        own.train(folder, SHORT)
    measured(own, guidance=2.0, at_once=1)  # which saves memory only
    own.train(folder, SHORT)
    told = r"validation\.run\.steps was 2, is 1; take the same"
    measured(own, steps=1)
    with pytest.raises(StoreError, match=told):
        own.train(folder, SHORT)


def test_a_training_that_was_begun_before_measures_were_noted_goes_on(
    own: Setting, tmp_path: Path
) -> None:
    folder = tmp_path / "train"
    stop_after_a_checkpoint(own, folder)
    for path in folder.glob("checkpoint-*/state.json"):
        state = json.loads(path.read_text())
        del state["note"]["validation"]
        path.write_text(json.dumps(state))
    measured(own, guidance=3.0)
    assert own.train(folder, SHORT)[0].index == 2


def test_how_many_pictures_go_at_once_is_no_part_of_a_measure() -> None:
    one, other = (ValidationConfig(run=RunConfig(at_once=count)) for count in (1, 8))
    assert one.to_measure() == other.to_measure() != ValidationConfig(pictures=3).to_measure()


def test_a_finished_training_takes_no_other_settings(taught: Workshop) -> None:
    recipe = (taught.root / "recipe.json").read_bytes()
    later = Workshop.resume(taught.root, ["validation.run.guidance=3.0"])
    with pytest.raises(StoreError, match=r"validation\.run\.guidance was 4\.0, is 3\.0"):
        list(train_control(later))
    with pytest.raises(StoreError, match=r"validation\.run\.guidance was 4\.0, is 3\.0"):
        later.trained()
    path = taught.root / "train" / "control" / "graft.json"
    write_json(path, {k: v for k, v in read_json(path).items() if k != "validation"})
    assert list(train_control(later)) == []  # an older one, whose measure is not known
    assert (taught.root / "recipe.json").read_bytes() == recipe
