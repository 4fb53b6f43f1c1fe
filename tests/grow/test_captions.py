"""The words of the little world are tokens, and all others are spelt."""

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer, CLIPTokenizer

from graft.grow.captions import LONGEST, new_caption_tokenizer, tokens_of
from graft.world.pictures import COLOURS, PATTERNS, PLACES, draw_picture
from graft.world.shapes import SHAPES


@pytest.fixture(scope="module")
def words() -> CLIPTokenizer:
    return new_caption_tokenizer()


def ids(words: CLIPTokenizer, text: str) -> list[int]:
    """Between start and end."""
    return words(text)["input_ids"][1:-1]


def test_every_word_of_the_world_is_one_token(words: CLIPTokenizer) -> None:
    named = {*COLOURS, *SHAPES, *PATTERNS[1:], *" ".join(PLACES).split()}
    for seed in range(200):
        caption = draw_picture(np.random.default_rng(seed)).caption
        named |= set(caption.replace(",", " ,").split())
    assert {word: len(ids(words, word)) for word in named} == dict.fromkeys(named, 1)
    assert len({ids(words, word)[0] for word in named}) == len(named)


def test_a_caption_has_as_many_tokens_as_words_and_commas(words: CLIPTokenizer) -> None:
    caption = "a large red circle at the left, an orange star and a ring on a blue background"
    assert len(ids(words, caption)) == len(caption.replace(",", " ,").split()) == 18


def test_a_word_of_another_world_is_made_of_its_letters(words: CLIPTokenizer) -> None:
    assert words.tokenize("qxz") == ["q", "x", "z</w>"]
    assert words.tokenize("x9") == ["x</w>", "9</w>"]


@pytest.mark.parametrize("text", ["zebra", "a naïve café", "a zebra !", "日本"])
def test_what_is_spelt_is_read_back(words: CLIPTokenizer, text: str) -> None:
    assert words.decode(ids(words, text)).strip() == text
    assert words.unk_token_id not in ids(words, text)


def test_letters_are_read_in_lower_case(words: CLIPTokenizer) -> None:
    assert ids(words, "A Red CIRCLE") == ids(words, "a red circle")


def test_the_empty_caption_is_a_start_and_ends(words: CLIPTokenizer) -> None:
    [tokens_T] = tokens_of(words, [""]).tolist()
    assert tokens_T == [words.bos_token_id] + [words.eos_token_id] * (LONGEST - 1)


def test_captions_are_all_of_one_length_and_what_is_longer_is_cut(words: CLIPTokenizer) -> None:
    tokens_NT = tokens_of(words, ["a star", "a " * 100])
    assert tokens_NT.shape == (2, LONGEST)
    assert tokens_NT.dtype == torch.int64
    assert tokens_NT[1, -1] == words.eos_token_id
    assert set(tokens_NT[1, 1:-1].tolist()) == set(ids(words, "a"))


def test_no_caption_of_the_world_is_cut(words: CLIPTokenizer) -> None:
    captions = [draw_picture(np.random.default_rng(seed)).caption for seed in range(200)]
    assert max(len(words(caption)["input_ids"]) for caption in captions) <= LONGEST


@pytest.mark.parametrize("load", [CLIPTokenizer, AutoTokenizer])
def test_saved_and_loaded_it_says_the_same(words: CLIPTokenizer, load, tmp_path: Path) -> None:
    words.save_pretrained(tmp_path)
    again = load.from_pretrained(tmp_path)
    texts = ["a red circle at the top", "", "zebra 47, naïve!", "a " * 50]
    assert torch.equal(tokens_of(again, texts), tokens_of(words, texts))
    assert again.model_max_length == LONGEST
    assert len(again) == len(words)


def test_it_hangs_on_its_seed_alone_and_leaves_the_global_one_alone() -> None:
    before = torch.random.get_rng_state()
    one, again = new_caption_tokenizer(60), new_caption_tokenizer(60)
    assert one.get_vocab() == again.get_vocab()
    assert one.get_vocab() != new_caption_tokenizer(3).get_vocab()
    assert torch.equal(torch.random.get_rng_state(), before)
