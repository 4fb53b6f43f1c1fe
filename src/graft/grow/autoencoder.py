"""The diffusion seedling's autoencoder: pictures to latents a quarter as wide, and back.

It learns from pictures of the little world and from jumbles of any colours, so that it can
show pictures that are not of its world too. Its loss is the absolute error of pixels and of
their differences, which keeps edges sharp, and a little of the KL term, which keeps the
latents smooth (Kingma and Welling 2013; Rombach et al. 2022, Section 3.1).

Legend: B pictures, C channels, H and W pixels.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.autoencoders.vae import DecoderOutput, DiagonalGaussianDistribution
from diffusers.models.modeling_outputs import AutoencoderKLOutput
from torch import Tensor

from graft.models.diffusion import to_signed
from graft.train.checkpoint import (
    list_checkpoints,
    load_checkpoint,
    prune_checkpoints,
    save_checkpoint,
)
from graft.train.loop import Step, fit
from graft.train.schedule import warm_up_then
from graft.world.pictures import SIZE, draw_jumble, draw_picture


@dataclass(frozen=True, kw_only=True)
class AutoencoderConfig:
    """How large the autoencoder is, and how long it learns."""

    channels: tuple[int, ...] = (16, 32, 64)
    latent_channels: int = 8
    crop_steps: int = 2400  # first on parts of pictures, a quarter of the work
    steps: int = 3200
    polish_steps: int = 2400  # then the decoder alone, for the encoder is good enough sooner
    batch: int = 16
    jumbles: float = 0.3  # share of pictures that are not of the little world
    learning_rate: float = 7e-4
    kl_weight: float = 1e-3
    difference_weight: float = 0.5
    checkpoint_every: int = 200
    seed: int = 7


@dataclass(frozen=True, slots=True)
class _Loss:
    total: Tensor
    count: int


def grow_autoencoder(config: AutoencoderConfig, folder: Path) -> Iterator[Step]:
    """Grow encoder and decoder in `folder`, from the last checkpoint if there is one."""
    yield from _grow(config, new_autoencoder(config), folder, 0, config.steps)


def polish_decoder(config: AutoencoderConfig, grown: Path, folder: Path) -> Iterator[Step]:
    """Grow the decoder on in `folder`; latents stay what they are."""
    model = load_autoencoder(config, grown)
    for part in (model.decoder, model.post_quant_conv):
        assert part is not None
        part.requires_grad_(True)
    yield from _grow(config, model, folder, config.steps, config.polish_steps)


def load_autoencoder(
    config: AutoencoderConfig, grown: Path, polished: Path | None = None
) -> AutoencoderKL:
    """The autoencoder that was grown, with its polished decoder if there is one."""
    model = new_autoencoder(config)
    load_checkpoint(list_checkpoints(grown)[-1], model)
    model.eval().requires_grad_(False)
    done = list_checkpoints(polished) if polished is not None else []
    if done:
        for part in (model.decoder, model.post_quant_conv):
            assert part is not None
            part.requires_grad_(True)
        load_checkpoint(done[-1], model)
    return model.requires_grad_(False)


def _grow(
    config: AutoencoderConfig, model: AutoencoderKL, folder: Path, first: int, steps: int
) -> Iterator[Step]:
    """Take `steps` steps with what learns in `model`; pictures are those from `first` on."""
    learning = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(learning, lr=config.learning_rate, weight_decay=0.0)
    done = list_checkpoints(folder)
    start = done[-1].step if done else 0
    if done:
        load_checkpoint(done[-1], model, optimizer)
    schedule = warm_up_then("cosine", steps=steps, warm_up=0.03, floor=0.01)
    numbers = range(first + start, first + steps)
    for step in fit(
        ([(pictures_of(config, number), number)] for number in numbers),
        lambda part: _loss_of(model, part[0], config, part[1]),
        optimizer,
        schedule,
        start=start,
    ):
        if step.index % config.checkpoint_every == 0 or step.index == steps:
            save_checkpoint(folder, step.index, model, optimizer, value=steps - step.index)
            prune_checkpoints(folder, last=1)
        yield step


def new_autoencoder(config: AutoencoderConfig) -> AutoencoderKL:
    """An autoencoder with random weights, from the seed."""
    stages = len(config.channels)
    make = cast("Callable[..., AutoencoderKL]", AutoencoderKL)  # it asks for tuples of one
    with torch.random.fork_rng(devices=[]):
        # diffusers draws new weights from the global generator only; the fork gives it back
        torch.manual_seed(config.seed)  # noqa: TID251
        return make(
            down_block_types=("DownEncoderBlock2D",) * stages,
            up_block_types=("UpDecoderBlock2D",) * stages,
            block_out_channels=config.channels,
            layers_per_block=1,
            latent_channels=config.latent_channels,
            norm_num_groups=4,  # more groups lose the level of a colour
            sample_size=SIZE,
            mid_block_add_attention=False,
        )


def pictures_of(config: AutoencoderConfig, step: int) -> Tensor:
    """The pictures [B, C, H, W] of one step, from -1 to 1; at first crops of them."""
    drawn: list[np.ndarray] = []
    side = SIZE // 2 if step < config.crop_steps else SIZE
    for index in range(config.batch):
        rng = np.random.default_rng((config.seed, step, index))
        jumble = rng.random() < config.jumbles
        pixels_HWC = draw_jumble(rng) if jumble else draw_picture(rng).pixels_HWC
        top, left = rng.integers(SIZE - side + 1, size=2)
        drawn.append(pixels_HWC[top : top + side, left : left + side])
    return to_signed(np.stack(drawn))


def posterior_of(model: AutoencoderKL, pixels_BCHW: Tensor) -> DiagonalGaussianDistribution:
    """The latents that pictures may have, as a distribution."""
    return cast("AutoencoderKLOutput", model.encode(pixels_BCHW)).latent_dist


def _loss_of(
    model: AutoencoderKL, pixels_BCHW: Tensor, config: AutoencoderConfig, step: int
) -> _Loss:
    generator = torch.Generator().manual_seed(config.seed * 1_000_003 + step)
    posterior = posterior_of(model, pixels_BCHW)
    drawn = model.decode(cast("torch.FloatTensor", posterior.sample(generator)))
    drawn_BCHW = cast("DecoderOutput", drawn).sample
    error_BCHW = drawn_BCHW - pixels_BCHW
    pixel = error_BCHW.abs().mean()
    down, right = error_BCHW.diff(dim=2).abs().mean(), error_BCHW.diff(dim=3).abs().mean()
    kl = posterior.kl().mean() / posterior.mean[0].numel()
    loss = pixel + config.difference_weight * (down + right) / 2 + config.kl_weight * kl
    return _Loss(loss * len(pixels_BCHW), len(pixels_BCHW))
