"""A step of a training: nothing waits for the device, and the next batches are read."""

import functools
import json
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from graft.controlnet import lessons as lessons_module
from graft.controlnet.lessons import read_lessons
from graft.controlnet.train import train
from graft.controlnet.trainee import Trainee, loss_of_pictures
from graft.errors import DataError, ModelError
from graft.models.recompute import Recompute
from graft.train import loop
from graft.train.loop import Measured, fit
from small_pairs import CANNY
from small_trainings import SETTINGS, Setting, files


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


@pytest.mark.parametrize(
    ("kind", "recompute"), [("sd1", False), ("sd1", "cheap"), ("sd1", True), ("sdxl", True)]
)
def test_no_step_waits_for_its_device(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, *, recompute: Recompute
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
