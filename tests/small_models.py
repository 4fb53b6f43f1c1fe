"""Small random models of several architectures, with tokenizers of several conventions."""

from collections.abc import Callable, Sequence

import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
)

from graft.models.huggingface import HuggingFaceModel

CORPUS = [
    "Mara had 47 apples. She bought 38 more [Calculator(47 + 38) -> 85] 85 apples.",
    'The river (Osk) flows through Venna [Search("Osk river") -> Osk > The Osk] slowly.',
    "Today is Monday, January 30, 2023. It costs $1,250.50 or 11.4%!",
    "naïve café — über Straße; 数 学 ok)] )]",
] * 5


def byte_pair(*, prefix_space: bool) -> Tokenizer:
    """As GPT-2: bytes, merges that reach over brackets, a space in front or not."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=prefix_space)
    tokenizer.decoder = decoders.ByteLevel()
    _train(tokenizer, 400, pre_tokenizers.ByteLevel.alphabet())
    return tokenizer


def metaspace(*, dummy: bool) -> Tokenizer:
    """As SentencePiece: a visible space, also in front or not, bytes as fallback."""
    tokenizer = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>"))
    spaces = normalizers.Replace(" ", "▁")
    first = [normalizers.Prepend("▁")] if dummy else []
    tokenizer.normalizer = normalizers.Sequence([*first, spaces])
    tokenizer.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            *([decoders.Strip(" ", 1, 0)] if dummy else []),
        ]
    )
    bytes_in_words = [f"<0x{byte:02X}>" for byte in range(256)]
    _train(tokenizer, 600, [], ["<unk>", *bytes_in_words])
    return tokenizer


def single_bytes() -> Tokenizer:
    """Every byte a token, no merges."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    _train(tokenizer, 257, pre_tokenizers.ByteLevel.alphabet())
    return tokenizer


def _train(
    tokenizer: Tokenizer, size: int, alphabet: list[str], special: Sequence[str] = ()
) -> None:
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=["<|end|>", *special],
        initial_alphabet=alphabet,
        show_progress=False,
    )
    tokenizer.train_from_iterator(CORPUS, trainer)


TOKENIZERS: dict[str, Callable[[], Tokenizer]] = {
    "byte pairs": lambda: byte_pair(prefix_space=False),
    "byte pairs, space in front": lambda: byte_pair(prefix_space=True),
    "sentence pieces, dummy space": lambda: metaspace(dummy=True),
    "sentence pieces, no dummy": lambda: metaspace(dummy=False),
    "bytes": single_bytes,
}


def gpt2(size: int) -> PreTrainedModel:
    return GPT2LMHeadModel(
        GPT2Config(vocab_size=size, n_positions=256, n_embd=32, n_layer=2, n_head=2)
    )


def llama(size: int) -> PreTrainedModel:
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=size,
            hidden_size=32,
            intermediate_size=48,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=256,
        )
    )


def qwen(size: int) -> PreTrainedModel:
    return Qwen2ForCausalLM(
        Qwen2Config(
            vocab_size=size,
            hidden_size=32,
            intermediate_size=48,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=256,
        )
    )


ARCHITECTURES = {"gpt2": gpt2, "llama": llama, "qwen2": qwen}


def make_model(architecture: str, convention: str) -> HuggingFaceModel:
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=TOKENIZERS[convention](),
        bos_token="<|end|>",
        eos_token="<|end|>",
        clean_up_tokenization_spaces=False,
    )
    with torch.random.fork_rng(devices=[]):
        # transformers draws new weights from the global generator only
        torch.manual_seed(0)  # noqa: TID251
        network = ARCHITECTURES[architecture](len(tokenizer))
    with torch.no_grad():  # far from uniform, so that a wrong position shows
        for parameter in network.parameters():
            if parameter.ndim > 1:
                parameter.mul_(4)
    return HuggingFaceModel(network, tokenizer, name=f"{architecture}, {convention}")
