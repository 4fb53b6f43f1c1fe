"""What evaluate measures, on a tiny random base."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from graft.controlnet.control import ControlConfig, Controlled
from graft.controlnet.dataset import Pair
from graft.controlnet.evaluate import (
    SYSTEMS,
    EvaluateConfig,
    Evaluated,
    build_report,
    closed,
    evaluate,
    step0_difference,
)
from graft.controlnet.fidelity import fidelities
from graft.controlnet.prompts import agreement, features
from graft.controlnet.sampling import RunConfig
from graft.controlnet.teach import save_pictures
from graft.models.diffusion import DiffusionModel
from graft.models.unet import denoise
from small_bases import make_base
from small_pairs import CANNY, pairs_of, with_wrong_hints

SETTINGS = EvaluateConfig(run=RunConfig(steps=2, guidance=2.0))


@pytest.fixture(scope="module")
def base() -> DiffusionModel:
    return make_base("sd1", "v_prediction")


@pytest.fixture(scope="module")
def stirred(base: DiffusionModel) -> Controlled:
    controlled = Controlled(base.unet, base.shrinking, ControlConfig())
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in controlled.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.05)
    return controlled.requires_grad_(False)


def test_every_system_is_measured_from_the_same_noise(
    base: DiffusionModel, stirred: Controlled
) -> None:
    pairs = pairs_of(3)
    found = evaluate(base, stirred, pairs, CANNY, SETTINGS)
    assert set(found.pictures) == set(SYSTEMS)
    assert all(shown.shape == (3, 32, 32, 3) for shown in found.pictures.values())
    conditions = [pair.condition for pair in pairs]
    for name in SYSTEMS:
        shown = list(found.pictures[name])
        assert found.fidelity[name] == fidelities(CANNY, shown, conditions)
    assert not np.array_equal(found.pictures["controlled"], found.pictures["none"])
    report = build_report(found, CANNY)
    assert report["fidelity"]["controlled"] == pytest.approx(
        np.mean(found.fidelity["controlled"])
    )
    assert set(report["distance_to_real"]) == {"base", "controlled"}


def test_of_a_single_picture_all_but_the_distance_is_measured(
    base: DiffusionModel, stirred: Controlled
) -> None:
    found = evaluate(base, stirred, pairs_of(1), CANNY, SETTINGS)
    report = json.loads(json.dumps(build_report(found, CANNY), allow_nan=False))
    assert report["distance_to_real"] == {"base": None, "controlled": None}
    assert report["fidelity"]["n"] == 1


def test_a_wrong_hint_is_that_of_another_picture(
    base: DiffusionModel, stirred: Controlled
) -> None:
    right = evaluate(base, stirred, pairs_of(3), CANNY, SETTINGS)
    wrong = evaluate(base, stirred, with_wrong_hints(pairs_of(3)), CANNY, SETTINGS)
    assert np.array_equal(right.pictures["shuffled"], wrong.pictures["controlled"])
    assert not np.array_equal(right.pictures["shuffled"], right.pictures["controlled"])


def test_a_silent_control_is_no_control(base: DiffusionModel) -> None:
    silent = Controlled(base.unet, base.shrinking, ControlConfig())
    found = evaluate(base, silent, pairs_of(3), CANNY, SETTINGS)
    assert np.array_equal(found.pictures["controlled"], found.pictures["none"])
    assert np.array_equal(found.pictures["shuffled"], found.pictures["none"])


@pytest.mark.parametrize("middle_only", [False, True])
def test_a_new_control_makes_a_difference_of_0(
    base: DiffusionModel, *, middle_only: bool
) -> None:
    config = ControlConfig(middle_only=middle_only, unlock_decoder=True)
    assert step0_difference(base, pairs_of(2), config) == 0.0


def test_the_share_of_the_way_that_is_closed() -> None:
    assert closed(0.7, none=0.1, ceiling=0.9) == pytest.approx(0.75)
    assert closed(0.7, none=0.5, ceiling=0.5) == 0.0


def test_a_prompt_agrees_where_its_loss_is_least_by_the_slow_way(base: DiffusionModel) -> None:
    pairs = pairs_of(3)
    pixels = np.stack([pair.pixels_HWC for pair in pairs])
    words = base.embed([pair.caption for pair in pairs])
    found = agreement(base, pixels, words, choices=3, seed=4)
    slow = []
    for index in range(3):
        latents = base.encode(pixels[index : index + 1])
        losses = []
        for shift in range(3):
            total = 0.0
            for share in (0.3, 0.5, 0.7, 0.9):
                time = round(share * 999)
                noise = torch.randn(
                    latents.shape[1:], generator=torch.Generator().manual_seed(4 + time)
                )[None]
                time_1 = torch.tensor([time])
                noisy = base.noise.add(latents, noise, time_1)
                read = words[[(index + shift) % 3]].states_BTD
                error = denoise(base.unet, noisy, time_1, read) - base.noise.target(
                    latents, noise, time_1
                )
                total += float(error.square().mean())
            losses.append(total)
        slow.append(losses[0] <= min(losses) + 1e-7)
    assert found == slow


def test_equal_prompts_all_agree(base: DiffusionModel) -> None:
    pixels = np.stack([pair.pixels_HWC for pair in pairs_of(3)])
    assert agreement(base, pixels, base.embed(["a star"] * 3)) == [True] * 3


def captioned(*captions: str) -> list[Pair]:
    return [
        replace(p, caption=c) for p, c in zip(pairs_of(len(captions)), captions, strict=True)
    ]


@pytest.mark.parametrize("captions", [("", "", ""), ("a star",) * 3, ("", "a star", "")])
def test_prompts_that_do_not_differ_are_not_asked_for_agreement(
    captions: tuple[str, ...], base: DiffusionModel, stirred: Controlled
) -> None:
    found = evaluate(base, stirred, captioned(*captions), CANNY, SETTINGS)
    assert found.agreement == {"base": None, "controlled": None}
    report = json.loads(json.dumps(build_report(found, CANNY), allow_nan=False))
    assert report["prompt_agreement"] == {"base": None, "controlled": None}


def test_only_pictures_with_a_caption_are_asked_for_agreement(
    base: DiffusionModel, stirred: Controlled
) -> None:
    captions = ("", "a star", "a red disc", "", "a blue ring on white")
    found = evaluate(base, stirred, captioned(*captions), CANNY, SETTINGS)
    words = base.embed([caption for caption in captions if caption])
    for system, name in (("none", "base"), ("controlled", "controlled")):
        agreed = agreement(base, found.pictures[system][[1, 2, 4]], words)
        interval = found.agreement[name]
        assert interval is not None
        assert interval.n == 3
        assert interval.mean == pytest.approx(sum(agreed) / 3)


def test_features_are_one_row_for_each_picture_whatever_stands_beside_it(
    base: DiffusionModel,
) -> None:
    pixels = np.stack([pair.pixels_HWC for pair in pairs_of(3)])
    empty = base.embed([""])
    together = features(base, pixels, empty)
    assert together.shape == (3, 64)
    alone = features(base, pixels[1:2], empty)
    np.testing.assert_allclose(alone[0], together[1], rtol=0, atol=1e-4)


def test_every_picture_that_was_generated_is_saved_whatever_it_is_called(tmp_path) -> None:
    pairs = pairs_of(4)
    names = ("1.png", "1.jpg", "a crawler's whole caption " * 6 + "1", "A.png")
    pairs = [replace(pair, id=name) for pair, name in zip(pairs, names, strict=True)]
    shown = np.stack([pair.pixels_HWC for pair in pairs])
    fidelity = {name: [0.1, 0.2, 0.3, 0.4] for name in SYSTEMS}
    save_pictures(tmp_path, pairs, Evaluated(dict.fromkeys(SYSTEMS, shown), fidelity, {}, {}))
    for system in ("controlled", "none", "shuffled"):
        assert len(list((tmp_path / system).iterdir())) == 4
    assert set(json.loads((tmp_path / "fidelity.json").read_text())) == set(names)
