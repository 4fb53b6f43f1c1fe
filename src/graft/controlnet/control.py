"""The trainable copy of a frozen U-Net's encoder, and the silent doors through which it speaks.

Zhang et al. 2023, Section 3: y_c = F(x; T) + Z(F(x + Z(c; z1); T_c); z2), where Z is a 1x1
convolution whose weight and bias begin at zero. So at step 0 the controlled model gives what
the frozen one gives, to the last bit; and yet the output doors have a gradient (for
y = w x + b, dy/dw = x), at step 1 the copy and the hint's last layer follow, at step 2 the
hint's inner layers.

Modules are named as in `diffusers`, so that a control's weights are a `ControlNetModel`'s.

Legend: B pictures, C channels, H and W pixels, h and w latent pixels, T tokens, D width;
y and x as the hint is read, in pixels or latent pixels.
"""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, cast

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from graft.controlnet.hint import Hint, LatentHint, gaussian, hint_channels, zero_conv
from graft.controlnet.light import Light
from graft.models.diffusion import DiffusionModel, to_hint
from graft.models.recompute import Recompute, recomputing
from graft.models.unet import (
    Added,
    Features,
    connections,
    decoder_of,
    denoise,
    embed,
    encode,
    lay_out,
    middle_channels,
)

Weighting = Literal["none", "resolution", "power", "logspace"]


@dataclass(frozen=True, kw_only=True)
class ControlConfig:
    """What of the base is controlled."""

    middle_only: bool = False  # Section 3.2 of the paper's code: speak to the middle alone
    unlock_decoder: bool = False  # the base's decoder learns too, in a copy of its own
    joints: Literal["zero", "gaussian"] = "zero"  # gaussian: Section 4.2, to see it fail
    light: bool = False  # one convolution in place of each copied block (Section 4.2)
    latent_hint: bool = False  # the hint goes through the base's own autoencoder

    @property
    def usual(self) -> bool:
        """Whether `diffusers` has a class for its weights."""
        return not (self.light or self.latent_hint)


class Control(nn.Module):
    """A trainable copy of a U-Net's encoder and middle, with a zero convolution behind each.

    Args:
        unet: the frozen base, a `UNet2DConditionModel`; it is copied and not touched.
        shrinking: how many times wider than its latents a picture is, a power of two.
        config: what is copied, and through what it speaks.
        seed: draws the hint encoder's weights.
    """

    conv_in: nn.Module

    def __init__(
        self,
        unet: nn.Module,
        shrinking: int = 8,
        config: ControlConfig | None = None,
        *,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.config = config or ControlConfig()
        self.hint_channels = hint_channels(shrinking)
        for name in ("conv_in",) if self.config.light else _COPIED:
            part = getattr(unet, name, None)
            if part is not None:
                self.add_module(name, copy.deepcopy(part).requires_grad_(True))
        counts = connections(unet)
        with torch.random.fork_rng(devices=[]):
            # modules draw from the global generator only; the fork gives it back
            torch.manual_seed(seed)  # noqa: TID251
            self.controlnet_cond_embedding = (
                LatentHint(_latent_channels(unet), counts[0])
                if self.config.latent_hint
                else Hint(counts[0], self.hint_channels)
            )
            self.controlnet_down_blocks = nn.ModuleList(zero_conv(one) for one in counts)
            self.controlnet_mid_block = zero_conv(middle_channels(unet))
            if self.config.light:
                self.light = Light(unet)
            if self.config.joints == "gaussian":
                for joint in (self.controlnet_cond_embedding.conv_out, *self.doors):
                    gaussian(joint)
        lay_out(self)
        self.controlnet_down_blocks.requires_grad_(not self.config.middle_only)
        self._decoder: tuple[nn.Module, ...] = ()  # beside it, so that it is in no state dict

    @property
    def doors(self) -> tuple[nn.Module, ...]:
        """The convolutions through which it speaks, from the widest skip to the middle."""
        return (*self.controlnet_down_blocks, self.controlnet_mid_block)

    @property
    def decoder(self) -> nn.Module | None:
        """The decoder that it acts with, where it was given one, in place of the base's own."""
        return self._decoder[0] if self._decoder else None

    def act_with(self, decoder: nn.Module) -> None:
        """Act with a decoder that learned beside it, as `moved_decoder` gives it."""
        self._decoder = (decoder,)

    def read(
        self, hints_BHWC: UInt8[np.ndarray, "B H W 3"], model: DiffusionModel
    ) -> Float[Tensor, "B c y x"]:
        """Hints as `encode_hint` takes them: pixels from 0 to 1, or latents of the base."""
        return model.encode(hints_BHWC) if self.config.latent_hint else to_hint(hints_BHWC)

    def encode_hint(self, hint_BCHW: Float[Tensor, "B c y x"]) -> Float[Tensor, "B C h w"]:
        """The hint's features: the same at every step of a sample, so computed once."""
        return self.controlnet_cond_embedding(hint_BCHW)

    def forward(
        self,
        noisy_BChw: Float[Tensor, "B C h w"],
        time_B: Tensor,
        words_BTD: Float[Tensor, "B T D"],
        features_BChw: Float[Tensor, "B c h w"],
        added: Added | None = None,
    ) -> Features:
        """What is to be added to the base's skips and middle."""
        first_BChw = self.conv_in(noisy_BChw) + features_BChw
        if self.config.light:
            seen = self.light(first_BChw)
        else:
            embedded_BD = embed(self, noisy_BChw, time_B, words_BTD, added)
            seen = encode(self, first_BChw, embedded_BD, words_BTD)
        doors = zip(self.controlnet_down_blocks, seen.skips, strict=True)
        return Features(
            tuple(door(skip_BChw) for door, skip_BChw in doors),
            self.controlnet_mid_block(seen.middle),
        )


class Controlled(nn.Module):
    """A frozen base with its control, and with a decoder of its own where that learns too.

    The base is read and not registered: its weights are in no state dict and no optimizer.

    Args:
        unet: the frozen base.
        shrinking: how many times wider than its latents a picture is.
        config: what of the base is controlled.
        seed: draws the hint encoder's weights.
        recompute: which activations of copy and decoder are calculated again in the backward
            pass and not kept; gradients are the same. `True`: all, for a tenth of the memory
            and a third more work; `cheap`: those between convolutions and attention, for
            less than half of the memory and hardly more work.
    """

    def __init__(
        self,
        unet: nn.Module,
        shrinking: int,
        config: ControlConfig,
        *,
        seed: int = 0,
        recompute: Recompute = False,
    ) -> None:
        super().__init__()
        self.recompute: Recompute = recompute
        self.control = Control(unet, shrinking, config, seed=seed)
        self.decoder = (
            copy.deepcopy(decoder_of(unet)).requires_grad_(True)
            if config.unlock_decoder
            else None
        )
        self._base = (unet.requires_grad_(False),)

    @property
    def base(self) -> nn.Module:
        """The frozen U-Net."""
        return self._base[0]

    def forward(
        self,
        noisy_BChw: Float[Tensor, "B C h w"],
        time_B: Tensor,
        words_BTD: Float[Tensor, "B T D"],
        hint_BCHW: Float[Tensor, "B c y x"],
        added: Added | None = None,
    ) -> Float[Tensor, "B C h w"]:
        """The controlled prediction, as training needs it."""
        parts = (self.control, self.decoder or decoder_of(self.base)) if self.recompute else ()
        with recomputing(*parts, what=self.recompute):
            features_BChw = self.control.encode_hint(hint_BCHW)
            seen = self.control(noisy_BChw, time_B, words_BTD, features_BChw, added)
            return denoise(self.base, noisy_BChw, time_B, words_BTD, seen, added, self.decoder)

    def add_to_decoder(self, delta: Mapping[str, Tensor]) -> None:
        """Move the decoder's weights by what `decoder_delta` gave."""
        assert self.decoder is not None
        self.decoder.load_state_dict(moved_decoder(self.base, delta).state_dict())

    def decoder_delta(self) -> dict[str, Tensor]:
        """What the unlocked decoder's weights have moved by, by the U-Net's own names."""
        if self.decoder is None:
            return {}
        locked = decoder_of(self.base).state_dict()
        return {name: w - locked[name] for name, w in self.decoder.state_dict().items()}


def moved_decoder(unet: nn.Module, delta: Mapping[str, Tensor]) -> nn.Module:
    """A copy of the U-Net's decoder whose weights are moved by what `decoder_delta` gave."""
    decoder = copy.deepcopy(decoder_of(unet))
    locked = decoder.state_dict()
    decoder.load_state_dict({name: w + delta[name].to(w) for name, w in locked.items()})
    return decoder


def connection_strengths(weighting: Weighting, widths: Sequence[int]) -> list[float]:
    """A strength for each connection, from the widest skip to the middle.

    Classifier-free guidance resolution weighting (Section 3.2), by the three forms there are:
    `resolution`: 64/h of the paper's text, with the widest connection in place of 64;
    `power`: 0.825^(12 - i) of its code; `logspace`: from 0.1 to 1, as in diffusers.

    Args:
        weighting: the form; `none` is 1 everywhere.
        widths: the width in latent pixels of each skip, and of the middle.
    """
    count = len(widths)
    match weighting:
        case "none":
            return [1.0] * count
        case "resolution":
            return [max(widths) / width for width in widths]
        case "power":
            return [0.825 ** (count - 1 - index) for index in range(count)]
        case "logspace":
            return torch.logspace(-1, 0, count).tolist()


_COPIED = (
    "conv_in",
    "time_proj",
    "time_embedding",
    "add_time_proj",
    "add_embedding",
    "down_blocks",
    "mid_block",
)


def _latent_channels(unet: nn.Module) -> int:
    return cast("nn.Conv2d", unet.conv_in).in_channels
