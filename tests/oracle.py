"""Annotate and keep once more, the slow way: one text at a time, no cache, mask or batch.

Schick et al. 2023, Section 2, formula by formula, with plain forward passes of `transformers`.
Of graft it uses the tokenizer, how prompts and calls are written, the random draws that belong
to a sample, and the records; of the stages nothing but their settings.

Legend: T tokens, V entries of the vocabulary.
"""

import functools
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import torch

from graft.errors import ToolError
from graft.models.huggingface import HuggingFaceModel
from graft.models.language import Ids
from graft.toolformer.annotate import AnnotateConfig
from graft.toolformer.call import Call, parse_asked, render, render_asked
from graft.toolformer.dataset import Annotated, Candidate, Losses, Scored, Text, generator
from graft.toolformer.keep import KeepConfig
from graft.toolformer.tools.prompt import render_input, render_prompt
from graft.toolformer.tools.tool import Tool

Pair = tuple[Candidate, Losses]


@dataclass
class SlowAnnotator:
    """ "Sampling API Calls" and "Executing API Calls" of one text with one tool."""

    model: HuggingFaceModel
    tool: Tool
    text: Text
    settings: AnnotateConfig

    def __post_init__(self) -> None:
        self.tokens = self.model.encode(self.text.text)
        self.count: Counter[str] = Counter()

    def add(self, outcome: str, times: int = 1) -> None:
        self.count[f"{self.tool.name}.{outcome}"] += times

    def candidates(self) -> Iterator[Candidate]:
        """The proposals that the tool answers."""
        for position, call, likelihood in self.proposals():
            try:
                result = self.tool.answer(call.argument, self.text.context)
            except ToolError:
                self.add("unanswered")
            else:
                self.add("candidates")
                yield Candidate(position, call.answered(result), likelihood)

    def proposals(self) -> Iterator[tuple[int, Call, float]]:
        if self.settings.proposer == "rules":
            self.add("seen")
            for character, call in self.tool.rules(self.text.text, self.text.context):
                self.add("proposed")
                yield place(self.model, self.text.text, character), call, 1.0
        elif not self.tokens or self.is_too_long():
            self.add("too_long" if self.tokens else "empty")
        else:
            self.add("seen")
            likely = [self.probability(i) for i in range(len(self.tokens))]
            for i in self.positions(likely):
                yield from ((i, call, likely[i]) for call in self.calls(i))

    @functools.cached_property
    def asked(self) -> list[int]:
        """P(x)."""
        return [*self.prompt(), *self.model.encode_after(render_input(self.text.text))]

    def prompt(self) -> list[int]:
        """P up to the text, with as many demonstrations as leave half the context."""
        shown = list(self.tool.prompt.demonstrations)
        while True:
            prompt = replace(self.tool.prompt, demonstrations=tuple(shown))
            tokens = self.model.encode(render_prompt(prompt))
            if len(tokens) <= self.model.model.config.max_position_embeddings / 2:
                return tokens
            shown.pop()

    def before(self, i: int) -> list[int]:
        """P(x), x_{1:i-1}."""
        return [*self.asked, *self.tokens[:i]]

    def is_too_long(self) -> bool:
        """Whether the longest call behind the whole text, with its opening, has no room."""
        longest = 1 + len(self.before(len(self.tokens))) + 1 + self.settings.call_tokens
        return longest > self.model.model.config.max_position_embeddings

    def probability(self, i: int) -> float:
        """p_i = p(<API> | P(x), x_{1:i-1}); a marker of several tokens is their product."""
        product, row = 1.0, self.before(i)
        for token in self.model.encode_after(" ["):
            product *= float(logprobs(self.model, row)[-1, token].exp())
            row.append(token)
        return product

    def positions(self, likely: Sequence[float]) -> list[int]:
        """I = {i | p_i > tau_s}, of which the k highest."""
        sampling = self.settings.of(self.tool)
        over = [i for i, p in enumerate(likely) if p > sampling.threshold]
        highest = sorted(over, key=lambda i: -likely[i])[: sampling.positions]
        self.add("positions", len(highest))
        return sorted(highest)

    def calls(self, i: int) -> list[Call]:
        """The different calls among the m that are sampled after [P(x), x_{1:i-1}, <API>]."""
        rng = generator(self.settings.seed, "annotate", self.text.id, self.tool.name, i)
        drawn = rng.random((self.settings.of(self.tool).samples, self.settings.call_tokens))
        found: list[Call] = []
        for draws in drawn.tolist():
            written = self.sample([*self.before(i), *self.model.encode_after(" [")], draws)
            self.add("proposed")
            if outcome := self.refusal(written, found):
                self.add(outcome)
            else:
                found.append(read(written))
        return found

    def sample(self, before: Ids, draws: Sequence[float]) -> str:
        """Token by token, each where the distribution function passes its draw."""
        written: list[int] = []
        for draw in draws:
            logprob_V = logprobs(self.model, [*before, *written])[-1]
            warm_V = (logprob_V / self.settings.of(self.tool).temperature).softmax(-1)
            below_V = warm_V.double().cumsum(-1)
            written.append(int((below_V <= draw * below_V[-1]).sum()))
            if set("]\n") & set(self.model.decode(written)):
                break
        return self.model.decode(written)

    def refusal(self, written: str, found: Sequence[Call]) -> str:
        """Why a sample is no new call of this tool."""
        call = read(written)
        if "]" not in written:
            return "unclosed"
        if call is None or "\ufffd" in written:
            return "malformed"
        if (call.tool, call.quoted) != (self.tool.name, self.tool.quoted):
            return "malformed"
        return "repeated" if call in found else ""


def annotate_slowly(
    text: Text, model: HuggingFaceModel, tools: Iterable[Tool], settings: AnnotateConfig
) -> Annotated:
    found: list[Candidate] = []
    count = Counter(texts=1)
    for tool in tools:
        if tool.sees(text.text, text.context):
            slow = SlowAnnotator(model, tool, text, settings)
            found += slow.candidates()
            count += slow.count
    return Annotated(text, tuple(found), count)


def read(written: str) -> Call | None:
    return parse_asked(written.split("]")[0].split(" ->")[0])


def place(model: HuggingFaceModel, text: str, character: int) -> int:
    """How many tokens it takes to read all that stands wholly in front of a character."""
    tokens = model.encode(text)
    added = len(model.decode(tokens)) - len(text)  # some tokenizers put a space in front
    fronts = [model.decode(tokens[:k])[added:] for k in range(len(tokens) + 1)]
    wholly = [front for front in fronts if text[:character].startswith(front)]
    return fronts.index(max(wholly, key=len))


def logprobs(model: HuggingFaceModel, tokens: Ids) -> torch.Tensor:
    """Row k: log p of every token of the vocabulary after the first k tokens, [T, V]."""
    network = model.model
    row = [model.tokenizer.bos_token_id, *tokens][: network.config.max_position_embeddings]
    with torch.no_grad():
        return network(torch.tensor([row]), use_cache=False).logits[0].float().log_softmax(-1)


def loss(model: HuggingFaceModel, prefix: str, text: str, i: int) -> float:
    """L_i(z) = - sum_{j>=i} w_{j-i} log p(x_j | z, x_{1:j-1}), z in front of the text."""
    z, x = model.encode(prefix) if prefix else [], model.encode(text)
    raw = {j: max(0.0, 1 - 0.2 * (j - i)) for j in range(i, len(x))}  # w~_t, not normalised
    logprob_TV = logprobs(model, [*z, *x])
    total = sum(w * float(logprob_TV[len(z) + j, x[j]]) for j, w in raw.items() if w > 0)
    return -total / sum(raw.values())


def score_slowly(annotated: Annotated, model: HuggingFaceModel, keep: KeepConfig) -> Scored:
    """The losses of the candidates that have a token behind them and room in the context."""
    text, scored = annotated.text.text, []
    for candidate in annotated.candidates:
        i, asked = candidate.position, render_asked(candidate.call)
        e_c_r = render(candidate.call) + keep.separator
        e_c = f"[{asked}{' ->' if keep.empty_keeps_arrow else ''}]{keep.separator}"
        tokens = model.encode(text)
        read_until = 1 + len(model.encode(e_c_r)) + min(i + 5, len(tokens))
        if i < len(tokens) and read_until <= model.model.config.max_position_embeddings:
            losses = Losses(*(loss(model, z, text, i) for z in (e_c_r, e_c, "")))
            scored.append((candidate, losses))
    return Scored(annotated.text, tuple(scored))


def gain(losses: Losses) -> float:
    """L- minus L+, with L- the smaller loss of no result and no call."""
    return min(losses.without_result, losses.without_call) - losses.with_result


def choose_slowly(rows: Sequence[Scored], keep: KeepConfig) -> dict[str, list[Pair]]:
    """The calls with L- - L+ >= tau_f: one per place and once per text, the best of a tool."""
    chosen: dict[str, list[Pair]] = {}
    seen: list[str] = []
    for row in rows:
        if row.text.text not in seen:
            seen.append(row.text.text)
            chosen[row.text.id] = best_of(row.candidates, keep)
    everywhere = [(text, pair) for text, pairs in chosen.items() for pair in pairs]
    for tool in {pair[0].call.tool for _, pair in everywhere}:
        mine = [(text, pair) for text, pair in everywhere if pair[0].call.tool == tool]
        mine.sort(key=lambda one: (-gain(one[1][1]), one[0], one[1][0].position))
        for text, pair in mine[keep.cap :]:
            chosen[text].remove(pair)
    return {text: pairs for text, pairs in chosen.items() if pairs}


def best_of(pairs: Sequence[Pair], keep: KeepConfig) -> list[Pair]:
    """Take the best that helps, drop what stands at its place or asks the same; again."""
    left = [(c, one) for c, one in pairs if gain(one) >= keep.of(c.call.tool)]
    taken: list[Pair] = []
    while left and len(taken) < keep.calls_per_text:
        best, losses = max(left, key=lambda pair: (gain(pair[1]), -pair[0].position))
        taken.append((best, losses))
        left = [
            (c, one) for c, one in left if c.position != best.position and c.call != best.call
        ]
    return sorted(taken, key=lambda pair: pair[0].position)


def merge_slowly(model: HuggingFaceModel, text: str, pairs: Sequence[Pair]) -> list[int]:
    """x_{1:i-1}, e(c, r), x_{i:n}, from the last call to the first."""
    tokens = model.encode(text)
    for candidate, _ in reversed(pairs):
        result = candidate.call.result
        parts = [" [", render_asked(candidate.call), " ->", f" {result}" if result else "", "]"]
        written = [token for part in parts if part for token in model.encode_after(part)]
        tokens[candidate.position : candidate.position] = written
    return tokens
