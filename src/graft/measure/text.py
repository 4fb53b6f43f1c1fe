"""How well a language model predicts texts."""

import math
from collections.abc import Sequence

from graft.models.language import Ids, LanguageModel, Passage


def perplexity(model: LanguageModel, texts: Sequence[Ids], *, disabled: Ids = ()) -> float:
    """The exponential of the mean negative log-likelihood per token, over all tokens.

    Texts count by their tokens, each by itself behind the start token; what is longer than the
    context is read in pieces. The end of a text is not predicted.

    `disabled` is the marker that begins a call. It is given no probability, and the rest is
    renormalised (Schick et al. 2023, footnote 5), which leaves the perplexity of a model that
    cannot call. A marker of several tokens is ruled out where its last one would complete it.
    Tokens of the text itself are never ruled out: where it says the marker in earnest, as
    ` [` for a footnote, that token counts with its plain probability, and not as infinity.

    Raises ValueError if there is not one token.
    """
    size = model.context - 1
    pieces = [text[at : at + size] for text in texts for at in range(0, len(text), size)]
    if not pieces:
        raise ValueError("no tokens to measure a perplexity on")
    passages = [Passage(piece, range(len(piece)), disabled) for piece in pieces]
    total = sum(float(logprob_T.sum(dtype="float64")) for logprob_T in model.score(passages))
    return math.exp(-total / sum(map(len, pieces)))
