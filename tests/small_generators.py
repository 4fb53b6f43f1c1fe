"""Folders of small random models that write: one reads first, one continues."""

from pathlib import Path

import torch
from transformers import PreTrainedTokenizerFast, T5Config, T5ForConditionalGeneration

from small_models import TOKENIZERS, make_model


def write_t5(folder: Path, seed: int = 0) -> Path:
    """A sequence-to-sequence model."""
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=TOKENIZERS["byte pairs"](),
        eos_token="<|end|>",
        pad_token="<|end|>",
        clean_up_tokenization_spaces=False,
    )
    config = T5Config(
        vocab_size=len(tokenizer),
        d_model=32,
        d_kv=8,
        d_ff=48,
        num_layers=2,
        num_heads=4,
        decoder_start_token_id=0,
        eos_token_id=0,
        pad_token_id=0,
    )
    with torch.random.fork_rng(devices=[]):
        # transformers draws new weights from the global generator only
        torch.manual_seed(seed)  # noqa: TID251
        network = T5ForConditionalGeneration(config)
    network.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def write_causal(folder: Path) -> Path:
    """A causal model whose context is 256 tokens."""
    model = make_model("llama", "byte pairs")
    model.model.save_pretrained(folder)
    model.tokenizer.save_pretrained(folder)
    return folder
