"""Small random Stable Diffusion pipelines, of the makes 1, 2 and XL."""

import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
)

from graft.grow.captions import new_caption_tokenizer
from graft.models.diffusion import DiffusionModel

WIDTH = 32


def words_of(tokenizer: CLIPTokenizer) -> CLIPTextConfig:
    return CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=WIDTH,
        intermediate_size=48,
        projection_dim=WIDTH,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=tokenizer.model_max_length,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.eos_token_id,
    )


def unet_of(kind: str, channels: tuple[int, ...] = (32, 64)) -> UNet2DConditionModel:
    """A U-Net like those of Stable Diffusion 1, 2 (linear projections) and XL."""
    more = {
        "sd1": {},
        "sd2": {"use_linear_projection": True, "attention_head_dim": (2, 4)},
        "sdxl": {
            "use_linear_projection": True,
            "transformer_layers_per_block": (1, 2),
            "addition_embed_type": "text_time",
            "addition_time_embed_dim": 8,
            "projection_class_embeddings_input_dim": 8 * 6 + WIDTH,
            "cross_attention_dim": 2 * WIDTH,
        },
    }[kind]
    settings = {
        "sample_size": 8,
        "in_channels": 4,
        "out_channels": 4,
        "block_out_channels": channels,
        "layers_per_block": 1,
        "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
        "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
        "cross_attention_dim": WIDTH,
        "attention_head_dim": 2,
        "norm_num_groups": 8,
    }
    return UNet2DConditionModel(**{**settings, **more})


def vae_of() -> AutoencoderKL:
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        block_out_channels=(8, 8, 8),
        latent_channels=4,
        norm_num_groups=4,
        sample_size=32,
        mid_block_add_attention=False,
    )


def scheduler_of(predicts: str = "epsilon") -> DDIMScheduler:
    return DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        prediction_type=predicts,
        clip_sample=False,
        timestep_spacing="trailing",
        steps_offset=1,
        rescale_betas_zero_snr=predicts == "v_prediction",
    )


def make_pipeline(
    kind: str = "sd1", predicts: str = "epsilon"
) -> StableDiffusionPipeline | StableDiffusionXLPipeline:
    """A pipeline for pictures of 32 pixels, four times wider than their latents."""
    tokenizer = new_caption_tokenizer(captions=50)
    with torch.random.fork_rng(devices=[]):
        # both libraries draw new weights from the global generator only
        torch.manual_seed(0)  # noqa: TID251
        unet, vae, words = unet_of(kind), vae_of(), words_of(tokenizer)
        if kind == "sdxl":
            return StableDiffusionXLPipeline(
                vae=vae,
                text_encoder=CLIPTextModel(words),
                text_encoder_2=CLIPTextModelWithProjection(words),
                tokenizer=tokenizer,
                tokenizer_2=tokenizer,
                unet=unet,
                scheduler=scheduler_of(predicts),
                add_watermarker=False,
            )
        return StableDiffusionPipeline(
            vae=vae,
            text_encoder=CLIPTextModel(words),
            tokenizer=tokenizer,
            unet=unet,
            scheduler=scheduler_of(predicts),
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        )


def make_base(kind: str = "sd1", predicts: str = "epsilon") -> DiffusionModel:
    return DiffusionModel(make_pipeline(kind, predicts), f"{kind}, {predicts}")
