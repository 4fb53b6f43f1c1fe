"""A small Llama that is grown from random weights, whatever it reads; and how it is saved."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional as F
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from graft.errors import ModelError
from graft.grow.batches import Batch
from graft.grow.tokenizer import SMALLEST_VOCABULARY
from graft.models.quiet import no_progress_bars
from graft.store.folders import remove_folder, whole_folder
from graft.train.checkpoint import (
    list_checkpoints,
    load_checkpoint,
    prune_checkpoints,
    save_checkpoint,
)
from graft.train.loop import Step, fit


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """How large the model is, in what rows it reads, and how its weights are moved."""

    width: int = 160
    layers: int = 4
    heads: int = 5
    inner: int = 432
    vocabulary: int = 2048
    context: int = 1024
    rows: int = 16
    row_tokens: int = 256
    learning_rate: float = 3e-3
    warm_up: float = 0.02
    floor: float = 0.03
    weight_decay: float = 0.01
    checkpoint_every: int = 100
    seed: int = 7

    def __post_init__(self) -> None:
        """Refuse what no model can have."""
        sizes = (self.layers, self.heads, self.inner, self.rows, self.checkpoint_every)
        if min(sizes) < 1 or self.row_tokens < 2:
            raise ValueError(
                "sizes, 'rows' and 'checkpoint_every' begin at 1, 'row_tokens' at 2"
            )
        if self.width < 1 or self.width % (2 * self.heads):
            raise ValueError(
                f"'width' {self.width} must be an even number for each of {self.heads} 'heads'"
            )
        if self.row_tokens > self.context:
            raise ValueError("'row_tokens' may not be more than 'context'")
        if self.vocabulary < SMALLEST_VOCABULARY:
            raise ValueError(
                f"'vocabulary' begins at {SMALLEST_VOCABULARY}: every byte is in it"
            )


@dataclass(frozen=True, slots=True)
class _Loss:
    total: Tensor
    count: int


def grow_model(
    config: ModelConfig,
    grown: tuple[LlamaForCausalLM, PreTrainedTokenizerFast],
    batch_at: Callable[[int], Batch],
    plan: tuple[int, Callable[[int], float]],
    folder: Path,
    *,
    first: int = 0,
) -> Iterator[Step]:
    """Train a model and its tokenizer in `folder`, from the last checkpoint if there is one.

    Args:
        config: the optimizer's settings and how often to save.
        grown: the model with its first weights, and its tokenizer.
        batch_at: the batch of a step, counted from 0.
        plan: how many steps, and the factor on the learning rate at each.
        folder: for checkpoints and the model.
        first: the steps that the model has behind it where there is no checkpoint.
    """
    model, tokenizer = grown
    optimizer = torch.optim.AdamW(
        model.parameters(),
        lr=config.learning_rate,
        betas=(0.9, 0.95),
        weight_decay=config.weight_decay,
    )
    done = list_checkpoints(folder)
    start = done[-1].step if done else first
    if done:
        load_checkpoint(done[-1], model, optimizer)
    total, schedule = plan
    batches = ([batch_at(step)] for step in range(start, total))
    steps = fit(batches, lambda batch: _loss_of(model, batch), optimizer, schedule, start=start)
    for step in steps:
        if step.index % config.checkpoint_every == 0 or step.index == total:
            save_checkpoint(folder, step.index, model, optimizer, value=total - step.index)
            prune_checkpoints(folder, last=1)
            save_model(model, tokenizer, folder / "model")
        yield step


def new_model(config: ModelConfig, tokenizer: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    """A model with random weights, from the seed."""
    end = tokenizer.eos_token_id
    assert isinstance(end, int)
    shape = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=config.width,
        intermediate_size=config.inner,
        num_hidden_layers=config.layers,
        num_attention_heads=config.heads,
        num_key_value_heads=config.heads,
        max_position_embeddings=config.context,
        tie_word_embeddings=True,
        bos_token_id=end,
        eos_token_id=end,
        pad_token_id=None,
    )
    with torch.random.fork_rng(devices=[]):
        # transformers draws new weights from the global generator only; the fork gives it back
        torch.manual_seed(config.seed)  # noqa: TID251
        return LlamaForCausalLM(shape)


def take_weights(model: LlamaForCausalLM, folder: Path) -> None:
    """Give a model the weights that `save_model` wrote.

    Raises:
        ModelError: there are none, or they are of another shape.
    """
    path = folder / "model.safetensors"
    try:
        found = load_file(path)
        left = model.load_state_dict(found, strict=False)
    except (OSError, SafetensorError, RuntimeError) as error:
        told = " ".join(str(error).split())[:200]
        raise ModelError(
            f"{path}: cannot be gone on from; name the folder of a model of this size: {told}"
        ) from error
    if left.unexpected_keys or left.missing_keys not in ([], ["lm_head.weight"]):
        raise ModelError(f"{path}: is of another kind of model; grow from nothing instead")


def save_model(
    model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, folder: Path
) -> None:
    """Write a Hugging Face folder, the weights in bfloat16: half the size, the same answers."""
    weights = {
        name: tensor.detach().to(torch.bfloat16) for name, tensor in model.state_dict().items()
    }
    weights.pop("lm_head.weight", None)
    if folder.exists():
        remove_folder(folder)
    with no_progress_bars(), whole_folder(folder) as partial:
        model.save_pretrained(partial, state_dict=cast("dict[str, Tensor]", weights))
        tokenizer.save_pretrained(partial)


def _loss_of(model: LlamaForCausalLM, batch: Batch) -> _Loss:
    hidden_BTD = model.model(batch.tokens_BT, use_cache=False).last_hidden_state[:, :-1]
    learnt_BT, target_BT = batch.learnt_BT[:, 1:], batch.tokens_BT[:, 1:]
    logits_NV = model.lm_head(hidden_BTD[learnt_BT])
    total = F.cross_entropy(logits_NV, target_BT[learnt_BT], reduction="sum")
    return _Loss(total, int(learnt_BT.sum()))
