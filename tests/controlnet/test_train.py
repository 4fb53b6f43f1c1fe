"""Training a control of a tiny random base: exact, resumable, and with a frozen base."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import ControlNetModel
from safetensors.torch import load_file

from graft.controlnet.control import ControlConfig, Controlled
from graft.controlnet.convergence import Check, ConvergenceConfig
from graft.controlnet.run import load_control
from graft.controlnet.sampling import RunConfig, Steering, sample
from graft.controlnet.train import Progress, Watch, train
from graft.controlnet.trainee import Trainee
from graft.errors import DataError, ModelError, StoreError
from graft.models.diffusion import DiffusionModel, Words
from graft.models.recompute import Recompute
from small_bases import make_base
from small_pairs import CANNY, pairs_of, with_wrong_hints
from small_trainings import SETTINGS, Setting, files, watch


def test_a_training_leaves_a_control_for_diffusers_and_nothing_half_done(trained) -> None:
    folder, steps = trained
    assert [step.index for step in steps] == [1, 2, 3, 4, 5, 6]
    assert [step.index for step in steps if step.check] == [2, 4, 6]
    assert [step.index for step in steps if step.check and step.check.fidelity] == [4, 6]
    assert sorted(path.name for path in folder.iterdir()) == ["control", "convergence.json"]
    model = ControlNetModel.from_pretrained(folder / "control")
    assert model.controlnet_mid_block.weight.abs().max() > 0
    card = json.loads((folder / "control" / "graft.json").read_text())
    assert (card["condition"], card["base"]) == ("canny", "sd1, v_prediction")


@pytest.mark.usefixtures("trained")
def test_the_base_is_as_it_was(setting: Setting) -> None:
    assert setting.base.digest() == make_base("sd1", "v_prediction").digest()


def test_the_same_training_again_ends_in_the_same_bytes(
    setting: Setting, trained, tmp_path: Path
) -> None:
    folder, steps = trained
    again = setting.train(tmp_path / "again")
    assert again == steps
    assert files(tmp_path / "again") == files(folder)


@pytest.mark.parametrize("stop", [1, 3, 5])
def test_stopped_anywhere_and_resumed_it_ends_in_the_same_bytes(
    setting: Setting, trained, tmp_path: Path, stop: int
) -> None:
    folder, steps = trained
    begun = train(
        setting.base, setting.lessons, setting.empty, setting.validation, SETTINGS, tmp_path
    )
    for step in begun:
        if step.index == stop:
            break
    begun.close()
    rest = setting.train(tmp_path)
    assert rest[0].index == stop // 2 * 2 + 1
    assert rest == steps[rest[0].index - 1 :]
    assert files(tmp_path) == files(folder)


@pytest.mark.parametrize("recompute", ["cheap", True])
def test_recomputing_may_begin_midway_and_ends_in_the_same_bytes(
    setting: Setting, trained, tmp_path: Path, recompute: Recompute
) -> None:
    folder, steps = trained
    begun = train(
        setting.base, setting.lessons, setting.empty, setting.validation, SETTINGS, tmp_path
    )
    for step in begun:
        if step.index == 3:
            break
    begun.close()
    rest = setting.train(tmp_path, replace(SETTINGS, recompute=recompute))
    assert rest == steps[2:]
    assert files(tmp_path) == files(folder)


def test_a_finished_training_is_not_done_again(setting: Setting, trained) -> None:
    folder, _ = trained
    before = files(folder)
    assert setting.train(folder) == []
    assert files(folder) == before


def test_a_step_is_the_same_however_its_pictures_are_divided(
    setting: Setting, tmp_path: Path
) -> None:
    """Two batches of two, or one of four: what is drawn belongs to the picture."""
    halves = setting.train(tmp_path / "halves")
    whole = setting.train(tmp_path / "whole", replace(SETTINGS, batch=4, accumulate=1))
    for one, other in zip(halves, whole, strict=True):
        assert one.loss == pytest.approx(other.loss, rel=1e-4)
        assert one.tokens == other.tokens


def test_another_training_in_its_folder_is_refused(setting: Setting, tmp_path: Path) -> None:
    begun = train(
        setting.base, setting.lessons, setting.empty, setting.validation, SETTINGS, tmp_path
    )
    for step in begun:
        if step.index == 3:  # the checkpoint of step 2 is written by now
            break
    begun.close()
    with pytest.raises(StoreError, match="begun with other settings"):
        setting.train(tmp_path, replace(SETTINGS, learning_rate=2e-3))


def test_a_finished_control_does_not_pass_for_one_of_other_settings(
    setting: Setting, trained
) -> None:
    folder, _ = trained
    with pytest.raises(StoreError, match="other settings: steps was 6, is 60; take the same"):
        setting.train(folder, replace(SETTINGS, steps=60))


@pytest.mark.parametrize("name", ["steps", "gap_every", "validate_every", "checkpoint_every"])
def test_a_step_count_of_nothing_is_refused_by_name(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} is at least 1"):
        replace(SETTINGS, **{name: 0})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("learning_rate", -1.0), ("learning_rate", float("inf")), ("hint_rate", -1.0)),
        *(("zero_rate", -1.0), ("weight_decay", -1.0), ("average_decay", 1.0), ("seed", -1)),
        *(("average_decay", 2.0), ("warm_up", -1.0), ("clip_norm", -1.0)),
        *(("time_power", float("inf")), ("seed", 2**63), ("no_prompt", float("nan"))),
    ],
)
def test_a_number_that_makes_no_sense_is_refused_by_name(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"{name} is "):
        replace(SETTINGS, **{name: value})


def test_without_lessons_it_says_where_to_look(setting: Setting, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="report of `keep`"):
        train(setting.base, [], setting.empty, setting.validation, SETTINGS, tmp_path)


def test_a_loss_that_is_no_number_stops_with_the_last_good_state(
    setting: Setting, tmp_path: Path
) -> None:
    bad = Words(torch.full_like(setting.empty.states_BTD, float("nan")))
    settings = replace(SETTINGS, no_prompt=1.0)
    with pytest.raises(ModelError, match="lower"):
        list(train(setting.base, setting.lessons, bad, setting.validation, settings, tmp_path))
    assert not (tmp_path / "control").exists()


def all_finite(folder: Path) -> bool:
    """Whether every weight below it is, and every JSON file JSON."""
    weights = [load_file(path) for path in folder.rglob("*.safetensors")]
    for path in folder.rglob("*.json"):
        json.loads(path.read_text(), parse_constant=pytest.fail)
    return all(tensor.isfinite().all() for state in weights for tensor in state.values())


@pytest.mark.parametrize(("steps", "check_every"), [(1, 1), (3, 3)])
def test_of_a_step_that_ruined_the_weights_nothing_is_saved(
    setting: Setting, tmp_path: Path, steps: int, check_every: int
) -> None:
    every = {"validate_every": check_every, "gap_every": check_every, "checkpoint_every": 1}
    settings = replace(SETTINGS, steps=steps, learning_rate=1e30, **every)
    told = rf"step 1: .* not finite; take a lower .* delete {tmp_path} and begin it again"
    with pytest.raises(ModelError, match=f"{told}.*nothing of it is saved"):
        setting.train(tmp_path, settings)
    assert list(tmp_path.rglob("*")) == []


def test_of_a_training_that_diverged_the_last_good_state_stays_and_is_named(
    tmp_path: Path,
) -> None:
    setting, folder = Setting(tmp_path), tmp_path / "train"
    settings = replace(SETTINGS, checkpoint_every=1)
    steps = train(
        setting.base, setting.lessons, setting.empty, setting.validation, settings, folder
    )

    def ruin(step: Progress) -> None:
        if step.index == 2:
            setting.base.unet.conv_in.bias.fill_(float("nan"))

    with pytest.raises(ModelError, match=rf"step 3: .* goes on from {folder}/checkpoint-2"):
        list(map(ruin, steps))
    assert all_finite(folder)


def test_a_checkpoint_that_was_ruined_is_named_with_what_to_do(
    setting: Setting, tmp_path: Path
) -> None:
    begun = train(
        setting.base, setting.lessons, setting.empty, setting.validation, SETTINGS, tmp_path
    )
    for step in begun:
        if step.index == 3:  # the checkpoint of step 2 is written by now
            break
    begun.close()
    state = tmp_path / "checkpoint-2" / "state.json"
    content = json.loads(state.read_text())
    content["note"]["checks"][-1]["true"][0] = float("nan")
    state.write_text(json.dumps(content))
    with pytest.raises(
        StoreError, match=rf"checkpoint-2: .* not finite; delete {tmp_path} and"
    ):
        setting.train(tmp_path)


def test_a_base_that_is_ruined_is_named_before_anything_is_learnt(tmp_path: Path) -> None:
    setting = Setting(tmp_path)
    setting.validation.model.unet.conv_in.bias.fill_(float("nan"))
    with pytest.raises(ModelError, match="not finite before anything is learnt"):
        setting.train(tmp_path / "train")


def test_what_was_watched_is_json_also_where_a_measure_is_no_number(
    setting: Setting, tmp_path: Path
) -> None:
    check = Check(0, (float("nan"), 0.5), (1.0, 1.0), (1.0, 1.0), (1.0, 1.0))
    Watch(setting.validation, SETTINGS, [check]).write(tmp_path)
    assert all_finite(tmp_path)
    told = json.loads((tmp_path / "convergence.json").read_text())
    assert told["checks"][0]["fidelity"] == [None, 0.5]


def test_an_unlocked_decoder_leaves_its_delta(setting: Setting, tmp_path: Path) -> None:
    unlocked = replace(SETTINGS, steps=2, control=ControlConfig(unlock_decoder=True))
    setting.train(tmp_path, unlocked)
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"control", "convergence.json", "decoder.safetensors"}


def test_a_training_may_start_from_a_finished_control(
    setting: Setting, trained, tmp_path: Path
) -> None:
    folder, _ = trained
    warm = replace(SETTINGS, steps=1, learning_rate=1e-9, start_from=folder / "control")
    setting.train(tmp_path, warm)
    one = ControlNetModel.from_pretrained(folder / "control").controlnet_mid_block.weight
    other = ControlNetModel.from_pretrained(tmp_path / "control").controlnet_mid_block.weight
    torch.testing.assert_close(one, other, rtol=0, atol=1e-6)


def test_what_a_training_starts_from_is_read_once_and_may_be_gone_then(
    setting: Setting, trained, tmp_path: Path
) -> None:
    start = Path(shutil.copytree(trained[0] / "control", tmp_path / "start"))
    warm = replace(SETTINGS, steps=2, start_from=start)
    folder, checks = tmp_path / "out", 0
    steps = train(
        setting.base, setting.lessons, setting.empty, setting.validation, warm, folder
    )
    for step in steps:
        shutil.rmtree(start, ignore_errors=True)
        checks += step.check is not None
    assert checks
    assert (folder / "control").is_dir()


def test_the_gap_is_that_of_the_base_at_step_0(trained) -> None:
    told = json.loads((trained[0] / "convergence.json").read_text())
    first = told["checks"][0]
    assert first["step"] == 0
    assert first["true"] == first["shuffled"] == first["none"]
    assert told["steps"] == 6
    assert len(told["ceiling"]) == 3


def test_the_gap_is_to_the_hint_of_another_picture(setting: Setting) -> None:
    controlled = Controlled(setting.base.unet, 4, ControlConfig())
    with torch.no_grad():
        for parameter in controlled.parameters():
            parameter.add_(0.02)
    pairs = pairs_of(3, first=100)
    right = watch(setting.base, pairs).check(controlled, 1, pictures=False)
    wrong = watch(setting.base, with_wrong_hints(pairs)).check(controlled, 1, pictures=False)
    assert right.shuffled == pytest.approx(wrong.true, rel=1e-5)
    assert right.shuffled != pytest.approx(right.true, rel=1e-5)


def test_the_hint_encoder_learns_at_its_own_rate(setting: Setting) -> None:
    trainee = Trainee(setting.base, CANNY, replace(SETTINGS, hint_rate=7.0))
    rest, encoder = trainee.optimizer.param_groups
    assert (rest["lr"], encoder["lr"]) == (1e-3, pytest.approx(7e-3))
    control = trainee.live.control
    own = {id(p) for p in control.controlnet_cond_embedding.parameters()}
    assert {id(p) for p in encoder["params"]} == own
    others = {id(p) for p in control.parameters()} - own
    assert {id(p) for p in rest["params"]} == others


def test_the_zero_convolutions_learn_at_their_own_rate(setting: Setting) -> None:
    trainee = Trainee(setting.base, CANNY, replace(SETTINGS, zero_rate=3.0))
    rest, doors = trainee.optimizer.param_groups
    assert (rest["lr"], doors["lr"]) == (1e-3, pytest.approx(3e-3))
    control = trainee.live.control
    own = {
        id(p)
        for part in (control.controlnet_down_blocks, control.controlnet_mid_block)
        for p in part.parameters()
    }
    assert {id(p) for p in doors["params"]} == own
    assert {id(p) for p in rest["params"]} == {id(p) for p in control.parameters()} - own


@pytest.mark.parametrize("kind", ["light", "latent_hint"])
def test_a_control_that_diffusers_has_no_class_for_is_taught_and_found_again(
    setting: Setting, tmp_path: Path, kind: str
) -> None:
    settings = replace(SETTINGS, steps=2, control=ControlConfig(**{kind: True}))
    steps = setting.train(tmp_path, settings)
    assert steps[0].loss != steps[1].loss
    names = {path.name for path in (tmp_path / "control").iterdir()}
    assert names == {"diffusion_pytorch_model.safetensors", "graft.json"}
    found = load_control(tmp_path / "control", setting.base)
    assert found.config == settings.control
    hints = np.stack([pair.condition.pixels_HWC for pair in setting.validation.pairs])
    words = setting.base.embed(["a star"] * len(hints))
    drawn = sample(
        setting.base,
        words,
        setting.empty,
        [1, 2, 3],
        [Steering(found, hints)],
        RunConfig(steps=1),
    )
    assert drawn.shape == hints.shape


def test_what_is_shown_is_the_average_and_not_the_last_weights(setting: Setting) -> None:
    trainee = Trainee(setting.base, CANNY, replace(SETTINGS, average_decay=0.5))
    weight = trainee.live.control.controlnet_mid_block.weight
    for value in (1.0, 2.0):
        torch.nn.init.constant_(weight, value)
        trainee.average.update(trainee.live)
    shown = trainee.shown().control.controlnet_mid_block.weight
    decays = [min(0.5, 2 / 11), min(0.5, 3 / 12)]
    first = 1 - decays[0]
    expected = first * decays[1] + 2.0 * (1 - decays[1])
    assert shown.mean().item() == pytest.approx(expected, rel=1e-5)


def test_without_an_average_the_last_weights_are_shown_and_nothing_is_held(
    setting: Setting,
) -> None:
    trainee = Trainee(setting.base, CANNY, replace(SETTINGS, average_decay=0.0))
    with torch.no_grad():
        for weight in trainee.live.control.parameters():
            weight.add_(1.0)
    trainee.average.update(trainee.live)
    shown = trainee.shown().state_dict()
    assert all(torch.equal(shown[name], w) for name, w in trainee.live.state_dict().items())
    assert (
        sum(buffer.numel() for buffer in trainee.average.buffers()) == 1
    )  # the count of steps


def test_with_nothing_to_wait_for_it_stops_and_leaves_a_control(
    setting: Setting, tmp_path: Path
) -> None:
    hopeless = ConvergenceConfig(patience=0.0, least_steps=1, sure=0.0)
    settings = replace(SETTINGS, stop_when_converged=True, convergence=hopeless)
    steps = setting.train(tmp_path, settings)
    assert [step.index for step in steps] == [1, 2]
    assert steps[-1].convergence is not None
    assert steps[-1].convergence.verdict == "will not converge"
    assert (tmp_path / "control").is_dir()
    assert setting.train(tmp_path, settings) == []


def test_every_base_family_can_be_taught(tmp_path: Path) -> None:
    other: DiffusionModel = make_base("sdxl", "epsilon")
    assert other.shrinking == 4
    setting = Setting(tmp_path, "sdxl")
    steps = setting.train(tmp_path / "run", replace(SETTINGS, steps=2))
    assert steps[-1].index == 2
    assert (tmp_path / "run" / "control").is_dir()
