"""The trainable copy of a frozen U-Net's encoder, and the silent doors through which it speaks.

Zhang et al. 2023, Section 3: y_c = F(x; T) + Z(F(x + Z(c; z1); T_c); z2), where Z is a 1x1
convolution whose weight and bias begin at zero. So at step 0 the controlled model gives what
the frozen one gives, to the last bit; and yet the output doors have a gradient (for
y = w x + b, dy/dw = x), at step 1 the copy and the hint's last layer follow, at step 2 the
hint's inner layers.

Modules are named as in `diffusers`, so that a control's weights are a `ControlNetModel`'s.

Legend: B pictures, C channels, H and W pixels, h and w latent pixels, T tokens, D width.
"""

import copy
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from graft.errors import ConfigError
from graft.models.unet import (
    Added,
    Features,
    connections,
    decoder_of,
    denoise,
    embed,
    encode,
    middle_channels,
    recomputing,
)

HINT_CHANNELS = (16, 32, 96, 256)
"""Of the released code: a stage for each halving between pictures and latents, and one more."""

Weighting = Literal["none", "resolution", "power", "logspace"]


@dataclass(frozen=True, kw_only=True)
class ControlConfig:
    """What of the base is controlled."""

    middle_only: bool = False  # Section 3.2 of the paper's code: speak to the middle alone
    unlock_decoder: bool = False  # the base's decoder learns too, in a copy of its own


def zero_conv(channels: int) -> nn.Conv2d:
    """A 1x1 convolution that gives zero until it has learnt."""
    return _silenced(nn.Conv2d(channels, channels, kernel_size=1))


class Hint(nn.Module):
    """The condition as features of the latents' size, zero until its last layer has learnt.

    As the released code has it: 3x3 convolutions with SiLU, each second one halving, and a
    zero one at the end. (The paper's text says four 4x4 ones.)
    """

    def __init__(self, out_channels: int, channels: Sequence[int] = HINT_CHANNELS) -> None:
        super().__init__()
        self.conv_in = nn.Conv2d(3, channels[0], kernel_size=3, padding=1)
        self.blocks = nn.ModuleList()
        for narrow, wide in itertools.pairwise(channels):
            self.blocks.append(nn.Conv2d(narrow, narrow, kernel_size=3, padding=1))
            self.blocks.append(nn.Conv2d(narrow, wide, kernel_size=3, padding=1, stride=2))
        self.conv_out = _silenced(nn.Conv2d(channels[-1], out_channels, 3, padding=1))

    def forward(self, hint_BCHW: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B C h w"]:
        """Features of a hint whose values are from 0 to 1."""
        seen_BCHW = F.silu(self.conv_in(hint_BCHW))
        for layer in self.blocks:
            seen_BCHW = F.silu(layer(seen_BCHW))
        return self.conv_out(seen_BCHW)


class Control(nn.Module):
    """A trainable copy of a U-Net's encoder and middle, with a zero convolution behind each.

    Args:
        unet: the frozen base, a `UNet2DConditionModel`; it is copied and not touched.
        shrinking: how many times wider than its latents a picture is, a power of two.
        middle_only: whether only the middle is spoken to; the other doors stay shut.
        seed: draws the hint encoder's weights.
    """

    conv_in: nn.Module

    def __init__(
        self, unet: nn.Module, shrinking: int = 8, *, middle_only: bool = False, seed: int = 0
    ) -> None:
        super().__init__()
        self.middle_only, self.hint_channels = middle_only, hint_channels(shrinking)
        for name in _COPIED:
            part = getattr(unet, name, None)
            if part is not None:
                self.add_module(name, copy.deepcopy(part).requires_grad_(True))
        counts = connections(unet)
        with torch.random.fork_rng(devices=[]):
            # modules draw from the global generator only; the fork gives it back
            torch.manual_seed(seed)  # noqa: TID251
            self.controlnet_cond_embedding = Hint(counts[0], self.hint_channels)
            self.controlnet_down_blocks = nn.ModuleList(zero_conv(one) for one in counts)
            self.controlnet_mid_block = zero_conv(middle_channels(unet))
        self.controlnet_down_blocks.requires_grad_(not middle_only)

    def encode_hint(self, hint_BCHW: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B C h w"]:
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
        embedded_BD = embed(self, noisy_BChw, time_B, words_BTD, added)
        first_BChw = self.conv_in(noisy_BChw) + features_BChw
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
        recompute: whether activations of copy and decoder are calculated again in the backward
            pass and not kept: the same gradients for a tenth of the memory, and more work.
    """

    def __init__(
        self,
        unet: nn.Module,
        shrinking: int,
        config: ControlConfig,
        *,
        seed: int = 0,
        recompute: bool = False,
    ) -> None:
        super().__init__()
        self.recompute = recompute
        self.control = Control(unet, shrinking, middle_only=config.middle_only, seed=seed)
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
        hint_BCHW: Float[Tensor, "B 3 H W"],
        added: Added | None = None,
    ) -> Float[Tensor, "B C h w"]:
        """The controlled prediction, as training needs it."""
        parts = (self.control, self.decoder or decoder_of(self.base)) if self.recompute else ()
        with recomputing(*parts):
            features_BChw = self.control.encode_hint(hint_BCHW)
            seen = self.control(noisy_BChw, time_B, words_BTD, features_BChw, added)
            return denoise(self.base, noisy_BChw, time_B, words_BTD, seen, added, self.decoder)

    def add_to_decoder(self, delta: Mapping[str, Tensor]) -> None:
        """Move the decoder's weights by what `decoder_delta` gave."""
        assert self.decoder is not None
        locked = decoder_of(self.base).state_dict()
        moved = {name: weight + delta[name].to(weight) for name, weight in locked.items()}
        self.decoder.load_state_dict(moved)

    def decoder_delta(self) -> dict[str, Tensor]:
        """What the unlocked decoder's weights have moved by, by the U-Net's own names."""
        if self.decoder is None:
            return {}
        locked = decoder_of(self.base).state_dict()
        return {name: w - locked[name] for name, w in self.decoder.state_dict().items()}


def hint_channels(shrinking: int) -> tuple[int, ...]:
    """The hint encoder's stages for pictures so many times wider than their latents.

    Raises:
        ConfigError: that is no power of two, or the released code's stages do not reach it.
    """
    halvings = shrinking.bit_length() - 1
    if shrinking != 1 << halvings or not 1 <= halvings < len(HINT_CHANNELS):
        raise ConfigError(
            f"pictures {shrinking} times wider than their latents: a hint encoder is known for"
            " 2, 4 and 8"
        )
    return HINT_CHANNELS[: halvings + 1]


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


def _silenced(layer: nn.Conv2d) -> nn.Conv2d:
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer
