"""Stable Diffusion 1.5 in its true proportions, narrower by any factor, of random weights.

Figures of the released configs: U-Net 320, 640, 1280, 1280 with 8 heads; autoencoder 128, 256,
512, 512; text encoder 768 wide, 12 layers, 12 heads, 77 tokens.
"""

from pathlib import Path

import torch
import torch.nn.functional as F
from diffusers import (
    AutoencoderKL,
    ControlNetModel,
    DDPMScheduler,
    StableDiffusionPipeline,
    UNet2DConditionModel,
)
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from graft.grow.captions import new_caption_tokenizer

TOKENS, VOCABULARY = 77, 49_408
Parts = dict[str, nn.Module]


def make_parts(narrower: int = 1, vocabulary: int = VOCABULARY) -> Parts:
    """U-Net, autoencoder and text encoder, each so many times narrower than the true one.

    Heads are fewer and not narrower: what attention costs depends on their width too.
    """
    width, text, groups = 320 // narrower, 768 // narrower, max(1, 32 // narrower)
    unet = UNet2DConditionModel(
        block_out_channels=(width, 2 * width, 4 * width, 4 * width),
        cross_attention_dim=text,
        attention_head_dim=max(1, 8 // narrower),  # so named, and yet the number of heads
        norm_num_groups=groups,
        sample_size=64,
    )
    narrow = 128 // narrower
    vae = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(narrow, 2 * narrow, 4 * narrow, 4 * narrow),
        layers_per_block=2,
        latent_channels=4,
        norm_num_groups=groups,
        sample_size=512,
    )
    shape = CLIPTextConfig(
        vocab_size=vocabulary,
        hidden_size=text,
        intermediate_size=4 * text,
        num_hidden_layers=12,
        num_attention_heads=max(1, 12 // narrower),
        max_position_embeddings=TOKENS,
        bos_token_id=vocabulary - 2,
        eos_token_id=vocabulary - 1,
        pad_token_id=vocabulary - 1,
    )
    return {"unet": unet, "vae": vae, "text_encoder": CLIPTextModel(shape)}


def save_pipeline(narrower: int, folder: Path) -> None:
    """Such a pipeline in a folder; its tokenizer knows the little world's words."""
    tokenizer = new_caption_tokenizer(captions=200)
    tokenizer.model_max_length = TOKENS
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)  # noqa: TID251 - both libraries draw from the global generator
        parts = make_parts(narrower, len(tokenizer))
    StableDiffusionPipeline(
        **parts,
        tokenizer=tokenizer,
        scheduler=new_scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    ).save_pretrained(folder)


def new_scheduler() -> DDPMScheduler:
    """The noise of Stable Diffusion 1.5."""
    return DDPMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        steps_offset=1,
    )


class Script:
    """What diffusers' `train_controlnet.py` holds, and the loss of a step as it has it."""

    def __init__(self, parts: Parts, control: ControlNetModel | None = None) -> None:
        self.unet, self.vae, self.text = (
            parts[name].requires_grad_(False) for name in ("unet", "vae", "text_encoder")
        )
        self.control = (control or ControlNetModel.from_unet(self.unet)).train()
        self.scheduler = new_scheduler()
        self.optimizer = torch.optim.AdamW(
            self.control.parameters(), lr=5e-6, weight_decay=1e-2
        )

    @classmethod
    def load(cls, folder: Path) -> "Script":
        """From the parts of a pipeline's folder."""
        return cls(
            {
                "unet": UNet2DConditionModel.from_pretrained(folder, subfolder="unet"),
                "vae": AutoencoderKL.from_pretrained(folder, subfolder="vae"),
                "text_encoder": CLIPTextModel.from_pretrained(folder, subfolder="text_encoder"),
            }
        )

    def loss(self, pixels_BCHW: Tensor, ids_BT: Tensor, hint_BCHW: Tensor) -> Tensor:
        """Latents and words of every picture anew, noise, control, U-Net, squared error."""
        latents = self.vae.encode(pixels_BCHW).latent_dist.sample()
        latents = latents * self.vae.config.scaling_factor
        noise = torch.randn_like(latents)
        times = torch.randint(0, 1000, (len(latents),), device=latents.device)
        noisy = self.scheduler.add_noise(latents, noise, times)
        words = self.text(ids_BT, return_dict=False)[0]
        down, middle = self.control(
            noisy,
            times,
            encoder_hidden_states=words,
            controlnet_cond=hint_BCHW,
            return_dict=False,
        )
        found = self.unet(
            noisy,
            times,
            encoder_hidden_states=words,
            down_block_additional_residuals=list(down),
            mid_block_additional_residual=middle,
            return_dict=False,
        )[0]
        return F.mse_loss(found.float(), noise.float(), reduction="mean")

    def train(self, batches: list[tuple[Tensor, Tensor, Tensor]], parts: int = 1) -> None:
        """A step for each batch, with the script's own defaults, but its gradients in parts."""
        for batch in batches:
            for part in zip(*(one.chunk(parts) for one in batch), strict=True):
                loss = self.loss(*part) / parts
                loss.backward()
                loss.detach().item()
            nn.utils.clip_grad_norm_(self.control.parameters(), 1.0)
            self.optimizer.step()
            self.optimizer.zero_grad(set_to_none=False)


def ids_of(tokenizer: CLIPTokenizer, captions: list[str]) -> Tensor:
    """Captions as the script tokenizes them."""
    return tokenizer(
        captions,
        max_length=TOKENS,
        padding="max_length",
        truncation=True,
        return_tensors="pt",
    ).input_ids
