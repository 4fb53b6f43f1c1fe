"""The recipe of the embedded diffusion model: from nothing to a Stable Diffusion folder.

    FOLDER/autoencoder/   pictures to latents and back, grown first
    FOLDER/latents/       pictures of the little world as latents, with their captions' tokens
    FOLDER/decoder/       the way back, polished
    FOLDER/denoiser/      U-Net and text encoder, grown together on them
    FOLDER/model/         the running average of both, an ordinary pipeline folder

It predicts v (Salimans and Ho 2022, Appendix D) down to a signal of zero, and its sampler's
timesteps are spaced `trailing` (Lin et al. 2023): else a small base does not follow its prompt.

Growing is exact: a step's pictures, noise and times are drawn from the seed and the step alone.

Legend: B pictures, C channels, H and W latent pixels, T tokens.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import numpy as np
import torch
import torch.nn.functional as F
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion import (
    StableDiffusionPipeline,
)
from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from safetensors.torch import load_file, save
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from graft.grow.autoencoder import (
    AutoencoderConfig,
    grow_autoencoder,
    load_autoencoder,
    polish_decoder,
    posterior_of,
)
from graft.grow.captions import new_caption_tokenizer, tokens_of
from graft.models.diffusion import to_signed
from graft.models.quiet import no_pipeline_bars
from graft.scale.progress import Progress
from graft.store.folders import remove_folder, whole_folder
from graft.store.whole import read_json, whole_file, write_json
from graft.train.average import Average
from graft.train.checkpoint import (
    list_checkpoints,
    load_checkpoint,
    prune_checkpoints,
    save_checkpoint,
)
from graft.train.loop import Step, fit
from graft.world.pictures import SIZE, draw_picture


@dataclass(frozen=True, kw_only=True)
class GrowDiffusionConfig:
    """How large the seedling is, what it looks at, and for how long."""

    channels: tuple[int, ...] = (64, 96, 128)
    layers: int = 1
    heads: int = 4
    text_width: int = 128
    text_layers: int = 2
    pictures: int = 32_768  # drawn once and kept as latents
    pictures_per_file: int = 4096
    steps: int = 14_500
    falling: float = 0.3  # the last share of the steps, in which the rate falls to nothing
    warm_up: int = 150
    batch: int = 24
    learning_rate: float = 1e-3
    weight_decay: float = 0.01
    average_decay: float = 0.999
    no_prompt: float = 0.12  # share of captions left out, for guidance
    late_share: float = 0.4  # of the times, beside those drawn evenly: there a caption
    late_until: int = 4000  # tells most, and is learnt first; from this step on half as many
    checkpoint_every: int = 100
    seed: int = 7
    autoencoder: AutoencoderConfig = field(default_factory=AutoencoderConfig)


@dataclass(frozen=True, slots=True)
class Pool:
    """Pictures as scaled latents [N, C, H, W] and the tokens [N, T] of their captions."""

    latents_NCHW: Tensor
    tokens_NT: Tensor
    scale: float


class Denoiser(nn.Module):
    """The U-Net and the text encoder that it listens to, as one thing that learns."""

    def __init__(self, unet: UNet2DConditionModel, text_encoder: CLIPTextModel) -> None:
        super().__init__()
        self.unet, self.text_encoder = unet, text_encoder

    def forward(self, noisy_BCHW: Tensor, time_B: Tensor, tokens_BT: Tensor) -> Tensor:
        """The predicted velocity [B, C, H, W]."""
        words_BTD = self.text_encoder(input_ids=tokens_BT).last_hidden_state
        return self.unet(noisy_BCHW, time_B, words_BTD).sample


@dataclass(frozen=True, slots=True)
class _Loss:
    total: Tensor
    count: int


def grow_diffusion(config: GrowDiffusionConfig, folder: Path) -> Iterator[Progress]:
    """Grow the seedling in `folder`, or go on where it was stopped, up to `folder/model`."""
    for step in grow_autoencoder(config.autoencoder, folder / "autoencoder"):
        note = f"loss {step.loss:.3f}"
        yield Progress("autoencoder", step.index, config.autoencoder.steps, "steps", note)
    autoencoder = load_autoencoder(config.autoencoder, folder / "autoencoder")
    tokenizer = new_caption_tokenizer()
    files = -(-config.pictures // config.pictures_per_file)
    for index in range(files):
        encode_pictures(config, autoencoder, tokenizer, folder / "latents", index)
        yield Progress("latents", index + 1, files, "files")
    grown, polished = folder / "autoencoder", folder / "decoder"
    for step in polish_decoder(config.autoencoder, grown, polished):
        note = f"loss {step.loss:.3f}"
        yield Progress("decoder", step.index, config.autoencoder.polish_steps, "steps", note)
    autoencoder = load_autoencoder(config.autoencoder, grown, polished)
    pool = read_pool(folder / "latents", files)
    note = ""
    for step in grow_denoiser(config, pool, autoencoder, tokenizer, folder):
        note = f"loss {step.loss:.3f}" if step.known else note
        yield Progress("denoiser", step.index, config.steps, "steps", note)


def encode_pictures(
    config: GrowDiffusionConfig,
    autoencoder: AutoencoderKL,
    tokenizer: CLIPTokenizer,
    folder: Path,
    index: int,
) -> None:
    """Write file number `index` of the pool, unless it is there."""
    path = folder / f"latents-{index:03d}.safetensors"
    if path.exists():
        return
    first = index * config.pictures_per_file
    count = min(config.pictures_per_file, config.pictures - first)
    latents: list[Tensor] = []
    captions: list[str] = []
    for at in range(first, first + count, 64):
        numbers = range(at, min(at + 64, first + count))
        drawn = [draw_picture(np.random.default_rng((config.seed, 1, n))) for n in numbers]
        pixels_BCHW = to_signed(np.stack([picture.pixels_HWC for picture in drawn]))
        with torch.no_grad():
            latents.append(posterior_of(autoencoder, pixels_BCHW).mode())
        captions += [picture.caption for picture in drawn]
    tensors = {
        "latents": torch.cat(latents).contiguous(),
        "tokens": tokens_of(tokenizer, captions),
    }
    with whole_file(path) as file:
        file.write(save(tensors))


def read_pool(folder: Path, files: int) -> Pool:
    """All files of the pool, scaled so that the first file's latents have unit variance."""
    parts = [load_file(folder / f"latents-{index:03d}.safetensors") for index in range(files)]
    scale = round(1.0 / float(parts[0]["latents"].std()), 4)
    latents_NCHW = torch.cat([part["latents"] for part in parts]) * scale
    return Pool(latents_NCHW, torch.cat([part["tokens"] for part in parts]), scale)


def grow_denoiser(
    config: GrowDiffusionConfig,
    pool: Pool,
    autoencoder: AutoencoderKL,
    tokenizer: CLIPTokenizer,
    folder: Path,
) -> Iterator[Step]:
    """Grow U-Net and text encoder in `folder/denoiser`, saving the whole at each checkpoint.

    On a GPU where there is one; what is drawn is the same there.
    """
    model = new_denoiser(config, tokenizer)
    model.to(torch.device("cuda" if torch.cuda.is_available() else "cpu"))
    average, scheduler = Average(model, config.average_decay), new_scheduler()
    both = nn.ModuleDict({"model": model, "average": average})
    optimizer = torch.optim.AdamW(
        model.parameters(),
        lr=config.learning_rate,
        weight_decay=config.weight_decay,
        fused=True,
    )
    checkpoints = folder / "denoiser"
    done = list_checkpoints(checkpoints)
    start = done[-1].step if done else 0
    if done:
        load_checkpoint(done[-1], both, optimizer)
    empty_T = tokens_of(tokenizer, [""])[0]

    def saves_at(step: int) -> bool:
        return step % config.checkpoint_every == 0 or step == config.steps

    for step in fit(
        ([step] for step in range(start, config.steps)),
        lambda number: _loss_of(model, scheduler, pool, empty_T, config, number),
        optimizer,
        rise_hold_fall(config),
        start=start,
        waits_at=saves_at,
    ):
        average.update(model)
        if saves_at(step.index):
            # the checkpoint last: who is killed in between writes the folder again
            averaged = new_denoiser(config, tokenizer)
            average.apply_to(averaged)
            save_pipeline(averaged, autoencoder, tokenizer, pool.scale, folder / "model")
            save_checkpoint(
                checkpoints, step.index, both, optimizer, value=config.steps - step.index
            )
            prune_checkpoints(checkpoints, last=1)
        yield step


def rise_hold_fall(config: GrowDiffusionConfig) -> Callable[[int], float]:
    """The learning rate's factor: up in a line, level, and down in a line at the end."""
    fall = round(config.steps * config.falling)

    def factor(step: int) -> float:
        return min(1.0, (step + 1) / (config.warm_up + 1), (config.steps - step) / (fall + 1))

    return factor


def new_denoiser(config: GrowDiffusionConfig, tokenizer: CLIPTokenizer) -> Denoiser:
    """U-Net and text encoder with random weights, from the seed."""
    start, end = tokenizer.bos_token_id, tokenizer.eos_token_id
    assert isinstance(start, int)
    assert isinstance(end, int)
    words = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=config.text_width,
        intermediate_size=config.text_width * 3,
        projection_dim=config.text_width,
        num_hidden_layers=config.text_layers,
        num_attention_heads=config.heads,
        max_position_embeddings=tokenizer.model_max_length,
        hidden_act="quick_gelu",
        bos_token_id=start,
        eos_token_id=end,
        pad_token_id=end,
    )
    levels = len(config.channels) - 1
    latent = config.autoencoder.latent_channels
    with torch.random.fork_rng(devices=[]):
        # both libraries draw new weights from the global generator only
        torch.manual_seed(config.seed)  # noqa: TID251
        unet = UNet2DConditionModel(
            sample_size=SIZE // 2 ** (len(config.autoencoder.channels) - 1),
            in_channels=latent,
            out_channels=latent,
            block_out_channels=config.channels,
            layers_per_block=config.layers,
            down_block_types=("DownBlock2D", *("CrossAttnDownBlock2D",) * levels),
            up_block_types=(*("CrossAttnUpBlock2D",) * levels, "UpBlock2D"),
            cross_attention_dim=config.text_width,
            # the whole caption beside the time, in every layer: without it a caption is learnt
            # a thousand steps later
            addition_embed_type="text",
            attention_head_dim=config.heads,
            norm_num_groups=16,
        )
        return Denoiser(unet, CLIPTextModel(words))


def new_scheduler() -> DDIMScheduler:
    """The noise that the seedling is grown with, and the sampler that goes with it."""
    return DDIMScheduler(
        num_train_timesteps=1000,
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        prediction_type="v_prediction",
        timestep_spacing="trailing",
        rescale_betas_zero_snr=True,
        clip_sample=False,
        set_alpha_to_one=True,
        steps_offset=1,
    )


def save_pipeline(
    denoiser: Denoiser,
    autoencoder: AutoencoderKL,
    tokenizer: CLIPTokenizer,
    scale: float,
    folder: Path,
) -> None:
    """Write an ordinary pipeline folder, weights in half precision."""
    if folder.exists():
        remove_folder(folder)
    autoencoder.register_to_config(scaling_factor=scale)
    # its annotations know no pipeline without a safety checker
    make = cast("Callable[..., StableDiffusionPipeline]", StableDiffusionPipeline)
    pipeline = make(
        vae=autoencoder,
        text_encoder=denoiser.text_encoder,
        tokenizer=tokenizer,
        unet=denoiser.unet,
        scheduler=new_scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    with whole_folder(folder) as partial, no_pipeline_bars():
        pipeline.to(dtype=torch.float16)
        pipeline.save_pretrained(partial)
        _load_in_single_precision(partial / "text_encoder" / "config.json")
        pipeline.to(dtype=torch.float32)


def _load_in_single_precision(config: Path) -> None:
    """Let transformers load the text encoder as diffusers loads the other parts."""
    written = read_json(config)
    write_json(config, {**written, "dtype": "float32"})


def draw_times(config: GrowDiffusionConfig, step: int, generator: torch.Generator) -> Tensor:
    """The times [B] of one step, from 0 to 999: some drawn evenly, some late."""
    even_B = torch.randint(1000, (config.batch,), generator=generator)
    share = config.late_share / (1 if step < config.late_until else 2)
    is_late_B = torch.rand(config.batch, generator=generator) < share
    late_B = torch.randint(700, 1000, (config.batch,), generator=generator)
    return torch.where(is_late_B, late_B, even_B)


def _loss_of(
    model: Denoiser,
    scheduler: DDIMScheduler,
    pool: Pool,
    empty_T: Tensor,
    config: GrowDiffusionConfig,
    step: int,
) -> _Loss:
    """The squared error of the velocity, over the pictures drawn for one step."""
    generator = torch.Generator().manual_seed(config.seed * 1_000_003 + step)
    count = config.batch
    chosen_B = torch.randint(len(pool.latents_NCHW), (count,), generator=generator)
    latents_BCHW, tokens_BT = pool.latents_NCHW[chosen_B], pool.tokens_NT[chosen_B]
    silent_B = torch.rand(count, generator=generator) < config.no_prompt
    tokens_BT = torch.where(silent_B[:, None], empty_T, tokens_BT)
    noise_BCHW = torch.randn(latents_BCHW.shape, generator=generator)
    time_B = draw_times(config, step, generator)
    times = cast("torch.IntTensor", time_B)
    noisy_BCHW = scheduler.add_noise(latents_BCHW, noise_BCHW, times)
    velocity_BCHW = scheduler.get_velocity(latents_BCHW, noise_BCHW, times)
    device = model.unet.device
    predicted_BCHW = model(noisy_BCHW.to(device), time_B.to(device), tokens_BT.to(device))
    return _Loss(F.mse_loss(predicted_BCHW, velocity_BCHW.to(device)) * count, count)
