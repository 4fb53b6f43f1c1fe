"""Models that translate: NLLB, M2M100, Marian of `transformers`, or a folder of CTranslate2.

A model is loaded once and translates a batch in one call, whatever languages its texts are in.
"""

import functools
import hashlib
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol, cast, runtime_checkable

import torch
from torch import nn
from transformers import (
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from graft.errors import ModelError
from graft.models.folder import place_is_folder, read_model

MOST_TOKENS = 256
"""Of a translation."""
LONGEST_INPUT = 512

_CODE = re.compile(r"[a-z]{2,3}_[A-Z][A-Za-z]{1,3}")
_TARGET = re.compile(r">>(?P<code>[a-z]{2,3})(?:_[A-Za-z]+)?<<")
_CTRANSLATE = "model.bin"

Generate = Callable[[Sequence[Sequence[int]], str | None], list[list[int]]]
"""Tokens of translations, of tokens of texts and the token that begins each translation."""


@runtime_checkable
class Result(Protocol):
    """What CTranslate2 says to one text."""

    hypotheses: list[list[str]]


@runtime_checkable
class Engine(Protocol):
    """What is used of a translator of CTranslate2."""

    def translate_batch(
        self,
        source: list[list[str]],
        target_prefix: list[list[str]] | None,
        *,
        beam_size: int,
        max_decoding_length: int,
    ) -> list[Result]:
        """The likeliest translations of each text."""
        ...


class TranslationModel:
    """A tokenizer that knows codes of languages, and what generates after it.

    `sources` and `targets` are the codes that it translates from and into.
    """

    def __init__(
        self, tokenizer: PreTrainedTokenizerBase, generate: Generate, fingerprint: str
    ) -> None:
        self._tokenizer, self._generate = tokenizer, generate
        self.fingerprint = fingerprint
        self._lock = threading.Lock()  # the tokenizer keeps the language that it reads
        self._tokens = _tokens_of_languages(tokenizer)
        self._prefixes = _prefixes(tokenizer)
        both = sorted(self._tokens)
        self.sources = both or _told_of(tokenizer, "source_lang")
        self.targets = both or sorted(self._prefixes) or _told_of(tokenizer, "target_lang")

    def translate(self, asked: Sequence[tuple[str, str]], to: str) -> list[str]:
        """Each text, given with the code of its language, in the language `to`."""
        if not asked:
            return []
        with self._lock:
            rows = [self._encoded(text, source, to) for text, source in asked]
            said = self._generate(rows, self._tokens.get(to))
            return [
                str(self._tokenizer.decode(one, skip_special_tokens=True)).strip()
                for one in said
            ]

    def _encoded(self, text: str, source: str, to: str) -> list[int]:
        if self._tokens:
            self._tokenizer.src_lang = source
        written = f"{self._prefixes[to]} {text}" if to in self._prefixes else text
        ids: object = self._tokenizer(written, truncation=True, max_length=LONGEST_INPUT)
        return cast("Mapping[str, list[int]]", ids)["input_ids"]


def load_translator(place: str) -> TranslationModel:
    """The model at a folder or hub id.

    Raises:
        ModelError: it cannot be read, or a package is missing.
    """
    if place_is_folder(place) and (Path(place) / _CTRANSLATE).is_file():
        return _with_ctranslate2(Path(place))
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    network, tokenizer = read_model(
        place, "float16" if device.type == "cuda" else "float32", sequences=True
    )
    nn.Module.to(network, device)
    return of_transformers(network, tokenizer)


def of_transformers(
    network: PreTrainedModel, tokenizer: PreTrainedTokenizerBase
) -> TranslationModel:
    """A model of `transformers` that is there already."""
    generate = functools.partial(_generated, network.eval(), tokenizer)
    return TranslationModel(tokenizer, generate, _fingerprint(network))


def _generated(
    network: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    rows: Sequence[Sequence[int]],
    first: str | None,
) -> list[list[int]]:
    inputs = tokenizer.pad({"input_ids": [*map(list, rows)]}, return_tensors="pt").to(
        network.device
    )
    forced = None if first is None else tokenizer.convert_tokens_to_ids(first)
    generate = cast("Callable[..., torch.Tensor]", network.generate)
    with torch.inference_mode():
        said_BT = generate(
            **inputs, forced_bos_token_id=forced, do_sample=False, max_new_tokens=MOST_TOKENS
        )
    return cast("list[list[int]]", said_BT.tolist())


def _with_ctranslate2(folder: Path) -> TranslationModel:
    """A folder that `ct2-transformers-converter` made, with the tokenizer's files in it."""
    try:
        import ctranslate2
    except ImportError as error:
        raise ModelError(
            f"{folder}: for a model of CTranslate2, pip install 'graft-models[mt]'"
        ) from error
    device = "cuda" if ctranslate2.get_cuda_device_count() else "cpu"
    try:
        engine = cast("Engine", ctranslate2.Translator(str(folder), device=device))
        tokenizer = cast("PreTrainedTokenizerBase", AutoTokenizer.from_pretrained(folder))
    except (RuntimeError, OSError, ValueError) as error:
        raise ModelError(
            f"{folder}: not read: {error}; convert the model with `ct2-transformers-converter"
            " --copy_files` and the names of its tokenizer's files"
        ) from error
    generate = functools.partial(_generated_by_ctranslate2, engine, tokenizer)
    with (folder / _CTRANSLATE).open("rb") as file:
        told = hashlib.file_digest(file, "blake2b").hexdigest()[:12]
    return TranslationModel(tokenizer, generate, told)


def _generated_by_ctranslate2(
    engine: Engine,
    tokenizer: PreTrainedTokenizerBase,
    rows: Sequence[Sequence[int]],
    first: str | None,
) -> list[list[int]]:
    pieces = [tokenizer.convert_ids_to_tokens([*row]) for row in rows]
    results = engine.translate_batch(
        cast("list[list[str]]", pieces),
        None if first is None else [[first]] * len(rows),
        beam_size=1,
        max_decoding_length=MOST_TOKENS,
    )
    return [
        cast("list[int]", tokenizer.convert_tokens_to_ids(one.hypotheses[0])) for one in results
    ]


def _tokens_of_languages(tokenizer: PreTrainedTokenizerBase) -> dict[str, str]:
    """The token of each language's code, where a token names the language."""
    told = cast("dict[str, str]", getattr(tokenizer, "lang_code_to_token", None) or {})
    if told:
        return dict(told)
    added = cast("Callable[[], dict[str, int]]", tokenizer.get_added_vocab)
    return {one: one for one in added() if _CODE.fullmatch(one)}


def _prefixes(tokenizer: PreTrainedTokenizerBase) -> dict[str, str]:
    """Marian models of several targets: what stands in front of a text, by its code."""
    told = cast("list[str]", getattr(tokenizer, "supported_language_codes", None) or [])
    found = [(_TARGET.fullmatch(one), one) for one in told]
    return {match["code"]: one for match, one in found if match}


def _told_of(tokenizer: PreTrainedTokenizerBase, name: str) -> list[str]:
    """Marian's tokenizers name one language, or several with `+` between."""
    told: object = getattr(tokenizer, name, None)
    return told.split("+") if isinstance(told, str) else []


def _fingerprint(network: PreTrainedModel) -> str:
    """Changes with the settings and, all but surely, with the weights."""
    told = hashlib.blake2b(network.config.to_json_string().encode(), digest_size=6)
    for name, tensor in network.named_parameters():
        told.update(f"{name} {tensor.detach().flatten()[:32].tolist()}".encode())
    return told.hexdigest()
