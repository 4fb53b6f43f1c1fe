"""Does the gain tell useful calls from useless ones?

Schick et al. 2023, Section 5 and Table 10, where people judged some calls. Here a call counts
as useful where its result brings news that the text tells at once: a word or number of it is
among the first words behind the call, and stands neither in front of it nor in its argument.
Words that are common in the corpus are no news.
"""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict

import numpy as np

from graft.measure.interval import bootstrap_mean
from graft.models.language import LanguageModel
from graft.toolformer.call import render
from graft.toolformer.dataset import Candidate, Scored

_Judged = tuple[bool, float, str, str]
"""Whether a call is useful, its gain, how it is written, and its text with a bar for it."""

BOUNDS = (-1.0, -0.5, -0.25, 0.0, 0.25, 0.5, 1.0, 2.0)
"""Between the bins of gain, in nats."""


WITHIN = 5
"""So many words behind a call are looked at."""
_COMMON = 0.05  # words in a larger share of the texts are no news
_WORD = re.compile(r"\w+(?:[.,]\w+)*")


def is_useful(
    candidate: Candidate, before: str, after: str, common: frozenset[str] = frozenset()
) -> bool:
    """Whether a word of the result, not known before nor common, is told at once."""
    call = candidate.call
    known = {*_words(before), *_words(call.argument), *common}
    return not known.issuperset(set(_words(call.result or "")) & set(_words(after)[:WITHIN]))


def common_words(texts: Iterable[str]) -> frozenset[str]:
    """The words, not numbers, that stand in more than a twentieth of the texts."""
    each = [set(_words(text)) for text in texts]
    counts = Counter(word for words in each for word in words)
    return frozenset(
        word
        for word, count in counts.items()
        if count > _COMMON * len(each) and not any(map(str.isdigit, word))
    )


def _words(text: str) -> list[str]:
    return _WORD.findall(text.casefold())


def study_quality(
    scored: Iterable[Scored], model: LanguageModel, examples: int = 3
) -> dict[str, object]:
    """Per tool and bin of gain: how many candidates, the share of useful ones, and some."""
    by_bin: dict[str, dict[int, list[_Judged]]] = {}
    rows = list(scored)
    common = common_words(row.text.text for row in rows)
    for row in rows:
        tokens = model.encode(row.text.text)
        for candidate, losses in row.candidates:
            before = model.decode(tokens[: candidate.position])
            after = model.decode(tokens[candidate.position :])
            useful = is_useful(candidate, before, after, common)
            bins = by_bin.setdefault(candidate.call.tool, {})
            index = int(np.searchsorted(BOUNDS, losses.gain, side="right"))
            shown = (useful, losses.gain, render(candidate.call), f"{before} | {after}")
            bins.setdefault(index, []).append(shown)
    return {
        tool: [_bin(index, bins[index], examples) for index in sorted(bins)]
        for tool, bins in sorted(by_bin.items())
    }


def _bin(index: int, calls: list[_Judged], examples: int) -> dict[str, object]:
    ranked = sorted(calls, key=lambda call: (-call[1], call[2:]))
    return {
        "from": BOUNDS[index - 1] if index else None,
        "to": BOUNDS[index] if index < len(BOUNDS) else None,
        "useful": asdict(bootstrap_mean([useful for useful, *_ in calls])),
        "examples": [
            {"gain": round(gain, 3), "useful": useful, "call": call, "text": text[:300]}
            for useful, gain, call, text in ranked[:examples]
        ],
    }
