"""Controls other than the paper's usual one: Gaussian joints, light, a hint in latents."""

import numpy as np
import pytest
import torch

from graft.controlnet.control import Control, ControlConfig, Controlled
from graft.models.diffusion import to_hint
from graft.models.unet import denoise
from small_bases import make_base
from small_controls import inputs, learning_parts, stirred

KINDS = ("sd1", "sd2", "sdxl")


def test_gaussian_joints_shake_the_base_from_step_0_on() -> None:
    """And keep the variance of what goes through them, as a usual convolution does."""
    base = make_base("sd1")
    noisy, time, words, hint, _ = inputs(base)
    config = ControlConfig(joints="gaussian")
    controlled = Controlled(base.unet, base.shrinking, config)
    plain = denoise(base.unet, noisy, time, words.states_BTD)
    assert (controlled(noisy, time, words.states_BTD, hint) - plain).std() > plain.std() / 10
    generator = torch.Generator().manual_seed(0)
    for door in controlled.control.doors:
        given = torch.randn(64, door.in_channels, 4, 4, generator=generator)
        assert door(given).std().item() == pytest.approx(1.0, abs=0.2)
    again = Controlled(base.unet, base.shrinking, config)
    assert torch.equal(again.control.doors[0].weight, controlled.control.doors[0].weight)


@pytest.mark.parametrize("kind", KINDS)
def test_a_light_control_speaks_to_the_same_connections(kind: str) -> None:
    base = make_base(kind)
    noisy, time, words, hint, added = inputs(base)
    usual, light = (
        Control(base.unet, base.shrinking, ControlConfig(light=light))
        for light in (False, True)
    )
    for one in (usual, light):
        stirred(one)
    expected = usual(noisy, time, words.states_BTD, usual.encode_hint(hint), added)
    found = light(noisy, time, words.states_BTD, light.encode_hint(hint), added)
    assert [one.shape for one in found.skips] == [one.shape for one in expected.skips]
    assert found.middle.shape == expected.middle.shape
    copied = sum(p.numel() for p in usual.down_blocks.parameters())
    assert sum(p.numel() for p in light.light.parameters()) < copied


def test_a_light_control_reads_latents_and_hint_and_neither_words_nor_time() -> None:
    base = make_base("sd1")
    noisy, time, words, hint, _ = inputs(base)
    control = Control(base.unet, base.shrinking, ControlConfig(light=True))
    stirred(control)
    said = control(noisy, time, words.states_BTD, control.encode_hint(hint))
    same = control(noisy, time + 5, -words.states_BTD, control.encode_hint(hint))
    assert torch.equal(said.middle, same.middle)
    for other in (
        control(noisy + 1, time, words.states_BTD, control.encode_hint(hint)),
        control(noisy, time, words.states_BTD, control.encode_hint(1 - hint)),
    ):
        for one, another in zip(said.skips, other.skips, strict=True):
            assert not torch.equal(one, another)
        assert not torch.equal(said.middle, other.middle)


def test_a_latent_hint_is_read_through_the_base_and_learns_at_step_1() -> None:
    base = make_base("sd1")
    noisy, time, words, _, _ = inputs(base)
    controlled = Controlled(base.unet, base.shrinking, ControlConfig(latent_hint=True))
    pixels = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), dtype=np.uint8)
    hint = controlled.control.read(pixels, base)
    assert torch.equal(hint, base.encode(pixels))
    usual = Control(base.unet, base.shrinking)
    assert torch.equal(usual.read(pixels, base), to_hint(pixels))
    optimizer = torch.optim.AdamW(controlled.parameters(), lr=1e-2)
    found = []
    for _ in range(2):
        optimizer.zero_grad()
        controlled(noisy, time, words.states_BTD, hint).sub(1.0).square().mean().backward()
        found.append(learning_parts(controlled))
        optimizer.step()
    assert found == [{"doors"}, {"doors", "copy", "hint's end"}]
