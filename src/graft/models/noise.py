"""The noise that a diffusion model was trained with, and the way back from it to latents.

Legend: B pictures, C channels, h and w latent pixels.
"""

import inspect
from collections.abc import Callable
from typing import cast

import torch
from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from diffusers.schedulers.scheduling_ddpm import DDPMScheduler
from torch import Tensor


class TrainingNoise:
    """The noise that a base was trained with, and what it predicts of it."""

    def __init__(self, scheduler: DDIMScheduler | DDPMScheduler) -> None:
        self._scheduler = scheduler
        self.times = int(scheduler.config["num_train_timesteps"])
        self.predicts = str(scheduler.config["prediction_type"])

    def add(self, latents_BChw: Tensor, noise_BChw: Tensor, time_B: Tensor) -> Tensor:
        """Latents as noisy as they are at a time from 0 to `times` - 1."""
        return self._scheduler.add_noise(
            latents_BChw, noise_BChw, cast("torch.IntTensor", time_B)
        )

    def target(self, latents_BChw: Tensor, noise_BChw: Tensor, time_B: Tensor) -> Tensor:
        """What the base is to predict: the noise, the velocity, or the latents themselves."""
        match self.predicts:
            case "epsilon":
                return noise_BChw
            case "v_prediction":
                times = cast("torch.IntTensor", time_B)
                return self._scheduler.get_velocity(latents_BChw, noise_BChw, times)
            case _:
                return latents_BChw


class Sampler:
    """One way from noise to latents: a copy of a base's sampler, set to so many steps."""

    def __init__(
        self, scheduler: object, steps: int, spacing: str | None, device: torch.device
    ) -> None:
        known = cast("DDIMScheduler", scheduler)
        config = dict(known.config)
        if spacing is not None and "timestep_spacing" in config:
            config["timestep_spacing"] = spacing
        self._scheduler = cast("DDIMScheduler", type(known).from_config(config))
        self._scheduler.set_timesteps(steps, device=device)
        self._step = cast("Callable[..., tuple[Tensor, ...]]", self._scheduler.step)
        self._draws = "generator" in inspect.signature(self._step).parameters

    @property
    def times(self) -> list[Tensor]:
        """The times it stops at, the noisiest first."""
        return list(self._scheduler.timesteps)

    @property
    def first_sigma(self) -> float:
        """How strong the noise is that it begins with."""
        return float(self._scheduler.init_noise_sigma)

    def scaled(self, latents_BChw: Tensor, time: Tensor) -> Tensor:
        """Latents as the U-Net reads them at a time."""
        return self._scheduler.scale_model_input(latents_BChw, cast("int", time))

    def step(
        self,
        predicted_BChw: Tensor,
        time: Tensor,
        latents_BChw: Tensor,
        generators: list[torch.Generator],
    ) -> Tensor:
        """The latents one step on; what a sampler draws, it draws from each picture's own."""
        given: dict[str, object] = {"generator": generators} if self._draws else {}
        return self._step(predicted_BChw, time, latents_BChw, return_dict=False, **given)[0]


def training_noise(scheduler: object) -> TrainingNoise:
    """The noise of a sampler's own settings, whatever the sampler."""
    config = dict(cast("DDPMScheduler", scheduler).config)
    return TrainingNoise(cast("DDPMScheduler", DDPMScheduler.from_config(config)))
