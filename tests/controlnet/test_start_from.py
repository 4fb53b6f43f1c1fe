"""A training that begins with a finished control, of the same kind and base, or is refused."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from graft.controlnet.control import Control, ControlConfig
from graft.controlnet.train import train
from graft.controlnet.trainee import new_controlled
from graft.errors import ModelError
from graft.models.unet import decoder_of, write_controlnet
from graft.store.whole import write_json
from small_bases import unet_of
from small_runs import write_start
from small_trainings import SETTINGS, Setting, files


def test_once_a_checkpoint_stands_the_start_may_be_gone(
    setting: Setting, tmp_path: Path
) -> None:
    start, found = tmp_path / "start", []
    for folder, is_gone in ((tmp_path / "whole", False), (tmp_path / "stopped", True)):
        write_start(start)
        settings = replace(SETTINGS, steps=2, checkpoint_every=1, start_from=start)
        begun = train(
            setting.base, setting.lessons, setting.empty, setting.validation, settings, folder
        )
        if is_gone:
            assert [next(begun).index, next(begun).index] == [1, 2]  # a checkpoint stands
            begun.close()
            shutil.rmtree(start)
            begun = setting.train(folder, settings)
        list(begun)
        found.append(files(folder))
    assert found[0] == found[1]


def test_what_an_unlocked_decoder_has_learned_comes_with_the_start(
    setting: Setting, tmp_path: Path
) -> None:
    start = tmp_path / "control"
    write_start(start)
    write_json(start / "graft.json", {"settings": {"control": {"unlock_decoder": True}}})
    locked = decoder_of(setting.base.unet).state_dict()
    moved = {name: torch.full(tensor.shape, 0.01) for name, tensor in locked.items()}
    save_file(moved, tmp_path / "decoder.safetensors")
    unlocked = ControlConfig(unlock_decoder=True)
    settings = replace(SETTINGS, start_from=start, control=unlocked)
    found = new_controlled(setting.base, settings).decoder_delta()
    assert found.keys() == moved.keys()
    for name, tensor in moved.items():
        torch.testing.assert_close(found[name], tensor, rtol=0, atol=1e-6)
    with pytest.raises(ModelError, match=r"take train\.control\.unlock_decoder=true as well"):
        new_controlled(setting.base, replace(settings, control=ControlConfig()))
    (tmp_path / "decoder.safetensors").unlink()
    with pytest.raises(ModelError, match=r"^train\.start_from: .*safetensors is not there"):
        new_controlled(setting.base, settings)


@pytest.mark.parametrize(
    ("there", "here", "value"),
    [
        *(("light", {}, "true"), ("latent_hint", {}, "true")),
        *(("", {"light": True}, "false"), ("", {"latent_hint": True}, "false")),
        ("", {"middle_only": True}, "false"),
    ],
)
def test_a_start_of_another_kind_is_refused_with_the_setting(
    setting: Setting, tmp_path: Path, there: str, here: dict[str, bool], value: str
) -> None:
    start = tmp_path / "start"
    write_json(start / "graft.json", {"settings": {"control": {there: True} if there else {}}})
    settings = replace(SETTINGS, start_from=start, control=ControlConfig(**here))
    name = there or next(iter(here))
    told = rf"^train\.start_from: {start}: .*; take train\.control\.{name}={value} as well"
    with pytest.raises(ModelError, match=told):
        new_controlled(setting.base, settings)


def test_a_start_of_another_base_is_refused_in_one_line(
    setting: Setting, tmp_path: Path
) -> None:
    other = unet_of("sd1", channels=(16, 32))
    control = Control(other, setting.base.shrinking)
    write_controlnet(other, control.state_dict(), control.hint_channels, tmp_path)
    with pytest.raises(ModelError) as refused:
        new_controlled(setting.base, replace(SETTINGS, start_from=tmp_path))
    told = f"train.start_from: {tmp_path}: is a control of another base than sd1, v_prediction"
    assert str(refused.value).startswith(told)
    assert len(str(refused.value).splitlines()) == 1
