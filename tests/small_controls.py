"""What a control of a tiny base is given, and what of it learns."""

import torch
from torch import nn

from graft.controlnet.control import ControlConfig, Controlled
from graft.models.diffusion import DiffusionModel


def inputs(base: DiffusionModel, count: int = 2):
    generator = torch.Generator().manual_seed(1)
    noisy = torch.randn(count, 4, 8, 8, generator=generator)
    time = torch.tensor([7, 800][:count])
    words = base.embed(["a red circle", "a blue star"][:count])
    hint = torch.rand(count, 3, 32, 32, generator=generator)
    return noisy, time, words, hint, base.added(words, 32)


def read_by(config: ControlConfig, noisy: torch.Tensor, hint: torch.Tensor) -> torch.Tensor:
    """The hint as such a control reads it: pixels, or something of the latents' shape."""
    return noisy.flip(0) if config.latent_hint else hint


def stirred(module: nn.Module, seed: int = 3) -> None:
    """Move every weight, so that nothing is zero by chance or by make."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.05)


def learning_parts(controlled: Controlled) -> set[str]:
    """Which parts have a gradient that is not zero: doors, copy, hint's end, hint's inside."""
    parts = set[str]()
    for name, parameter in controlled.control.named_parameters():
        if parameter.grad is not None and parameter.grad.abs().sum() > 0:
            if name.startswith(("controlnet_down", "controlnet_mid")):
                parts.add("doors")
            elif name.startswith("controlnet_cond_embedding.conv_out"):
                parts.add("hint's end")
            elif name.startswith("controlnet_cond_embedding"):
                parts.add("hint's inside")
            else:
                parts.add("copy")
    return parts
