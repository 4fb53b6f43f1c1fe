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
from graft.grow.model import ModelConfig, grow_model, new_model, take_weights
from graft.grow.tokenizer import train_tokenizer
from graft.scale.progress import Progress
from graft.store.runs import Run
from graft.toolformer.tools import calculator, calendar, search
from graft.toolformer.tools.prompt import render_prompt
from graft.train.checkpoint import list_checkpoints
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
    begin: Path | None = None  # a model folder of this size and recipe to go on from,
    begin_step: int = 0  # after so many steps; its optimizer begins anew, and warms up again

    def __post_init__(self) -> None:
        """Refuse what no model can have, and half of a beginning."""
        super().__post_init__()
        last = self.steps + self.again_steps
        if (self.begin is None) != (self.begin_step == 0) or not 0 <= self.begin_step < last:
            raise ValueError(
                "'begin' and 'begin_step' go together: a model folder, and the steps from 1 to"
                f" {last - 1} that it has behind it"
            )


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
    model = new_model(config, tokenizer)
    if config.begin is not None and not list_checkpoints(folder):
        take_weights(model, config.begin)
    return grow_model(
        config,
        (model, tokenizer),
        lambda step: batch_of(config, tokenizer, step),
        (config.steps + config.again_steps, two_rounds(config)),
        folder,
        first=config.begin_step,
    )


def grow_language(config: GrowConfig, folder: Path) -> Iterator[Progress]:
    """As `grow`, telling how far it is; StoreError where another was begun in `folder`."""
    total = config.steps + config.again_steps
    steps = grow(config, folder)  # refuses a beginning that is not there before it writes
    with Run.open(folder, to_table(config)):
        for step in steps:
            note = f"loss {step.loss:.3f}"
            yield Progress("grow language", step.index, total, "steps", note)


def two_rounds(config: GrowConfig) -> Callable[[int], float]:
    """The learning rate's factor: up and down in a line, and once more, less high.

    An optimizer that begins anew at `begin_step` is led up to that line in as many steps again.
    """
    first, second = (
        warm_up_then("linear", steps=steps, warm_up=config.warm_up, floor=config.floor)
        for steps in (config.steps, config.again_steps)
    )
    anew = warm_up_then("constant", steps=config.steps, warm_up=config.warm_up)

    def factor(step: int) -> float:
        led = 1.0 if config.begin is None else anew(step - config.begin_step)
        if step < config.steps:
            return led * first(step)
        return led * config.again_rate * second(step - config.steps)

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
