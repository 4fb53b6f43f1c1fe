"""How well pictures agree with their prompts, judged by the base itself: no other weights.

The diffusion classifier (Li et al. 2023, "Your Diffusion Model is Secretly a Zero-Shot
Classifier"): a prompt fits a picture the better, the lower the base's loss is with it. A
picture agrees if its own prompt fits best among several; by luck one in so many does.

And features of pictures, for distances between sets of them: the base's own middle layer.

Legend: B pictures, C channels, h and w latent pixels, K prompts, D features.
"""

import numpy as np
import torch
from torch import Tensor

from graft.models.diffusion import DiffusionModel, Words
from graft.models.unet import denoise, embed, encode

_TIMES = (0.3, 0.5, 0.7, 0.9)
_FEATURE_TIME = 0.1
"""Shares of the noisiest time: words tell most in the middle, features near the end."""


def agreement(
    model: DiffusionModel,
    pixels_BHWC: np.ndarray,
    words: Words,
    *,
    choices: int = 4,
    seed: int = 0,
    at_once: int = 24,
) -> list[bool]:
    """Whether each picture's own prompt fits it best, among `choices` of the prompts.

    The others are those of the pictures behind it; equal ones are all the same to it.
    """
    latents_BChw = model.encode(pixels_BHWC).to(model.device)
    count = len(latents_BChw)
    losses_KB = torch.stack(
        [
            _losses(model, latents_BChw, words[_shifted(count, shift)], seed, at_once)
            for shift in range(min(choices, count))
        ]
    )
    return (losses_KB[0] <= losses_KB.min(dim=0).values).tolist()


def features(
    model: DiffusionModel, pixels_BHWC: np.ndarray, empty: Words, *, at_once: int = 24
) -> np.ndarray:
    """The base's middle layer [B, D] over slightly noisy pictures, averaged over space."""
    latents_BChw = model.encode(pixels_BHWC).to(model.device)
    time = round(_FEATURE_TIME * (model.noise.times - 1))
    return np.concatenate(
        [_middle(model, part, empty, time) for part in latents_BChw.split(at_once)]
    )


@torch.no_grad()
def _losses(
    model: DiffusionModel, latents_BChw: Tensor, words: Words, seed: int, at_once: int
) -> Tensor:
    """The base's loss [B] of each picture with its words, over the fixed times and noise."""
    totals: list[Tensor] = []
    for begin in range(0, len(latents_BChw), at_once):
        part_BChw, read = latents_BChw[begin : begin + at_once], words[begin : begin + at_once]
        total_B = torch.zeros(len(part_BChw))
        for share in _TIMES:
            time = round(share * (model.noise.times - 1))
            total_B += _errors(model, part_BChw, read, seed, time).cpu()
        totals.append(total_B)
    return torch.cat(totals)


def _errors(
    model: DiffusionModel, latents_BChw: Tensor, words: Words, seed: int, time: int
) -> Tensor:
    generator = torch.Generator().manual_seed(seed + time)
    noise_Chw = torch.randn(latents_BChw.shape[1:], generator=generator)  # the same for all
    noise_BChw = noise_Chw.to(latents_BChw).expand_as(latents_BChw)
    time_B = torch.full((len(latents_BChw),), time, device=latents_BChw.device)
    noisy_BChw = model.noise.add(latents_BChw, noise_BChw, time_B)
    target_BChw = model.noise.target(latents_BChw, noise_BChw, time_B)
    added = model.added(words, latents_BChw.shape[-1] * model.shrinking)
    found_BChw = denoise(model.unet, noisy_BChw, time_B, words.states_BTD, added=added)
    return (found_BChw - target_BChw).square().mean(dim=(1, 2, 3))


@torch.no_grad()
def _middle(model: DiffusionModel, latents_BChw: Tensor, empty: Words, time: int) -> np.ndarray:
    count = len(latents_BChw)
    words = empty[[0] * count]
    generator = torch.Generator().manual_seed(time)
    noise_Chw = torch.randn(latents_BChw.shape[1:], generator=generator).to(latents_BChw)
    time_B = torch.full((count,), time, device=latents_BChw.device)
    noisy_BChw = model.noise.add(latents_BChw, noise_Chw.expand_as(latents_BChw), time_B)
    added = model.added(words, latents_BChw.shape[-1] * model.shrinking)
    embedded_BD = embed(model.unet, noisy_BChw, time_B, words.states_BTD, added)
    seen = encode(model.unet, model.unet.conv_in(noisy_BChw), embedded_BD, words.states_BTD)
    return seen.middle.mean(dim=(2, 3)).double().cpu().numpy()


def _shifted(count: int, shift: int) -> list[int]:
    return [(index + shift) % count for index in range(count)]
