"""Trained controls at work, and what is said of those that do not fit."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from diffusers import ControlNetModel
from PIL import Image
from safetensors.torch import load_file, save_file

from graft.controlnet.card import base_of
from graft.controlnet.control import Control, ControlConfig, Controlled
from graft.controlnet.run import Order, Use, hint_of, load_control, read_hint, run
from graft.controlnet.sampling import RunConfig, Steering, sample
from graft.errors import ConfigError, DataError, ModelError
from graft.models.diffusion import DiffusionModel
from graft.models.unet import decoder_of, write_controlnet
from graft.store.whole import write_json
from small_bases import make_base, unet_of
from small_controls import inputs
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


@pytest.fixture
def unlocked(base, folder):
    """A control's folder with a decoder that has moved beside it."""
    card = {"settings": {"control": {"unlock_decoder": True}}}
    write_json(folder / "graft.json", card)
    locked = decoder_of(base.unet).state_dict()
    moved = {name: torch.full(tensor.shape, 0.01) for name, tensor in locked.items()}
    save_file(moved, folder.parent / "decoder.safetensors")
    return folder


def test_what_an_unlocked_decoder_has_learned_is_seen(base, unlocked) -> None:
    hint, order = pairs_of(1)[0].condition.pixels_HWC, Order("a red star", 1)
    control = load_control(unlocked, base)
    found = next(run([order], base, [Use(control, hint)], FAST))
    controlled = Controlled(base.unet, base.shrinking, ControlConfig(unlock_decoder=True))
    controlled.add_to_decoder(load_file(unlocked.parent / "decoder.safetensors"))
    steering = Steering(control, hint[None])
    words, empty = base.embed(["a red star"]), base.embed([""])
    decoder = controlled.decoder
    expected = sample(base, words, empty, [1], [steering], FAST, decoder=decoder)[0]
    plain = sample(base, words, empty, [1], [steering], FAST)[0]
    assert np.array_equal(found, expected)
    assert not np.array_equal(found, plain)
    silent = next(run([order], base, [Use(control, hint, weight=0.0)], FAST))
    assert np.array_equal(silent, next(run([order], base, [], FAST)))
    assert not [name for name in control.state_dict() if name.startswith("up_blocks")]


def test_an_unlocked_decoder_that_is_missing_or_of_another_base_is_named(
    base, unlocked
) -> None:
    path = unlocked.parent / "decoder.safetensors"
    save_file({"conv_out.weight": torch.zeros(4)}, path)
    with pytest.raises(ModelError, match=r"decoder\.safetensors: is a decoder of another base"):
        load_control(unlocked, base)
    path.unlink()
    with pytest.raises(ModelError, match=r"decoder\.safetensors is not there; put the"):
        load_control(unlocked, base)


def test_two_unlocked_decoders_at_once_are_refused(base, unlocked) -> None:
    use = Use(load_control(unlocked, base), pairs_of(1)[0].condition.pixels_HWC)
    with pytest.raises(ConfigError, match="2 of these controls were taught with an unlocked"):
        next(run([Order("a star")], base, [use, use], FAST))


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


def test_a_control_with_weights_that_are_no_numbers_is_named(base, folder) -> None:
    path = folder / "diffusion_pytorch_model.safetensors"
    weights = load_file(path)
    weights["controlnet_mid_block.bias"][0] = float("nan")
    save_file(weights, path)
    with pytest.raises(ModelError, match=f"^{path}: the tensor controlnet_mid_block.bias hold"):
        load_control(folder, base)


@pytest.fixture
def theirs(folder) -> ControlNetModel:
    return ControlNetModel.from_pretrained(folder)


def configure(folder, **options: object) -> None:
    config = json.loads((folder / "config.json").read_text())
    write_json(folder / "config.json", config | options)


@pytest.mark.parametrize("order", ["rgb", "bgr"])
def test_a_hint_is_read_in_the_order_of_channels_that_diffusers_reads(
    base, folder, order: str
) -> None:
    noisy, time, words, hint, _ = inputs(base)
    configure(folder, controlnet_conditioning_channel_order=order)
    control = load_control(folder, base)
    found = control(noisy, time, words.states_BTD, control.encode_hint(hint))
    theirs = ControlNetModel.from_pretrained(folder)
    expected = theirs(noisy, time, words.states_BTD, hint, return_dict=True)
    torch.testing.assert_close(
        found.middle, expected.mid_block_res_sample, rtol=1e-5, atol=1e-5
    )
    turned = control(noisy, time, words.states_BTD, control.encode_hint(hint.flip(1)))
    assert not torch.allclose(found.middle, turned.middle, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("controlnet_conditioning_channel_order", "grb"),
        ("global_pool_conditions", True),
        ("conditioning_channels", 1),
    ],
)
def test_a_control_that_uses_its_hint_otherwise_is_refused_by_the_option(
    base, folder, name: str, value: object
) -> None:
    configure(folder, **{name: value})
    with pytest.raises(ModelError, match=rf"config\.json: a control with {name} = {value!r}"):
        load_control(folder, base)


@pytest.mark.parametrize("options", [{"max_shard_size": "100KB"}, {"variant": "fp16"}])
@pytest.mark.parametrize("both", [False, True])
def test_shards_and_a_lone_variant_are_read(
    base, folder, theirs, tmp_path, options: dict[str, str], *, both: bool
) -> None:
    options = {"max_shard_size": "100KB", "variant": "fp16"} if both else options
    theirs.save_pretrained(tmp_path / "other", **options)
    assert not (tmp_path / "other" / "diffusion_pytorch_model.safetensors").exists()
    found = load_control(tmp_path / "other", base).state_dict()
    for name, tensor in load_control(folder, base).state_dict().items():
        assert torch.equal(found[name], tensor)


def test_a_shard_that_is_missing_is_named(base, theirs, tmp_path) -> None:
    theirs.save_pretrained(tmp_path / "other", max_shard_size="100KB")
    shard = sorted((tmp_path / "other").glob("*-of-*"))[1]
    shard.unlink()
    with pytest.raises(ModelError, match=f"^{shard}: cannot be read"):
        load_control(tmp_path / "other", base)


def test_two_variants_side_by_side_are_named(base, theirs, tmp_path) -> None:
    for variant in ("fp16", "ema"):
        theirs.save_pretrained(tmp_path / "other", variant=variant)
    with pytest.raises(ModelError, match=r"more than one control: .*\.ema\..*\.fp16\."):
        load_control(tmp_path / "other", base)


def test_a_pickle_a_file_and_nothing_are_told_with_how_to_convert(
    base, folder, theirs, tmp_path
) -> None:
    theirs.save_pretrained(tmp_path / "pickle", safe_serialization=False)
    with pytest.raises(ModelError, match=r"\.bin: is a pickle.*from_pretrained\('.*/pickle'\)"):
        load_control(tmp_path / "pickle", base)
    path = folder / "diffusion_pytorch_model.safetensors"
    with pytest.raises(ModelError, match=f"^{path}: is a single file.*from_single_file"):
        load_control(path, base)
    path.unlink()
    with pytest.raises(ModelError, match=f"^{path}: is not there; name a folder"):
        load_control(folder, base)
    with pytest.raises(ModelError, match="nowhere: no such folder"):
        load_control(tmp_path / "nowhere", base)


def test_a_hint_is_drawn_as_the_control_was_taught(folder) -> None:
    [pair] = pairs_of(1)
    with pytest.raises(ModelError, match="which condition"):
        hint_of(folder, pair.pixels_HWC, 32)
    write_json(folder / "graft.json", {"condition": "canny", "annotator": {"low": 100.0}})
    drawn = hint_of(folder, pair.pixels_HWC, 32)
    assert np.array_equal(drawn, CANNY.draw(pair.pixels_HWC, pair.condition.parameters))


@pytest.mark.parametrize("card", [{"hello": 1}, {"base": 5, "condition": [], "annotator": 7}])
def test_a_card_of_another_maker_is_told_with_what_to_give_instead(folder, card) -> None:
    assert base_of(folder) == "seedling"
    write_json(folder / "graft.json", card)
    with pytest.raises(ModelError, match=r"graft\.json: does not say which base; give --base"):
        base_of(folder)
    with pytest.raises(ModelError, match="which condition it reads; give the finished hint"):
        hint_of(folder, pairs_of(1)[0].pixels_HWC, 32)


@pytest.mark.parametrize("settings", [7, {"control": [1]}])
def test_settings_that_are_none_are_named(base, folder, settings) -> None:
    write_json(folder / "graft.json", {"settings": settings})
    with pytest.raises(ModelError, match=r"graft\.json: its settings are not graft's"):
        load_control(folder, base)


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
