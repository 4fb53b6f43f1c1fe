"""Annotating and scoring as one writes it from the paper: text by text, nothing kept.

Each sample encodes its whole prefix again, each candidate's three losses read the whole text.
Tokens are counted as they enter the network.
"""

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from stopwatch import Timed

from graft.errors import ToolError
from graft.models.huggingface import HuggingFaceModel
from graft.toolformer.annotate import AnnotateConfig
from graft.toolformer.call import CLOSE, OPEN, Call, parse_asked, render
from graft.toolformer.dataset import Annotated, Losses, Text
from graft.toolformer.tools.prompt import render_input, render_prompt
from graft.toolformer.tools.tool import Context, Tool


@dataclass(slots=True)
class Done:
    """What was found, and how many tokens it cost."""

    tokens: int = 0
    positions: list[tuple[str, str, int]] = field(default_factory=list)
    calls: int = 0
    losses: list[Losses] = field(default_factory=list)


def beside(slow: Timed[Done], fast: Timed[Done]) -> dict[str, object]:
    """The columns of a table that set both ways side by side."""
    return {
        "naive tokens": slow.result.tokens,
        "our tokens": fast.result.tokens,
        "tokens, times fewer": slow.result.tokens / fast.result.tokens,
        "naive seconds": slow.median,
        "our seconds": fast.median,
        "times faster": slow.median / fast.median,
    }


@torch.inference_mode()
def annotate(
    texts: Sequence[Text],
    model: HuggingFaceModel,
    tools: Mapping[str, Tool],
    settings: AnnotateConfig,
) -> Done:
    """Positions, samples and answers of every text, one after the other."""
    done = Done()
    for text in texts:
        for tool in tools.values():
            if tool.sees(text.text, text.context):
                _annotate_one(text, tool, model, settings, done)
    return done


def _annotate_one(
    text: Text, tool: Tool, model: HuggingFaceModel, settings: AnnotateConfig, done: Done
) -> None:
    prompt = model.encode(render_prompt(tool.prompt) + render_input(text.text))
    tokens, sampling = model.encode(text.text), settings.of(tool)
    [marker] = model.encode_after(OPEN)
    row = [*model.start, *prompt, *tokens]
    logits_TV = model.model(torch.tensor([row])).logits[0]
    done.tokens += len(row)
    first = len(row) - len(tokens) - 1
    p_N = logits_TV[first:-1].softmax(dim=-1)[:, marker]
    order = sorted(range(len(tokens)), key=lambda i: -float(p_N[i]))
    chosen = [i for i in order if p_N[i] > sampling.threshold][: sampling.positions]
    stop = sorted(model.tokens_with(CLOSE) | model.tokens_with("\n"))
    for position in sorted(chosen):
        done.positions.append((text.id, tool.name, position))
        prefix = torch.tensor([[*row[: first + 1 + position], marker]])
        sampled = model.model.generate(
            prefix,
            attention_mask=torch.ones_like(prefix),
            do_sample=True,
            top_k=0,
            temperature=sampling.temperature,
            num_return_sequences=sampling.samples,
            max_new_tokens=settings.call_tokens,
            eos_token_id=stop,
            pad_token_id=model.end,
        )
        written = sampled[:, prefix.shape[1] :].tolist()
        # every row of the batch goes through the network until the last one has stopped
        done.tokens += len(written) * (prefix.shape[1] + len(written[0]) - 1)
        done.calls += len(_answered(written, model, tool))


def _answered(samples: list[list[int]], model: HuggingFaceModel, tool: Tool) -> set[Call]:
    calls: set[Call] = set()
    for sample in samples:
        written = model.decode(sample)
        call = parse_asked(written.partition(CLOSE)[0].partition(" ->")[0])
        if CLOSE in written and call is not None and call.tool == tool.name:
            try:
                today = Context(datetime.date(2023, 1, 30))
                calls.add(call.answered(tool.answer(call.argument, today)))
            except ToolError:
                continue
    return calls


@torch.inference_mode()
def score(annotated: Sequence[Annotated], model: HuggingFaceModel) -> Done:
    """The three losses of every candidate, each by a pass over all of the text."""
    done = Done()
    for row in annotated:
        tokens = model.encode(row.text.text)
        for candidate in row.candidates:
            if candidate.position >= len(tokens):
                continue
            call, at = candidate.call, candidate.position
            with_result = _loss(model, f"{render(call)}\n", tokens, at, done)
            empty = replace(call, result="")
            without_result = _loss(model, f"{render(empty)}\n", tokens, at, done)
            without_call = _loss(model, "", tokens, at, done)
            done.losses.append(Losses(with_result, without_result, without_call))
    return done


def _loss(
    model: HuggingFaceModel, prefix: str, tokens: Sequence[int], position: int, done: Done
) -> float:
    row = [*model.start, *(model.encode(prefix) if prefix else []), *tokens]
    logprob_TV = model.model(torch.tensor([row])).logits[0].log_softmax(dim=-1)
    done.tokens += len(row)
    first = len(row) - len(tokens)
    window = range(position, min(position + 5, len(tokens)))
    weights = [1 - 0.2 * t for t in range(len(window))]
    total = sum(
        weight * float(logprob_TV[first + j - 1, tokens[j]])
        for weight, j in zip(weights, window, strict=True)
    )
    return -total / sum(weights)
