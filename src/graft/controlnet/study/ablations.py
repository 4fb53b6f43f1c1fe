"""The paper's ablations in small, and fidelity against the number of pictures.

Zhang et al. 2023, Section 4.2 and Figure 8: zero convolutions, Gaussian ones, the light
version; under four kinds of prompt. Section 3.3: locked and unlocked decoder.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import cast

import numpy as np

from graft.config import changed
from graft.controlnet.control import ControlConfig
from graft.controlnet.dataset import Pair
from graft.controlnet.fidelity import fidelities
from graft.controlnet.grids import grid, write_picture
from graft.controlnet.sampling import Steering, sample
from graft.controlnet.study.variants import Variant, run_of
from graft.controlnet.validation import seed_of
from graft.controlnet.workshop import TeachConfig, Workshop
from graft.errors import ConfigError
from graft.measure.interval import bootstrap_mean

PROMPTS = ("none", "insufficient", "conflicting", "perfect")
INSUFFICIENT = "a picture"
"""Says nothing of what is to be seen."""

COUNTS = (30, 100, 300, 1000, 3000)
_SHOWN = 6


def ablation_variants(config: TeachConfig) -> list[Variant]:
    """The method as it is, and with one thing changed."""
    controls = {
        "zero": ControlConfig(),
        "gaussian": ControlConfig(joints="gaussian"),
        "light": ControlConfig(light=True),
        "middle-only": ControlConfig(middle_only=True),
        "unlocked": ControlConfig(unlock_decoder=True),
    }
    train = changed(config.train, stop_when_converged=False)
    return [
        Variant(name, changed(config, train=changed(train, control=control)))
        for name, control in controls.items()
    ]


def picture_variants(config: TeachConfig, counts: Sequence[int] = COUNTS) -> list[Variant]:
    """The same training from more and more pictures; the same are watched and evaluated on."""
    if any(count < 1 for count in counts):
        raise ConfigError(f"{min(counts)} pictures: at least one is learnt from")
    train = changed(config.train, stop_when_converged=False)
    return [
        Variant(f"{count}", changed(config, train=changed(train, pairs=count)))
        for count in counts
    ]


def under_prompts(out: Path, name: str) -> dict[str, object]:
    """Fidelity of a finished variant's pictures under each kind of prompt, with its interval.

    Writes `OUT/prompts-NAME.png`: a row of hints, and one for each kind.
    """
    shop = Workshop.resume(run_of(out, name))
    pairs, controlled = shop.chosen(shop.division().evaluation), shop.trained()
    hints = np.stack([pair.condition.pixels_HWC for pair in pairs])
    seeds = [seed_of(f"{shop.config.evaluate.seed}/{pair.id}") for pair in pairs]
    rows, found = [list(hints[:_SHOWN])], dict[str, object]()
    for kind in PROMPTS:
        words = shop.model.embed(prompts_of(pairs, kind))
        pictures = sample(
            shop.model,
            words,
            shop.model.embed([""]),
            seeds,
            [Steering(controlled.control, hints)],
            shop.config.evaluate.run,
            decoder=controlled.decoder,
        )
        values = fidelities(shop.annotator, list(pictures), [pair.condition for pair in pairs])
        found[kind] = asdict(bootstrap_mean(values))
        rows.append(list(pictures[:_SHOWN]))
    write_picture(out / f"prompts-{name}.png", grid(rows))
    return found


def prompts_of(pairs: Sequence[Pair], kind: str) -> list[str]:
    """A prompt for each pair: empty, saying nothing, another picture's, or its own.

    Conflicting ones are those of the next pair with another caption.
    """
    captions = [pair.caption for pair in pairs]
    match kind:
        case "none":
            return [""] * len(pairs)
        case "insufficient":
            return [INSUFFICIENT] * len(pairs)
        case "conflicting":
            return [_another(captions, index) for index in range(len(captions))]
        case _:
            return captions


def _another(captions: Sequence[str], index: int) -> str:
    following = (*captions[index + 1 :], *captions[:index])
    return next((one for one in following if one != captions[index]), captions[index])


def compare_ablations(
    found: Mapping[str, Mapping[str, object]], prompts: Mapping[str, Mapping[str, object]]
) -> dict[str, object]:
    """What each loses against `zero` under its own prompts, and under none."""

    def mean(name: str, kind: str) -> float:
        return cast("Mapping[str, float]", prompts[name][kind])["mean"]

    lost = {
        name: {kind: mean("zero", kind) - mean(name, kind) for kind in PROMPTS}
        for name in found
        if name != "zero"
    }
    return {"prompts": prompts, "lost": lost}
