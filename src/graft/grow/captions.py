"""The diffusion seedling's tokenizer: CLIP's kind, its words those of the little world."""

import json
from collections.abc import Sequence
from typing import cast

import numpy as np
import torch
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers
from torch import Tensor
from transformers import CLIPTokenizer

from graft.world.pictures import draw_picture

LONGEST = 32
"""Tokens of a caption, its start and end among them; what is longer is cut."""

_START, _END = "<|startoftext|>", "<|endoftext|>"
_WORDS = r"[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"


def new_caption_tokenizer(captions: int = 2000, seed: int = 7) -> CLIPTokenizer:
    """CLIP's tokenizer with merges learnt from captions of the little world.

    Each word of the world is one token; any other word is made of its letters.
    """
    tokenizer = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_WORDS), behavior="removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=2048,
        special_tokens=[*alphabet, *(letter + "</w>" for letter in alphabet), _START, _END],
        end_of_word_suffix="</w>",
        show_progress=False,
    )
    drawn = (draw_picture(np.random.default_rng((seed, 2, n))).caption for n in range(captions))
    tokenizer.train_from_iterator(drawn, trainer)
    model = json.loads(tokenizer.to_str())["model"]
    return CLIPTokenizer(
        vocab=model["vocab"],
        merges=cast("list[str]", [tuple(pair) for pair in model["merges"]]),  # pairs, in truth
        model_max_length=LONGEST,
    )


def tokens_of(tokenizer: CLIPTokenizer, captions: Sequence[str]) -> Tensor:
    """The tokens [N, T] of captions, each as long as the longest may be."""
    encoded = tokenizer(
        list(captions), padding="max_length", max_length=LONGEST, truncation=True
    )
    return torch.tensor(encoded["input_ids"], dtype=torch.int64)
