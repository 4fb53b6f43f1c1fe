import copy

import pytest
import torch
from diffusers import ControlNetModel

from graft.controlnet.control import (
    Control,
    ControlConfig,
    Controlled,
    connection_strengths,
)
from graft.controlnet.hint import hint_channels
from graft.errors import ConfigError, ModelError
from graft.models.controls import read_controlnet
from graft.models.diffusion import DiffusionModel
from graft.models.recompute import Recompute
from graft.models.unet import (
    connections,
    denoise,
    require_usual,
    write_controlnet,
)
from small_bases import make_base, unet_of
from small_controls import inputs, learning_parts, read_by, stirred

KINDS = ("sd1", "sd2", "sdxl")
RECOMPUTED: tuple[Recompute, ...] = (False, "cheap", True)
OPTIONS = [
    ControlConfig(),
    ControlConfig(middle_only=True),
    ControlConfig(unlock_decoder=True),
    ControlConfig(middle_only=True, unlock_decoder=True),
]
UNUSUAL = [ControlConfig(light=True), ControlConfig(latent_hint=True)]


@pytest.fixture(scope="module", params=KINDS)
def base(request: pytest.FixtureRequest) -> DiffusionModel:
    return make_base(request.param)


def test_without_residuals_the_walk_is_the_unet_to_the_last_bit(base: DiffusionModel) -> None:
    noisy, time, words, _, added = inputs(base)
    walked = denoise(base.unet, noisy, time, words.states_BTD, added=added)
    whole = base.unet(noisy, time, words.states_BTD, added_cond_kwargs=added).sample
    assert torch.equal(walked, whole)


def test_the_walk_handles_latents_that_do_not_halve_evenly() -> None:
    base = make_base("sd1")
    noisy, time, words, _, _ = inputs(base)
    noisy = noisy[..., :7, :5].contiguous()
    walked = denoise(base.unet, noisy, time, words.states_BTD)
    assert torch.equal(walked, base.unet(noisy, time, words.states_BTD).sample)


@pytest.mark.parametrize("config", [*OPTIONS, *UNUSUAL], ids=str)
def test_at_step_0_the_controlled_model_equals_the_frozen_one_to_the_last_bit(
    base: DiffusionModel, config: ControlConfig
) -> None:
    noisy, time, words, hint, added = inputs(base)
    controlled = Controlled(base.unet, base.shrinking, config)
    plain = denoise(base.unet, noisy, time, words.states_BTD, added=added)
    read = read_by(config, noisy, hint)
    steered = controlled(noisy, time, words.states_BTD, read, added)
    assert torch.equal(plain, steered)


@pytest.mark.parametrize("kind", KINDS)
def test_forward_and_gradients_equal_those_of_diffusers(kind: str) -> None:
    base = make_base(kind)
    noisy, time, words, hint, added = inputs(base)
    theirs = ControlNetModel.from_unet(
        base.unet, conditioning_embedding_out_channels=hint_channels(base.shrinking)
    )
    ours = Control(base.unet, base.shrinking)
    stirred(theirs)
    ours.load_state_dict(theirs.state_dict())
    down, middle = theirs(
        noisy, time, words.states_BTD, hint, added_cond_kwargs=added, return_dict=False
    )
    found = ours(noisy, time, words.states_BTD, ours.encode_hint(hint), added)
    for mine, other in zip((*found.skips, found.middle), (*down, middle), strict=True):
        torch.testing.assert_close(mine, other, rtol=0, atol=1e-5)
    theirs_out = base.unet(
        noisy,
        time,
        words.states_BTD,
        added_cond_kwargs=added,
        down_block_additional_residuals=down,
        mid_block_additional_residual=middle,
    ).sample
    ours_out = denoise(base.unet, noisy, time, words.states_BTD, found, added)
    torch.testing.assert_close(ours_out, theirs_out, rtol=0, atol=1e-5)
    theirs_out.square().mean().backward()
    ours_out.square().mean().backward()
    others = dict(theirs.named_parameters())
    assert set(dict(ours.named_parameters())) == set(others)
    for name, parameter in ours.named_parameters():
        assert parameter.grad is not None, name
        torch.testing.assert_close(parameter.grad, others[name].grad, rtol=1e-4, atol=1e-5)


def test_the_doors_learn_at_once_the_copy_at_step_1_the_hint_inside_at_step_2() -> None:
    base = make_base("sd1")
    noisy, time, words, hint, _ = inputs(base)
    controlled = Controlled(base.unet, base.shrinking, ControlConfig())
    optimizer = torch.optim.AdamW(controlled.parameters(), lr=1e-2)
    found = []
    for _ in range(3):
        optimizer.zero_grad()
        controlled(noisy, time, words.states_BTD, hint).sub(1.0).square().mean().backward()
        found.append(learning_parts(controlled))
        optimizer.step()
    assert found[0] == {"doors"}
    assert found[1] == {"doors", "copy", "hint's end"}
    assert found[2] == {"doors", "copy", "hint's end", "hint's inside"}


@pytest.mark.parametrize("config", [*OPTIONS, *UNUSUAL], ids=str)
def test_no_step_changes_a_byte_of_the_base(config: ControlConfig) -> None:
    base = make_base("sd1")
    before = base.digest()
    noisy, time, words, hint, _ = inputs(base)
    hint = read_by(config, noisy, hint)
    controlled = Controlled(base.unet, base.shrinking, config)
    optimizer = torch.optim.AdamW(controlled.parameters(), lr=1e-2)
    for _ in range(3):
        controlled(noisy, time, words.states_BTD, hint).sub(1.0).square().mean().backward()
        optimizer.step()
    assert base.digest() == before
    assert all(p.grad is None for p in base.unet.parameters())
    plain = denoise(base.unet, noisy, time, words.states_BTD)
    assert not torch.equal(plain, controlled(noisy, time, words.states_BTD, hint))


def gradients(controlled: Controlled, base: DiffusionModel) -> tuple[list[torch.Tensor], int]:
    """Of every weight that learns; and the bytes that were kept for them."""
    noisy, time, words, hint, added = inputs(base)
    own = {
        p.untyped_storage()._cdata for p in [*controlled.parameters(), *base.unet.parameters()]
    }
    kept = dict[int, torch.UntypedStorage]()

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.untyped_storage()._cdata not in own:
            kept[tensor.untyped_storage()._cdata] = tensor.untyped_storage()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        out = controlled(noisy, time, words.states_BTD, hint, added)
    count = sum(storage.nbytes() for storage in kept.values())
    out.sub(1.0).square().mean().backward()
    learning = [p for p in controlled.parameters() if p.requires_grad]
    assert all(p.grad is not None for p in learning)
    return [p.grad for p in learning], count


@pytest.mark.parametrize("config", OPTIONS, ids=str)
def test_recomputing_gives_the_same_gradients_and_keeps_a_third(
    base: DiffusionModel, config: ControlConfig
) -> None:
    keeping, cheap, again = (
        Controlled(base.unet, base.shrinking, config, recompute=recompute)
        for recompute in RECOMPUTED
    )
    for one in (keeping, cheap, again):
        stirred(one)
    expected, whole = gradients(keeping, base)
    for one, share in ((cheap, 0.75), (again, 1 / 3)):
        found, less = gradients(one, base)
        for mine, other in zip(found, expected, strict=True):
            assert torch.equal(mine, other)
        assert less < share * whole


@pytest.mark.parametrize("recompute", ["cheap", True])
def test_recomputing_leaves_the_base_and_its_samples_as_they_were(
    recompute: Recompute,
) -> None:
    base = make_base("sd1")
    noisy, time, words, hint, _ = inputs(base)
    marked = base.unet.up_blocks[0].resnets[0]
    marked.forward = own = marked.forward  # as those have it that move weights about
    plain = denoise(base.unet, noisy, time, words.states_BTD)
    before = [set(vars(module)) for module in base.unet.modules()]
    controlled = Controlled(base.unet, base.shrinking, ControlConfig(), recompute=recompute)
    with torch.no_grad():
        assert torch.equal(controlled(noisy, time, words.states_BTD, hint), plain)
    controlled(noisy, time, words.states_BTD, hint).sum().backward()
    assert [set(vars(module)) for module in base.unet.modules()] == before
    assert marked.forward is own
    assert torch.equal(denoise(base.unet, noisy, time, words.states_BTD), plain)


def test_middle_only_leaves_every_skip_as_it_is() -> None:
    base = make_base("sd1")
    noisy, time, words, hint, _ = inputs(base)
    controlled = Controlled(base.unet, base.shrinking, ControlConfig(middle_only=True))
    optimizer = torch.optim.AdamW(
        [p for p in controlled.parameters() if p.requires_grad], lr=1e-2
    )
    for _ in range(3):
        controlled(noisy, time, words.states_BTD, hint).sub(1.0).square().mean().backward()
        optimizer.step()
    control = controlled.control
    found = control(noisy, time, words.states_BTD, control.encode_hint(hint))
    assert all(skip.abs().max() == 0 for skip in found.skips)
    assert found.middle.abs().max() > 0


def test_an_unlocked_decoder_moves_and_its_delta_gives_it_back() -> None:
    base = make_base("sd1")
    noisy, time, words, hint, _ = inputs(base)
    controlled = Controlled(base.unet, base.shrinking, ControlConfig(unlock_decoder=True))
    optimizer = torch.optim.AdamW(controlled.parameters(), lr=1e-3)
    for _ in range(2):
        controlled(noisy, time, words.states_BTD, hint).sub(1.0).square().mean().backward()
        optimizer.step()
    delta = controlled.decoder_delta()
    assert set(delta) <= set(base.unet.state_dict())
    assert any(tensor.abs().max() > 0 for tensor in delta.values())
    again = Controlled(base.unet, base.shrinking, ControlConfig(unlock_decoder=True))
    again.control.load_state_dict(controlled.control.state_dict())
    again.add_to_decoder(delta)
    torch.testing.assert_close(
        again(noisy, time, words.states_BTD, hint),
        controlled(noisy, time, words.states_BTD, hint),
        rtol=0,
        atol=1e-5,
    )


def test_a_saved_control_loads_in_diffusers_and_gives_the_same(tmp_path) -> None:
    base = make_base("sd1")
    noisy, time, words, hint, _ = inputs(base)
    control = Control(base.unet, base.shrinking)
    stirred(control)
    write_controlnet(base.unet, control.state_dict(), control.hint_channels, tmp_path / "c")
    theirs = ControlNetModel.from_pretrained(tmp_path / "c")
    down, middle = theirs(noisy, time, words.states_BTD, hint, return_dict=False)
    found = control(noisy, time, words.states_BTD, control.encode_hint(hint))
    for mine, other in zip((*found.skips, found.middle), (*down, middle), strict=True):
        torch.testing.assert_close(mine, other, rtol=0, atol=1e-5)
    again = Control(base.unet, base.shrinking)
    again.load_state_dict(read_controlnet(tmp_path / "c"))
    assert all(
        torch.equal(one, other)
        for one, other in zip(again.parameters(), control.parameters(), strict=True)
    )


def test_a_folder_without_a_control_is_named(tmp_path) -> None:
    with pytest.raises(ModelError, match="diffusion_pytorch_model"):
        read_controlnet(tmp_path)


def test_the_hint_encoder_halves_once_for_each_halving_of_the_latents() -> None:
    assert hint_channels(8) == (16, 32, 96, 256)
    assert hint_channels(4) == (16, 32, 96)
    assert hint_channels(2) == (16, 32)
    for wrong in (1, 3, 16):
        with pytest.raises(ConfigError, match="2, 4 and 8"):
            hint_channels(wrong)


def test_the_connections_of_stable_diffusion_are_twelve_skips() -> None:
    with torch.device("meta"):
        from diffusers import UNet2DConditionModel

        unet = UNet2DConditionModel(cross_attention_dim=768)
    assert connections(unet) == [*[320] * 4, *[640] * 3, *[1280] * 5]


def test_the_seed_draws_the_hint_encoder_and_nothing_else() -> None:
    unet = unet_of("sd1")
    before = torch.random.get_rng_state()
    one, same, other = (Control(unet, 4, seed=seed) for seed in (0, 0, 1))
    assert torch.equal(torch.random.get_rng_state(), before)
    first = one.controlnet_cond_embedding.conv_in.weight
    assert torch.equal(first, same.controlnet_cond_embedding.conv_in.weight)
    assert not torch.equal(first, other.controlnet_cond_embedding.conv_in.weight)
    assert torch.equal(one.conv_in.weight, other.conv_in.weight)


def test_the_three_forms_of_resolution_weighting_are_the_known_numbers() -> None:
    widths = [64] * 3 + [32] * 3 + [16] * 3 + [8] * 4
    assert connection_strengths("none", widths) == [1.0] * 13
    assert connection_strengths("resolution", widths)[::3] == [1, 2, 4, 8, 8]
    power = connection_strengths("power", widths)
    assert power[-1] == 1.0
    assert power[0] == pytest.approx(0.825**12)
    space = connection_strengths("logspace", widths)
    assert space[0] == pytest.approx(0.1)
    assert space[-1] == pytest.approx(1.0)


def test_what_a_control_cannot_read_is_refused_by_name() -> None:
    unet = copy.deepcopy(unet_of("sd1"))
    unet.register_to_config(class_embed_type="timestep")
    with pytest.raises(ModelError, match="class_embed_type = 'timestep'"):
        require_usual(unet)
