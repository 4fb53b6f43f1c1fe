"""How a hint becomes features of the latents' size, and the convolutions that begin at nothing.

Legend: B pictures, C channels, H and W pixels, h and w latent pixels.
"""

import itertools
from collections.abc import Sequence

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from graft.errors import ConfigError

HINT_CHANNELS = (16, 32, 96, 256)
"""Of the released code: a stage for each halving between pictures and latents, and one more."""


def zero_conv(channels: int) -> nn.Conv2d:
    """A 1x1 convolution that gives zero until it has learnt."""
    return _silenced(nn.Conv2d(channels, channels, kernel_size=1))


def gaussian(layer: nn.Module) -> None:
    """Draw a convolution's weights from a normal distribution that keeps its input's variance.

    What Section 4.2 of the paper puts in the place of zeros: the base is shaken from step 0 on.
    """
    assert isinstance(layer, nn.Conv2d)
    count = layer.in_channels * layer.kernel_size[0] * layer.kernel_size[1]
    nn.init.normal_(layer.weight, std=count**-0.5)


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


class LatentHint(nn.Module):
    """The condition's latents as features, by one convolution that is zero until it has learnt.

    Nothing is begun from chance: what is to be seen in a hint, the base's autoencoder tells.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv_out = _silenced(nn.Conv2d(in_channels, out_channels, 3, padding=1))

    def forward(self, hint_BChw: Float[Tensor, "B c h w"]) -> Float[Tensor, "B C h w"]:
        """Features of a hint's scaled latents."""
        return self.conv_out(hint_BChw)


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


def _silenced(layer: nn.Conv2d) -> nn.Conv2d:
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer
