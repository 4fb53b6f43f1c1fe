"""Latents and words that are kept, beside those computed directly."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from graft.controlnet.condition import Condition
from graft.controlnet.dataset import Pair
from graft.controlnet.latents import encode_pairs, hash_of
from graft.errors import StoreError
from graft.models.diffusion import DiffusionModel
from small_bases import make_base

CAPTIONS = ("a red circle", "a blue star", "a red circle")


def pair(number: int, caption: str) -> Pair:
    rng = np.random.default_rng(number)
    pixels_HWC = rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)
    return Pair(f"pair {number}", pixels_HWC, caption, Condition("canny", pixels_HWC // 2))


@pytest.fixture
def pairs() -> list[Pair]:
    return [pair(number, caption) for number, caption in enumerate(CAPTIONS)]


@pytest.fixture(scope="module", params=["sd1", "sdxl"])
def base(request: pytest.FixtureRequest) -> DiffusionModel:
    return make_base(request.param)


class Counted:
    """How many pictures and prompts the base's encoders are given."""

    def __init__(self, model: DiffusionModel) -> None:
        self.pictures = self.prompts = 0
        encoders: list[nn.Module] = [model.vae.encoder, model.pipeline.text_encoder]
        adds = (self._add_pictures, self._add_prompts)
        pairs = zip(encoders, adds, strict=True)
        self._handles = [part.register_forward_hook(add) for part, add in pairs]

    def _add_pictures(self, _: nn.Module, __: object, latents: torch.Tensor) -> None:
        self.pictures += len(latents)

    def _add_prompts(self, _: nn.Module, __: object, said: dict[str, torch.Tensor]) -> None:
        self.prompts += len(said["last_hidden_state"])

    def __enter__(self) -> "Counted":
        return self

    def __exit__(self, *_: object) -> None:
        for handle in self._handles:
            handle.remove()


def test_latents_and_words_are_those_of_the_base_to_half_precision(
    base: DiffusionModel, pairs: list[Pair], tmp_path: Path
) -> None:
    encoded = encode_pairs(pairs, base, tmp_path, "origin")
    assert encoded.ids == ("pair 0", "pair 1", "pair 2")
    for index, one in enumerate(pairs):
        latents = base.encode(one.pixels_HWC[None])[0]
        torch.testing.assert_close(encoded.latents(index), latents, rtol=1e-3, atol=1e-4)
        words, direct = encoded.words(index), base.embed([one.caption])
        assert words.states_BTD.dtype == torch.float32
        torch.testing.assert_close(words.states_BTD, direct.states_BTD, rtol=1e-3, atol=1e-4)
        assert (words.pooled_BP is None) == (direct.pooled_BP is None)
        if words.pooled_BP is not None and direct.pooled_BP is not None:
            torch.testing.assert_close(words.pooled_BP, direct.pooled_BP, rtol=1e-3, atol=1e-4)


def test_a_caption_is_encoded_once_and_a_kept_file_asks_the_base_nothing(
    pairs: list[Pair], tmp_path: Path
) -> None:
    base = make_base("sd1")
    with Counted(base) as counted:
        first = encode_pairs(pairs, base, tmp_path, "origin")
        assert (counted.pictures, counted.prompts) == (3, 2)
        again = encode_pairs(pairs, base, tmp_path, "origin")
        assert (counted.pictures, counted.prompts) == (3, 2)
    assert again == first
    assert torch.equal(again.latents(2), first.latents(2))
    assert [path.name for path in tmp_path.iterdir()] == [first.path.name]


def test_another_condition_or_id_is_served_by_the_same_file(
    pairs: list[Pair], tmp_path: Path
) -> None:
    base = make_base("sd1")
    first = encode_pairs(pairs, base, tmp_path, "origin")
    others = [
        replace(one, id=f"other {one.id}", condition=Condition("tile", one.pixels_HWC))
        for one in pairs
    ]
    second = encode_pairs(others, base, tmp_path, "origin")
    assert second.path == first.path
    assert second.ids == ("other pair 0", "other pair 1", "other pair 2")


def test_the_hash_covers_captions_pixels_their_order_and_the_base(pairs: list[Pair]) -> None:
    dot_HWC = pairs[0].pixels_HWC.copy()
    dot_HWC[0, 0, 0] ^= 1
    turned_HWC = np.ascontiguousarray(pairs[0].pixels_HWC.reshape(16, 64, 3))
    others = [
        ([replace(pairs[0], caption="a red circl"), *pairs[1:]], "origin"),
        ([replace(pairs[0], caption=pairs[0].caption[::-1]), *pairs[1:]], "origin"),
        ([replace(pairs[0], pixels_HWC=dot_HWC), *pairs[1:]], "origin"),
        ([replace(pairs[0], pixels_HWC=turned_HWC), *pairs[1:]], "origin"),
        (pairs[::-1], "origin"),
        (pairs[:2], "origin"),
        (pairs, "another base"),
    ]
    hashes = {hash_of(some, origin) for some, origin in others} | {hash_of(pairs, "origin")}
    assert len(hashes) == 8
    assert hash_of(list(pairs), "origin") == hash_of(tuple(pairs), "origin")


def test_the_hash_is_of_the_pixels_however_they_lie_in_memory(pairs: list[Pair]) -> None:
    strided_HWC = np.asfortranarray(pairs[0].pixels_HWC)
    strided = [replace(pairs[0], pixels_HWC=strided_HWC), *pairs[1:]]
    assert hash_of(strided, "origin") == hash_of(pairs, "origin")


@pytest.mark.parametrize("left", [0.0, 0.5, 0.99])
def test_a_truncated_file_is_refused_by_name(
    pairs: list[Pair], tmp_path: Path, left: float
) -> None:
    encoded = encode_pairs(pairs, make_base("sd1"), tmp_path, "origin")
    content = encoded.path.read_bytes()
    encoded.path.write_bytes(content[: int(len(content) * left)])
    for read in (encoded.latents, encoded.words):
        with pytest.raises(StoreError, match=rf"{encoded.path}: cannot be read .* delete it"):
            read(0)


def test_a_file_that_is_gone_is_refused_by_name(pairs: list[Pair], tmp_path: Path) -> None:
    encoded = encode_pairs(pairs, make_base("sd1"), tmp_path, "origin")
    encoded.path.unlink()
    with pytest.raises(StoreError, match=str(encoded.path)):
        encoded.latents(0)
