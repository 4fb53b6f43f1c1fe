"""Text to tokens and back, the same for every kind of tokenizer.

Byte-pair tokenizers with and without a space before the first word, SentencePiece with its
own, and bytes: whatever the convention, `encode_after` gives the tokens of a text as the
continuation of another, so that tokens can be joined and decode to the joined text.
"""

from functools import lru_cache

from transformers import PreTrainedTokenizerBase

from graft.models.language import Ids

_ANCHORS = ("\n", ".", "a", ":")


class Words:
    """A tokenizer seen as the language model contract wants it."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self.tokenizer = tokenizer
        self.end = _first(
            tokenizer.eos_token_id, tokenizer.bos_token_id, tokenizer.pad_token_id
        )
        self.start = _first(tokenizer.bos_token_id, self.end)
        self.encode_after = lru_cache(maxsize=4096)(self._encode_after)
        self._ends = lru_cache(maxsize=64)(self._token_ends)
        self.tokens_with = lru_cache(maxsize=16)(self._tokens_with)

    def encode(self, text: str) -> list[int]:
        """The tokens of a whole text, without special ones.

        A text that spells one, as `<|end|>`, says so letter by letter and ends nothing.
        """
        return list(
            self.tokenizer.encode(
                text, add_special_tokens=False, split_special_tokens=True, verbose=False
            )
        )

    def decode(self, tokens: Ids) -> str:
        """The text of tokens, nothing cleaned up."""
        text = self.tokenizer.decode(
            list(tokens), skip_special_tokens=False, clean_up_tokenization_spaces=False
        )
        assert isinstance(text, str)
        return text

    def token_at(self, text: str, character: int) -> int:
        """The index of the token that covers, or first follows, a character of `text`."""
        ends = self._ends(text)
        return next((index for index, end in enumerate(ends) if end > character), len(ends))

    def _token_ends(self, text: str) -> list[int]:
        if self.tokenizer.is_fast:
            spans = self.tokenizer(
                text,
                add_special_tokens=False,
                split_special_tokens=True,
                return_offsets_mapping=True,
                verbose=False,
            )["offset_mapping"]
            return [end for _, end in spans]
        tokens = self.encode(text)
        return [len(self.decode(tokens[: k + 1])) for k in range(len(tokens))]

    def _encode_after(self, text: str) -> list[int]:
        for anchor in _ANCHORS:
            alone, joined = self.encode(anchor), self.encode(anchor + text)
            tokens = joined[len(alone) :]
            if joined[: len(alone)] == alone and self.decode(joined).endswith(text):
                return tokens
        return self.encode(text)

    def _tokens_with(self, text: str) -> frozenset[int]:
        anchor = self.encode("a")
        before = len(self.decode(anchor))
        return frozenset(
            token
            for token in range(len(self.tokenizer))
            if text in self.decode([*anchor, token])[before:]
        )


def _first(*ids: object) -> int:
    """The first id that is one; 0 where a tokenizer has no special tokens at all."""
    return next((token for token in ids if isinstance(token, int)), 0)
