"""The walk through a U-Net of `diffusers`, in two halves: its encoder and middle, its decoder.

`denoise` without residuals gives what the U-Net itself gives, to the last bit. The halves are
apart because a control reads what the first one reads and speaks to the second.

Legend: B pictures, C channels, h and w latent pixels, T tokens, D width.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch
from diffusers.models.controlnets.controlnet import ControlNetModel
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from safetensors.torch import save
from torch import Tensor, nn

from graft.errors import ModelError

Added = Mapping[str, Tensor]
"""What SDXL's U-Net reads beside the words: `text_embeds` [B, D] and `time_ids` [B, 6]."""

_WEIGHTS = "diffusion_pytorch_model.safetensors"


@dataclass(frozen=True, slots=True)
class Features:
    """What an encoder sees: skips from wide to narrow, each [B, C, h, w], and the middle."""

    skips: tuple[Tensor, ...]
    middle: Tensor

    def plus(self, other: "Features") -> "Features":
        """The sums, connection by connection."""
        skips = tuple(a + b for a, b in zip(self.skips, other.skips, strict=True))
        return Features(skips, self.middle + other.middle)

    def times(self, strengths: Sequence[float]) -> "Features":
        """Each connection times its own strength; the last one is the middle's."""
        *outer, inner = strengths
        skips = tuple(a * strength for a, strength in zip(self.skips, outer, strict=True))
        return Features(skips, self.middle * inner)


def denoise(
    unet: nn.Module,
    noisy_BChw: Tensor,
    time_B: Tensor,
    words_BTD: Tensor,
    residuals: Features | None = None,
    added: Added | None = None,
    decoder: nn.Module | None = None,
) -> Tensor:
    """What the U-Net predicts [B, C, h, w], `residuals` added to its skips and its middle.

    A `decoder`, as `decoder_of` gives it, decodes in place of the U-Net's own.
    """
    embedded_BD = embed(unet, noisy_BChw, time_B, words_BTD, added)
    seen = encode(unet, _call(unet, "conv_in", noisy_BChw), embedded_BD, words_BTD)
    if residuals is not None:
        seen = seen.plus(residuals)
    return decode(decoder or unet, seen, embedded_BD, words_BTD)


def embed(
    part: nn.Module,
    noisy_BChw: Tensor,
    time_B: Tensor,
    words_BTD: Tensor,
    added: Added | None = None,
) -> Tensor:
    """The embedding [B, D] of the time, and of what SDXL adds to it."""
    projected_BD = _call(part, "time_proj", time_B.expand(len(noisy_BChw)))
    embedded_BD = _call(part, "time_embedding", projected_BD.to(noisy_BChw.dtype))
    if getattr(part, "add_time_proj", None) is not None:
        given = added or {}
        if not {"text_embeds", "time_ids"} <= set(given):
            raise ModelError("this base reads text_embeds and time_ids too, as SDXL does")
        ids_BD = _call(part, "add_time_proj", given["time_ids"].flatten())
        ids_BD = ids_BD.reshape(len(given["text_embeds"]), -1)
        beside_BD = torch.concat([given["text_embeds"], ids_BD], dim=-1).to(embedded_BD.dtype)
        return embedded_BD + _call(part, "add_embedding", beside_BD)
    if getattr(part, "add_embedding", None) is not None:
        return embedded_BD + _call(part, "add_embedding", words_BTD)
    return embedded_BD


def require_usual(unet: UNet2DConditionModel) -> None:
    """Refuse what a control would have to read and does not.

    Raises:
        ModelError: names the option of the U-Net's config.
    """
    usual: dict[str, tuple[object, ...]] = {
        "addition_embed_type": (None, "text", "text_time"),
        "class_embed_type": (None,),
        "num_class_embeds": (None,),
        "encoder_hid_dim_type": (None,),
        "time_embedding_act_fn": (None,),
        "center_input_sample": (False,),
        "mid_block_type": ("UNetMidBlock2DCrossAttn", "UNetMidBlock2D"),  # pruned ones lack it
    }
    for name, values in usual.items():
        value = unet.config.get(name, values[0])
        if value not in values:
            raise ModelError(
                f"a U-Net with {name} = {value!r} cannot be controlled; take a Stable Diffusion"
                " 1, 2 or XL model"
            )


def lay_out(part: nn.Module) -> None:
    """Keep convolutions as their kernels read them, the channels of a pixel side by side.

    The same numbers in the memory format `channels_last`: faster on GPUs' tensor cores and on
    several threads. A base and its control have the same one wherever they are loaded, for a
    sum taken in another order is rounded otherwise.
    """
    for parameter in part.parameters():
        kept = torch.channels_last if parameter.ndim == 4 else torch.contiguous_format
        parameter.data = parameter.data.clone(memory_format=kept)  # and the file is let go of


def encode(
    part: nn.Module, first_BChw: Tensor, embedded_BD: Tensor, words_BTD: Tensor
) -> Features:
    """Through `part.down_blocks` and `part.mid_block`, from the first layer's output on."""
    sample_BChw, skips = first_BChw, [first_BChw]
    for block in cast("nn.ModuleList", part.down_blocks):
        sample_BChw, new = block(
            hidden_states=sample_BChw, temb=embedded_BD, **_words_for(block, words_BTD)
        )
        skips += new
    middle = cast("nn.Module | None", part.mid_block)
    if middle is not None:
        sample_BChw = middle(sample_BChw, embedded_BD, **_words_for(middle, words_BTD))
    return Features(tuple(skips), sample_BChw)


def decode(part: nn.Module, seen: Features, embedded_BD: Tensor, words_BTD: Tensor) -> Tensor:
    """Through `part.up_blocks` to the prediction, taking the skips from narrow to wide."""
    sample_BChw, skips = seen.middle, list(seen.skips)
    blocks = list(cast("nn.ModuleList", part.up_blocks))
    for index, block in enumerate(blocks):
        count = len(cast("nn.ModuleList", block.resnets))
        taken, skips = tuple(skips[-count:]), skips[:-count]
        size = None if index == len(blocks) - 1 else skips[-1].shape[2:]
        sample_BChw = block(
            hidden_states=sample_BChw,
            temb=embedded_BD,
            res_hidden_states_tuple=taken,
            upsample_size=_only_if_odd(sample_BChw, size),
            **_words_for(block, words_BTD),
        )
    norm = cast("nn.Module | None", part.conv_norm_out)
    if norm is not None:
        sample_BChw = cast("nn.Module", part.conv_act)(norm(sample_BChw))
    return cast("nn.Module", part.conv_out)(sample_BChw)


def decoder_of(unet: nn.Module) -> nn.Module:
    """The U-Net's decoder with its own names, sharing its weights: copy it to train it."""
    part = nn.Module()
    for name in ("up_blocks", "conv_norm_out", "conv_act", "conv_out"):
        setattr(part, name, getattr(unet, name))
    return part


def stages(part: nn.Module) -> Iterator[tuple[list[int], bool]]:
    """For each block of an encoder, its layers' channels, and whether it halves behind them."""
    for block in cast("nn.ModuleList", part.down_blocks):
        layers = cast("nn.ModuleList", block.resnets)
        halves = cast("nn.ModuleList | None", block.downsamplers) is not None
        yield [cast("int", layer.out_channels) for layer in layers], halves


def connections(unet: nn.Module) -> list[int]:
    """The channels of each skip, from wide to narrow; 12 in Stable Diffusion 1.5."""
    counts = [cast("nn.Conv2d", unet.conv_in).out_channels]
    for channels, halves in stages(unet):
        counts += [*channels, channels[-1]] if halves else channels
    return counts


def middle_channels(unet: nn.Module) -> int:
    """The channels of the middle."""
    return int(cast("UNet2DConditionModel", unet).config["block_out_channels"][-1])


def write_controlnet(
    unet: nn.Module,
    state: Mapping[str, Tensor],
    hint_channels: Sequence[int],
    folder: Path,
) -> None:
    """Write a control's weights as a folder that `ControlNetModel.from_pretrained` reads."""
    with torch.device("meta"):
        model = ControlNetModel.from_unet(
            cast("UNet2DConditionModel", unet),
            conditioning_embedding_out_channels=tuple(hint_channels),
            load_weights_from_unet=False,
        )
    plain = {name: tensor.contiguous() for name, tensor in state.items()}
    model.load_state_dict(plain, strict=True, assign=True)
    model.save_pretrained(folder, safe_serialization=True)


def write_weights(state: Mapping[str, Tensor], folder: Path) -> None:
    """Write the weights of a control that `diffusers` has no class for."""
    content = save({name: tensor.contiguous() for name, tensor in state.items()})
    (folder / _WEIGHTS).write_bytes(content)


def _call(part: nn.Module, name: str, *given: Tensor) -> Tensor:
    return cast("nn.Module", getattr(part, name))(*given)


def _words_for(block: nn.Module, words_BTD: Tensor) -> dict[str, Tensor]:
    listens = bool(getattr(block, "has_cross_attention", False))
    return {"encoder_hidden_states": words_BTD} if listens else {}


def _only_if_odd(sample_BChw: Tensor, size: torch.Size | None) -> torch.Size | None:
    """The size to widen to, where it is not simply twice as wide."""
    if size is None or all(
        b == 2 * a for a, b in zip(sample_BChw.shape[2:], size, strict=True)
    ):
        return None
    return size
