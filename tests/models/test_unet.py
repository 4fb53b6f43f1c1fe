"""The walk through a U-Net, beside the U-Net itself; `controlnet/test_control.py` has more."""

import copy

import pytest
import torch

from graft.errors import ModelError
from graft.models.diffusion import DiffusionModel
from graft.models.unet import (
    Features,
    connections,
    decoder_of,
    denoise,
    embed,
    middle_channels,
    require_usual,
    stages,
)
from small_bases import make_base, unet_of


@pytest.fixture(scope="module", params=["sd1", "sdxl"])
def base(request: pytest.FixtureRequest) -> DiffusionModel:
    return make_base(request.param)


def given(base: DiffusionModel):
    noisy = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(1))
    words = base.embed(["a red circle", "a blue star"])
    return noisy, torch.tensor([3, 900]), words.states_BTD, base.added(words, 32)


def residuals() -> Features:
    generator = torch.Generator().manual_seed(2)
    shapes = [(32, 8), (32, 8), (32, 4), (64, 4)]
    skips = tuple(torch.randn(2, c, h, h, generator=generator) for c, h in shapes)
    return Features(skips, torch.randn(2, 64, 4, 4, generator=generator))


def test_residuals_are_added_where_the_unet_adds_them(base: DiffusionModel) -> None:
    noisy, time, words, added = given(base)
    extra = residuals()
    theirs = base.unet(
        noisy,
        time,
        words,
        added_cond_kwargs=added,
        down_block_additional_residuals=extra.skips,
        mid_block_additional_residual=extra.middle,
    ).sample
    ours = denoise(base.unet, noisy, time, words, extra, added)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5)
    assert not torch.allclose(ours, denoise(base.unet, noisy, time, words, added=added))


def test_a_base_lies_in_memory_as_its_convolutions_read_it(base: DiffusionModel) -> None:
    kernels = [one for one in base.unet.parameters() if one.ndim == 4]
    assert all(one.is_contiguous(memory_format=torch.channels_last) for one in kernels)
    noisy, time, words, added = given(base)
    found = denoise(base.unet, noisy, time, words, added=added)
    plain = copy.deepcopy(base.unet).to(memory_format=torch.contiguous_format)
    assert any(not one.is_contiguous() for one in kernels)
    assert all(one.is_contiguous() for one in plain.parameters())
    twin = denoise(plain, noisy, time, words, added=added)
    torch.testing.assert_close(found, twin, rtol=0, atol=1e-5)


def test_one_time_serves_a_whole_batch(base: DiffusionModel) -> None:
    noisy, _, words, added = given(base)
    one = denoise(base.unet, noisy, torch.tensor(7), words, added=added)
    each = denoise(base.unet, noisy, torch.tensor([7, 7]), words, added=added)
    assert torch.equal(one, each)


def test_the_decoder_alone_has_the_unets_names_and_weights(base: DiffusionModel) -> None:
    noisy, time, words, added = given(base)
    decoder = decoder_of(base.unet)
    whole = dict(base.unet.named_parameters())
    assert all(parameter is whole[name] for name, parameter in decoder.named_parameters())
    assert {name.split(".")[0] for name in decoder.state_dict()} == {
        "up_blocks",
        "conv_norm_out",
        "conv_out",
    }
    plain = denoise(base.unet, noisy, time, words, added=added)
    assert torch.equal(denoise(base.unet, noisy, time, words, None, added, decoder), plain)


def test_connections_and_middle_are_as_wide_as_what_is_seen() -> None:
    unet = unet_of("sd1")
    assert list(stages(unet)) == [([32], True), ([64], False)]
    assert connections(unet) == [32, 32, 32, 64]
    assert middle_channels(unet) == 64


def test_features_add_and_scale_connection_by_connection() -> None:
    one = Features((torch.tensor([1.0]), torch.tensor([2.0])), torch.tensor([3.0]))
    two = Features((torch.tensor([10.0]), torch.tensor([20.0])), torch.tensor([30.0]))
    total = one.plus(two).times([1.0, 0.5, 2.0])
    assert [t.item() for t in (*total.skips, total.middle)] == [11.0, 11.0, 66.0]
    with pytest.raises(ValueError, match="zip"):
        one.times([1.0, 2.0])
    with pytest.raises(ValueError, match="zip"):
        one.plus(Features(one.skips[:1], one.middle))


@pytest.mark.parametrize("missing", ["text_embeds", "time_ids", None])
def test_sdxl_without_what_it_reads_beside_the_words_is_refused(missing: str | None) -> None:
    base = make_base("sdxl")
    noisy, time, words, added = given(base)
    kept = {name: t for name, t in (added or {}).items() if missing and name != missing}
    with pytest.raises(ModelError, match="reads text_embeds and time_ids too"):
        embed(base.unet, noisy, time, words, kept or None)


def test_what_the_small_bases_are_is_usual() -> None:
    for kind in ("sd1", "sd2", "sdxl"):
        require_usual(unet_of(kind))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("addition_embed_type", "image"),
        ("class_embed_type", "projection"),
        ("num_class_embeds", 7),
        ("encoder_hid_dim_type", "image_proj"),
        ("time_embedding_act_fn", "silu"),
        ("center_input_sample", True),
        ("mid_block_type", None),
    ],
)
def test_an_unusual_unet_is_refused_by_the_name_of_its_option(name: str, value: object) -> None:
    unet = unet_of("sd1")
    unet.register_to_config(**{name: value})
    with pytest.raises(ModelError, match=f"{name} = {value!r} cannot be controlled"):
        require_usual(unet)
