"""The light version of a control: one convolution in place of each block of the copy.

Zhang et al. 2023, Section 4.2: to see what the deep copy is worth. It reads the noisy latents
and the hint; words and time it does not read.

Legend: B pictures, C channels, h and w latent pixels.
"""

from collections.abc import Iterator

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from graft.models.unet import Features, connections, middle_channels, stages


class Light(nn.Module):
    """From the first layer's output to what speaks to each skip and to the middle."""

    def __init__(self, unet: nn.Module) -> None:
        super().__init__()
        self.layers = nn.ModuleList(_layers(unet))
        last = connections(unet)[-1]
        self.middle = nn.Conv2d(last, middle_channels(unet), kernel_size=3, padding=1)

    def forward(self, first_BChw: Float[Tensor, "B C h w"]) -> Features:
        """Features of the same sizes as the base's."""
        skips = [first_BChw]
        for layer in self.layers:
            skips.append(layer(F.silu(skips[-1])))
        return Features(tuple(skips), self.middle(F.silu(skips[-1])))


def _layers(unet: nn.Module) -> Iterator[nn.Conv2d]:
    """A convolution for each skip but the first, halving where the base halves."""
    narrow = connections(unet)[0]
    for channels, halves in stages(unet):
        for wide in channels:
            yield nn.Conv2d(narrow, wide, kernel_size=3, padding=1)
            narrow = wide
        if halves:
            yield nn.Conv2d(narrow, narrow, kernel_size=3, padding=1, stride=2)
