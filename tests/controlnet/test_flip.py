"""Pairs learnt from mirrored: exactly, only those that are learnt from, and only if asked."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from graft.controlnet import teach as stages
from graft.controlnet import workshop
from graft.controlnet.evaluate import EvaluateConfig
from graft.controlnet.lessons import Lesson, mirror
from graft.controlnet.records import read_png
from graft.controlnet.trainee import TrainConfig
from graft.controlnet.validation import Validation, ValidationConfig
from graft.controlnet.workshop import TeachConfig, Workshop
from graft.models.diffusion import DiffusionModel
from graft.world.gallery import write_gallery
from small_bases import make_base
from small_pairs import pairs_of

COUNT = 10


@pytest.fixture(autouse=True)
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(_name: str, _device: torch.device) -> DiffusionModel:
        return make_base("sd1", "v_prediction")

    monkeypatch.setattr(workshop, "load_diffusion", load)


def begin(folder: Path, train: TrainConfig, *, tiles: int | None = None) -> Workshop:
    """A run on ten drawn pictures, up to where its training begins."""
    write_gallery(folder / "pictures", COUNT, size=64)
    config = TeachConfig(
        images=folder / "pictures",
        base="a tiny one",
        size=32,
        shard_pictures=4,
        tiles=tiles,
        train=train,
        validation=ValidationConfig(pictures=2),
        evaluate=EvaluateConfig(pictures=2),
    )
    shop = Workshop.begin(folder / "run", config)
    for stage in (stages.annotate_pictures, stages.keep_pairs, stages.encode_kept):
        list(stage(shop))
    return shop


def lessons_of(
    shop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> tuple[list[Lesson], Validation]:
    """What a training is begun with."""
    given: list[tuple[list[Lesson], Validation]] = []

    def watch(
        _model: object,
        lessons: list[Lesson],
        _empty: object,
        validation: Validation,
        *_: object,
    ) -> Iterator[None]:
        given.append((lessons, validation))
        yield from ()

    monkeypatch.setattr(stages, "train", watch)
    list(stages.train_control(shop))
    [found] = given
    return found


def ids(lessons: Sequence[Lesson]) -> set[str]:
    return {lesson.id for lesson in lessons}


def test_a_mirrored_pair_is_the_pair_with_left_and_right_exchanged() -> None:
    pair = pairs_of(1)[0]
    before_HWC = pair.pixels_HWC.copy()
    mirrored = mirror(pair)
    for row in range(32):
        for column in range(32):
            at, other = (row, column), (row, 31 - column)
            assert (mirrored.pixels_HWC[at] == pair.pixels_HWC[other]).all()
            hint_HWC = mirrored.condition.pixels_HWC
            assert (hint_HWC[at] == pair.condition.pixels_HWC[other]).all()
    assert not np.array_equal(mirrored.pixels_HWC, pair.pixels_HWC)
    assert np.array_equal(pair.pixels_HWC, before_HWC)
    assert mirrored.id != pair.id
    assert (mirrored.caption, mirrored.faults) == (pair.caption, pair.faults)
    assert mirrored.condition.parameters == pair.condition.parameters
    twice = mirror(mirrored)
    assert np.array_equal(twice.pixels_HWC, pair.pixels_HWC)
    assert np.array_equal(twice.condition.pixels_HWC, pair.condition.pixels_HWC)


@pytest.mark.parametrize("tiles", [None, 2])
def test_what_is_learnt_from_is_learnt_from_mirrored_and_nothing_else_is(
    tiles: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = begin(tmp_path, TrainConfig(flip=True), tiles=tiles)
    lessons, validation = lessons_of(shop, monkeypatch)
    division, pairs = shop.division(), {pair.id: pair for pair in shop.pairs()}
    assert len(division.training) > 5
    mirrored = {mirror(pairs[name]).id: name for name in division.training}
    assert ids(lessons) == {*division.training, *mirrored}
    assert len(lessons) == 2 * len(division.training)
    assert tuple(pair.id for pair in validation.pairs) == division.validation
    for lesson in lessons:
        pair = pairs[mirrored.get(lesson.id, lesson.id)]
        turn = -1 if lesson.id in mirrored else 1
        hint_HWC = pair.condition.pixels_HWC[:, ::turn]
        assert np.array_equal(read_png(lesson.hint_png), hint_HWC)
        latents_1Chw = shop.model.encode(pair.pixels_HWC[None, :, ::turn].copy())
        found_Chw = lesson.encoded.latents(lesson.index)
        torch.testing.assert_close(found_Chw, latents_1Chw[0], rtol=2e-3, atol=2e-3)


def test_without_it_nothing_is_mirrored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = begin(tmp_path, TrainConfig())
    lessons, _ = lessons_of(shop, monkeypatch)
    assert ids(lessons) == set(shop.division().training)
    assert len(list((shop.root / "latents").glob("*.safetensors"))) == 3


def test_keep_and_the_division_know_nothing_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = begin(tmp_path, TrainConfig())
    lessons_of(shop, monkeypatch)
    found, division = shop.kept(), shop.division()
    config = replace(shop.config, train=TrainConfig(flip=True))
    flipped = Workshop.begin(shop.root, config)
    list(stages.keep_pairs(flipped))
    assert flipped.kept() == found
    assert flipped.begin_division() == division


def test_of_the_pairs_that_are_learnt_from_both_sides_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = begin(tmp_path, TrainConfig(flip=True, pairs=3))
    lessons, _ = lessons_of(shop, monkeypatch)
    pairs = {pair.id: pair for pair in shop.pairs()}
    chosen = shop.division().training[:3]
    assert ids(lessons) == {*chosen, *(mirror(pairs[name]).id for name in chosen)}
