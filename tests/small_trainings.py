"""Trainings of a control on a tiny random base, and what is left of them."""

from pathlib import Path

import numpy as np

from graft.controlnet.dataset import Pair
from graft.controlnet.latents import encode_pairs
from graft.controlnet.lessons import Lesson
from graft.controlnet.records import encode_png
from graft.controlnet.sampling import RunConfig
from graft.controlnet.train import Progress, train
from graft.controlnet.trainee import TrainConfig
from graft.controlnet.validation import Validation, ValidationConfig
from graft.models.diffusion import DiffusionModel
from small_bases import make_base
from small_pairs import CANNY, pairs_of

SETTINGS = TrainConfig(
    steps=6,
    batch=2,
    accumulate=2,
    learning_rate=1e-3,
    hint_rate=1.0,
    no_prompt=0.5,
    time_power=1.0,
    validate_every=4,
    gap_every=2,
    checkpoint_every=2,
)


def watch(base: DiffusionModel, pairs: list[Pair], other: Pair | None = None) -> Validation:
    return Validation(
        base,
        pairs,
        base.encode(np.stack([pair.pixels_HWC for pair in pairs])),
        base.embed([pair.caption for pair in pairs]),
        base.embed([""]),
        CANNY,
        ValidationConfig(run=RunConfig(steps=2, guidance=2.0)),
        other,
    )


class Setting:
    """A base with its lessons and what watches them."""

    def __init__(self, folder: Path, kind: str = "sd1") -> None:
        self.base = make_base(kind, "v_prediction")
        taught, watched = pairs_of(10), pairs_of(3, first=100)
        encoded = encode_pairs(taught, self.base, folder / "latents", "tiny")
        self.lessons = [
            Lesson(pair.id, encoded, index, encode_png(pair.condition.pixels_HWC))
            for index, pair in enumerate(taught)
        ]
        self.empty = self.base.embed([""])
        self.validation = watch(self.base, watched)

    def train(self, folder: Path, settings: TrainConfig = SETTINGS) -> list[Progress]:
        return list(
            train(self.base, self.lessons, self.empty, self.validation, settings, folder)
        )


def files(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
