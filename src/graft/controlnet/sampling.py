"""Sampling under one or several controls.

Each picture's noise is drawn from its own seed, so it does not depend on what stands beside it
in the batch. A hint is encoded once per sample. A control outside its window, or of weight 0,
is not computed.

Legend: B pictures, C channels, H and W pixels, h and w latent pixels.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from graft.controlnet.control import Control, Weighting, connection_strengths
from graft.errors import ConfigError
from graft.models.diffusion import DiffusionModel, Words
from graft.models.unet import Features, denoise, stages


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """Settings of sampling."""

    steps: int = 20
    guidance: float = 7.5  # classifier-free; 1 is none
    spacing: Literal["trailing", "leading", "linspace", "as saved"] = "trailing"
    guess: bool = (
        False  # no prompt is read, and the control is: about 50 steps, guidance 3 to 5
    )
    weighting: Weighting = "none"  # Section 3.2; guess mode takes `power` where this is `none`
    at_once: int = 16  # pictures computed together

    def __post_init__(self) -> None:
        if self.steps < 1 or self.at_once < 1:
            raise ValueError("steps and at_once are at least 1")
        if not math.isfinite(self.guidance):
            raise ValueError(f"guidance is a finite number, not {self.guidance}")


@dataclass(frozen=True, slots=True)
class Steering:
    """One control with its hints, how strong it is, and during which share of the steps."""

    control: Control
    hints_BHWC: UInt8[np.ndarray, "B H W 3"]
    weight: float = 1.0
    start: float = 0.0
    end: float = 1.0

    def __post_init__(self) -> None:
        if not math.isfinite(self.weight):
            raise ConfigError(f"a control's weight is a finite number, not {self.weight}")
        if not 0.0 <= self.start <= self.end <= 1.0:
            raise ConfigError(
                f"a control acts from {self.start} to {self.end}: both are shares of the steps,"
                " from 0 to 1, the start first"
            )

    def acts(self, index: int, steps: int) -> bool:
        """Whether it acts in step `index` of so many."""
        inside = index / steps >= self.start and (index + 1) / steps <= self.end
        return self.weight != 0 and inside

    def require_step(self, steps: int) -> None:
        """Refuse a window that lies between steps, in which a control would do nothing.

        Raises:
            ConfigError: it acts in none of so many.
        """
        if self.weight != 0 and not any(self.acts(index, steps) for index in range(steps)):
            raise ConfigError(
                f"a control acts from {self.start} to {self.end}, in which none of {steps}"
                " steps lies whole; take more steps or a wider window"
            )

    def part(self, begin: int, end: int) -> "Steering":
        """The same for some of the pictures."""
        hints_BHWC = self.hints_BHWC[begin:end]
        return Steering(self.control, hints_BHWC, self.weight, self.start, self.end)


def sample(
    model: DiffusionModel,
    words: Words,
    empty: Words,
    seeds: Sequence[int],
    steerings: Sequence[Steering],
    settings: RunConfig,
    *,
    decoder: nn.Module | None = None,
) -> UInt8[np.ndarray, "B H W 3"]:
    """A picture for each prompt and seed.

    Args:
        model: the base.
        words: the prompts, one for each picture.
        empty: the empty prompt, or the negative ones: one, or one for each picture.
        seeds: one for each picture.
        steerings: the controls; their hints are as wide and high as the pictures.
        settings: steps, guidance and the rest.
        decoder: an unlocked decoder that takes the place of the base's own.

    Raises:
        ConfigError: hints are of different sizes, or a control's window holds no step.
    """
    parts: list[np.ndarray] = []
    for begin in range(0, len(seeds), settings.at_once):
        end = min(begin + settings.at_once, len(seeds))
        latents_BChw = sample_latents(
            model,
            words[begin:end],
            empty if len(empty) == 1 else empty[begin:end],
            seeds[begin:end],
            [steering.part(begin, end) for steering in steerings],
            settings,
            decoder=decoder,
        )
        parts.append(model.decode(latents_BChw))
    return np.concatenate(parts)


@torch.no_grad()
def sample_latents(
    model: DiffusionModel,
    words: Words,
    empty: Words,
    seeds: Sequence[int],
    steerings: Sequence[Steering],
    settings: RunConfig,
    *,
    decoder: nn.Module | None = None,
) -> Float[Tensor, "B C h w"]:
    """As `sample`, of one batch and not decoded."""
    spacing = None if settings.spacing == "as saved" else settings.spacing
    sampler = model.sampler(settings.steps, spacing=spacing)
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    size = _size(model, steerings)
    latents_BChw = _first_noise(model, generators, size) * sampler.first_sigma
    both = _branches(words, empty, settings)
    added = model.added(both, size)
    guided = list(_guided(model, steerings, settings))
    times = sampler.times
    for steering in steerings:
        steering.require_step(len(times))
    for index, time in enumerate(times):
        scaled_BChw = sampler.scaled(latents_BChw, time)
        doubled_BChw = torch.cat([scaled_BChw] * (len(both) // len(seeds)))
        acting = [one for one in guided if one.steering.acts(index, len(times))]
        residuals = _residuals(model, acting, doubled_BChw, time, both, size)
        predicted_BChw = denoise(
            model.unet, doubled_BChw, time, both.states_BTD, residuals, added, decoder
        )
        if len(both) > len(seeds):
            without_BChw, with_BChw = predicted_BChw.chunk(2)
            predicted_BChw = without_BChw + settings.guidance * (with_BChw - without_BChw)
        latents_BChw = sampler.step(predicted_BChw, time, latents_BChw, generators)
    return latents_BChw


@dataclass(frozen=True, slots=True)
class _Guided:
    """A control ready to act: its hint's features, its strength at each connection."""

    steering: Steering
    features_BChw: Tensor
    strengths: list[float]
    conditional_only: bool


def _guided(
    model: DiffusionModel, steerings: Sequence[Steering], settings: RunConfig
) -> Iterator[_Guided]:
    weighting = settings.weighting
    if settings.guess and weighting == "none":
        weighting = "power"
    alone = (settings.guess or weighting != "none") and settings.guidance != 1
    for steering in steerings:
        if steering.weight == 0:
            continue
        dtype = model.unet.dtype
        read_BCHW = steering.control.read(steering.hints_BHWC, model)
        hint_BCHW = read_BCHW.to(model.device, dtype)
        features_BChw = steering.control.encode_hint(hint_BCHW)
        widths = connection_widths(model.unet, features_BChw.shape[-1])
        strengths = [
            steering.weight * strength for strength in connection_strengths(weighting, widths)
        ]
        yield _Guided(steering, features_BChw, strengths, alone)


def connection_widths(unet: nn.Module, width: int) -> list[int]:
    """The width in latent pixels of each skip of a base, or of its copy, and of its middle."""
    widths = [width]
    for channels, halves in stages(unet):
        widths += [widths[-1]] * len(channels)
        if halves:
            widths.append(-(-widths[-1] // 2))
    return [*widths, widths[-1]]


def _residuals(
    model: DiffusionModel,
    acting: Sequence[_Guided],
    noisy_BChw: Tensor,
    time: Tensor,
    words: Words,
    size: int,
) -> Features | None:
    """What all acting controls add, or None where none acts."""
    total: Features | None = None
    for one in acting:
        count = len(one.features_BChw)
        branches = len(noisy_BChw) // count
        seen, read = noisy_BChw, words
        features_BChw = torch.cat([one.features_BChw] * branches)
        if one.conditional_only and branches == 2:
            seen, read, features_BChw = noisy_BChw[count:], words[count:], one.features_BChw
        added = model.added(read, size)
        found = one.steering.control(seen, time, read.states_BTD, features_BChw, added)
        found = found.times(one.strengths)
        if len(seen) < len(noisy_BChw):
            found = _behind_zeros(found)
        total = found if total is None else total.plus(found)
    return total


def _behind_zeros(found: Features) -> Features:
    """Nothing for the branch without a prompt, and what was found for the other."""
    skips = tuple(torch.cat([torch.zeros_like(skip), skip]) for skip in found.skips)
    return Features(skips, torch.cat([torch.zeros_like(found.middle), found.middle]))


def _branches(words: Words, empty: Words, settings: RunConfig) -> Words:
    """The prompts, the empty ones before them where guidance asks for both."""
    count = len(words)
    nothing = empty if len(empty) == count else empty[[0] * count]
    read = nothing if settings.guess else words
    if settings.guidance == 1:
        return read
    pooled = None
    if nothing.pooled_BP is not None and read.pooled_BP is not None:
        pooled = torch.cat([nothing.pooled_BP, read.pooled_BP])
    return Words(torch.cat([nothing.states_BTD, read.states_BTD]), pooled)


def _size(model: DiffusionModel, steerings: Sequence[Steering]) -> int:
    sizes = {steering.hints_BHWC.shape[1] for steering in steerings}
    if len(sizes) > 1:
        raise ConfigError(f"hints of different sizes: {sorted(sizes)}; make them alike")
    return sizes.pop() if sizes else model.size


def _first_noise(
    model: DiffusionModel, generators: Sequence[torch.Generator], size: int
) -> Tensor:
    side = size // model.shrinking
    shape = (int(model.unet.config["in_channels"]), side, side)
    drawn = [torch.randn(shape, generator=generator) for generator in generators]
    return torch.stack(drawn).to(model.device, model.unet.dtype)
