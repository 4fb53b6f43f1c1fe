"""The frozen diffusion model: a Stable Diffusion pipeline behind what the stages ask of it.

Pictures to latents and back, prompts to words, the noise it was trained with, its U-Net.
Stable Diffusion 1, 2 and XL families of `diffusers`, by hub id or folder.

Legend: B pictures, C channels, H and W pixels, h and w latent pixels, T tokens, D width.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.autoencoders.vae import DecoderOutput
from diffusers.models.modeling_outputs import AutoencoderKLOutput
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from graft.errors import ConfigError
from graft.models.noise import Sampler, training_noise
from graft.models.pipeline import PARTS, Pipeline, naming, read_pipeline
from graft.models.quiet import no_pipeline_bars
from graft.models.unet import Added, lay_out, require_usual


@dataclass(frozen=True, slots=True)
class Words:
    """Prompts as the U-Net reads them: states [B, T, D], and SDXL's pooled ones [B, P]."""

    states_BTD: Tensor
    pooled_BP: Tensor | None = None

    def __getitem__(self, chosen: slice | Sequence[int] | Tensor) -> "Words":
        """Some of the prompts."""
        pooled = None if self.pooled_BP is None else self.pooled_BP[chosen]
        return Words(self.states_BTD[chosen], pooled)

    def __len__(self) -> int:
        return len(self.states_BTD)

    def to(self, device: torch.device, *, non_blocking: bool = False) -> "Words":
        """The same elsewhere."""
        return self._each(lambda part: part.to(device, non_blocking=non_blocking))

    def pinned(self) -> "Words":
        """The same in memory that a GPU reads without the processor."""
        return self._each(Tensor.pin_memory)

    def _each(self, change: Callable[[Tensor], Tensor]) -> "Words":
        pooled = None if self.pooled_BP is None else change(self.pooled_BP)
        return Words(change(self.states_BTD), pooled)

    @classmethod
    def joined(cls, parts: Sequence["Words"]) -> "Words":
        """All prompts of all parts."""
        pooled = [part.pooled_BP for part in parts if part.pooled_BP is not None]
        states = torch.cat([part.states_BTD for part in parts])
        return cls(states, torch.cat(pooled) if pooled else None)


class DiffusionModel:
    """A pipeline's parts, all frozen.

    Args:
        pipeline: what `diffusers` loaded.
        name: how it was asked for.
        loaded: whether the name leads to it again, so that parts of it can be let go of.
    """

    def __init__(self, pipeline: Pipeline, name: str, *, loaded: bool = False) -> None:
        self.name, self._pipeline, self._loaded = name, pipeline, loaded
        self._resting = False
        self.unet = cast("UNet2DConditionModel", pipeline.unet)
        self.vae = cast("AutoencoderKL", pipeline.vae)
        require_usual(self.unet)
        for part in self._modules():
            part.eval().requires_grad_(False)
        lay_out(self.unet)
        self.noise = training_noise(pipeline.scheduler)

    @property
    def shrinking(self) -> int:
        """How many times wider than its latents a picture is: 8 for Stable Diffusion."""
        return 2 ** (len(self.vae.config["block_out_channels"]) - 1)

    @property
    def size(self) -> int:
        """The side in pixels of the pictures it was trained on."""
        side = self.unet.config["sample_size"]
        return int(side if isinstance(side, int) else side[0]) * self.shrinking

    def require_size(self, size: int) -> None:
        """Refuse pictures that its autoencoder cannot make whole latents of.

        Raises:
            ConfigError: names the nearest sizes that will do.
        """
        if size < 1 or size % self.shrinking:
            below = max(size // self.shrinking * self.shrinking, self.shrinking)
            raise ConfigError(
                f"size = {size}: pictures for {self.name} are a multiple of {self.shrinking}"
                f" pixels wide; take {below} or {below + self.shrinking}"
            )

    def require_steps(self, steps: int, setting: str = "steps") -> None:
        """Refuse to sample in more steps than there are times of its noise.

        Raises:
            ConfigError: names the setting, and the most steps.
        """
        if steps > self.noise.times:
            raise ConfigError(
                f"{setting} = {steps}: the noise of {self.name} has {self.noise.times} times;"
                " take at most so many steps"
            )

    @property
    def device(self) -> torch.device:
        """Where it calculates."""
        return self.unet.device

    @property
    def scheduler_config(self) -> dict[str, object]:
        """How its own sampler is set up, with the class's name as `_class_name`."""
        return dict(self._pipeline.scheduler.config)

    def sampler(self, steps: int, *, spacing: str | None = "trailing") -> "Sampler":
        """Its own sampler, set to so many steps; `spacing` None leaves the timesteps as saved.

        The common default, `leading`, starts below the noisiest level, so that a small base
        seems not to follow its prompt (Lin et al. 2023, Section 3.3).
        """
        self.require_steps(steps)
        return Sampler(self._pipeline.scheduler, steps, spacing, self.device)

    @property
    def pipeline(self) -> Pipeline:
        """The pipeline as `diffusers` knows it."""
        self._wake_encoders()
        return self._pipeline

    @torch.no_grad()
    def encode(
        self, pixels_BHWC: UInt8[np.ndarray, "B H W 3"], at_once: int = 16
    ) -> Float[Tensor, "B C h w"]:
        """Pictures as scaled latents: the mode of the autoencoder's posterior."""
        self._wake_encoders()
        parts: list[Tensor] = []
        for pixels_BCHW in to_signed(pixels_BHWC).split(at_once):
            seen = self.vae.encode(pixels_BCHW.to(self.device, self.vae.dtype))
            parts.append(cast("AutoencoderKLOutput", seen).latent_dist.mode())
        return torch.cat(parts).float() * self.vae.config["scaling_factor"]

    @torch.no_grad()
    def decode(
        self, latents_BChw: Float[Tensor, "B C h w"], at_once: int = 16
    ) -> UInt8[np.ndarray, "B H W 3"]:
        """Pictures of scaled latents."""
        scaled_BChw = (latents_BChw / self.vae.config["scaling_factor"]).to(self.vae.dtype)
        parts = [
            cast("DecoderOutput", self.vae.decode(part)).sample
            for part in scaled_BChw.split(at_once)
        ]
        shown_BCHW = (torch.cat(parts).float() / 2 + 0.5).clamp(0, 1) * 255
        return shown_BCHW.round().byte().permute(0, 2, 3, 1).cpu().numpy()

    @torch.no_grad()
    def embed(self, prompts: Sequence[str], at_once: int = 64) -> Words:
        """Prompts as the U-Net reads them; what is longer than the tokenizer allows is cut."""
        self._wake_encoders()
        states: list[Tensor] = []
        pooled: list[Tensor] = []
        for at in range(0, len(prompts), at_once):
            with no_pipeline_bars():  # it tells of every prompt that it cuts
                made = self._pipeline.encode_prompt(
                    prompt=cast("str", list(prompts[at : at + at_once])),  # reads lists too
                    device=self.device,
                    num_images_per_prompt=1,
                    do_classifier_free_guidance=False,
                )
            states.append(made[0])
            if len(made) > 2:
                pooled.append(made[2])
        return Words(torch.cat(states), torch.cat(pooled) if pooled else None)

    def is_too_long(self, prompt: str) -> bool:
        """Whether a prompt has more tokens than are read."""
        tokenizer = self._pipeline.tokenizer
        assert tokenizer is not None
        read = tokenizer(prompt, truncation=True, max_length=tokenizer.model_max_length)
        return len(tokenizer(prompt)["input_ids"]) > len(read["input_ids"])

    def added(self, words: Words, size: int) -> Added | None:
        """What SDXL's U-Net reads beside the words, for square pictures of `size` pixels."""
        if words.pooled_BP is None:
            return None
        time_ids = words.states_BTD.new_full((len(words), 6), size)
        time_ids[:, 2:4] = 0.0  # not cut: filled on the device, for which nobody waits
        return {"text_embeds": words.pooled_BP, "time_ids": time_ids}

    def digest(self) -> str:
        """SHA-256 of every frozen parameter's and buffer's bytes, in the order of names."""
        self._wake_encoders()
        seen = hashlib.sha256()
        for name in PARTS:
            part = cast("nn.Module | None", getattr(self._pipeline, name, None))
            for key, tensor in sorted(part.state_dict().items()) if part is not None else ():
                seen.update(f"{name}.{key}".encode())
                seen.update(_bytes_of(tensor))
        return seen.hexdigest()

    def move(self, device: torch.device, dtype: torch.dtype | None = None) -> None:
        """Calculate elsewhere, or in another precision."""
        self._wake_encoders()
        with no_pipeline_bars():
            self._pipeline.to(device=device, dtype=dtype)

    def rest_encoders(self) -> None:
        """Let go of what latents and words were made with; it is read again when asked for.

        What was not loaded by name is kept, but not on the device.
        """
        self._resting = True
        for part in self._encoders():
            part.to("meta" if self._loaded else "cpu")

    def _wake_encoders(self) -> None:
        if not self._resting:
            return
        if self._loaded:
            with naming(self.name):
                fresh = read_pipeline(self.name, self.unet)
            self.vae.encoder = cast("AutoencoderKL", fresh.vae).encoder
            for name in PARTS[2:]:
                setattr(self._pipeline, name, getattr(fresh, name, None))
        self._resting = False
        for part in self._encoders():
            part.eval().requires_grad_(False).to(self.device, self.vae.dtype)

    def _encoders(self) -> Iterator[nn.Module]:
        yield cast("nn.Module", self.vae.encoder)
        yield from self._text_encoders()

    def _text_encoders(self) -> Iterator[nn.Module]:
        for name in PARTS[2:]:
            part = cast("nn.Module | None", getattr(self._pipeline, name, None))
            if part is not None:
                yield part

    def _modules(self) -> Iterator[nn.Module]:
        yield cast("nn.Module", self.unet)
        yield cast("nn.Module", self.vae)
        yield from self._text_encoders()


def load_diffusion(name: str, device: torch.device | None = None) -> DiffusionModel:
    """A Stable Diffusion pipeline by hub id, folder, or `seedling`, in single precision.

    Only safetensors are read.

    Raises:
        ModelError: there is no such model, a part or a weight of it is missing or no number,
            or it is of another family.
    """
    with naming(name):
        model = DiffusionModel(read_pipeline(name), name, loaded=True)
    if device is not None:
        model.move(device)
    return model


def _bytes_of(tensor: Tensor) -> memoryview:
    """A tensor's numbers in the order of its indices, however it lies in memory."""
    plain = torch.empty(tensor.shape, dtype=tensor.dtype).copy_(tensor.detach())
    return plain.view(-1).view(torch.uint8).numpy().data


def to_signed(pixels_BHWC: UInt8[np.ndarray, "B H W 3"]) -> Float[Tensor, "B 3 H W"]:
    """Bytes as numbers from -1 to 1."""
    return torch.from_numpy(pixels_BHWC).permute(0, 3, 1, 2).float() / 127.5 - 1.0


def to_hint(pixels_BHWC: UInt8[np.ndarray, "B H W 3"]) -> Float[Tensor, "B 3 H W"]:
    """Bytes as numbers from 0 to 1, as a control reads its hint."""
    return torch.from_numpy(pixels_BHWC).permute(0, 3, 1, 2).float() / 255.0
