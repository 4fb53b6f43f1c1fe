import math

import pytest
import torch
from tokenizers import Tokenizer, models
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

from graft.measure.text import perplexity
from graft.models.huggingface import HuggingFaceModel

OPEN, NAME = 5, 6
TEXTS = [[1, 2, 3, 4, 9], [7], [8, 2, 2, 1, 3, 3, 10, 4]]


@pytest.fixture(scope="module")
def model() -> HuggingFaceModel:
    words = {"<e>": 0, **{letter: 1 + k for k, letter in enumerate("abcdefghijk")}}
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.WordLevel(words, unk_token="<e>")),
        bos_token="<e>",
        eos_token="<e>",
    )
    config = GPT2Config(
        vocab_size=12, n_embd=16, n_layer=2, n_head=2, n_positions=16, initializer_range=0.4,
        bos_token_id=0, eos_token_id=0,
    )  # fmt: skip
    with torch.random.fork_rng():
        torch.random.default_generator.manual_seed(3)
        network = GPT2LMHeadModel(config)
    return HuggingFaceModel(network, tokenizer, name="tiny", batch_tokens=32)


@torch.no_grad()
def probabilities(model: HuggingFaceModel, text: list[int]) -> torch.Tensor:
    """p(next) before each token of a text, one text at a time through the whole model."""
    logits = model.model(input_ids=torch.tensor([[0, *text]])).logits[0, :-1]
    return logits.double().softmax(dim=-1)


def test_perplexity_is_that_of_all_tokens_of_all_texts(model: HuggingFaceModel) -> None:
    logs = [
        float(probabilities(model, text)[at, token].log())
        for text in TEXTS
        for at, token in enumerate(text)
    ]
    assert len(logs) == 14
    assert perplexity(model, TEXTS) == pytest.approx(math.exp(-sum(logs) / 14), rel=1e-5)


def test_a_model_that_knows_nothing_is_as_perplexed_as_it_has_words(
    model: HuggingFaceModel,
) -> None:
    network = GPT2LMHeadModel(model.model.config)
    for parameter in network.parameters():
        parameter.data.zero_()
    flat = HuggingFaceModel(network, model.tokenizer)
    assert perplexity(flat, TEXTS) == pytest.approx(12.0)
    assert perplexity(flat, TEXTS, disabled=[OPEN]) == pytest.approx(11.0)


def test_a_disabled_marker_leaves_its_probability_to_the_others(
    model: HuggingFaceModel,
) -> None:
    logs = []
    for text in TEXTS:
        p_TV = probabilities(model, text)
        for at, token in enumerate(text):
            logs.append(float(p_TV[at, token].log() - (1 - p_TV[at, OPEN]).log()))
    expected = math.exp(-sum(logs) / len(logs))
    assert perplexity(model, TEXTS, disabled=[OPEN]) == pytest.approx(expected, rel=1e-5)
    assert perplexity(model, TEXTS, disabled=[OPEN]) < perplexity(model, TEXTS)


def test_a_text_that_says_the_marker_is_not_infinitely_perplexing(
    model: HuggingFaceModel,
) -> None:
    text = [1, OPEN, 2]
    p_TV = probabilities(model, text)
    loss = -math.log(p_TV[0, 1] / (1 - p_TV[0, OPEN]))
    loss -= math.log(p_TV[1, OPEN])
    loss -= math.log(p_TV[2, 2] / (1 - p_TV[2, OPEN]))
    assert perplexity(model, [text], disabled=[OPEN]) == pytest.approx(
        math.exp(loss / 3), rel=1e-5
    )


def test_a_longer_marker_is_ruled_out_where_it_would_be_completed(
    model: HuggingFaceModel,
) -> None:
    text = [1, OPEN, 2, NAME, OPEN, NAME]
    p_TV = probabilities(model, text)
    loss = -sum(math.log(p_TV[at, token]) for at, token in enumerate(text))
    loss += math.log(1 - p_TV[2, NAME])  # the only place: after OPEN, and not NAME itself
    assert perplexity(model, [text], disabled=[OPEN, NAME]) == pytest.approx(
        math.exp(loss / 6), rel=1e-5
    )


def test_a_text_longer_than_the_context_is_read_in_pieces(model: HuggingFaceModel) -> None:
    text = [1 + k * k % 11 for k in range(40)]
    pieces = [text[:15], text[15:30], text[30:]]
    assert perplexity(model, [text]) == pytest.approx(perplexity(model, pieces))


def test_no_tokens_have_no_perplexity(model: HuggingFaceModel) -> None:
    with pytest.raises(ValueError, match="no tokens"):
        perplexity(model, [[], []])
