"""The recipe of the embedded language model: from nothing to a folder that loads anywhere.

Growing is exact: a step's lessons are drawn from the seed and the step alone, so that a run
that was stopped goes on from its last checkpoint and ends in the same bytes.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from transformers import PreTrainedTokenizerFast

from graft.config import to_table
from graft.errors import ConfigError
from graft.grow.batches import Batch, draw_batch
from graft.grow.lessons import LessonConfig, draw_lesson, exercise
from graft.grow.model import ModelConfig, grow_model, new_model
from graft.grow.tokenizer import train_tokenizer
from graft.scale.progress import Progress
from graft.store.runs import Run
from graft.toolformer.tools import calculator, calendar, search
from graft.toolformer.tools.prompt import render_prompt
from graft.train.loop import Step
from graft.train.schedule import warm_up_then


@dataclass(frozen=True, kw_only=True)
class GrowConfig(ModelConfig):
    """How large the seedling is, what it reads, and for how long."""

    steps: int = 3400
    again_steps: int = 2200  # a second round, the rate raised once more
    again_rate: float = 0.6  # to this share of the first round's
    again_lessons: LessonConfig = field(default_factory=lambda: LessonConfig(strange=0.5))
    exercise_every: int = 4  # each fourth step is of exercises, in rows twice as long
    tokenizer_lessons: int = 12_000
    lessons: LessonConfig = field(default_factory=LessonConfig)


SIZES: dict[str, dict[str, int]] = {
    "90k": {"width": 32, "layers": 2, "heads": 2, "inner": 88},
    "180k": {"width": 48, "layers": 3, "heads": 3, "inner": 120},
    "400k": {"width": 80, "layers": 3, "heads": 5, "inner": 216},
    "800k": {"width": 112, "layers": 4, "heads": 7, "inner": 304},
    "1.6m": {"width": 160, "layers": 4, "heads": 5, "inner": 432},
    "4.5m": {"width": 256, "layers": 5, "heads": 8, "inner": 688},
}
"""The family by its numbers of parameters; all else of the recipe is one for every size."""


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


def batch_of(config: GrowConfig, tokenizer: PreTrainedTokenizerFast, step: int) -> Batch:
    """The lessons of one step: mostly stories and notes, each so many steps exercises."""
    told, seed = prompts(), (config.seed, step)
    lessons = config.lessons if step < config.steps else config.again_lessons
    if step % config.exercise_every == config.exercise_every - 1:
        shape = (config.rows // 2, config.row_tokens * 2)
        return draw_batch(tokenizer, lambda rng: exercise(rng, told, lessons), shape, seed)
    shape = (config.rows, config.row_tokens)
    return draw_batch(tokenizer, lambda rng: draw_lesson(rng, lessons), shape, seed)
