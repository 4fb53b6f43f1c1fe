"""The recipe of the embedded language model: from nothing to a folder that loads anywhere.

Growing is exact: a step's lessons are drawn from the seed and the step alone, so that a run
that was stopped goes on from its last checkpoint and ends in the same bytes.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from graft.config import to_table
from graft.errors import ConfigError
from graft.grow.batches import Batch, draw_batch
from graft.grow.lessons import LessonConfig, draw_lesson, exercise
from graft.grow.tokenizer import train_tokenizer
from graft.models.quiet import no_progress_bars
from graft.scale.progress import Progress
from graft.store.folders import remove_folder, whole_folder
from graft.store.runs import Run
from graft.toolformer.tools import calculator, calendar, search
from graft.toolformer.tools.prompt import render_prompt
from graft.train.checkpoint import (
    list_checkpoints,
    load_checkpoint,
    prune_checkpoints,
    save_checkpoint,
)
from graft.train.loop import Step, fit
from graft.train.schedule import warm_up_then


@dataclass(frozen=True, kw_only=True)
class GrowConfig:
    """How large the seedling is, what it reads, and for how long."""

    width: int = 160
    layers: int = 4
    heads: int = 5
    inner: int = 432
    vocabulary: int = 2048
    context: int = 1024
    steps: int = 3400
    again_steps: int = 2200  # a second round, the rate raised once more
    again_rate: float = 0.6  # to this share of the first round's
    again_lessons: LessonConfig = field(default_factory=lambda: LessonConfig(strange=0.5))
    rows: int = 16
    row_tokens: int = 256
    exercise_every: int = 4  # each fourth step is of exercises, in rows twice as long
    learning_rate: float = 3e-3
    warm_up: float = 0.02
    floor: float = 0.03
    weight_decay: float = 0.01
    tokenizer_lessons: int = 12_000
    checkpoint_every: int = 100
    lessons: LessonConfig = field(default_factory=LessonConfig)
    seed: int = 7


SIZES: dict[str, dict[str, int]] = {
    "90k": {"width": 32, "layers": 2, "heads": 2, "inner": 88},
    "180k": {"width": 48, "layers": 3, "heads": 3, "inner": 120},
    "400k": {"width": 80, "layers": 3, "heads": 5, "inner": 216},
    "800k": {"width": 112, "layers": 4, "heads": 7, "inner": 304},
    "1.6m": {"width": 160, "layers": 4, "heads": 5, "inner": 432},
    "4.5m": {"width": 256, "layers": 5, "heads": 8, "inner": 688},
}
"""The family by its numbers of parameters; all else of the recipe is one for every size."""


@dataclass(frozen=True, slots=True)
class _Loss:
    total: Tensor
    count: int


def shape_of(size: str) -> list[str]:
    """The settings of one size of the family, as overrides.

    Raises:
        ConfigError: there is no such size.
    """
    if size not in SIZES:
        raise ConfigError(f"unknown size '{size}'; there are: {', '.join(SIZES)}")
    return [f"{name}={value}" for name, value in SIZES[size].items()]


def prompts() -> dict[str, str]:
    """The annotation prompts that the seedling learns the form of."""
    return {
        "Calculator": render_prompt(calculator.PROMPT),
        "Calendar": render_prompt(calendar.PROMPT),
        "Search": render_prompt(search.PROMPT),
    }


def grow(config: GrowConfig, folder: Path) -> Iterator[Step]:
    """Grow a seedling in `folder`, from its last checkpoint if there is one.

    Yields after each step; the finished model is in `folder/model`.
    """
    tokenizer = new_tokenizer(config)
    return grow_model(
        config,
        (new_model(config, tokenizer), tokenizer),
        lambda step: batch_of(config, tokenizer, step),
        (config.steps + config.again_steps, two_rounds(config)),
        folder,
    )


def grow_model(
    config: GrowConfig,
    grown: tuple[LlamaForCausalLM, PreTrainedTokenizerFast],
    batch_at: Callable[[int], Batch],
    plan: tuple[int, Callable[[int], float]],
    folder: Path,
) -> Iterator[Step]:
    """Train a model and its tokenizer in `folder`, from the last checkpoint if there is one.

    Args:
        config: the optimizer's settings and how often to save.
        grown: the model with its first weights, and its tokenizer.
        batch_at: the batch of a step, counted from 0.
        plan: how many steps, and the factor on the learning rate at each.
        folder: for checkpoints and the model.
    """
    model, tokenizer = grown
    optimizer = torch.optim.AdamW(
        model.parameters(),
        lr=config.learning_rate,
        betas=(0.9, 0.95),
        weight_decay=config.weight_decay,
    )
    done = list_checkpoints(folder)
    start = done[-1].step if done else 0
    if done:
        load_checkpoint(done[-1], model, optimizer)
    total, schedule = plan
    batches = ([batch_at(step)] for step in range(start, total))
    steps = fit(batches, lambda batch: _loss_of(model, batch), optimizer, schedule, start=start)
    for step in steps:
        if step.index % config.checkpoint_every == 0 or step.index == total:
            save_checkpoint(folder, step.index, model, optimizer, value=total - step.index)
            prune_checkpoints(folder, last=1)
            save_seedling(model, tokenizer, folder / "model")
        yield step


def grow_language(config: GrowConfig, folder: Path) -> Iterator[Progress]:
    """As `grow`, telling how far it is; StoreError where another was begun in `folder`."""
    total = config.steps + config.again_steps
    with Run.open(folder, to_table(config)):
        for step in grow(config, folder):
            note = f"loss {step.loss:.3f}"
            yield Progress("grow language", step.index, total, "steps", note)


def two_rounds(config: GrowConfig) -> Callable[[int], float]:
    """The learning rate's factor: up and down in a line, and once more, less high."""
    first, second = (
        warm_up_then("linear", steps=steps, warm_up=config.warm_up, floor=config.floor)
        for steps in (config.steps, config.again_steps)
    )

    def factor(step: int) -> float:
        if step < config.steps:
            return first(step)
        return config.again_rate * second(step - config.steps)

    return factor


def new_tokenizer(config: GrowConfig) -> PreTrainedTokenizerFast:
    """The tokenizer of lessons drawn for it."""
    rng, told = np.random.default_rng(config.seed), prompts()

    def lessons() -> Iterator[str]:
        for index in range(config.tokenizer_lessons):
            exercises = index % config.exercise_every == 0
            pieces = (
                exercise(rng, told, config.lessons)
                if exercises
                else draw_lesson(rng, config.lessons)
            )
            yield "".join(text for text, _ in pieces)

    return train_tokenizer(lessons(), config.vocabulary)


def new_model(config: GrowConfig, tokenizer: PreTrainedTokenizerFast) -> LlamaForCausalLM:
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


def batch_of(config: GrowConfig, tokenizer: PreTrainedTokenizerFast, step: int) -> Batch:
    """The lessons of one step: mostly stories and notes, each so many steps exercises."""
    told, seed = prompts(), (config.seed, step)
    lessons = config.lessons if step < config.steps else config.again_lessons
    if step % config.exercise_every == config.exercise_every - 1:
        shape = (config.rows // 2, config.row_tokens * 2)
        return draw_batch(tokenizer, lambda rng: exercise(rng, told, lessons), shape, seed)
    shape = (config.rows, config.row_tokens)
    return draw_batch(tokenizer, lambda rng: draw_lesson(rng, lessons), shape, seed)


def save_seedling(
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
