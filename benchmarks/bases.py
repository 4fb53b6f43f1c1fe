"""The models and texts that the benchmarks measure on; all made here, nothing downloaded."""

import json
from collections.abc import Iterator

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from graft.models.huggingface import HuggingFaceModel, load_model
from graft.toolformer.dataset import Text
from graft.world.shipped import FOLDER

BASES = ("seedling", "50m")
_PIECES = 32_000  # as large a vocabulary as models of this size have; the rest is never fed


def load_base(name: str) -> HuggingFaceModel:
    """`seedling`, or a Llama of 50 million random weights with the seedling's tokenizer."""
    seedling = load_model("seedling", device="cpu")
    if name == "seedling":
        return seedling
    shape = LlamaConfig(
        vocab_size=_PIECES,
        hidden_size=576,
        intermediate_size=1536,
        num_hidden_layers=8,
        num_attention_heads=9,
        num_key_value_heads=9,
        max_position_embeddings=1024,
        tie_word_embeddings=True,
        bos_token_id=seedling.end,
        eos_token_id=seedling.end,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)  # noqa: TID251 - transformers draws from the global generator
        return HuggingFaceModel(LlamaForCausalLM(shape), seedling.tokenizer, name=name)


def documents(model: HuggingFaceModel, count: int, tokens: int = 120) -> list[Text]:
    """Documents of about so many tokens: the little world's stories, joined."""
    stories = _stories()
    made: list[Text] = []
    while len(made) < count:
        joined = next(stories)
        while len(model.encode(joined)) < tokens:
            joined += "\n" + next(stories)
        made.append(Text(str(len(made)), joined))
    return made


def _stories() -> Iterator[str]:
    while True:
        with (FOLDER / "corpus.jsonl").open(encoding="utf-8") as lines:
            for line in lines:
                yield json.loads(line)["text"]


def parameters(model: HuggingFaceModel) -> int:
    """How many weights a model has, shared ones counted once."""
    return sum(p.numel() for p in model.model.parameters())
