"""Does the diffusion seedling follow its prompts? Its samples, looked at by a judge."""

from collections.abc import Iterator, MutableMapping
from dataclasses import asdict, replace

import numpy as np

from graft.controlnet.sampling import RunConfig, sample
from graft.measure.interval import bootstrap_mean
from graft.models.diffusion import DiffusionModel
from graft.scale.progress import Progress
from graft.world.looking import Agreement, finds
from graft.world.pictures import Half, Picture, draw_picture

RUN = RunConfig(steps=20, guidance=3.0, at_once=20)
CASES: tuple[tuple[str, Half, RunConfig | None], ...] = (
    ("samples", "read", RUN),
    ("samples, new pairs of shape and colour", "held", RUN),
    ("samples, timesteps spaced leading", "read", replace(RUN, spacing="leading")),
    ("real pictures", "read", None),
)
"""What is judged: its name, the half of the world, how it is sampled (None: the real one)."""


def measure_prompts(
    model: DiffusionModel, count: int, found: MutableMapping[str, object], *, seed: int = 5
) -> Iterator[Progress]:
    """Fill `found` with the shares of colours, shapes and grounds asked for that are seen.

    By case, with 95% intervals over `count` pictures each.
    """
    for done, (name, half, run) in enumerate(CASES):
        yield Progress("measure", done, len(CASES), "cases", name)
        asked = [draw_picture(np.random.default_rng((seed, 4, n)), half) for n in range(count)]
        shown = _samples(model, asked, run) if run else [one.pixels_HWC for one in asked]
        judged = [_judge(pixels_HWC, one) for pixels_HWC, one in zip(shown, asked, strict=True)]
        found[name] = {
            "colours": _interval([one.colours for one in judged]),
            "shapes": _interval([one.shapes for one in judged]),
            "pairs": _interval([one.pairs for one in judged]),
            "ground": _interval([float(one.ground) for one in judged]),
        }
    yield Progress("measure", len(CASES), len(CASES), "cases")


def _samples(model: DiffusionModel, asked: list[Picture], run: RunConfig) -> list[np.ndarray]:
    words, empty = model.embed([one.caption for one in asked]), model.embed([""])
    return list(sample(model, words, empty, range(len(asked)), [], run))


def _judge(pixels_HWC: np.ndarray, asked: Picture) -> Agreement:
    things = [(thing.colour, thing.shape) for thing in asked.things]
    told = f" {asked.ground} " in asked.caption and "background" in asked.caption
    return finds(pixels_HWC, things, asked.ground if told else None)


def _interval(values: list[float]) -> dict[str, float]:
    return {name: float(value) for name, value in asdict(bootstrap_mean(values)).items()}
