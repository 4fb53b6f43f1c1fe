"""Sampling under controls, beside the slow way and beside diffusers' own pipeline."""

import math
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from diffusers import ControlNetModel, StableDiffusionControlNetPipeline
from torch import nn

from graft.config import load
from graft.controlnet.control import Control
from graft.controlnet.sampling import RunConfig, Steering, connection_widths, sample
from graft.errors import ConfigError
from graft.models.diffusion import DiffusionModel
from graft.models.unet import write_controlnet
from small_bases import make_base

PROMPTS = ["a red circle", "a blue star on a white background", "a green heart"]
FAST = RunConfig(steps=4, guidance=3.0)


@pytest.fixture(scope="module")
def base() -> DiffusionModel:
    return make_base("sd1", "v_prediction")


def stirred_control(base: DiffusionModel, seed: int = 5) -> Control:
    control = Control(base.unet, base.shrinking, seed=seed)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in control.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.05)
    return control.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def control(base: DiffusionModel) -> Control:
    return stirred_control(base)


@pytest.fixture(scope="module")
def hints() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)


def draw(base: DiffusionModel, steerings: list[Steering], settings: RunConfig = FAST, **more):
    seeds = more.pop("seeds", [1, 2, 3])
    prompts = more.pop("prompts", PROMPTS)
    return sample(base, base.embed(prompts), base.embed([""]), seeds, steerings, settings)


class Counted:
    """How often a part of a control is called."""

    def __init__(self, module: nn.Module) -> None:
        self.calls = 0
        self._handle = module.register_forward_hook(self._count)

    def _count(self, *_: object) -> None:
        self.calls += 1

    def __enter__(self) -> "Counted":
        return self

    def __exit__(self, *_: object) -> None:
        self._handle.remove()


def pipeline(base: DiffusionModel, control: Control, folder) -> Iterator:
    write_controlnet(base.unet, control.state_dict(), control.hint_channels, folder)
    whole = base.pipeline
    made = StableDiffusionControlNetPipeline(
        vae=whole.vae,
        text_encoder=whole.text_encoder,
        tokenizer=whole.tokenizer,
        unet=whole.unet,
        scheduler=whole.scheduler,
        controlnet=ControlNetModel.from_pretrained(folder),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    made.set_progress_bar_config(disable=True)
    return made


def theirs(made, hints: np.ndarray, settings: RunConfig, **more) -> np.ndarray:
    noise = torch.stack(
        [torch.randn((4, 8, 8), generator=torch.Generator().manual_seed(s)) for s in (1, 2, 3)]
    )
    found = made(
        PROMPTS,
        image=torch.from_numpy(hints).permute(0, 3, 1, 2).float() / 255,
        latents=noise,
        num_inference_steps=settings.steps,
        guidance_scale=settings.guidance,
        output_type="np",
        **more,
    )
    return (found.images * 255).round().astype(np.uint8)


def close(one: np.ndarray, other: np.ndarray) -> bool:
    return int(np.abs(one.astype(int) - other.astype(int)).max()) <= 1


def test_the_same_picture_as_diffusers_own_controlnet_pipeline(
    base: DiffusionModel, control: Control, hints: np.ndarray, tmp_path
) -> None:
    ours = draw(base, [Steering(control, hints)])
    made = pipeline(base, control, tmp_path / "control")
    assert close(ours, theirs(made, hints, FAST))
    assert not close(ours, draw(base, []))


def test_a_window_and_a_weight_mean_what_they_mean_in_diffusers(
    base: DiffusionModel, control: Control, hints: np.ndarray, tmp_path
) -> None:
    made = pipeline(base, control, tmp_path / "control")
    ours = draw(base, [Steering(control, hints, weight=0.6, start=0.25, end=0.75)])
    more = {"control_guidance_start": 0.25, "control_guidance_end": 0.75}
    assert close(ours, theirs(made, hints, FAST, controlnet_conditioning_scale=0.6, **more))


def test_guess_mode_with_logspace_is_that_of_diffusers(
    base: DiffusionModel, control: Control, hints: np.ndarray, tmp_path
) -> None:
    made = pipeline(base, control, tmp_path / "control")
    guess = RunConfig(steps=4, guidance=3.0, weighting="logspace")
    ours = draw(base, [Steering(control, hints)], guess)
    assert close(ours, theirs(made, hints, guess, guess_mode=True))


def test_in_guess_mode_no_prompt_is_read(
    base: DiffusionModel, control: Control, hints: np.ndarray
) -> None:
    guess = RunConfig(steps=4, guidance=3.0, guess=True)
    one = draw(base, [Steering(control, hints)], guess)
    other = draw(base, [Steering(control, hints)], guess, prompts=["nothing at all"] * 3)
    assert np.array_equal(one, other)


@pytest.mark.parametrize("weighting", ["none", "resolution", "power", "logspace"])
def test_a_picture_does_not_depend_on_what_stands_beside_it(
    base: DiffusionModel, control: Control, hints: np.ndarray, weighting
) -> None:
    settings = RunConfig(steps=4, guidance=3.0, weighting=weighting)
    together = draw(base, [Steering(control, hints)], settings)
    for at in range(3):
        part = slice(at, at + 1)
        alone = draw(
            base,
            [Steering(control, hints[part])],
            settings,
            prompts=PROMPTS[part],
            seeds=[at + 1],
        )
        assert close(alone, together[part])


def test_a_control_of_weight_0_or_outside_its_window_is_not_computed(
    base: DiffusionModel, control: Control, hints: np.ndarray
) -> None:
    with Counted(control) as whole, Counted(control.controlnet_cond_embedding) as hint:
        draw(base, [Steering(control, hints, weight=0.0)])
        assert (whole.calls, hint.calls) == (0, 0)
        draw(base, [Steering(control, hints, start=0.0, end=0.5)])
        assert (whole.calls, hint.calls) == (2, 1)


def test_a_hint_is_encoded_once_for_all_steps(
    base: DiffusionModel, control: Control, hints: np.ndarray
) -> None:
    with Counted(control) as whole, Counted(control.controlnet_cond_embedding) as hint:
        draw(base, [Steering(control, hints)])
    assert (whole.calls, hint.calls) == (4, 1)


def test_two_controls_add_what_they_say(
    base: DiffusionModel, control: Control, hints: np.ndarray
) -> None:
    twice = draw(base, [Steering(control, hints, 0.5), Steering(control, hints, 0.5)])
    assert close(twice, draw(base, [Steering(control, hints)]))
    other = stirred_control(base, seed=9)
    assert not close(twice, draw(base, [Steering(control, hints, 0.5), Steering(other, hints)]))


def test_the_widths_of_the_connections_are_those_of_the_residuals(
    base: DiffusionModel, control: Control
) -> None:
    noisy, time = torch.randn(1, 4, 8, 8), torch.tensor([5])
    features = control.encode_hint(torch.rand(1, 3, 32, 32))
    found = control(noisy, time, base.embed(["x"]).states_BTD, features)
    widths = [skip.shape[-1] for skip in (*found.skips, found.middle)]
    assert connection_widths(control, 8) == widths


def test_a_window_that_ends_before_it_starts_is_refused(
    control: Control, hints: np.ndarray
) -> None:
    with pytest.raises(ConfigError, match="the start first"):
        Steering(control, hints, start=0.8, end=0.2)


@pytest.mark.parametrize(("start", "end"), [(0.3, 0.45), (0.0, 0.0), (0.9, 1.0)])
def test_a_window_in_which_no_step_lies_is_refused(
    base: DiffusionModel, control: Control, hints: np.ndarray, start: float, end: float
) -> None:
    """Or a control would be silent without a word; of four steps none lies in these whole."""
    with pytest.raises(ConfigError, match=f"from {start} to {end}, in which none of 4 steps"):
        draw(base, [Steering(control, hints, start=start, end=end)])
    assert len(draw(base, [Steering(control, hints, 0.0, start, end)])) == 3


def test_hints_of_different_sizes_are_refused(
    base: DiffusionModel, control: Control, hints: np.ndarray
) -> None:
    wide = hints.repeat(2, axis=1).repeat(2, axis=2)
    with pytest.raises(ConfigError, match="different sizes"):
        draw(base, [Steering(control, hints), Steering(control, wide)])


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_weight_and_a_guidance_that_are_no_numbers_are_refused(
    control: Control, value: float
) -> None:
    hints = np.zeros((1, 32, 32, 3), np.uint8)
    with pytest.raises(ConfigError, match=f"weight is a finite number, not {value}"):
        Steering(control, hints, weight=value)
    with pytest.raises(ValueError, match=f"guidance is a finite number, not {value}"):
        RunConfig(guidance=value)
    with pytest.raises(ConfigError, match="guidance is a finite number"):
        load(RunConfig, None, [f"guidance={value}"])
