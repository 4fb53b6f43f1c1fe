"""A few pairs of the little world, small enough for a tiny base."""

from dataclasses import replace

import numpy as np

from graft.controlnet.annotators.annotator import annotate_picture
from graft.controlnet.annotators.kit import annotator_by_name
from graft.controlnet.dataset import Pair
from graft.world.pictures import draw_picture

CANNY = annotator_by_name("canny")


def pairs_of(count: int, first: int = 0) -> list[Pair]:
    pairs = []
    for number in range(first, first + count):
        rng = np.random.default_rng(number)
        picture = draw_picture(rng, size=32)
        condition = annotate_picture(CANNY, picture.pixels_HWC, rng)
        pairs.append(Pair(f"{number:03d}", picture.pixels_HWC, picture.caption, condition))
    return pairs


def with_wrong_hints(pairs: list[Pair]) -> list[Pair]:
    """The same pairs, each with the condition of the one before it."""
    before = [pairs[-1], *pairs[:-1]]
    return [
        replace(pair, condition=other.condition)
        for pair, other in zip(pairs, before, strict=True)
    ]
