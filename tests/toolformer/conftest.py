"""A small model that was really taught, in a few seconds, to call two tools in a few texts."""

import datetime

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from graft.models.huggingface import HuggingFaceModel
from graft.toolformer.call import Call
from graft.toolformer.dataset import Text, splice
from graft.toolformer.tools.calculator import calculator_tool
from graft.toolformer.tools.calendar import calendar_tool
from graft.toolformer.tools.tool import Tool
from small_models import TOKENIZERS, make_model

DAY = datetime.date(2023, 1, 30)
SUM = "Mara had 47 apples and 38 plums, in all"
LETTER = "Dear Teren, today it is"
PLAIN = "The harbour was quiet and"
LESSONS: list[tuple[str, Call | None, str]] = [
    (SUM, Call("Calculator", "47 + 38", "85"), " 85 of them."),
    (LETTER, Call("Calendar", "", "Today is Monday, January 30, 2023."), " Monday."),
    (PLAIN, None, " the moon was bright."),
]


def new_model() -> HuggingFaceModel:
    """A small random Llama with a byte-pair tokenizer of its own."""
    texts = [beginning + str(call) + end for beginning, call, end in LESSONS]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=330,
        special_tokens=["<|end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts * 3, trainer)
    words = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<|end|>",
        eos_token="<|end|>",
        clean_up_tokenization_spaces=False,
    )
    config = LlamaConfig(
        vocab_size=len(words),
        hidden_size=48,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=640,
    )
    with torch.random.fork_rng(devices=[]):
        # transformers draws new weights from the global generator only
        torch.manual_seed(0)  # noqa: TID251
        network = LlamaForCausalLM(config)
    return HuggingFaceModel(network, words, name="small")


@pytest.fixture(scope="session")
def untaught() -> HuggingFaceModel:
    """A small random model."""
    return new_model()


@pytest.fixture(scope="session")
def taught() -> HuggingFaceModel:
    """A small model that knows its lessons by heart, the calls included."""
    model = new_model()
    rows: list[list[int]] = []
    for beginning, call, end in LESSONS:
        tokens, whole = model.encode(beginning), model.encode(beginning + end)
        assert whole[: len(tokens)] == tokens
        calls = [] if call is None else [(len(tokens), call)]
        rows.append([*model.start, *splice(model, whole, calls), model.end])
    optimizer = torch.optim.AdamW(model.model.parameters(), lr=1e-2)
    for _ in range(80):
        for row in rows:
            tokens_1T = torch.tensor([row])
            loss = model.model(input_ids=tokens_1T, labels=tokens_1T).loss
            loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    assert loss.item() < 0.1
    return model


@pytest.fixture
def tools() -> dict[str, Tool]:
    """The calculator and the calendar."""
    return {"Calculator": calculator_tool(), "Calendar": calendar_tool()}


@pytest.fixture
def prompts() -> list[Text]:
    """The beginnings of the lessons, all on the same day."""
    return [
        Text(name, text, DAY) for name, text in zip("abc", (SUM, LETTER, PLAIN), strict=True)
    ]


@pytest.fixture(scope="session", params=list(TOKENIZERS))
def reader(request: pytest.FixtureRequest) -> HuggingFaceModel:
    """One random model with each kind of tokenizer."""
    return make_model("llama", request.param)
