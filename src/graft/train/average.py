"""The running average of weights: steadier than the weights themselves.

An exponential moving average (Polyak averaging with forgetting), with the warm-up that lets
early steps be forgotten: at step t the decay is min(decay, (1 + t) / (10 + t)).
"""

import torch
from torch import Tensor, nn


class Average(nn.Module):
    """The average of what learns in a model, kept as buffers, so that a checkpoint holds it.

    Args:
        model: its parameters that require a gradient are followed, from where they stand.
        decay: how much of the average stays at each step, in the long run; with 0 there is
            no average, and nothing is held.
    """

    steps: Tensor

    def __init__(self, model: nn.Module, decay: float = 0.999) -> None:
        super().__init__()
        self.decay = decay
        self.names = {
            name: name.replace(".", "/")
            for name, parameter in model.named_parameters()
            if parameter.requires_grad and decay > 0
        }
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))
        parameters = dict(model.named_parameters())
        for name, key in self.names.items():
            self.register_buffer(key, parameters[name].detach().clone())

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Move towards the model's weights, once after each optimizer step."""
        self.steps += 1
        done = int(self.steps)
        weight = 1.0 - min(self.decay, (1 + done) / (10 + done))
        parameters = dict(model.named_parameters())
        for name, key in self.names.items():
            self.get_buffer(key).lerp_(parameters[name].detach(), weight)

    @torch.no_grad()
    def apply_to(self, model: nn.Module) -> None:
        """Give `model` the averaged weights in place of its own; nothing without an average."""
        parameters = dict(model.named_parameters())
        for name, key in self.names.items():
            parameters[name].copy_(self.get_buffer(key))
