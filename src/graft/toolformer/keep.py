"""Keep the calls whose result helps to predict what follows, and merge them into their texts.

Schick et al. 2023, Section 2, "Filtering API Calls". Scoring and choosing are two steps: the
raw losses are stored, so that the threshold can be swept afterwards without the model.

Legend: T tokens from the position on.
"""

import hashlib
import heapq
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from graft.models.language import LanguageModel, Passage
from graft.toolformer.call import Call, render
from graft.toolformer.dataset import Annotated, Candidate, Losses, Merged, Scored, splice

_Behind = tuple[int, str]
"""A text by its number, and what stands in front of it."""

_AROUND = 70  # characters of a text that are shown on each side of a kept call

REACH = 5
"""Tokens over which the weights fall to zero (Section 4.1: w~_t = max(0, 1 - 0.2 t))."""


@dataclass(frozen=True, kw_only=True)
class KeepConfig:
    """Settings of `keep`."""

    threshold: float = 1.0  # tau_f
    tools: Mapping[str, float] = field(default_factory=lambda: {"Calculator": 0.5})
    separator: str = "\n"  # between the call and the text; open in the paper
    empty_keeps_arrow: bool = True  # e(c, empty) as `[C(x) ->]`, not `[C(x)]`; open as well
    cap: int = 25_000  # examples per tool
    calls_per_text: int = 100

    def __post_init__(self) -> None:
        """Refuse what nothing can be kept with."""
        if min(self.cap, self.calls_per_text) < 1:
            raise ValueError("'cap' and 'calls_per_text' begin at 1")

    def of(self, tool: str) -> float:
        """The threshold of one tool, in nats."""
        return self.tools.get(tool, self.threshold)


def decaying_weights(count: int) -> np.ndarray:
    """The first `count` weights: they fall linearly to zero after five tokens and sum to one.

    Section 2: w_t = w~_t / sum_s w~_s, here over the tokens that are there, so that a text's
    last tokens are weighted to one as well.
    """
    raw_T = np.maximum(0.0, 1.0 - np.arange(count) / REACH)
    return raw_T / raw_T.sum()


def weighted_loss(logprob_T: np.ndarray) -> float:
    """L_i: the weighted negative log-likelihood of the tokens from position i on, in nats."""
    return float(-(decaying_weights(len(logprob_T)) * logprob_T).sum())


def score(
    annotated: Iterable[Annotated], model: LanguageModel, settings: KeepConfig
) -> Iterator[Scored]:
    """Each text, in order, its candidates with their losses.

    One pass over a text without calls serves all its candidates, and so does one behind each
    distinct call, with its result and without, wherever in the text that call is proposed. A
    call after the last token has nothing to help and is left out, and so is one that does not
    fit the context together with its text up to the fifth token behind it; so a text may be
    longer than the context.
    """
    rows = list(annotated)
    texts = [model.encode(row.text.text) for row in rows]
    asked: dict[_Behind, set[int]] = defaultdict(set)
    fitting: list[list[Candidate]] = []
    for k, (row, tokens) in enumerate(zip(rows, texts, strict=True)):
        fitting.append([c for c in row.candidates if _fits(model, c, tokens, settings)])
        for candidate in fitting[-1]:
            for prefix in ("", *_prefixes(candidate.call, settings)):
                asked[k, prefix].update(_window(candidate.position, len(tokens)))
    passages = [_passage(model, prefix, texts[k], at) for (k, prefix), at in asked.items()]
    logprobs = {
        behind: dict(zip(sorted(at), logprob_T.tolist(), strict=True))
        for (behind, at), logprob_T in zip(asked.items(), model.score(passages), strict=True)
    }
    for k, (row, candidates) in enumerate(zip(rows, fitting, strict=True)):
        length = len(texts[k])
        scored = [(c, _losses(k, c, length, logprobs, settings)) for c in candidates]
        yield Scored(row.text, tuple(scored))


def _losses(
    k: int,
    candidate: Candidate,
    length: int,
    logprobs: Mapping[_Behind, Mapping[int, float]],
    settings: KeepConfig,
) -> Losses:
    window = _window(candidate.position, length)
    answered, empty = _prefixes(candidate.call, settings)
    behind = (logprobs[k, prefix] for prefix in (answered, empty, ""))
    with_result, without_result, without_call = (
        weighted_loss(np.array([at[i] for i in window])) for at in behind
    )
    return Losses(with_result, without_result, without_call)


def _window(position: int, length: int) -> range:
    return range(position, min(position + REACH, length))


def _prefixes(call: Call, settings: KeepConfig) -> tuple[str, str]:
    """e(c, r) and e(c, empty) as they stand in front of the text (footnote 3)."""
    empty = replace(call, result="" if settings.empty_keeps_arrow else None)
    return render(call) + settings.separator, render(empty) + settings.separator


def _passage(
    model: LanguageModel, prefix: str, tokens: Sequence[int], positions: Iterable[int]
) -> Passage:
    """A text behind a prefix, read no further than it is asked about."""
    head, at = model.encode(prefix) if prefix else [], sorted(positions)
    return Passage([*head, *tokens[: at[-1] + 1]], [len(head) + i for i in at])


def _fits(
    model: LanguageModel, candidate: Candidate, tokens: Sequence[int], settings: KeepConfig
) -> bool:
    if candidate.position >= len(tokens):
        return False
    prefix = model.encode(_prefixes(candidate.call, settings)[0])
    stop = _window(candidate.position, len(tokens)).stop
    return len(prefix) + stop + 1 <= model.context


@dataclass(frozen=True, slots=True)
class Kept:
    """What was chosen: the calls of each text by their positions, and why not the others."""

    calls: Mapping[str, tuple[tuple[Candidate, Losses], ...]]
    reasons: Mapping[str, Counter[str]]
    """Per tool, what became of its candidates: `kept`, `unhelpful`, `repeated` in its text,
    `place taken` by a better call, `enough in its text`, `over the cap`, `text repeated`."""


def choose(scored: Iterable[Scored], settings: KeepConfig) -> Kept:
    """The calls with L- - L+ >= tau_f, the best one per place, at most `cap` of a tool.

    Nothing of the model is needed, so a threshold is swept by choosing again. Texts that
    stand in the corpus twice are chosen from once. What is gone through is not held in memory,
    but for the calls that are chosen and 16 bytes per text.
    """
    chosen: dict[str, list[tuple[Candidate, Losses]]] = {}
    reasons: dict[str, Counter[str]] = defaultdict(Counter)
    known: set[bytes] = set()
    for row in scored:
        text = hashlib.blake2b(row.text.text.encode(), digest_size=16).digest()
        if text in known:
            for candidate, _ in row.candidates:
                reasons[candidate.call.tool]["text repeated"] += 1
            continue
        known.add(text)
        if calls := _choose_in(row, settings, reasons):
            chosen[row.text.id] = calls
    _cap(chosen, settings.cap, reasons)
    return Kept({text: tuple(calls) for text, calls in chosen.items() if calls}, dict(reasons))


def _choose_in(
    row: Scored, settings: KeepConfig, reasons: Mapping[str, Counter[str]]
) -> list[tuple[Candidate, Losses]]:
    calls: list[tuple[Candidate, Losses]] = []
    best_first = sorted(row.candidates, key=lambda pair: (-pair[1].gain, pair[0].position))
    for candidate, losses in best_first:
        tool = candidate.call.tool
        if losses.gain < settings.of(tool):
            reasons[tool]["unhelpful"] += 1
        elif any(candidate.call == other.call for other, _ in calls):
            reasons[tool]["repeated"] += 1
        elif any(candidate.position == other.position for other, _ in calls):
            reasons[tool]["place taken"] += 1
        elif len(calls) >= settings.calls_per_text:
            reasons[tool]["enough in its text"] += 1
        else:
            calls.append((candidate, losses))
    return sorted(calls, key=lambda pair: pair[0].position)


def _cap(
    chosen: dict[str, list[tuple[Candidate, Losses]]],
    cap: int,
    reasons: Mapping[str, Counter[str]],
) -> None:
    """Drop the least helpful calls of each tool that has more than `cap` of them."""
    by_tool: dict[str, list[tuple[float, str, int]]] = defaultdict(list)
    for text, calls in chosen.items():
        for candidate, losses in calls:
            by_tool[candidate.call.tool].append((-losses.gain, text, candidate.position))
    for tool, ranked in by_tool.items():
        over = {(text, position) for _, text, position in sorted(ranked)[cap:]}
        reasons[tool]["kept"] += len(ranked) - len(over)
        if over:
            reasons[tool]["over the cap"] += len(over)
            for text, calls in chosen.items():
                calls[:] = [pair for pair in calls if (text, pair[0].position) not in over]


def merge(scored: Iterable[Scored], kept: Kept, model: LanguageModel) -> Iterator[Merged]:
    """x* of each text, its kept calls spliced in, token-exact (Section 2).

    Texts without a kept call come as they are: the paper leaves them out (footnote 4), and so
    does `train`, unless it is told to mix some in.
    """
    for row in scored:
        calls = kept.calls.get(row.text.id, ())
        plain = model.encode(row.text.text)
        tokens = splice(model, plain, [(c.position, c.call) for c, _ in calls])
        called = tuple(c.call for c, _ in calls)
        count = len(row.candidates)
        yield Merged(row.text, tuple(tokens), tuple(plain), called, count)


def show_kept_calls(
    scored: Iterable[Scored], kept: Kept, model: LanguageModel, most: int = 40
) -> list[dict[str, object]]:
    """Some of the kept calls, evenly over their ranks by gain, the best first, for a person.

    Each has its gain in nats, the call, and what stands `before` and `after` it in its text.
    """
    ranked = sorted(
        (-losses.gain, text, candidate.position)
        for text, calls in kept.calls.items()
        for candidate, losses in calls
    )
    places = np.linspace(0, len(ranked) - 1, min(most, len(ranked))).round().astype(int)
    chosen = {ranked[place][1:] for place in places}
    shown: list[tuple[float, str, dict[str, object]]] = []
    for row in scored:
        for candidate, losses in kept.calls.get(row.text.id, ()):
            if (row.text.id, candidate.position) in chosen:
                tokens = model.encode(row.text.text)
                before = model.decode(tokens[: candidate.position])
                after = model.decode(tokens[candidate.position :])
                row_shown: dict[str, object] = {
                    "gain": round(losses.gain, 4),
                    "call": render(candidate.call),
                    "before": before[-_AROUND:],
                    "after": after[:_AROUND],
                }
                shown.append((-losses.gain, before, row_shown))
    return [one for *_, one in sorted(shown, key=lambda one: one[:2])]


def describe(
    scored: Iterable[Scored], kept: Kept, settings: KeepConfig, extremes: int = 5
) -> dict[str, object]:
    """What a reader wants to know of a choice, as JSON: counts, reasons, best and worst calls.

    `kept_at` counts, per tool, what thresholds of .5, 1 and 2 nats would keep (Table 2 of the
    paper), with everything else as set. `scored` is gone through several times.
    """
    sweep = {level: choose(scored, _at_level(settings, level)) for level in (0.5, 1.0, 2.0)}
    texts = sum(1 for _ in scored)
    counts = Counter(candidate.call.tool for _, _, candidate in _gains(scored))
    tools = sorted(counts)
    highest = heapq.nsmallest(extremes, _gains(scored), key=_best_first)
    lowest = heapq.nlargest(extremes, _gains(scored), key=_best_first)
    return {
        "texts": texts,
        "texts_with_calls": len(kept.calls),
        "candidates": {tool: counts[tool] for tool in tools},
        "kept": {tool: kept.reasons.get(tool, {}).get("kept", 0) for tool in tools},
        "kept_at": {
            str(level): {tool: choice.reasons.get(tool, {}).get("kept", 0) for tool in tools}
            for level, choice in sweep.items()
        },
        "reasons": {tool: dict(sorted(kept.reasons.get(tool, {}).items())) for tool in tools},
        "highest": [_shown(*entry) for entry in highest],
        "lowest": [_shown(*entry) for entry in reversed(lowest)],
    }


def _gains(scored: Iterable[Scored]) -> Iterator[tuple[float, Scored, Candidate]]:
    for row in scored:
        for candidate, losses in row.candidates:
            yield losses.gain, row, candidate


def _best_first(entry: tuple[float, Scored, Candidate]) -> tuple[float, str, int]:
    gain, row, candidate = entry
    return -gain, row.text.id, candidate.position


def _at_level(settings: KeepConfig, level: float) -> KeepConfig:
    return replace(settings, threshold=level, tools={})


def _shown(gain: float, row: Scored, candidate: Candidate) -> dict[str, object]:
    return {
        "text_id": row.text.id,
        "call": render(candidate.call),
        "position": candidate.position,
        "gain": round(gain, 4),
        "text": row.text.text[:400],
    }
