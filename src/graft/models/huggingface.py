"""Any causal language model of `transformers`, by hub id or folder.

What makes it fast: a prompt is encoded once for a whole corpus; a text is read once for all
its positions; the samples of all positions of a text share that text's cache; and only the
positions that are asked for go through the output layer.

Legend: B rows, T tokens, N positions, V vocabulary, C columns of the cache.
"""

import functools
from collections import OrderedDict
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from graft.errors import ModelError
from graft.models.decoding import SlotDecoder
from graft.models.folder import read_model
from graft.models.language import Ids, Passage
from graft.models.packing import packs
from graft.models.reading import SlotReading
from graft.models.seedlings import SEEDLINGS
from graft.models.slots import Slots, chosen_logprob, pad
from graft.models.words import Words

_PROMPTS_KEPT = 8
_ROWS_OF_LOGITS = 1024


class HuggingFaceModel:
    """A `LanguageModel` around a `transformers` model and its tokenizer."""

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        *,
        name: str = "",
        batch_tokens: int = 4096,
    ) -> None:
        self.model = model.eval()
        self.tokenizer = tokenizer
        self.name = name or (model.config.name_or_path or "")
        self.batch_tokens = batch_tokens
        self.words = Words(tokenizer)
        self.encode, self.encode_after = self.words.encode, self.words.encode_after
        self.decode, self.token_at = self.words.decode, self.words.token_at
        self.tokens_with = self.words.tokens_with
        self.end = self.words.end
        self.start = [self.words.start]
        self._processed = 0
        self._prompts: OrderedDict[tuple[int, ...], Slots] = OrderedDict()
        self.body, self.head = _halves(model)
        shape = model.config.get_text_config()  # slow: not to be asked at every step
        self.context = int(getattr(shape, "max_position_embeddings", 0) or 2048)
        """The most tokens that it can read at once."""
        self.layers = int(shape.num_hidden_layers)
        """The number of layers that hold keys and values."""

    @property
    def device(self) -> torch.device:
        """Where the model's weights are."""
        return self.model.device

    @property
    def tokens_processed(self) -> int:
        """Tokens that went through the network since it was loaded, padding not counted."""
        return self._processed

    @functools.cached_property
    def packs(self) -> bool:
        """Whether texts may go through the network packed, see `graft.models.packing`."""
        return packs(self.model, self.body)

    def read(self, prompt: Ids, inputs: Sequence[Ids], texts: Sequence[Ids]) -> SlotReading:
        """Read `prompt + inputs[b] + texts[b]` for all b; the prompt is encoded once for all.

        Raises ModelError where a row is longer than the context.
        """
        whole = [*self.start, *prompt]
        longest = max(len(i) + len(t) for i, t in zip(inputs, texts, strict=True))
        if len(whole) + longest > self.context:
            raise ModelError(
                f"{self.name}: a prompt of {len(whole)} and a text of {longest} tokens are "
                f"more than its context of {self.context}; shorten the texts or the prompt"
            )
        cache = self._prompt_cache(tuple(whole[:-1])) if len(whole) > 1 else None
        heads = [[whole[-1], *row] for row in inputs]
        return SlotReading(self, cache, len(whole) - 1, heads, [list(text) for text in texts])

    def score(self, passages: Sequence[Passage]) -> list[np.ndarray]:
        """Per passage, log p(token | all before it) of its wanted tokens, in nats."""
        order = sorted(range(len(passages)), key=lambda k: len(passages[k].tokens))
        results: dict[int, np.ndarray] = {}
        for batch in _packed([len(passages[k].tokens) for k in order], self.batch_tokens):
            chosen = [order[k] for k in batch]
            scores = self._score_batch([passages[k] for k in chosen])
            results.update(zip(chosen, scores, strict=True))
        return [results[k] for k in range(len(passages))]

    def forget_prompts(self) -> None:
        """Give back the memory of the prompts that were encoded."""
        self._prompts.clear()

    def decoder(self, rows: int) -> SlotDecoder:
        """An empty decoder of so many rows."""
        return SlotDecoder(self, rows)

    @torch.inference_mode()
    def extend(
        self,
        slots: Slots,
        tokens_BT: Int[Tensor, "B T"],
        positions_BT: Int[Tensor, "B T"],
        mask_B1TC: Bool[Tensor, "B 1 T C"],
        real: int,
    ) -> Float[Tensor, "B T D"]:
        """Hidden states of tokens placed in a cache; `real` of them are not padding."""
        self._processed += real
        return self.body(
            input_ids=tokens_BT.to(self.device),
            position_ids=positions_BT.to(self.device),
            attention_mask=mask_B1TC.to(self.device),
            past_key_values=slots,
            use_cache=True,
        ).last_hidden_state

    @torch.inference_mode()
    def logits(self, hidden_ND: Float[Tensor, "N D"]) -> Float[Tensor, "N V"]:
        """The output layer, in single precision."""
        return self.head(hidden_ND).float().cpu()

    @torch.inference_mode()
    def _score_batch(self, passages: Sequence[Passage]) -> list[np.ndarray]:
        offset = len(self.start)
        rows = [
            [*self.start, *p.tokens][: (max(p.wanted) if len(p.wanted) else 0) + offset]
            for p in passages
        ]
        self._processed += sum(map(len, rows))
        tokens_BT = pad(rows, max(map(len, rows))).to(self.device)
        hidden_BTD = self.body(input_ids=tokens_BT, use_cache=False).last_hidden_state
        row_N = torch.tensor([b for b, p in enumerate(passages) for _ in p.wanted])
        column_N = torch.tensor([offset + i - 1 for p in passages for i in p.wanted])
        token_N = torch.tensor([p.tokens[i] for p in passages for i in p.wanted])
        if not len(token_N):
            return [np.zeros(0, np.float32) for _ in passages]
        barred_N = torch.tensor([_barred(p, i) for p in passages for i in p.wanted])
        hidden_ND = hidden_BTD[row_N.to(self.device), column_N.to(self.device)]
        logprob_N = torch.cat(
            [
                chosen_logprob(_bar(self.logits(hidden), barred), token)
                for hidden, token, barred in zip(
                    hidden_ND.split(_ROWS_OF_LOGITS),
                    token_N.split(_ROWS_OF_LOGITS),
                    barred_N.split(_ROWS_OF_LOGITS),
                    strict=True,
                )
            ]
        ).numpy()
        return np.split(logprob_N, np.cumsum([len(p.wanted) for p in passages])[:-1])

    def _prompt_cache(self, prompt: tuple[int, ...]) -> Slots:
        if prompt not in self._prompts:
            slots = Slots(self.layers, 1, len(prompt) + 1)
            at_1T = torch.arange(len(prompt))[None]
            slots.place(torch.zeros(1, dtype=torch.long), at_1T + 1, len(prompt) + 1)
            mask_11TC = torch.ones(len(prompt), len(prompt) + 1, dtype=torch.bool).tril(1)
            mask_11TC[:, 0] = False
            tokens_1T = torch.tensor([prompt])
            self.extend(slots, tokens_1T, at_1T, mask_11TC[None, None], len(prompt))
            self._prompts[prompt] = slots
            while len(self._prompts) > _PROMPTS_KEPT:
                self._prompts.popitem(last=False)
        self._prompts.move_to_end(prompt)
        return self._prompts[prompt]


def load_model(
    name: str, *, device: str | None = None, dtype: str = "auto"
) -> HuggingFaceModel:
    """A model by hub id, by folder, or `seedling`; safetensors only.

    Raises ModelError that names what is missing and the remedy.
    """
    network, tokenizer = read_model(
        SEEDLINGS.get(name, name), dtype if dtype != "auto" else _dtype(device)
    )
    _move(network, device or best_device())
    return HuggingFaceModel(network, tokenizer, name=name)


def best_device() -> str:
    """`cuda`, `mps` or `cpu`: the best that is there."""
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def _dtype(device: str | None) -> str:
    return "float32" if (device or best_device()) == "cpu" else "bfloat16"


def _move(module: nn.Module, device: str) -> None:
    module.to(device)


def _halves(model: PreTrainedModel) -> tuple[nn.Module, nn.Module]:
    """The network below the output layer, and the output layer.

    Some models scale or cap their logits after that layer; those would be scored wrong, so
    the halves are checked against the whole once.
    """
    body, head = model.get_decoder(), model.get_output_embeddings()
    if body is None or head is None:
        raise ModelError(f"{type(model).__name__} has no separate output layer")
    tokens = torch.arange(4, device=model.device)[None] + 1
    with torch.inference_mode():
        whole = model(input_ids=tokens, use_cache=False).logits
        parts = head(body(input_ids=tokens, use_cache=False).last_hidden_state)
    if not torch.allclose(whole, parts, atol=1e-2, rtol=1e-2):
        raise ModelError(f"{type(model).__name__} changes its logits after the output layer")
    return body, head


def _barred(passage: Passage, index: int) -> int:
    """The token that is ruled out in place of token `index`, or -1."""
    *before, last = passage.barred or (-1,)
    begun = list(passage.tokens[max(0, index - len(before)) : index]) == before
    return last if begun and passage.tokens[index] != last else -1


def _bar(logits: Float[Tensor, "N V"], barred_N: Int[Tensor, " N"]) -> Float[Tensor, "N V"]:
    """The logits with one entry ruled out in each row, where it is not -1."""
    rows_K = (barred_N >= 0).nonzero()[:, 0]
    return logits.index_put((rows_K, barred_N[rows_K]), torch.tensor(-torch.inf))


def _packed(lengths: Sequence[int], budget: int) -> list[list[int]]:
    """Indices of sorted lengths in batches whose padded size stays within `budget` tokens."""
    batches: list[list[int]] = []
    for index, length in enumerate(lengths):
        if batches and (len(batches[-1]) + 1) * length <= budget:
            batches[-1].append(index)
        else:
            batches.append([index])
    return batches
