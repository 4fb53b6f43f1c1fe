"""Training a control of a tiny random base: exact, resumable, and with a frozen base."""

import functools
import json
import shutil
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import ControlNetModel
from torch.utils._python_dispatch import TorchDispatchMode

from graft.controlnet import lessons as lessons_module
from graft.controlnet.control import ControlConfig, Controlled
from graft.controlnet.convergence import ConvergenceConfig
from graft.controlnet.dataset import Pair
from graft.controlnet.latents import encode_pairs
from graft.controlnet.lessons import Drawn, Lesson, draw_lessons, draw_noise, read_lessons
from graft.controlnet.records import encode_png
from graft.controlnet.run import load_control
from graft.controlnet.sampling import RunConfig, Steering, sample
from graft.controlnet.train import (
    Progress,
    TrainConfig,
    Trainee,
    loss_of_pictures,
    train,
)
from graft.controlnet.validation import Validation, ValidationConfig
from graft.errors import DataError, ModelError, StoreError
from graft.models.diffusion import DiffusionModel, Words
from graft.train import loop
from graft.train.loop import Measured, fit
from small_bases import make_base
from small_pairs import CANNY, pairs_of, with_wrong_hints

SETTINGS = TrainConfig(
    steps=6,
    batch=2,
    accumulate=2,
    learning_rate=1e-3,
    validate_every=4,
    gap_every=2,
    checkpoint_every=2,
)


def watch(base: DiffusionModel, pairs: list[Pair]) -> Validation:
    return Validation(
        base,
        pairs,
        base.encode(np.stack([pair.pixels_HWC for pair in pairs])),
        base.embed([pair.caption for pair in pairs]),
        base.embed([""]),
        CANNY,
        ValidationConfig(run=RunConfig(steps=2, guidance=2.0)),
    )


class Setting:
    """A base with its lessons and what watches them."""

    def __init__(self, folder: Path, kind: str = "sd1") -> None:
        self.base = make_base(kind, "v_prediction")
        taught, watched = pairs_of(10), pairs_of(3, first=100)
        encoded = encode_pairs(taught, self.base, folder / "latents", "tiny")
        self.lessons = [
            Lesson(pair.id, encoded, index, encode_png(pair.condition.pixels_HWC))
            for index, pair in enumerate(taught)
        ]
        self.empty = self.base.embed([""])
        self.validation = watch(self.base, watched)

    def train(self, folder: Path, settings: TrainConfig = SETTINGS) -> list[Progress]:
        return list(
            train(self.base, self.lessons, self.empty, self.validation, settings, folder)
        )


@pytest.fixture(scope="module")
def setting(tmp_path_factory: pytest.TempPathFactory) -> Setting:
    return Setting(tmp_path_factory.mktemp("setting"))


@pytest.fixture(scope="module")
def trained(
    setting: Setting, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, list[Progress]]:
    folder = tmp_path_factory.mktemp("trained")
    return folder, setting.train(folder)


def files(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


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


def test_recomputing_may_begin_midway_and_ends_in_the_same_bytes(
    setting: Setting, trained, tmp_path: Path
) -> None:
    folder, steps = trained
    begun = train(
        setting.base, setting.lessons, setting.empty, setting.validation, SETTINGS, tmp_path
    )
    for step in begun:
        if step.index == 3:
            break
    begun.close()
    rest = setting.train(tmp_path, replace(SETTINGS, recompute=True))
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
    with pytest.raises(StoreError, match="taught with other settings"):
        setting.train(folder, replace(SETTINGS, steps=60))


@pytest.mark.parametrize("name", ["steps", "gap_every", "validate_every", "checkpoint_every"])
def test_a_step_count_of_nothing_is_refused_by_name(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} is at least 1"):
        replace(SETTINGS, **{name: 0})


def test_without_lessons_it_says_where_to_look(setting: Setting, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="report of `keep`"):
        next(train(setting.base, [], setting.empty, setting.validation, SETTINGS, tmp_path))


def test_a_loss_that_is_no_number_stops_with_the_last_good_state(
    setting: Setting, tmp_path: Path
) -> None:
    bad = Words(torch.full_like(setting.empty.states_BTD, float("nan")))
    settings = replace(SETTINGS, no_prompt=1.0)
    with pytest.raises(ModelError, match="lower"):
        list(train(setting.base, setting.lessons, bad, setting.validation, settings, tmp_path))
    assert not (tmp_path / "control").exists()


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


def test_prompts_are_emptied_for_half_of_the_pictures_and_anew_in_each_epoch(
    setting: Setting,
) -> None:
    settings = replace(SETTINGS, steps=300)
    drawn = [
        one for parts in draw_lessons(setting.lessons, 0, settings) for p in parts for one in p
    ]
    share = sum(one.silent for one in drawn) / len(drawn)
    assert share == pytest.approx(0.5, abs=0.05)
    of_first = [one.silent for one in drawn if one.index == 0]
    assert len(set(of_first)) == 2
    assert len({one.seed for one in drawn}) == len(drawn)


def test_times_are_drawn_evenly_or_late_ones_more_often() -> None:
    def times(power: float) -> np.ndarray:
        drawn = (Drawn(0, seed, silent=False) for seed in range(4000))
        return np.array([draw_noise(one, torch.zeros(1), 1000, power)[1] for one in drawn])

    even = times(1.0)
    assert (even.min(), even.max()) == (0, 999)
    generator = torch.Generator().manual_seed(3)
    assert even[3] == int(torch.randint(1000, (1,), generator=generator))
    assert np.histogram(even, 4, (0, 1000))[0] == pytest.approx([1000] * 4, abs=100)
    late = times(0.5)  # u**0.5 < x with chance x**2
    assert late.max() <= 999
    assert np.mean(late < 500) == pytest.approx(0.25, abs=0.03)
    assert np.array_equal(late, np.floor(1000 * np.sqrt((even + 0.5) / 1000)))


def test_training_draws_its_times_by_the_power_that_is_asked_for(
    setting: Setting, tmp_path: Path
) -> None:
    one_step = replace(SETTINGS, steps=1)
    even = setting.train(tmp_path / "even", one_step)
    late = setting.train(tmp_path / "late", replace(one_step, time_power=0.3))
    assert even[0].loss != late[0].loss
    with pytest.raises(ValueError, match="time_power is above 0"):
        replace(one_step, time_power=0.0)


def test_every_base_family_can_be_taught(tmp_path: Path) -> None:
    other: DiffusionModel = make_base("sdxl", "epsilon")
    assert other.shrinking == 4
    setting = Setting(tmp_path, "sdxl")
    steps = setting.train(tmp_path / "run", replace(SETTINGS, steps=2))
    assert steps[-1].index == 2
    assert (tmp_path / "run" / "control").is_dir()


class Far(Measured):
    """Numbers of a device that is always behind: they have to be waited for."""

    @property
    def arrived(self) -> bool:
        return False


def test_a_ruined_step_that_is_found_late_is_in_no_checkpoint_and_is_gone_on_from(
    setting: Setting, trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Step 3 is ruined, and step 4 is the first that is waited for."""
    folder, steps = trained
    honest, batches = loop.Measured, []

    def ruin(total: torch.Tensor, grad_norm: torch.Tensor, count: int) -> Measured:
        batches.append(count)
        return Far(total, grad_norm, count)

    def spoil(trainee: Trainee, batch):
        loss = loss_of_pictures(trainee, batch)
        return replace(loss, total=loss.total * float("nan")) if len(batches) == 2 else loss

    monkeypatch.setattr(loop, "Measured", ruin)
    monkeypatch.setattr("graft.controlnet.train.loss_of_pictures", spoil)
    with pytest.raises(ModelError, match="step 3: the loss is nan"):
        setting.train(tmp_path)
    assert len(batches) == 4
    assert sorted(path.name for path in tmp_path.glob("check*")) == ["checkpoint-2"]
    assert json.loads((tmp_path / "convergence.json").read_text())["steps"] == 2
    monkeypatch.setattr(loop, "Measured", honest)
    monkeypatch.setattr("graft.controlnet.train.loss_of_pictures", loss_of_pictures)
    assert setting.train(tmp_path) == steps[2:]
    assert files(tmp_path) == files(folder)


class Onlooker(TorchDispatchMode):
    """Sees each copy onto, from or off the device `meta`, and whether it is waited for.

    To read a number, or a shape that hangs on numbers, of `meta` fails by itself: it has none.
    """

    def __init__(self) -> None:
        super().__init__()
        self.copies: list[tuple[str, str, bool]] = []

    def __torch_dispatch__(self, func: Callable, types: object, args=(), kwargs=None):
        given = kwargs or {}
        if func is torch.ops.aten._to_copy.default:
            to = torch.device(given.get("device") or args[0].device).type
            asynchronous = bool(given.get("non_blocking"))
            self.copies.append((args[0].device.type, to, asynchronous))
        if func is torch.ops.aten.copy_.default:
            asynchronous = len(args) > 2 and bool(args[2])
            self.copies.append((args[1].device.type, args[0].device.type, asynchronous))
        return func(*args, **given)

    def waited(self) -> list[tuple[str, str, bool]]:
        return [one for one in self.copies if one[0] != one[1] and not one[2]]


@pytest.mark.parametrize("kind", ["sd1", "sdxl"])
@pytest.mark.parametrize("recompute", [False, True])
def test_no_step_waits_for_its_device(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, *, recompute: bool
) -> None:
    """Nothing can be read from a device that only knows shapes, and yet steps are taken.

    The optimizer's own step is left out; it is one of torch's, and fused.
    """
    setting, read = Setting(tmp_path, kind), []

    class Away(Measured):
        arrived = False

        def __init__(self, *given: object) -> None:
            assert [one.is_meta for one in given[:2]] == [True, True]

        def read(self) -> tuple[float, float]:
            read.append(len(seen))
            return 1.0, 1.0

    monkeypatch.setattr(loop, "Measured", Away)
    setting.base.unet.to("meta")
    trainee = Trainee(setting.base, CANNY, replace(SETTINGS, recompute=recompute))
    monkeypatch.setattr(trainee.optimizer, "step", lambda: None)
    steps = fit(
        read_lessons(setting.lessons, setting.empty, setting.base, trainee.settings, 0),
        functools.partial(loss_of_pictures, trainee),
        trainee.optimizer,
        lambda _: 1.0,
        waits_at=lambda step: step == 4,
    )
    seen = [next(steps)]  # the noise's table goes to the device once
    with Onlooker() as onlooker:
        for step in steps:
            trainee.average.update(trainee.live)
            seen.append(step)
            if step.index == 3:
                break
    assert read == []
    assert onlooker.waited() == []
    assert ("cpu", "meta", True) in onlooker.copies
    next(steps)
    assert read == [3] * 4


def test_the_next_batches_are_read_while_a_step_is_taken(
    setting: Setting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = replace(SETTINGS, accumulate=1)
    read = [threading.Event() for _ in range(settings.steps)]
    names, steps = list[str](), list[int]()
    read_batch = lessons_module.read_batch

    def note(*given):
        batch = read_batch(*given)
        names.append(threading.current_thread().name)
        read[len(names) - 1].set()
        return batch

    def wait(trainee: Trainee, batch):
        steps.append(len(steps))
        assert all(later.wait(30) for later in read[len(steps) : len(steps) + 2])
        return loss_of_pictures(trainee, batch)

    monkeypatch.setattr(lessons_module, "read_batch", note)
    monkeypatch.setattr("graft.controlnet.train.loss_of_pictures", wait)
    assert len(setting.train(tmp_path, settings)) == len(names) == len(steps) == 6
    assert {name.split("_")[0] for name in names} == {"ahead"}


def test_who_stops_a_training_leaves_no_thread_behind(setting: Setting, tmp_path: Path) -> None:
    begun = train(
        setting.base, setting.lessons, setting.empty, setting.validation, SETTINGS, tmp_path
    )
    before = threading.active_count()
    next(begun)
    assert threading.active_count() == before + 1
    begun.close()
    assert threading.active_count() == before


def test_a_hint_that_is_damaged_is_told_by_its_pair(setting: Setting, tmp_path: Path) -> None:
    lessons = [replace(one, hint_png=one.hint_png[:40]) for one in setting.lessons]
    with pytest.raises(DataError, match=r"pair \S+: a picture of a pair is damaged"):
        list(
            train(setting.base, lessons, setting.empty, setting.validation, SETTINGS, tmp_path)
        )
