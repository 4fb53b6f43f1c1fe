"""Draw the condition out of each picture: the world of a diffusion model annotates itself."""

from collections.abc import Callable, Iterable, Iterator

import numpy as np

from graft.controlnet.annotators.annotator import Annotator, annotate_picture
from graft.controlnet.condition import Condition
from graft.controlnet.dataset import Captioned, Pair
from graft.controlnet.pictures import fit_picture

Draws = Callable[[str], np.random.Generator]
"""The random generator that belongs to a picture's id."""


def annotate(
    pictures: Iterable[Captioned], annotator: Annotator, size: int, draws: Draws
) -> Iterator[Pair]:
    """A pair of each picture, `size` pixels along a side, with what an annotator sees in it.

    A condition that came with the picture is taken as it is, cut as the picture is. The
    annotator's parameters then are those that it would have drawn; they compare with it.
    """
    for one in pictures:
        pixels_HWC, rng = fit_picture(one.pixels_HWC, size), draws(one.id)
        if one.condition_HWC is None:
            condition = annotate_picture(annotator, pixels_HWC, rng)
        else:
            brought_HWC = fit_picture(one.condition_HWC, size)
            chosen = annotator.choose(rng)
            condition = Condition(annotator.name, brought_HWC, chosen, brought=True)
        yield Pair(one.id, pixels_HWC, one.caption, condition, one.faults)
