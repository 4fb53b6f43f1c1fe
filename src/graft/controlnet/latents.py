"""Latents and words of pairs, computed once and kept by the hash of what they were made of.

    FOLDER/HASH.safetensors   latents [N, C, h, w], words [U, T, D], word_of [N], pooled [U, P]

HASH covers the pictures' pixels, the captions, and the weights of the base's encoders, so a
file serves every run, and every condition, on the same pictures. Numbers are in half
precision; a picture is read when it is asked for.

Legend: N pairs, U different captions, C channels, h and w latent pixels, T tokens, D width.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from graft.controlnet.dataset import Pair
from graft.errors import StoreError
from graft.models.diffusion import DiffusionModel, Words
from graft.store.whole import whole_file, writing


@dataclass(frozen=True, slots=True)
class Encoded:
    """A file of latents and words; they are read from it one by one."""

    path: Path
    ids: tuple[str, ...]

    def latents(self, index: int) -> Tensor:
        """The latents [C, h, w] of pair `index`."""
        with self._open() as file:
            return file.get_slice("latents")[index : index + 1][0].float()

    def words(self, index: int) -> Words:
        """The caption of pair `index` as the base reads it, in a batch of one."""
        with self._open() as file:
            at = int(file.get_slice("word_of")[index : index + 1][0])
            states = file.get_slice("words")[at : at + 1].float()
            if "pooled" not in file.keys():  # noqa: SIM118  # it is no dictionary
                return Words(states)
            return Words(states, file.get_slice("pooled")[at : at + 1].float())

    def _open(self) -> safe_open:
        try:
            return safe_open(self.path, framework="pt")
        except (OSError, SafetensorError) as error:
            raise StoreError(
                f"{self.path}: cannot be read ({error}); delete it and run the command again"
            ) from error


def encode_pairs(
    pairs: Sequence[Pair], model: DiffusionModel, folder: Path, origin: str
) -> Encoded:
    """The latents and words of `pairs`, from `folder` where they lie there already.

    Args:
        pairs: of one size.
        model: the base; its encoders must be on the device.
        folder: where the files are kept; several runs may share it.
        origin: the base's digest.
    """
    ids = tuple(pair.id for pair in pairs)
    path = folder / f"{hash_of(pairs, origin)}.safetensors"
    if not path.exists():
        content = save(_tensors(pairs, model))
        with whole_file(path) as file, writing(path):
            file.write(content)
    return Encoded(path, ids)


def hash_of(pairs: Sequence[Pair], origin: str) -> str:
    """The hash of everything that latents and words depend on."""
    digest = hashlib.blake2b(origin.encode(), digest_size=20)
    for pair in pairs:
        caption = pair.caption.encode()
        digest.update(f"{pair.pixels_HWC.shape} {len(caption)} ".encode())
        digest.update(caption)
        digest.update(np.ascontiguousarray(pair.pixels_HWC).data)
    return digest.hexdigest()


def _tensors(pairs: Sequence[Pair], model: DiffusionModel) -> dict[str, Tensor]:
    latents_NChw = model.encode(np.stack([pair.pixels_HWC for pair in pairs]))
    places = {caption: n for n, caption in enumerate(sorted({pair.caption for pair in pairs}))}
    words = model.embed(list(places))
    tensors = {
        "latents": latents_NChw.half().cpu().contiguous(),
        "words": words.states_BTD.half().cpu().contiguous(),
        "word_of": torch.tensor([places[pair.caption] for pair in pairs]),
    }
    if words.pooled_BP is not None:
        tensors["pooled"] = words.pooled_BP.half().cpu().contiguous()
    return tensors
