"""Tools that hang, raise, return a megabyte or what looks like calls; texts full of calls."""

import contextlib
import hashlib
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from graft.errors import ToolError
from graft.models.huggingface import HuggingFaceModel
from graft.models.language import Ids, LanguageModel
from graft.store.shards import read_shards
from graft.toolformer.annotate import AnnotateConfig
from graft.toolformer.call import parse, parse_asked, render, strip
from graft.toolformer.dataset import Text
from graft.toolformer.keep import KeepConfig
from graft.toolformer.records import ANNOTATED
from graft.toolformer.run import run
from graft.toolformer.teach import annotate_corpus, gather, keep_calls, score_candidates
from graft.toolformer.tools.calculator import calculator_tool
from graft.toolformer.tools.execute import Executor
from graft.toolformer.tools.tool import Context, Tool
from graft.toolformer.workshop import TeachConfig, Workshop, read_merged
from graft.toolformer.writing import RunConfig, State, Writer

HOSTILE = [
    "]",
    " ->",
    "-> 7]",
    " [Calculator(1 + 1) -> 3]",
    "85] apples [Calculator(2 * 2) -> 5] and [Calculator(",
    "[[[]]]](((",
    "\n\nInput:\nfoo\nOutput:\n",
    "<|end|>",
    "\x00\x1b[31m\u2028\ud800",
    "x" * 2**20,
    "] -> [" * (2**20 // 6),
    "",
]
TEXTS = [f"Mara had 4{n} apples and 38 plums, in all {78 + n} of them." for n in range(6)]
PIECES = [
    *'[]()-> \n"7+*',
    " [",
    " ->",
    "->",
    "Calculator",
    "Calculator(",
    "Calendar()",
    "1 + 1",
]


def answering(answer: Callable[[str, Context], str], **settings: float) -> dict[str, Tool]:
    tool = replace(calculator_tool(), answer=answer, **settings)
    return {tool.name: tool}


@pytest.fixture
def shop(tmp_path: Path, untaught: HuggingFaceModel, monkeypatch: pytest.MonkeyPatch):
    """A run with the small model, whose tools each test puts in."""
    lines = [json.dumps({"id": f"t{n}", "text": text}) for n, text in enumerate(TEXTS)]
    (tmp_path / "texts.jsonl").write_text("\n".join(lines) + "\n")
    config = TeachConfig(
        corpus=tmp_path / "texts.jsonl",
        tools=("calculator",),
        shard_texts=2,
        annotate=AnnotateConfig(proposer="rules"),
        keep=KeepConfig(threshold=-99.0, tools={}),
    )
    shop = Workshop.begin(tmp_path / "run", config)
    monkeypatch.setattr(shop, "_model", untaught)
    return shop


def with_tools(shop: Workshop, tools: dict[str, Tool]) -> Workshop:
    shop._tools = tools  # pyright: ignore[reportPrivateUsage]
    return shop


def finish(stage: Iterator[object]) -> None:
    for _ in stage:
        pass


@pytest.mark.parametrize("answer", HOSTILE, ids=range(len(HOSTILE)))
def test_an_answer_changes_nothing_but_its_own_call_from_corpus_to_merged_text(
    shop: Workshop, untaught: HuggingFaceModel, answer: str
) -> None:
    with_tools(shop, answering(lambda _argument, _context: answer))
    for stage in (gather, annotate_corpus, score_candidates, keep_calls):
        finish(stage(shop))
    merged = read_merged(shop)
    assert [record.text.text for record in merged] == TEXTS
    assert any(record.calls for record in merged)
    for record in merged:
        assert list(record.plain) == untaught.encode(record.text.text)
        assert untaught.end not in record.tokens
        written = untaught.decode(record.tokens)
        assert strip(written) == record.text.text
        for call in record.calls:
            assert len(call.result or "") <= 300
            assert parse(render(call)) == call
            assert render(call) in written
        assert written.count("[") == written.count("]") == len(record.calls)


@pytest.mark.parametrize("answer", HOSTILE, ids=range(len(HOSTILE)))
def test_an_answer_changes_nothing_but_its_own_call_while_decoding(
    taught: HuggingFaceModel, prompts: list[Text], tools: dict[str, Tool], answer: str
) -> None:
    def ask(tool: Tool) -> Tool:
        return replace(tool, answer=lambda _argument, _context: answer)

    config = RunConfig(max_new_tokens=8, wait_for_tools=True)
    hostile = {name: ask(tool) for name, tool in tools.items()}
    for one in run(prompts, taught, hostile, config):
        assert len(one.calls) <= config.max_calls
        assert one.text.count("[") == len(one.calls)
        for traced in one.calls:
            assert traced.error is None
            assert parse(one.text) == traced.call


def test_a_tool_that_hangs_costs_its_time_limit_and_the_stage_goes_on(shop: Workshop) -> None:
    def hang(_argument: str, _context: Context) -> str:
        time.sleep(30)
        return "late"

    with_tools(shop, answering(hang, timeout_seconds=0.02))
    finish(gather(shop))
    started = time.monotonic()
    finish(annotate_corpus(shop))
    assert time.monotonic() - started < 5
    rows = [ANNOTATED.from_row(row) for row in read_shards(shop.require("annotate"))]
    assert sum(row.counts["Calculator.unanswered"] for row in rows) == sum(
        row.counts["Calculator.proposed"] for row in rows
    )


def test_a_tool_that_raises_stops_with_its_name_and_goes_on_once_it_is_mended(
    shop: Workshop,
) -> None:
    def broken(argument: str, context: Context) -> str:
        if "44" in argument:
            raise ZeroDivisionError("boom")
        return calculator_tool().answer(argument, context)

    with_tools(shop, answering(broken))
    finish(gather(shop))
    with pytest.raises(ZeroDivisionError, match="boom") as bug:
        finish(annotate_corpus(shop))
    told = " ".join(bug.value.__notes__)
    for part in ("while Calculator was asked '44", "in text t4", "shard-00002.parquet"):
        assert part in told
    done = sorted(path.name for path in (shop.root / "annotate" / "shards").glob("*"))
    assert done == ["log.jsonl", "shard-00000.parquet", "shard-00001.parquet"]
    finish(annotate_corpus(with_tools(shop, {"Calculator": calculator_tool()})))
    assert len(list(read_shards(shop.require("annotate")))) == len(TEXTS)


def fuzzed(seed: int) -> str:
    noise = hashlib.shake_128(f"fuzz {seed}".encode()).digest(20)
    text = "".join(PIECES[byte % len(PIECES)] for byte in noise)
    return f"[Calculator({text})]" if seed % 3 == 0 else text


class Asked(list[tuple[str, str]]):
    """Tools that write down what they are asked, and answer with what looks like calls."""

    def tool(self, name: str) -> Tool:
        def answer(argument: str, _context: Context) -> str:
            self.append((name, argument))
            if len(argument) % 3 == 1:
                raise ToolError(argument)
            return f"{argument}] -> [{name}("

        return Tool(name=name, answer=answer)

    def written_in(self, text: str) -> bool:
        return all(f"{n}({a})" in text or f'{n}("{a}")' in text for n, a in self)


def execute_what_is_written(text: str, tools: dict[str, Tool]) -> None:
    """As the stages do: read a call, ask its tool, write the answer in, read it back."""
    for call in (parse(text), parse_asked(text)):
        if call is not None and call.tool in tools:
            with contextlib.suppress(ToolError):
                result = Executor().answer(tools[call.tool], call.argument, Context())
                assert parse(render(call.answered(result))) == call.answered(result)


def test_in_ten_thousand_fuzzed_texts_only_what_is_written_as_a_call_is_executed() -> None:
    executed = 0
    for seed in range(10_000):
        asked, text = Asked(), fuzzed(seed)
        execute_what_is_written(text, {n: asked.tool(n) for n in ("Calculator", "Calendar")})
        assert asked.written_in(text), (text, asked)
        executed += len(asked)
    assert executed > 100


class Spelling(LanguageModel):
    """What a model writes, letter by letter, whatever stands in the way."""

    name, context, end, tokens_processed = "letters", 10_000, 0, 0

    def encode(self, text: str) -> list[int]:
        return [min(ord(letter), 127) for letter in text]

    encode_after = encode

    def decode(self, tokens: Ids) -> str:
        return "".join(map(chr, tokens))


def spell(writer: Writer, text: str) -> None:
    """Drive a writer so that each token it may choose is the next letter of `text`."""
    left = [*Spelling().encode(text), 0]
    while left and writer.state is not State.DONE:
        if writer.state is State.WAITING:
            writer.take_answer()  # waits for it
            continue
        logprob_V = torch.full((128,), -50.0)
        logprob_V[left.pop(0)] = 0.0
        writer.next_tokens(logprob_V)


def test_in_fuzzed_continuations_only_what_is_written_as_a_call_is_executed() -> None:
    settings, executed = RunConfig(top_k=1, max_calls=9, max_new_tokens=99), 0
    for seed in range(200):
        asked, text = Asked(), fuzzed(seed) + " [Calculator(1 + 1) ->" * (seed % 2)
        tools = {"Calculator": asked.tool("Calculator")}
        writer = Writer(Text("a", "x"), [1], Spelling(), tools, settings, Executor())
        spell(writer, text)
        assert asked.written_in(text), (text, asked)
        assert [traced.call.argument for traced in writer.calls] == [a for _, a in asked]
        executed += len(asked)
    assert executed > 50
