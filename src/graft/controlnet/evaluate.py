"""Does the control steer, and does the base still do all it did?

Fidelity: the condition is drawn again out of generated pictures and compared with the hint, for
the control with the right hint, without a control, and with another picture's hint; the ceiling
is the real picture, as the base's autoencoder shows it. Beside it: agreement with the prompts
and distance to the real pictures, for the control and the base alone.

Legend: N pictures, H and W pixels.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from graft.config import require
from graft.controlnet.annotators.annotator import Annotator
from graft.controlnet.control import ControlConfig, Controlled
from graft.controlnet.dataset import Pair
from graft.controlnet.fidelity import fidelities
from graft.controlnet.prompts import agreement, features
from graft.controlnet.sampling import RunConfig, Steering, sample
from graft.controlnet.validation import seed_of, wrong_hints
from graft.measure.image import kernel_distance
from graft.measure.interval import Interval, bootstrap_mean
from graft.models.diffusion import DiffusionModel, Words
from graft.models.unet import denoise

SYSTEMS = ("controlled", "none", "shuffled", "ceiling")


@dataclass(frozen=True, kw_only=True)
class EvaluateConfig:
    """Settings of `evaluate`."""

    pictures: int = 32  # held out for it; at most a fifth of all
    choices: int = 4  # prompts among which a picture's own is to fit best
    run: RunConfig = field(default_factory=lambda: RunConfig(guidance=4.0))
    seed: int = 0

    def __post_init__(self) -> None:
        require(self, ("pictures",), lambda count: count >= 0, "at least 0")
        require(self, ("choices",), lambda count: count >= 1, "at least 1")


@dataclass(frozen=True, slots=True)
class Evaluated:
    """What each system generated, [N, H, W, 3], and how faithful each picture is."""

    pictures: Mapping[str, np.ndarray]
    fidelity: Mapping[str, list[float]]
    agreement: Mapping[str, Interval | None]
    """None where the captions ask for nothing, or all for the same."""
    distance: Mapping[str, float | None]
    """None of a single picture, which has no spread."""


def evaluate(
    model: DiffusionModel,
    controlled: Controlled,
    pairs: Sequence[Pair],
    annotator: Annotator,
    settings: EvaluateConfig,
    other: Pair | None = None,
) -> Evaluated:
    """Every system on held-out pairs, from the same noise.

    `other` lends a single pair its hint, as another picture's; without it, nothing is
    `shuffled` then.
    """
    words, empty = model.embed([pair.caption for pair in pairs]), model.embed([""])
    hints = np.stack([pair.condition.pixels_HWC for pair in pairs])
    real = np.stack([pair.pixels_HWC for pair in pairs])
    seeds = [seed_of(f"{settings.seed}/{pair.id}") for pair in pairs]

    def generate(steerings: list[Steering], *, own: bool) -> np.ndarray:
        decoder = controlled.decoder if own else None
        run = settings.run
        return sample(model, words, empty, seeds, steerings, run, decoder=decoder)

    control, wrong = controlled.control, wrong_hints(pairs, other)
    pictures = {
        "controlled": generate([Steering(control, hints)], own=True),
        "none": generate([], own=False),
    }
    if wrong is not None:
        pictures["shuffled"] = generate([Steering(control, wrong)], own=True)
    pictures["ceiling"] = model.decode(model.encode(real))
    conditions = [pair.condition for pair in pairs]
    found = {
        name: fidelities(annotator, list(shown), conditions) for name, shown in pictures.items()
    }
    compared = {"base": pictures["none"], "controlled": pictures["controlled"]}
    agreed = _agreements(model, compared, pairs, words, settings)
    distance = _distances(model, compared, real)
    return Evaluated(pictures, found, agreed, distance)


def _agreements(
    model: DiffusionModel,
    compared: Mapping[str, np.ndarray],
    pairs: Sequence[Pair],
    words: Words,
    settings: EvaluateConfig,
) -> dict[str, Interval | None]:
    """How often each set agrees with the captions; pictures without one are not asked."""
    asked = [at for at, pair in enumerate(pairs) if pair.caption]
    if len({pairs[at].caption for at in asked}) < 2:
        return dict.fromkeys(compared)
    own, choices, seed = words[asked], settings.choices, settings.seed
    return {
        name: bootstrap_mean(agreement(model, shown[asked], own, choices=choices, seed=seed))
        for name, shown in compared.items()
    }


def _distances(
    model: DiffusionModel, compared: Mapping[str, np.ndarray], real: np.ndarray
) -> dict[str, float | None]:
    """The kernel distance of each set to the real pictures, in features of unit variance."""
    if len(real) < 2:
        return dict.fromkeys(compared)
    empty = model.embed([""])
    of_real = features(model, real, empty)
    middle, spread = of_real.mean(axis=0), of_real.std(axis=0) + 1e-8
    return {
        name: kernel_distance(
            (features(model, shown, empty) - middle) / spread, (of_real - middle) / spread
        )
        for name, shown in compared.items()
    }


@torch.no_grad()
def step0_difference(
    model: DiffusionModel, pairs: Sequence[Pair], config: ControlConfig, *, seed: int = 0
) -> float:
    """The largest difference a new, silent control makes to the base's output: 0, exactly."""
    controlled = Controlled(model.unet, model.shrinking, config, seed=seed).to(model.device)
    words = model.embed([pair.caption for pair in pairs])
    latents_BChw = model.encode(np.stack([pair.pixels_HWC for pair in pairs]))
    hints_BHWC = np.stack([pair.condition.pixels_HWC for pair in pairs])
    hint_BCHW = controlled.control.read(hints_BHWC, model).to(latents_BChw)
    generator = torch.Generator().manual_seed(seed)
    noise_BChw = torch.randn(latents_BChw.shape, generator=generator).to(latents_BChw)
    added = model.added(words, hints_BHWC.shape[1])
    largest = 0.0
    for share in (0.1, 0.5, 0.9):
        time_B = torch.full((len(pairs),), round(share * (model.noise.times - 1)))
        time_B = time_B.to(latents_BChw.device)
        noisy_BChw = model.noise.add(latents_BChw, noise_BChw, time_B)
        plain_BChw = denoise(model.unet, noisy_BChw, time_B, words.states_BTD, added=added)
        with_BChw = controlled(noisy_BChw, time_B, words.states_BTD, hint_BCHW, added)
        largest = max(largest, float((with_BChw - plain_BChw).abs().max()))
    return largest


def build_report(found: Evaluated, annotator: Annotator) -> dict[str, object]:
    """Fidelity, prompt agreement and distance, as JSON."""
    interval = bootstrap_mean(found.fidelity["controlled"])
    fidelity: dict[str, object] = {"metric": annotator.metric}
    for name in SYSTEMS:
        values = found.fidelity.get(name)
        fidelity[name] = None if values is None else float(np.mean(values))
    fidelity |= {"n": interval.n, "low": interval.low, "high": interval.high}
    return {
        "fidelity": fidelity,
        "prompt_agreement": {
            name: None if one is None else one.mean for name, one in found.agreement.items()
        },
        "distance_to_real": dict(found.distance),
    }


def closed(controlled: float, none: float, ceiling: float) -> float:
    """The share of the way from no control's fidelity to the ceiling that a control goes."""
    return (controlled - none) / (ceiling - none) if ceiling != none else 0.0
