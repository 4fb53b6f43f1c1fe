"""Trained controls at work, and what is said of those that do not fit."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from graft.controlnet.control import Control
from graft.controlnet.run import Order, Use, hint_of, load_control, read_hint, run
from graft.controlnet.sampling import RunConfig
from graft.errors import ConfigError, DataError, ModelError
from graft.models.diffusion import DiffusionModel
from graft.models.unet import write_controlnet
from graft.store.whole import write_json
from small_bases import make_base, unet_of
from small_pairs import CANNY, pairs_of

FAST = RunConfig(steps=2, guidance=2.0, at_once=2)


@pytest.fixture(scope="module")
def base() -> DiffusionModel:
    return make_base("sd1", "v_prediction")


@pytest.fixture
def folder(base: DiffusionModel, tmp_path):
    control = Control(base.unet, base.shrinking)
    with torch.no_grad():
        for parameter in control.parameters():
            parameter.add_(0.02)
    write_controlnet(base.unet, control.state_dict(), control.hint_channels, tmp_path / "c")
    return tmp_path / "c"


def test_every_order_is_a_picture_and_hangs_on_its_own_seed(base, folder) -> None:
    use = Use(load_control(folder, base), pairs_of(1)[0].condition.pixels_HWC)
    orders = [Order("a red star", seed) for seed in (1, 2, 1)]
    one, two, three = run(orders, base, [use], FAST)
    assert one.shape == (32, 32, 3)
    assert np.abs(one.astype(int) - three.astype(int)).max() <= 1
    assert not np.array_equal(one, two)
    assert not np.array_equal(one, next(run(orders, base, [], FAST)))


def test_a_negative_prompt_is_read(base) -> None:
    plain, pushed = (
        next(run([Order("a star", 1, negative)], base, [], replace(FAST, guidance=9.0)))
        for negative in ("", "a blue circle on a red background")
    )
    assert not np.array_equal(plain, pushed)


def test_a_control_of_another_base_is_named(base, tmp_path) -> None:
    other = unet_of("sd1", channels=(16, 32))
    control = Control(other, base.shrinking)
    write_controlnet(other, control.state_dict(), control.hint_channels, tmp_path / "other")
    with pytest.raises(ModelError, match="another base"):
        load_control(tmp_path / "other", base)


def test_a_hint_is_drawn_as_the_control_was_taught(folder) -> None:
    [pair] = pairs_of(1)
    with pytest.raises(ModelError, match="which condition"):
        hint_of(folder, pair.pixels_HWC, 32)
    write_json(folder / "graft.json", {"condition": "canny", "annotator": {"low": 100.0}})
    drawn = hint_of(folder, pair.pixels_HWC, 32)
    assert np.array_equal(drawn, CANNY.draw(pair.pixels_HWC, pair.condition.parameters))


def test_a_hint_that_is_no_picture_is_named(tmp_path) -> None:
    with pytest.raises(DataError, match=r"nowhere\.png"):
        read_hint(tmp_path / "nowhere.png")
    (tmp_path / "text.png").write_text("no picture")
    with pytest.raises(DataError, match=r"text\.png: unreadable"):
        read_hint(tmp_path / "text.png")
    Image.new("RGB", (20, 30), "red").save(tmp_path / "red.png")
    assert read_hint(tmp_path / "red.png").shape == (30, 20, 3)


def test_a_seed_of_more_than_64_bits_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"seed = 99999999999999999999: .* 64 bits"):
        Order("a star", seed=99999999999999999999)
