"""What do batches bring while decoding with calls, and what does that decoding cost without?"""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import islice

import torch
from bases import BASES, documents, load_base
from stopwatch import Timed, arguments, in_turn, publish

import graft.toolformer.run as decoding
from graft.models.huggingface import HuggingFaceModel
from graft.toolformer.dataset import Text
from graft.toolformer.run import run
from graft.toolformer.tools.tool import Context, Tool
from graft.toolformer.tools.toolbox import tools_by_name
from graft.toolformer.writing import RunConfig
from graft.world.shipped import FOLDER

QUESTION = "run: texts per second, one call in each at most"
ONE_CALL = RunConfig(top_k=10**9, max_calls=1, max_new_tokens=24, call_tokens=24, rows=32)
"""Every text opens a call at once: its marker is always among so many likeliest tokens."""
LATENCY = 0.05


def prompts(count: int) -> list[Text]:
    """Questions of the little world."""
    with (FOLDER / "tasks" / "arithmetic.jsonl").open(encoding="utf-8") as lines:
        found = [json.loads(line) for line in islice(lines, count)]
    return [Text(one["id"], one["prompt"]) for one in found]


def decode(
    model: HuggingFaceModel, texts: list[Text], tools: Mapping[str, Tool], settings: RunConfig
) -> Callable[[], int]:
    """Decoding by graft, to be timed; gives the number of calls."""
    return lambda: sum(len(one.calls) for one in run(texts, model, tools, settings))


def generate(model: HuggingFaceModel, texts: list[Text], settings: RunConfig) -> int:
    """The same texts without calls by transformers, a batch of as many rows at a time."""
    for at in range(0, len(texts), settings.rows):
        rows = [[*model.start, *model.encode(t.text)] for t in texts[at : at + settings.rows]]
        width = max(map(len, rows))
        padded = torch.tensor([[model.end] * (width - len(row)) + row for row in rows])
        seen = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in rows])
        model.model.generate(
            padded,
            attention_mask=seen,
            do_sample=False,
            max_new_tokens=settings.max_new_tokens,
            min_new_tokens=settings.max_new_tokens,
            eos_token_id=model.end,
            pad_token_id=model.end,
        )
    return 0


def slow(tool: Tool) -> Tool:
    """The tool, behind a network, so to speak."""

    def answer(argument: str, context: Context) -> str:
        time.sleep(LATENCY)
        return tool.answer(argument, context)

    return replace(tool, answer=answer)


def idle_seconds(work: Callable[[], int]) -> float:
    """The seconds that a decoding stood still while no row had anything to say."""
    idle, wait = 0.0, decoding.wait

    def timed(*given: object, **named: object) -> object:
        nonlocal idle
        began = time.perf_counter()
        done = wait(*given, **named)
        idle += time.perf_counter() - began
        return done

    decoding.wait = timed
    try:
        work()
    finally:
        decoding.wait = wait
    return idle


def row(case: str, ways: tuple[str, str], timed: tuple[Timed[int], Timed[int]], count: int):
    """One comparison, in texts per second."""
    first, second = timed
    return {
        "case": case,
        "this": ways[0],
        "texts/s": count / first.median,
        "beside": ways[1],
        "its texts/s": count / second.median,
        "times faster": second.median / first.median,
        "calls": first.result,
    }


def measure(base: str, count: int, repeats: int) -> list[dict[str, object]]:
    """A base's rows; random weights write no call that closes, so theirs is without calls."""
    model = load_base(base)
    if base == "seedling":
        return [*with_calls(model, count, repeats), without_calls(base, model, count, repeats)]
    return [without_calls(base, model, count, repeats)]


def with_calls(model: HuggingFaceModel, count: int, repeats: int) -> list[dict[str, object]]:
    """Batches beside single rows, and a slow tool beside a quick one."""
    texts, tools = prompts(count), tools_by_name(["calculator"])
    late = {name: slow(tool) for name, tool in tools.items()}
    batched = decode(model, texts, tools, ONE_CALL)
    rows = in_turn(batched, decode(model, texts, tools, replace(ONE_CALL, rows=1)), repeats)
    waiting = in_turn(decode(model, texts, late, ONE_CALL), batched, repeats)
    idle = idle_seconds(decode(model, texts, late, ONE_CALL))
    return [
        row("seedling", ("32 rows", "1 row"), rows, count),
        {
            **row("seedling", ("tool of 50 ms", "tool of 0 ms"), waiting, count),
            "idle seconds": idle,
        },
    ]


def without_calls(
    base: str, model: HuggingFaceModel, count: int, repeats: int
) -> dict[str, object]:
    """Decoding without tools beside transformers' own, as many tokens for each text."""
    plain = replace(ONE_CALL, top_k=0, max_new_tokens=48)
    texts = [Text(one.id, one.text) for one in documents(model, count, 40)]
    beside = in_turn(
        decode(without_end(model), texts, {}, plain),
        lambda: generate(model, texts, plain),
        repeats,
    )
    return row(base, ("no call", "generate"), beside, count)


def without_end(model: HuggingFaceModel) -> HuggingFaceModel:
    """A model whose texts never end by themselves, so that both ways write as much."""
    twin = HuggingFaceModel(model.model, model.tokenizer, name=model.name)
    twin.end = -1
    return twin


def main() -> None:
    """Measure every base that was asked for."""
    parser = arguments(QUESTION)
    parser.add_argument("--bases", nargs="+", default=list(BASES), choices=BASES)
    parser.add_argument("--texts", type=int, nargs="+", default=[96, 32])
    given = parser.parse_args()
    rows = [
        row
        for base, count in zip(given.bases, given.texts, strict=False)
        for row in measure(base, count, given.repeats)
    ]
    publish("run", QUESTION, rows, given.record)


if __name__ == "__main__":
    main()
