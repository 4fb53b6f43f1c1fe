"""Does the gain tell useful calls from useless ones?

Schick et al. 2023, Section 5 and Table 10, where people judged some calls. Here a call counts
as useful where its result is news that the text goes on to tell: it stands in what follows the
call, and not in what comes before it.
"""

import re
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


def is_useful(candidate: Candidate, before: str, after: str) -> bool:
    """Whether the result is told after the call and was not before, as a whole."""
    result = (candidate.call.result or "").casefold()
    return bool(result) and _told(result, after) and not _told(result, before)


def study_quality(
    scored: Iterable[Scored], model: LanguageModel, examples: int = 3
) -> dict[str, object]:
    """Per tool and bin of gain: how many candidates, the share of useful ones, and some."""
    by_bin: dict[str, dict[int, list[_Judged]]] = {}
    for row in scored:
        tokens = model.encode(row.text.text)
        for candidate, losses in row.candidates:
            before = model.decode(tokens[: candidate.position])
            after = model.decode(tokens[candidate.position :])
            useful = is_useful(candidate, before, after)
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


def _told(result: str, text: str) -> bool:
    """Whether `result` stands in a text and is no part of a longer word or number."""
    alone = rf"(?<!\w)(?<!\d[.,]){re.escape(result)}(?!\w)(?![.,]\d)"
    return re.search(alone, text.casefold()) is not None
