"""What a control learns from, and what is drawn for each picture each time it is seen.

All of it depends on the seed, the picture's id and the epoch alone.

Legend: B pictures, C channels, H and W pixels, h and w latent pixels.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from graft.controlnet.dataset import Pair
from graft.controlnet.latents import Encoded
from graft.controlnet.records import read_png
from graft.errors import DataError
from graft.models.diffusion import DiffusionModel, Words, to_hint
from graft.train.ahead import prepare_ahead
from graft.train.batches import draw_batches


@runtime_checkable
class Draws(Protocol):
    """The settings that draws depend on."""

    @property
    def steps(self) -> int:
        """Optimizer steps in all."""
        ...

    @property
    def batch(self) -> int:
        """Pictures to a batch."""
        ...

    @property
    def accumulate(self) -> int:
        """Batches to a step."""
        ...

    @property
    def no_prompt(self) -> float:
        """Share of prompts emptied."""
        ...

    @property
    def time_power(self) -> float:
        """Of how late times are drawn; 1 is evenly."""
        ...

    @property
    def seed(self) -> int:
        """Of everything that is drawn."""
        ...


@dataclass(frozen=True, slots=True)
class Lesson:
    """A pair as training reads it: its place in a file of latents, and its hint as PNG."""

    id: str
    encoded: Encoded
    index: int
    hint_png: bytes


def mirror(pair: Pair) -> Pair:
    """A pair with left and right exchanged, in its picture and in its condition alike."""
    condition = pair.condition
    return replace(
        pair,
        id=f"{pair.id}#mirrored",
        pixels_HWC=_mirrored(pair.pixels_HWC),
        condition=replace(condition, pixels_HWC=_mirrored(condition.pixels_HWC)),
    )


def _mirrored(pixels_HWC: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(pixels_HWC[:, ::-1])


@dataclass(frozen=True, slots=True)
class Drawn:
    """A lesson in an epoch: everything random about it comes from `seed`."""

    index: int
    seed: int
    silent: bool


@dataclass(frozen=True, slots=True)
class Batch:
    """Drawn lessons as a step reads them."""

    latents_BChw: Tensor
    words: Words
    noise_BChw: Tensor
    time_B: Tensor
    hint_BCHW: Tensor
    """From 0 to 1."""
    hints_BHWC: np.ndarray
    """The same in bytes; always in the processor's memory."""

    def __len__(self) -> int:
        return len(self.latents_BChw)

    def pinned(self) -> "Batch":
        """The same in memory that a GPU reads without the processor."""
        return self._each(Tensor.pin_memory, self.words.pinned())

    def to(self, device: torch.device) -> "Batch":
        """The same on a device; what is pinned is not waited for."""
        return self._each(
            lambda part: part.to(device, non_blocking=True),
            self.words.to(device, non_blocking=True),
        )

    def _each(self, change: Callable[[Tensor], Tensor], words: Words) -> "Batch":
        return Batch(
            change(self.latents_BChw),
            words,
            change(self.noise_BChw),
            change(self.time_B),
            change(self.hint_BCHW),
            self.hints_BHWC,
        )


def draw_lessons(
    lessons: Sequence[Lesson], start: int, settings: Draws
) -> Iterator[list[list[Drawn]]]:
    """Per step from `start` on, its batches of drawn lessons."""
    rows = settings.batch * settings.accumulate
    epoch, first = -1, 0
    drawn: list[list[int]] = []
    for step in range(settings.steps):
        if step >= first + len(drawn):
            epoch, first = epoch + 1, first + len(drawn)
            drawn = draw_batches(len(lessons), rows=rows, seed=settings.seed, epoch=epoch)
        if step >= start:
            chosen = [_drawn(lessons, i, epoch, settings) for i in drawn[step - first]]
            size = settings.batch
            yield [chosen[at : at + size] for at in range(0, len(chosen), size)]


def _drawn(lessons: Sequence[Lesson], index: int, epoch: int, settings: Draws) -> Drawn:
    name = f"{settings.seed}/{epoch}/{lessons[index].id}".encode()
    number = int.from_bytes(hashlib.blake2b(name, digest_size=8).digest(), "big")
    silent = (number >> 48) / 2**16 < settings.no_prompt
    return Drawn(index, number & (2**48 - 1), silent)


def draw_noise(
    drawn: Drawn, like_Chw: Tensor, times: int, power: float = 1.0
) -> tuple[Tensor, int]:
    """The noise and the time of one picture in one epoch.

    Args:
        drawn: its seed is all that is drawn from.
        like_Chw: as the noise is to be.
        times: there are so many, the noisiest last.
        power: 1 draws them evenly; below 1 late ones come more often.
    """
    generator = torch.Generator().manual_seed(drawn.seed)
    even = int(torch.randint(times, (1,), generator=generator))
    time = int(times * ((even + 0.5) / times) ** power)
    return torch.randn(like_Chw.shape, generator=generator), time


def read_lessons(
    lessons: Sequence[Lesson], empty: Words, model: DiffusionModel, settings: Draws, start: int
) -> Iterator[list[Batch]]:
    """Per step from `start` on its batches, read while the steps before it are taken."""
    here, pins = empty.to(torch.device("cpu")), model.device.type == "cuda"

    def read(parts: list[list[Drawn]]) -> list[Batch]:
        times, power = model.noise.times, settings.time_power
        found = [read_batch(lessons, part, here, times, power) for part in parts]
        return [batch.pinned() for batch in found] if pins else found

    return prepare_ahead(draw_lessons(lessons, start, settings), read)


def read_batch(
    lessons: Sequence[Lesson], part: Sequence[Drawn], empty: Words, times: int, power: float
) -> Batch:
    """What drawn lessons are, read from where they lie; all of it in the processor's memory.

    Raises:
        DataError: a hint is damaged; names its pair.
        StoreError: a file of latents is damaged.
    """
    chosen = [lessons[drawn.index] for drawn in part]
    latents_BChw = torch.stack([one.encoded.latents(one.index) for one in chosen])
    drawn = [draw_noise(one, latents_BChw[0], times, power) for one in part]
    hints_BHWC = np.stack([_hint_of(one) for one in chosen])
    return Batch(
        latents_BChw,
        words_of(chosen, part, empty),
        torch.stack([noise_Chw for noise_Chw, _ in drawn]),
        torch.tensor([time for _, time in drawn]),
        to_hint(hints_BHWC),
        hints_BHWC,
    )


def _hint_of(lesson: Lesson) -> np.ndarray:
    try:
        return read_png(lesson.hint_png)
    except DataError as error:
        raise DataError(f"pair {lesson.id}: {error}") from error


def words_of(lessons: Sequence[Lesson], part: Sequence[Drawn], empty: Words) -> Words:
    """The captions of a batch, the empty one in place of those that were drawn silent."""
    return Words.joined(
        [
            empty if drawn.silent else lesson.encoded.words(lesson.index)
            for lesson, drawn in zip(lessons, part, strict=True)
        ]
    )
