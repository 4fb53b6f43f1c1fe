"""Learning in a copy of a frozen model, and saving what was learnt as an ordinary folder.

Models learn as they are read elsewhere: without dropout. So a step draws nothing, and the same
steps end in the same bytes.

Legend: B rows, T tokens, N predicted tokens.
"""

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from graft.models.huggingface import HuggingFaceModel
from graft.models.language import Ids
from graft.models.packing import hidden_states, pack
from graft.models.quiet import no_progress_bars
from graft.models.slots import pad


@dataclass(frozen=True, slots=True)
class TokenLoss:
    """Negative log-likelihood in nats, summed over `count` tokens."""

    total: Tensor
    count: int


def copy_to_train(model: HuggingFaceModel) -> HuggingFaceModel:
    """A copy whose parameters all learn, in single precision; `model` is not touched.

    Smaller floats would lose most steps: at 1e-5 they round to nothing.
    """
    copied = copy.deepcopy(model.model)
    _turn_into(copied, torch.float32)
    copied.requires_grad_(True)
    return _around(copied, model)


def copy_with_lora(
    model: HuggingFaceModel, *, rank: int, alpha: float | None = None, seed: int = 0
) -> HuggingFaceModel:
    """A copy in which only low-rank additions to every linear layer learn (Hu et al. 2021).

    All but the output layer get one, scaled by `alpha / rank` (alpha: twice the rank). At the
    start they add nothing: the copy gives what `model` gives.
    """
    from peft import LoraConfig, inject_adapter_in_model  # seconds to import

    copied = copy.deepcopy(model.model)
    config = LoraConfig(
        r=rank,
        lora_alpha=round(2 * rank if alpha is None else alpha),
        lora_dropout=0.0,
        target_modules="all-linear",
        fan_in_fan_out=any(isinstance(layer, Conv1D) for layer in copied.modules()),
    )
    with torch.random.fork_rng(devices=[]):  # peft draws, and is drawn over below
        inject_adapter_in_model(config, copied)
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in copied.named_parameters():
        if "lora_A" in name:
            drawn = torch.empty(parameter.shape)
            nn.init.kaiming_uniform_(drawn, a=math.sqrt(5), generator=generator)
            parameter.data.copy_(drawn)
    return _around(copied, model)


def frame(model: HuggingFaceModel, tokens: Ids, longest: int) -> list[list[int]]:
    """A text as rows to learn: the start token, the text, the end token.

    What is longer than `longest` tokens, or the context, is cut into rows that each begin with
    the start token; the end token stands in the last one only.
    """
    size = min(longest, model.context) - len(model.start)
    whole = [*tokens, model.end]
    return [[*model.start, *whole[at : at + size]] for at in range(0, len(whole), size)]


def loss_of_rows(model: HuggingFaceModel, rows: Sequence[Ids]) -> TokenLoss:
    """The loss of every token of framed rows but the first, which nothing predicts.

    The rows are packed into one and none of them sees another; only attention pads, a little. A
    model whose attention cannot be taken apart so gets them padded on the right, where a causal
    model looks at no padding; only real positions go through the output layer.
    """
    if not model.packs:
        return _loss_of_padded(model, rows)
    packed = pack([row[:-1] for row in rows], model.device)
    target_N = torch.tensor(
        [token for k in packed.order for token in rows[k][1:]], device=model.device
    )
    return _summed(model.head(hidden_states(model.body, packed)), target_N)


def _loss_of_padded(model: HuggingFaceModel, rows: Sequence[Ids]) -> TokenLoss:
    lengths_B = torch.tensor([len(row) for row in rows])
    width = int(lengths_B.max())
    tokens_BT = pad([list(row) for row in rows], width)
    predicted_BT = torch.arange(1, width) < lengths_B[:, None]
    target_N = tokens_BT[:, 1:][predicted_BT].to(model.device)
    hidden_BTD = model.body(
        input_ids=tokens_BT[:, :-1].to(model.device), use_cache=False
    ).last_hidden_state
    return _summed(model.head(hidden_BTD[predicted_BT.to(model.device)]), target_N)


def _summed(logits_NV: Tensor, target_N: Tensor) -> TokenLoss:
    return TokenLoss(
        F.cross_entropy(logits_NV.float(), target_N, reduction="sum"), len(target_N)
    )


@torch.no_grad()
def perplexity_of_rows(model: HuggingFaceModel, batches: Sequence[Sequence[Ids]]) -> float:
    """The exponential of the mean loss of all tokens in batches of framed rows."""
    losses = [loss_of_rows(model, rows) for rows in batches]
    total = sum(float(loss.total) for loss in losses)
    return math.exp(total / sum(loss.count for loss in losses))


def save(model: HuggingFaceModel, folder: Path, *, dtype: torch.dtype) -> None:
    """Write model and tokenizer as a folder for `AutoModelForCausalLM`, in safetensors.

    Low-rank additions become part of the weights of what is written; `model` keeps them apart.
    """
    merged = copy.deepcopy(model.model)
    _merge_additions(merged)
    _turn_into(merged, dtype)
    with no_progress_bars():
        merged.save_pretrained(folder)
    model.tokenizer.save_pretrained(folder)


def _merge_additions(module: nn.Module) -> None:
    from peft.tuners.lora import LoraLayer

    for name, layer in list(module.named_children()):
        if isinstance(layer, LoraLayer):
            layer.merge()
            setattr(module, name, layer.get_base_layer())
        else:
            _merge_additions(layer)


def _turn_into(module: nn.Module, dtype: torch.dtype) -> None:
    module.to(dtype=dtype)


def _around(copied: PreTrainedModel, model: HuggingFaceModel) -> HuggingFaceModel:
    return HuggingFaceModel(
        copied, model.tokenizer, name=model.name, batch_tokens=model.batch_tokens
    )
