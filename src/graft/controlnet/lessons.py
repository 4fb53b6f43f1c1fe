"""What a control learns from, and what is drawn for each picture each time it is seen.

All of it depends on the seed, the picture's id and the epoch alone.

Legend: C channels, h and w latent pixels.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from graft.controlnet.latents import Encoded
from graft.models.diffusion import Words
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


@dataclass(frozen=True, slots=True)
class Drawn:
    """A lesson in an epoch: everything random about it comes from `seed`."""

    index: int
    seed: int
    silent: bool


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


def words_of(lessons: Sequence[Lesson], part: Sequence[Drawn], empty: Words) -> Words:
    """The captions of a batch, the empty one in place of those that were drawn silent."""
    return Words.joined(
        [
            empty if drawn.silent else lesson.encoded.words(lesson.index)
            for lesson, drawn in zip(lessons, part, strict=True)
        ]
    )
