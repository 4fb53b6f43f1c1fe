"""Growing the autoencoder, whole and interrupted."""

import itertools
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from graft.grow.autoencoder import (
    AutoencoderConfig,
    grow_autoencoder,
    load_autoencoder,
    new_autoencoder,
    pictures_of,
    polish_decoder,
    posterior_of,
)
from graft.models.diffusion import to_signed
from graft.train.loop import Step

TINY = AutoencoderConfig(
    channels=(8, 8, 8),
    latent_channels=4,
    crop_steps=2,
    steps=4,
    polish_steps=4,
    batch=2,
    checkpoint_every=2,
)


def files(folder: Path) -> dict[str, bytes]:
    found = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


def taken(steps: Iterator[Step], count: int) -> list[Step]:
    return list(itertools.islice(steps, count))


@pytest.fixture(scope="module")
def grown(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Step], list[Step]]:
    folder = tmp_path_factory.mktemp("grown")
    first = list(grow_autoencoder(TINY, folder / "grown"))
    return folder, first, list(polish_decoder(TINY, folder / "grown", folder / "polished"))


def test_a_new_one_hangs_on_its_seed_and_leaves_the_global_one_alone() -> None:
    before = torch.random.get_rng_state()
    one, again = new_autoencoder(TINY), new_autoencoder(TINY)
    other = new_autoencoder(replace(TINY, seed=8))
    assert torch.equal(torch.random.get_rng_state(), before)
    weights = [model.encoder.conv_in.weight for model in (one, again, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_pictures_are_crops_at_first_and_whole_later() -> None:
    assert pictures_of(TINY, 1).shape == (2, 3, 32, 32)
    assert pictures_of(TINY, 2).shape == (2, 3, 64, 64)


def test_a_picture_hangs_on_its_step_and_place_alone() -> None:
    assert torch.equal(pictures_of(TINY, 5), pictures_of(replace(TINY, batch=3), 5)[:2])
    assert not torch.equal(pictures_of(TINY, 5), pictures_of(TINY, 6))


def test_bytes_become_numbers_from_minus_one_to_one() -> None:
    pixels_BHWC = np.array([[[[0, 51, 255]]]], np.uint8)
    assert to_signed(pixels_BHWC).flatten().tolist() == pytest.approx([-1.0, -0.6, 1.0])


def test_growing_takes_its_steps_and_the_loss_is_finite(grown) -> None:
    _, first, polished = grown
    assert [step.index for step in first] == [1, 2, 3, 4]
    assert [step.index for step in polished] == [1, 2, 3, 4]
    assert all(0 < step.loss < 3 for step in (*first, *polished))


def test_a_stopped_growth_goes_on_and_ends_in_the_same_bytes(grown, tmp_path: Path) -> None:
    folder, first, polished = grown
    taken(grow_autoencoder(TINY, tmp_path / "grown"), 3)
    resumed = list(grow_autoencoder(TINY, tmp_path / "grown"))
    assert resumed == first[2:]  # the checkpoint is of step 2
    taken(polish_decoder(TINY, tmp_path / "grown", tmp_path / "polished"), 3)
    resumed = list(polish_decoder(TINY, tmp_path / "grown", tmp_path / "polished"))
    assert resumed == polished[2:]
    assert files(tmp_path) == files(folder)


def test_a_finished_growth_is_not_done_again(grown) -> None:
    folder, _, _ = grown
    before = files(folder)
    assert list(grow_autoencoder(TINY, folder / "grown")) == []
    assert list(polish_decoder(TINY, folder / "grown", folder / "polished")) == []
    assert files(folder) == before


def test_polishing_moves_the_decoder_and_leaves_latents_what_they_are(grown) -> None:
    folder, _, _ = grown
    plain = load_autoencoder(TINY, folder / "grown")
    shining = load_autoencoder(TINY, folder / "grown", folder / "polished")
    before, after = plain.state_dict(), shining.state_dict()
    moved = [name for name in before if not torch.equal(before[name], after[name])]
    assert {name.split(".")[0] for name in moved} == {"decoder", "post_quant_conv"}
    pixels_BCHW = pictures_of(TINY, 9)
    latents = [posterior_of(one, pixels_BCHW).mode() for one in (plain, shining)]
    assert torch.equal(*latents)
    assert latents[0].shape == (2, 4, 16, 16)


def test_what_is_loaded_is_frozen(grown) -> None:
    folder, _, _ = grown
    for model in (
        load_autoencoder(TINY, folder / "grown"),
        load_autoencoder(TINY, folder / "grown", folder / "polished"),
        load_autoencoder(TINY, folder / "grown", folder / "not polished yet"),
    ):
        assert not model.training
        assert not any(parameter.requires_grad for parameter in model.parameters())
