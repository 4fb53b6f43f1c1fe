"""A small model that is really taught, in a few seconds, to call tools in a few texts."""

from collections.abc import Sequence

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from graft.models.huggingface import HuggingFaceModel
from graft.toolformer.call import Call
from graft.toolformer.dataset import splice

Lesson = tuple[str, Call | None, str]
"""How a text begins, the call that stands there if any, and how it goes on."""


def new_model(lessons: Sequence[Lesson]) -> HuggingFaceModel:
    """A small random Llama with a byte-pair tokenizer of its own."""
    texts = [beginning + str(call) + end for beginning, call, end in lessons]
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


def taught_model(lessons: Sequence[Lesson]) -> HuggingFaceModel:
    """The same, once it knows its lessons by heart, the calls included."""
    model = new_model(lessons)
    rows: list[list[int]] = []
    for beginning, call, end in lessons:
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
