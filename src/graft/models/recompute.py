"""What of an encoder's and a decoder's activations is kept for the backward pass.

Everything, as a rule; or nothing but what layers are given, and the rest calculated again; or
what is dear (of convolutions and attention) and nothing of what lies between: norms, SiLU,
upsampling, a feed-forward's first half, which is eight times as wide as what goes in.

A stretch that is calculated again ends before its last operation: what that one was given is
all that its gradient needs. So a stretch `norm, SiLU, convolution` costs a norm and a SiLU.
(Chen et al. 2016, "Training Deep Nets with Sublinear Memory Cost", Section 3.)
"""

import contextlib
import functools
from collections.abc import Callable, Generator, Iterator
from typing import Literal, cast

import torch.nn.functional as F
from diffusers.models.attention import BasicTransformerBlock
from diffusers.models.resnet import ResnetBlock2D
from diffusers.models.transformers.transformer_2d import Transformer2DModel
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

Recompute = bool | Literal["cheap"]
"""Which activations are calculated again: none, all, or the cheap ones."""

Forward = Callable[..., Tensor]


@contextlib.contextmanager
def recomputing(*parts: nn.Module, what: Recompute) -> Generator[None]:
    """While it lasts, the layers of encoders and decoders keep no more than `what` leaves.

    The backward pass calculates the rest again, with the same result; it may come after.
    Without gradients nothing is kept and nothing done again. (The flags that `diffusers` has
    for this stay on a base that others use too, and keep more of each attention layer.)
    """
    chosen = {False: _nothing, True: _whole, "cheap": _cheap}[what]
    changed = [pair for part in parts for layer in _layers(part) for pair in chosen(layer)]
    before = [(module, vars(module).get("forward")) for module, _ in changed]
    try:
        for module, forward in changed:
            module.forward = forward
        yield
    finally:
        for module, own in before:
            vars(module).pop("forward", None)  # the class's is behind it
            if own is not None:
                module.forward = own


def _layers(part: nn.Module) -> Iterator[nn.Module]:
    """A part's layers whose inner values are worth calculating again."""
    for name in ("down_blocks", "mid_block", "up_blocks"):
        blocks = cast("nn.Module | None", getattr(part, name, None))
        for block in blocks.modules() if blocks is not None else ():
            for kind in ("resnets", "attentions", "upsamplers"):
                yield from cast("nn.ModuleList | None", getattr(block, kind, None)) or ()
    hint = cast("nn.Module | None", getattr(part, "controlnet_cond_embedding", None))
    if hint is not None:
        yield hint


def _nothing(_: nn.Module) -> Iterator[tuple[nn.Module, Forward]]:
    return iter(())


def _whole(layer: nn.Module) -> Iterator[tuple[nn.Module, Forward]]:
    yield layer, _again(layer.forward)


def _cheap(layer: nn.Module) -> Iterator[tuple[nn.Module, Forward]]:
    """Forwards that keep what is dear, for the layers whose insides are known."""
    if isinstance(layer, Transformer2DModel):
        yield from _transformer(layer)
    elif isinstance(layer, ResnetBlock2D):
        if _is_usual(layer):
            yield layer, functools.partial(_resnet, layer)
    elif isinstance(getattr(layer, "blocks", None), nn.ModuleList):
        yield layer, functools.partial(_hint, layer)
    elif isinstance(getattr(layer, "conv", None), nn.Conv2d):  # an upsampler: repeat, convolve
        yield layer, _again(layer.forward)


def _transformer(layer: Transformer2DModel) -> Iterator[tuple[nn.Module, Forward]]:
    if layer.is_input_continuous and isinstance(layer.proj_in, nn.Conv2d):
        yield from _joined(layer.norm, layer.proj_in)
    for block in layer.transformer_blocks:
        assert isinstance(block, BasicTransformerBlock)
        if block.norm_type == "layer_norm" and getattr(block, "_chunk_size", None) is None:
            yield from _joined(cast("nn.Module", block.norm3), block.ff)


def _joined(first: nn.Module, second: nn.Module) -> Iterator[tuple[nn.Module, Forward]]:
    """Two modules, always called one after the other, as one stretch."""
    one, other = cast("Forward", first.forward), cast("Forward", second.forward)

    def both(given: Tensor) -> Tensor:
        return other(one(given))

    yield first, _as_it_is
    yield second, _again(both)


def _as_it_is(given: Tensor) -> Tensor:
    return given


def _is_usual(layer: ResnetBlock2D) -> bool:
    """Whether `_resnet` is all that its forward does."""
    return (
        "forward" not in vars(layer)  # as those have it that move weights about
        and layer.upsample is None
        and layer.downsample is None
        and layer.time_emb_proj is not None
        and not layer.skip_time_act
        and layer.time_embedding_norm == "default"
        and layer.dropout.p == 0
    )


def _resnet(layer: ResnetBlock2D, given_BChw: Tensor, embedded_BD: Tensor) -> Tensor:
    """`layer.forward` in two stretches, each up to its convolution."""

    def first(seen_BChw: Tensor) -> Tensor:
        return layer.conv1(layer.nonlinearity(layer.norm1(seen_BChw)))

    def second(seen_BChw: Tensor) -> Tensor:
        return layer.conv2(layer.nonlinearity(layer.norm2(seen_BChw)))

    assert layer.time_emb_proj is not None
    time_BC = layer.time_emb_proj(layer.nonlinearity(embedded_BD))
    seen_BChw = _again(second)(_again(first)(given_BChw) + time_BC[:, :, None, None])
    if layer.conv_shortcut is not None:
        given_BChw = layer.conv_shortcut(given_BChw.contiguous())
    return (given_BChw + seen_BChw) / layer.output_scale_factor


def _hint(layer: nn.Module, hint_BCHW: Tensor) -> Tensor:
    """A hint encoder's forward in stretches, each from a SiLU up to its convolution."""
    convolutions = (*cast("nn.ModuleList", layer.blocks), cast("nn.Module", layer.conv_out))
    seen_BCHW = cast("nn.Module", layer.conv_in)(hint_BCHW)
    for convolution in convolutions:
        seen_BCHW = _again(functools.partial(_after_silu, convolution))(seen_BCHW)
    return seen_BCHW


def _after_silu(convolution: nn.Module, seen_BCHW: Tensor) -> Tensor:
    return convolution(F.silu(seen_BCHW))


def _again(forward: Forward) -> Forward:
    """The same, keeping what it is given and no more."""
    return functools.partial(checkpoint, forward, use_reentrant=False)
