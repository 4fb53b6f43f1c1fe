"""Write candidate calls into plain text: propose where and what, and let the tools answer.

Schick et al. 2023, Section 2, "Sampling API Calls" and "Executing API Calls".
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from graft.errors import ModelError, ToolError
from graft.models.language import Branch, LanguageModel
from graft.toolformer.call import CLOSE, OPEN, Call, parse_asked
from graft.toolformer.dataset import Annotated, Candidate, Text, generator
from graft.toolformer.tools.execute import Executor
from graft.toolformer.tools.prompt import render_input, render_prompt
from graft.toolformer.tools.tool import Tool

Proposer = Literal["model", "rules"]
"""Who proposes: the model by its prompt, or rules that find candidates in the text."""

_BROKEN = "\ufffd"
"""What the bytes of half a character decode to."""

Proposed = tuple[int, Call, float]
"""A token position, an unanswered call, and p(<API>) there."""


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How calls of one tool are sampled; the defaults are the paper's (Appendix A)."""

    threshold: float = 0.05  # tau_s
    positions: int = 5  # k
    samples: int = 5  # m
    temperature: float = 1.0  # not said in the paper
    proposer: Proposer | None = None  # for this tool another than `annotate.proposer`
    only: str = ""  # a regular expression: only in texts in which it is found somewhere
    never: str = ""  # and in none in which this is; both beside the tool's own prefilter

    def __post_init__(self) -> None:
        """Refuse what nothing can be sampled with."""
        if min(self.positions, self.samples) < 1 or not self.temperature > 0:
            raise ValueError("'positions' and 'samples' begin at 1, 'temperature' above 0")
        for name, pattern in (("only", self.only), ("never", self.never)):
            try:
                re.compile(pattern)
            except re.error as error:
                raise ValueError(
                    f"'{name}' is no regular expression: {error}: {pattern!r}"
                ) from error

    def admits(self, text: str) -> bool:
        """Whether calls are to be proposed in a text at all, by `only` and `never`."""
        wanted = re.search(self.only, text) is not None
        return wanted and not (self.never and re.search(self.never, text))


@dataclass(frozen=True, kw_only=True)
class AnnotateConfig:
    """Settings of `annotate`."""

    proposer: Proposer = "model"
    sampling: Sampling = field(default_factory=Sampling)
    tools: Mapping[str, Sampling] = field(
        default_factory=lambda: {
            "Calculator": Sampling(threshold=0.0, positions=20, samples=10)
        }
    )
    call_tokens: int = 40  # the longest call, not said in the paper
    batch_tokens: int = 4096
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what nothing can be annotated with."""
        if min(self.call_tokens, self.batch_tokens) < 1:
            raise ValueError("'call_tokens' and 'batch_tokens' begin at 1")

    def of(self, tool: Tool) -> Sampling:
        """The sampling of one tool."""
        return self.tools.get(tool.name, self.sampling)

    def proposer_of(self, tool: Tool) -> Proposer:
        """Who proposes calls of one tool."""
        return self.of(tool).proposer or self.proposer


def annotate(
    texts: Iterable[Text],
    model: LanguageModel,
    tools: Mapping[str, Tool],
    settings: AnnotateConfig,
    executor: Executor | None = None,
) -> Iterator[Annotated]:
    """Each text, in order, with the calls that its tools could answer.

    The random draws of a text depend on the seed, its id, the tool and the position alone.
    Where the model proposes, a text that does not leave room in the context for a tool's prompt
    and the longest call gets none of that tool and is counted as `too_long`; what is no longer
    than `most_text_tokens` does. Rules propose in texts of any length.
    """
    executor, batch = executor or Executor(), list(texts)
    found: list[list[Candidate]] = [[] for _ in batch]
    counts = [Counter[str](texts=1) for _ in batch]
    for tool in tools.values():
        seen = [k for k, text in enumerate(batch) if _may_help(tool, text, settings)]
        by_rules = settings.proposer_of(tool) == "rules"
        propose = _propose_by_rules if by_rules else _propose_by_model
        proposed = list[tuple[int, Proposed]]()
        for k, of_text in propose([(k, batch[k]) for k in seen], model, tool, settings, counts):
            counts[k][f"{tool.name}.seen"] += 1
            proposed += [(k, one) for one in of_text]
        if tool.copies:
            proposed = list(_copied_from_before(proposed, batch, model, tool, counts))
        for k, candidate in _answered(proposed, batch, tool, executor, counts):
            found[k].append(candidate)
    for text, candidates, count in zip(batch, found, counts, strict=True):
        yield Annotated(text, tuple(candidates), count)


def _may_help(tool: Tool, text: Text, settings: AnnotateConfig) -> bool:
    return settings.of(tool).admits(text.text) and tool.sees(text.text, text.context)


def select_positions(probability_N: np.ndarray, sampling: Sampling) -> list[int]:
    """I = {i : p_i > tau_s}, the k likeliest where there are more, in the order of the text."""
    over = np.flatnonzero(probability_N > sampling.threshold)
    likeliest = over[np.argsort(-probability_N[over], kind="stable")][: sampling.positions]
    return sorted(int(i) for i in likeliest)


def fitting_prompt(tool: Tool, model: LanguageModel) -> list[int]:
    """The tokens of a tool's prompt, with as many demonstrations as leave half the context."""
    tokens: list[int] = []
    for count in range(len(tool.prompt.demonstrations), -1, -1):
        shown = replace(tool.prompt, demonstrations=tool.prompt.demonstrations[:count])
        tokens = model.encode(render_prompt(shown))
        if len(tokens) * 2 <= model.context:
            return tokens
    raise ModelError(
        f"{model.name}: the instruction of {tool.name} alone is {len(tokens)} tokens, more "
        f"than half of its context of {model.context}; propose by rules instead "
        "(--set annotate.proposer=rules)"
    )


def most_text_tokens(
    model: LanguageModel, tools: Mapping[str, Tool], settings: AnnotateConfig
) -> int:
    """The longest text that `annotate` can take whole; a longer one is to be split before.

    Where the model proposes, a text stands in its prompt twice: as input and as output.
    """
    asked = [tool for tool in tools.values() if settings.proposer_of(tool) == "model"]
    if not asked:
        return model.context // 2
    longest = max(len(fitting_prompt(tool, model)) for tool in asked)
    around = len(model.encode_after(render_input("")))
    return (model.context - longest - around - settings.call_tokens - 4) // 2


def _propose_by_rules(
    texts: Sequence[tuple[int, Text]],
    model: LanguageModel,
    tool: Tool,
    _settings: AnnotateConfig,
    counts: Sequence[Counter[str]],
) -> Iterator[tuple[int, list[Proposed]]]:
    for k, text in texts:
        proposals = tool.rules(text.text, text.context)
        counts[k][f"{tool.name}.proposed"] += len(proposals)
        yield k, [(model.token_at(text.text, at), call, 1.0) for at, call in proposals]


def _propose_by_model(
    texts: Sequence[tuple[int, Text]],
    model: LanguageModel,
    tool: Tool,
    settings: AnnotateConfig,
    counts: Sequence[Counter[str]],
) -> Iterator[tuple[int, list[Proposed]]]:
    prompt, by_index = fitting_prompt(tool, model), dict(texts)
    room = model.context - len(prompt) - settings.call_tokens - 2
    rows: list[tuple[int, list[int], list[int]]] = []
    for k, text in texts:
        asked, tokens = model.encode_after(render_input(text.text)), model.encode(text.text)
        if not tokens or len(asked) + len(tokens) > room:
            counts[k][f"{tool.name}.empty" if not tokens else f"{tool.name}.too_long"] += 1
        else:
            rows.append((k, asked, tokens))
    rows.sort(key=lambda row: (len(row[1]) + len(row[2]), row[0]))
    for batch in _batches(rows, len(prompt), settings.batch_tokens):
        reading = model.read(prompt, [asked for _, asked, _ in batch], [t for _, _, t in batch])
        sampling, marker = settings.of(tool), model.encode_after(OPEN)
        probabilities = reading.probabilities(marker, sampling.threshold)
        branches = [
            Branch(b, i, _draws(settings, by_index[k], tool, i))
            for b, (k, _, _) in enumerate(batch)
            for i in select_positions(probabilities[b], sampling)
        ]
        stop = model.tokens_with(CLOSE) | model.tokens_with("\n")
        samples = reading.sample(marker, branches, stop, sampling.temperature)
        proposed: list[list[Proposed]] = [[] for _ in batch]
        for branch, drawn in zip(branches, samples, strict=True):
            count = counts[batch[branch.text][0]]
            count[f"{tool.name}.positions"] += 1
            likelihood = float(probabilities[branch.text][branch.position])
            for call in _distinct(drawn, model, tool, count):
                proposed[branch.text].append((branch.position, call, likelihood))
        yield from ((k, calls) for (k, _, _), calls in zip(batch, proposed, strict=True))


def _draws(settings: AnnotateConfig, text: Text, tool: Tool, position: int) -> np.ndarray:
    rng = generator(settings.seed, "annotate", text.id, tool.name, position)
    return rng.random((settings.of(tool).samples, settings.call_tokens))


def _batches(
    rows: Sequence[tuple[int, list[int], list[int]]], prompt: int, budget: int
) -> Iterator[list[tuple[int, list[int], list[int]]]]:
    """Rows of like length; a row also costs the memory of its copy of the prompt."""
    batch: list[tuple[int, list[int], list[int]]] = []
    for row in rows:
        cost = len(row[1]) + len(row[2]) + prompt // 4
        if batch and (len(batch) + 1) * cost > budget:
            yield batch
            batch = []
        batch.append(row)
    if batch:
        yield batch


def _distinct(
    samples: Sequence[Sequence[int]], model: LanguageModel, tool: Tool, count: Counter[str]
) -> list[Call]:
    """The different calls of `tool` among samples; a sample that never closes is dropped."""
    calls: dict[Call, None] = {}
    for sample in samples:
        count[f"{tool.name}.proposed"] += 1
        written = model.decode(sample)
        call = parse_asked(written.partition(CLOSE)[0].partition(" ->")[0])
        if CLOSE not in written:
            count[f"{tool.name}.unclosed"] += 1
        elif (
            _BROKEN in written
            or call is None
            or call.tool != tool.name
            or call.quoted != tool.quoted
        ):
            count[f"{tool.name}.malformed"] += 1
        elif call in calls:
            count[f"{tool.name}.repeated"] += 1
        else:
            calls[call] = None
    return list(calls)


def _copied_from_before(
    proposed: Sequence[tuple[int, Proposed]],
    texts: Sequence[Text],
    model: LanguageModel,
    tool: Tool,
    counts: Sequence[Counter[str]],
) -> Iterator[tuple[int, Proposed]]:
    """The proposals but for those whose input stands only after them (Appendix A).

    What such a call asks is not known where it is made. They are counted as `input_after`.
    """
    tokens = {k: model.encode(texts[k].text) for k in {k for k, _ in proposed}}
    for k, one in proposed:
        position, call, _ = one
        before, after = (
            _words(model.decode(part)) for part in (tokens[k][:position], tokens[k][position:])
        )
        argument = _words(call.argument)
        if argument in after and argument not in before:
            counts[k][f"{tool.name}.input_after"] += 1
        else:
            yield k, one


def _words(text: str) -> str:
    """A text in which neither case nor line breaks tell two copies apart."""
    return " ".join(text.split()).casefold()


def _answered(
    proposed: Sequence[tuple[int, Proposed]],
    texts: Sequence[Text],
    tool: Tool,
    executor: Executor,
    counts: Sequence[Counter[str]],
) -> Iterator[tuple[int, Candidate]]:
    """The proposals that the tool can answer, with the number of their text."""
    answers = executor.answer_all(
        tool,
        [(call.argument, texts[k].context) for k, (_, call, _) in proposed],
        [f"in text {texts[k].id}" for k, _ in proposed],
    )
    for (k, (position, call, likelihood)), result in zip(proposed, answers, strict=True):
        if isinstance(result, ToolError):
            counts[k][f"{tool.name}.unanswered"] += 1
        else:
            counts[k][f"{tool.name}.candidates"] += 1
            yield k, Candidate(position, call.answered(result), likelihood)
