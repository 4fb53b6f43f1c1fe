"""Text to text, many at once: what a tool asks of a model that it is made of.

A causal model continues its prompt; a sequence-to-sequence model reads it and writes. Always
the likeliest token, so the same prompt gets the same text.

Legend: B rows, T tokens.
"""

import functools
import hashlib
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase, PreTrainedTokenizerFast

from graft.errors import ModelError
from graft.models.folder import place_is_folder, read_model, reads_then_writes
from graft.models.huggingface import HuggingFaceModel, best_device, load_model
from graft.models.seedlings import SEEDLINGS
from graft.models.slots import pad

ROWS = 32
"""Prompts that are continued together."""


@runtime_checkable
class Generator(Protocol):
    """A model as a function from text to text."""

    @property
    def version(self) -> str:
        """Changes whenever the same prompt may get another text."""
        ...

    def generate(
        self, prompts: Sequence[str], *, max_tokens: int, stop: Sequence[str] = ()
    ) -> list[str]:
        """What the model writes to each prompt, up to the first of `stop`, without it.

        Raises:
            ModelError: a prompt does not fit its context.
            ToolError: it is an endpoint and has no answer; `LateError` if it is away.
        """
        ...


class CausalGenerator:
    """Continues its prompt with a causal model."""

    def __init__(self, model: HuggingFaceModel) -> None:
        self.model = model

    @property
    def version(self) -> str:
        """A hash of weights and tokenizer."""
        return self._hash

    @functools.cached_property
    def _hash(self) -> str:
        return _hash_of(self.model.model, self.model.tokenizer)

    def generate(
        self, prompts: Sequence[str], *, max_tokens: int, stop: Sequence[str] = ()
    ) -> list[str]:
        """The likeliest continuation of each prompt, as `Generator` says."""
        read = [self.model.encode(prompt) for prompt in prompts]
        for tokens in read:
            if len(tokens) + max_tokens >= self.model.context:
                raise ModelError(
                    f"{self.model.name}: a prompt of {len(tokens)} tokens leaves no room for"
                    f" {max_tokens} more in its context of {self.model.context}; shorten it"
                )
        found = dict[int, str]()
        for rows in _groups(read):
            texts = self._continued([read[row] for row in rows], max_tokens, stop)
            found.update(zip(rows, texts, strict=True))
        return [found[row] for row in range(len(prompts))]

    def _continued(
        self, prompts: list[list[int]], max_tokens: int, stop: Sequence[str]
    ) -> list[str]:
        decoder = self.model.decoder(len(prompts))
        written: list[list[int]] = [[] for _ in prompts]
        feeds = dict(enumerate(prompts))
        for _ in range(max_tokens):
            logprob_BV = decoder.feed(list(feeds), list(feeds.values()))
            chosen = dict(zip(feeds, logprob_BV.argmax(-1).tolist(), strict=True))
            feeds = {}
            for row, token in chosen.items():
                if token == self.model.end:
                    continue
                written[row].append(token)
                if not _stops(self._text(prompts[row], written[row]), stop):
                    feeds[row] = [token]
            if not feeds:
                break
        texts = map(self._text, prompts, written)
        return [cut_at(text, stop) for text in texts]

    def _text(self, prompt: list[int], written: list[int]) -> str:
        """What was written as it stands behind the prompt, a space in front included."""
        before = prompt[-4:]
        return self.model.decode([*before, *written])[len(self.model.decode(before)) :]


class SequenceGenerator:
    """Reads its prompt and writes, with a sequence-to-sequence model of `transformers`."""

    def __init__(
        self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, name: str
    ) -> None:
        self.model, self.tokenizer, self.name = model.eval(), tokenizer, name

    @property
    def version(self) -> str:
        """A hash of weights and tokenizer."""
        return self._hash

    @functools.cached_property
    def _hash(self) -> str:
        return _hash_of(self.model, self.tokenizer)

    @property
    def context(self) -> int:
        """The most tokens that it reads; positions that are relative know no bound."""
        shape = self.model.config
        most = getattr(shape, "max_position_embeddings", 0) or getattr(shape, "n_positions", 0)
        return int(most or 2048)

    def generate(
        self, prompts: Sequence[str], *, max_tokens: int, stop: Sequence[str] = ()
    ) -> list[str]:
        """The likeliest text to each prompt, token by token, as `Generator` says."""
        read = [list(self.tokenizer.encode(prompt, verbose=False)) for prompt in prompts]
        if (longest := max(map(len, read), default=0)) > self.context:
            raise ModelError(
                f"{self.name}: a prompt of {longest} tokens is longer than the {self.context}"
                " that it reads; shorten it"
            )
        found = dict[int, str]()
        for rows in _groups(read):
            texts = self._written([read[row] for row in rows], max_tokens)
            found.update(zip(rows, (cut_at(text, stop) for text in texts), strict=True))
        return [found[row] for row in range(len(prompts))]

    @torch.inference_mode()
    def _written(self, prompts: list[list[int]], max_tokens: int) -> list[str]:
        width = max(map(len, prompts))
        length_B = torch.tensor([len(tokens) for tokens in prompts])
        written_BT: Tensor = self.model.generate(  # pyright: ignore[reportCallIssue] - a mixin's
            input_ids=pad(prompts, width).to(self.model.device),
            attention_mask=(torch.arange(width) < length_B[:, None]).to(self.model.device),
            max_new_tokens=max_tokens,
            do_sample=False,
            num_beams=1,
        )
        return self.tokenizer.batch_decode(written_BT, skip_special_tokens=True)


def load_local(place: str) -> CausalGenerator | SequenceGenerator:
    """The model at a folder or hub id, or `seedling`; loaded once for a state of its files.

    Which kind it is, its configuration says. Safetensors only; code that it brings is not run.

    Raises:
        ModelError: it cannot be loaded; says why, and the remedy.
    """
    where = SEEDLINGS.get(place, place)
    with _loading:
        key = (str(where), *_state_of(where))
        if key not in _loaded:
            for old in [one for one in _loaded if one[0] == key[0]]:
                del _loaded[old]
            _loaded[key] = _load(place, where)
        return _loaded[key]


def cut_at(text: str, stop: Sequence[str]) -> str:
    """`text` up to the first place where one of `stop` stands."""
    return text[: min((at for one in stop if (at := text.find(one)) >= 0), default=None)]


_loading = threading.Lock()
_loaded: dict[tuple[object, ...], CausalGenerator | SequenceGenerator] = {}


def _load(place: str, where: str | Path) -> CausalGenerator | SequenceGenerator:
    if not reads_then_writes(where):
        return CausalGenerator(load_model(place))
    device = best_device()
    dtype = "float32" if device == "cpu" else "bfloat16"
    network, tokenizer = read_model(where, dtype, sequences=True)
    network.to(device)  # pyright: ignore[reportArgumentType] - its stub knows no strings
    return SequenceGenerator(network, tokenizer, place)


def _state_of(where: str | Path) -> Iterator[object]:
    """What changes when the files of a folder are written anew."""
    if place_is_folder(where):
        for path in sorted(Path(where).iterdir()):
            told = path.stat()
            yield from (path.name, told.st_size, told.st_mtime_ns)


def _groups(read: Sequence[Sequence[int]]) -> Iterator[list[int]]:
    """Prompts of about one length together."""
    order = sorted(range(len(read)), key=lambda row: len(read[row]))
    for start in range(0, len(order), ROWS):
        yield order[start : start + ROWS]


def _stops(text: str, stop: Sequence[str]) -> bool:
    return any(one in text for one in stop)


def _hash_of(network: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> str:
    digest = hashlib.blake2b(digest_size=6)
    for name, tensor in network.state_dict().items():
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().view(torch.uint8).numpy().data)
    digest.update(repr(sorted(tokenizer.get_vocab().items())).encode())
    if isinstance(tokenizer, PreTrainedTokenizerFast):
        digest.update(tokenizer.backend_tokenizer.to_str().encode())
    return digest.hexdigest()
