"""What training is watched by: held-out pictures, at fixed seeds and fixed noise.

Two measures. *Fidelity*: pictures are generated under their hints, the annotator draws the
condition out of them again, and both are compared. *Gaps*: the base's loss at fixed noise with
the true hint, with another picture's hint, and with none; they show that a hint is read before
it can be seen.

Legend: V pictures, K times, C channels, H and W pixels, h and w latent pixels.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import cast

import numpy as np
import torch
from torch import Tensor

from graft.config import require, to_table
from graft.controlnet.annotators.annotator import Annotator
from graft.controlnet.control import Controlled
from graft.controlnet.convergence import Check
from graft.controlnet.dataset import Pair
from graft.controlnet.fidelity import fidelities
from graft.controlnet.sampling import RunConfig, Steering, sample
from graft.errors import DataError
from graft.models.diffusion import DiffusionModel, Words
from graft.models.unet import denoise

_TIMES = (0.35, 0.6, 0.85)
"""Where the gaps are measured, as shares of the noisiest time: a hint tells most where noise is
strong."""


@dataclass(frozen=True, kw_only=True)
class ValidationConfig:
    """How the pictures that training is watched by are generated."""

    pictures: int = 16
    run: RunConfig = field(default_factory=lambda: RunConfig(guidance=4.0))

    def __post_init__(self) -> None:
        require(self, ("pictures",), lambda count: count >= 1, "at least 1")

    def to_measure(self) -> dict[str, object]:
        """The settings that a measure comes of; how memory is saved may change midway."""
        table = to_table(self)
        run = cast("dict[str, object]", table["run"])
        return {**table, "run": {name: run[name] for name in run if name != "at_once"}}


class Validation:
    """Held-out pairs with everything that does not change while the control learns."""

    def __init__(  # noqa: PLR0913  # the last is for a single pair only
        self,
        model: DiffusionModel,
        pairs: Sequence[Pair],
        latents_VChw: Tensor,
        words: Words,
        empty: Words,
        annotator: Annotator,
        settings: ValidationConfig,
        other: Pair | None = None,
    ) -> None:
        """`other` lends a single pair its hint, as another picture's."""
        self.model, self.pairs, self.annotator, self.settings = (
            model,
            pairs,
            annotator,
            settings,
        )
        self._latents_VChw, self._words, self._empty = latents_VChw, words, empty
        self._hints = np.stack([pair.condition.pixels_HWC for pair in pairs])
        wrong = wrong_hints(pairs, other)
        if wrong is None:
            raise DataError(
                f"{pairs[0].id}: is the only picture to watch; give another pair, to compare"
                " its hint with that one's"
            )
        self._wrong = wrong
        self._seeds = [seed_of(pair.id) for pair in pairs]
        self._times = [round(share * (model.noise.times - 1)) for share in _TIMES]
        self._none: tuple[float, ...] | None = None
        self.latest: np.ndarray | None = None
        """The pictures [V, H, W, 3] of the last check that had some."""

    def check(self, controlled: Controlled, step: int, *, pictures: bool) -> Check:
        """How the control does after `step` steps; with `pictures`, fidelity too."""
        fidelity: tuple[float, ...] = ()
        if pictures:
            self.latest = self.generate(controlled)
            fidelity = tuple(self.fidelity_of(self.latest))
        if self._none is None:  # the base is frozen: measured once
            self._none = self._losses(None, self._hints)
        return Check(
            step,
            fidelity,
            true=self.losses(controlled),
            shuffled=self._losses(controlled, self._wrong),
            none=self._none,
        )

    def losses(self, controlled: Controlled) -> tuple[float, ...]:
        """Each picture's loss with its own hint, at the fixed noise."""
        return self._losses(controlled, self._hints)

    def generate(self, controlled: Controlled | None) -> np.ndarray:
        """A picture [V, H, W, 3] for each hint and caption; without a control, the base's."""
        steerings = [] if controlled is None else [Steering(controlled.control, self._hints)]
        return sample(
            self.model,
            self._words,
            self._empty,
            self._seeds,
            steerings,
            self.settings.run,
            decoder=None if controlled is None else controlled.decoder,
        )

    def fidelity_of(self, pictures_VHWC: np.ndarray) -> list[float]:
        """How well each picture's condition is found again in it."""
        return fidelities(
            self.annotator, list(pictures_VHWC), [p.condition for p in self.pairs]
        )

    def ceiling(self) -> list[float]:
        """The same of the real pictures, as the base's autoencoder shows them."""
        return self.fidelity_of(self.model.decode(self._latents_VChw))

    @torch.no_grad()
    def _losses(
        self, controlled: Controlled | None, hints_VHWC: np.ndarray
    ) -> tuple[float, ...]:
        """Each picture's squared error at the fixed noise, averaged over the times."""
        totals = torch.zeros(len(self.pairs))
        for time in self._times:
            for begin in range(0, len(self.pairs), self.settings.run.at_once):
                part = slice(begin, begin + self.settings.run.at_once)
                totals[part] += self._errors(controlled, hints_VHWC[part], part, time).cpu()
        return tuple((totals / len(self._times)).tolist())

    def _errors(
        self, controlled: Controlled | None, hints_BHWC: np.ndarray, part: slice, time: int
    ) -> Tensor:
        model, words = self.model, self._words[part]
        latents_BChw = self._latents_VChw[part]
        drawn = [fixed_noise(seed, time, latents_BChw[0]) for seed in self._seeds[part]]
        noise_BChw = torch.stack(drawn).to(latents_BChw)
        time_B = torch.full((len(latents_BChw),), time, device=latents_BChw.device)
        noisy_BChw = model.noise.add(latents_BChw, noise_BChw, time_B)
        target_BChw = model.noise.target(latents_BChw, noise_BChw, time_B)
        added = model.added(words, hints_BHWC.shape[1])
        if controlled is None:
            found_BChw = denoise(model.unet, noisy_BChw, time_B, words.states_BTD, added=added)
        else:
            hint_BCHW = controlled.control.read(hints_BHWC, model).to(latents_BChw)
            found_BChw = controlled(noisy_BChw, time_B, words.states_BTD, hint_BCHW, added)
        return (found_BChw - target_BChw).square().mean(dim=(1, 2, 3))


def wrong_hints(pairs: Sequence[Pair], other: Pair | None = None) -> np.ndarray | None:
    """Another picture's hint for each pair [V, H, W, 3]: the one before it, or `other`'s.

    None of a single pair without another, for its own would be no wrong one.
    """
    if len(pairs) > 1:
        return np.roll(np.stack([pair.condition.pixels_HWC for pair in pairs]), 1, axis=0)
    return None if other is None else other.condition.pixels_HWC[None]


def seed_of(name: str) -> int:
    """A seed that belongs to a picture's id."""
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=6).digest(), "big")


def fixed_noise(seed: int, time: int, like_Chw: Tensor) -> Tensor:
    """The noise [C, h, w] of one picture at one time."""
    return torch.randn(like_Chw.shape, generator=torch.Generator().manual_seed(seed + time))
