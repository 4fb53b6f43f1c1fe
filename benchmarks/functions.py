"""Do two small functions, composed, answer better than one small model that does all?

The questions take two steps: amounts stand in an encyclopedia of towns, and two of them are to
be added or subtracted. Either one seedling is taught both, to search twice and to compute. Or
one is taught to look an amount up with search, another to compute with amounts that it asks the
first for: `model:total.toml`, whose tools are `calculator` and `model:amount.toml`. They are
set beside one model that learns from the same texts, and beside one that is shown the whole
task, two-step texts alone, of as many tokens in all; every text is read equally often. Several
budgets of tokens, several seeds; towns and amounts of the questions stand in no text.
"""

import itertools
import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from rich.console import Console
from stopwatch import Row, arguments, publish

from graft.errors import ToolError
from graft.measure.interval import Interval, bootstrap_difference, bootstrap_mean
from graft.models.huggingface import HuggingFaceModel, load_model
from graft.toolformer.call import Call
from graft.toolformer.dataset import Merged, Text, splice
from graft.toolformer.functions import open_tools
from graft.toolformer.tools.execute import Executor
from graft.toolformer.tools.tool import Context, Tool
from graft.toolformer.tools.tracing import Scope, Trace, ask_within, lines_of
from graft.toolformer.train import TrainConfig, divide, finetune
from graft.world.amounts import THINGS
from graft.world.names import town
from graft.world.story import Half, pick

QUESTION = (
    "functions: two-step questions about towns that no text names, right answers in %; each way"
    " learns from so many thousand tokens, read equally often; intervals are over questions"
)
COMPOSED, SAME, WHOLE = "two functions, composed", "one, the same texts", "one, the whole task"
LOOKING = 0.4
"""Share of the composed functions' tokens that the one which looks up learns from."""
BATCH = 16
MOST_DRAWS = 1000
"""Without a new question among them there are no more."""
KEPT = 4
"""Things that an article tells of, each in a sentence."""
_DRAWN = THINGS[:12]

AMOUNT = """
name = "Amount"
description = "Tells how many of a thing there are in a town."
prompt = "How many {text}? The answer is"
model = "lookup"
tools = ["search"]
search = "towns.jsonl"
"""
TOTAL = """
name = "Total"
description = "Answers how many things two towns have together, or one more than the other."
prompt = "{text} The answer is"
"""
LIMITS = """
stop = ["."]
[limits]
new_tokens = 8
seconds = 120
[run]
top_k = 10
least_probability = 0.1
max_calls = 3
"""


@dataclass(frozen=True, slots=True)
class Asked:
    """A question, the calls that answer it, each way, and what is right."""

    question: str
    alone: tuple[Call, ...]
    composed: tuple[Call, ...]
    sum: str
    answer: str


class Towns:
    """An encyclopedia that is made up as it is asked for: each town with its amounts."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.told: dict[str, dict[str, int]] = {}

    def draw(self, half: Half, thing: str | None = None) -> str:
        """A town of the half; one that has some of a thing."""
        while True:
            name = town(self.rng, half)
            if thing is None or thing in self.amounts(name):
                return name

    def amounts(self, name: str) -> dict[str, int]:
        """What there is in a town."""
        if name not in self.told:
            things = self.rng.permutation(_DRAWN)[:KEPT]
            self.told[name] = {str(one): int(self.rng.integers(12, 999)) for one in things}
        return self.told[name]

    def article(self, name: str) -> str:
        """What the encyclopedia says of a town."""
        return " ".join(self.sentence(name, thing) for thing in self.amounts(name))

    def sentence(self, name: str, thing: str) -> str:
        """What it says of one thing there."""
        return f"There are {self.amounts(name)[thing]} {thing} in {name}."

    def searched(self, name: str, thing: str) -> Call:
        """The search for an amount, and what it finds."""
        found = f"{name} > {self.sentence(name, thing)}"
        return Call("Search", f"{name} {thing}", quoted=True).answered(found)

    def lookup(self, half: Half) -> Asked:
        """A question that takes one step."""
        name = self.draw(half)
        thing = pick(self.rng, tuple(self.amounts(name)))
        calls, count = (self.searched(name, thing),), self.amounts(name)[thing]
        return Asked(f"How many {thing} in {name}?", calls, calls, "", str(count))

    def total(self, half: Half) -> Asked:
        """A question that takes two lookups and a sum or a difference."""
        one = self.draw(half)
        thing = pick(self.rng, tuple(self.amounts(one)))
        other = self.draw(half, thing)
        while other == one or self.amounts(other)[thing] == self.amounts(one)[thing]:
            one, other = other, self.draw(half, thing)
        a, b = self.amounts(one)[thing], self.amounts(other)[thing]
        if self.rng.random() < 0.5:
            question = f"How many {thing} are there in {one} and {other} together?"
            argument, result = f"{a} + {b}", a + b
        else:
            one, other, a, b = (one, other, a, b) if a > b else (other, one, b, a)
            question = f"How many more {thing} are there in {one} than in {other}?"
            argument, result = f"{a} - {b}", a - b
        summed = Call("Calculator", argument, str(result))
        asked = [
            Call("Amount", f"{thing} in {name}", str(self.amounts(name)[thing]), quoted=True)
            for name in (one, other)
        ]
        searched = (self.searched(one, thing), self.searched(other, thing))
        return Asked(question, (*searched, summed), (*asked, summed), argument, str(result))


def different(draw: Callable[[Half], Asked], half: Half) -> Iterator[Asked]:
    """Questions, each once.

    Raises:
        RuntimeError: there are no more.
    """
    known = set[str]()
    while True:
        fresh = (one for _ in range(MOST_DRAWS) if (one := draw(half)).question not in known)
        one = next(fresh, None)
        if one is None:
            raise RuntimeError(f"there are no more than {len(known)} questions; ask for fewer")
        known.add(one.question)
        yield one


def written(
    model: HuggingFaceModel,
    texts: Sequence[Asked],
    way: Callable[[Asked], tuple[Call, ...]],
    start: int = 0,
) -> Iterator[Merged]:
    """Texts that ask and answer, the calls written in before the answer."""
    for number, one in enumerate(texts, start):
        prompt = f"{one.question} The answer is"
        plain, calls = f"{prompt} {one.answer}.", way(one)
        tokens, place = model.encode(plain), len(model.encode(prompt))
        spliced = splice(model, tokens, [(place, call) for call in calls])
        yield Merged(Text(str(number), plain), tuple(spliced), tuple(tokens), calls)


def teach(model: HuggingFaceModel, merged: list[Merged], steps: int, folder: Path) -> None:
    """Finetune a copy; `folder` is the run's."""
    settings = TrainConfig(
        batch=BATCH,
        learning_rate=1e-3,
        max_steps=steps,
        epochs=1000,
        evaluate_every=max(1, steps // 4),
        dev_texts=32,
    )
    examples = divide(merged, settings, calls=True)
    taught = folder / "train" / "toolformer"
    for step in finetune(model, examples.training, examples.development, settings, taught):
        if step.perplexity is not None:
            tell(f"{folder.name}: step {step.index}, perplexity {step.perplexity:.3f}")


def answered(tool: Tool, asked: Sequence[Asked], executor: Executor) -> list[Trace]:
    """What the function answers to each question, and all that it asked for that."""
    scope = Scope()
    for one in asked:
        try:
            ask_within(scope, executor, tool, one.question, Context())
        except ToolError:
            continue  # its trace tells so, and it counts as wrong
    return list(scope.calls)


def right(trace: Trace, asked: Asked) -> bool:
    """Whether the first number of the answer is the right one."""
    found = re.search(r"\d+", trace.answer or "")
    return found is not None and found[0] == asked.answer


def well_put(trace: Trace, asked: Asked) -> bool:
    """Whether the right sum was asked for."""
    swapped = " + ".join(reversed(asked.sum.split(" + ")))
    sums = {call.argument for call in trace.calls if call.tool == "Calculator"}
    return bool(sums & {asked.sum, swapped})


def tell(line: str) -> None:
    """What is done, while it is done."""
    Console(width=160).print(line, markup=False, highlight=False)


def shown(told: Interval) -> dict[str, object]:
    """In percent."""
    return {"right": 100 * told.mean, "from": 100 * told.low, "to": 100 * told.high}


@dataclass(frozen=True, slots=True)
class Way:
    """A way to answer: its models with the texts of each, and its file."""

    name: str
    models: dict[str, list[Merged]]
    function: str

    @property
    def tokens(self) -> int:
        """That its models learn from."""
        return sum(len(one.tokens) for merged in self.models.values() for one in merged)

    def steps(self, name: str, passes: float) -> int:
        """Of a model that reads each of its texts so often."""
        return max(1, round(passes * len(self.models[name]) / BATCH))


def ways(model: HuggingFaceModel, towns: Towns, tokens: int) -> list[Way]:
    """The ways that are compared; the first and the last learn from `tokens` in all."""
    own = 'tools = ["search", "calculator"]\nsearch = "towns.jsonl"\n'
    parts = 'model = "compute"\ntools = ["model:amount.toml", "calculator"]\n'
    lookups, looking = within(
        model, different(towns.lookup, "read"), lambda one: one.composed, LOOKING * tokens
    )
    rest = tokens - sum(len(one.tokens) for one in looking)
    sums = different(towns.total, "read")
    totals, adding = within(model, sums, lambda one: one.composed, rest)
    both = list(written(model, [*lookups, *totals], lambda one: one.alone))
    _, whole = within(model, itertools.chain(totals, sums), lambda one: one.alone, tokens)
    return [
        Way(COMPOSED, {"lookup": looking, "compute": adding}, parts),
        Way(SAME, {"both": both}, f'model = "both"\n{own}'),
        Way(WHOLE, {"whole": whole}, f'model = "whole"\n{own}'),
    ]


def within(
    model: HuggingFaceModel,
    asked: Iterator[Asked],
    way: Callable[[Asked], tuple[Call, ...]],
    tokens: float,
) -> tuple[list[Asked], list[Merged]]:
    """The first texts, of at most so many tokens in all."""
    taken, kept, left = list[Asked](), list[Merged](), tokens
    for question in asked:
        [one] = written(model, [question], way, start=len(kept))
        left -= len(one.tokens)
        if left < 0:
            break
        taken.append(question)
        kept.append(one)
    return taken, kept


@dataclass(frozen=True, slots=True)
class Score:
    """What a way came to: for each question 1 or 0, and the tokens it had learnt from."""

    tokens: int
    right: list[float]
    well_put: list[float]


def scored(tokens: int, asked: int, passes: float, seed: int, folder: Path) -> dict[str, Score]:
    """Teach every way anew and ask it."""
    model, towns = load_model("seedling"), Towns(seed)
    compared = ways(model, towns, tokens)
    questions = list(itertools.islice(different(towns.total, "held"), asked))
    articles = [{"title": name, "text": towns.article(name)} for name in list(towns.told)]
    lines = "".join(json.dumps(one) + "\n" for one in articles)
    (folder / "towns.jsonl").write_text(lines, encoding="utf-8")
    (folder / "amount.toml").write_text(AMOUNT + LIMITS, encoding="utf-8")
    found = dict[str, Score]()
    for way in compared:
        for name, merged in way.models.items():
            teach(model, merged, way.steps(name, passes), folder / name)
        executor, file = Executor(), folder / "total.toml"
        file.write_text(TOTAL + way.function + LIMITS, encoding="utf-8")
        [tool] = open_tools(
            [f"model:{file}"], executor=executor, index_folder=folder / "index"
        ).values()
        traces = answered(tool, questions, executor)
        tell("\n".join(lines_of(traces[0])))
        pairs = list(zip(traces, questions, strict=True))
        good = [float(right(*pair)) for pair in pairs]
        found[way.name] = Score(way.tokens, good, [float(well_put(*pair)) for pair in pairs])
        tell(f"seed {seed}, {way.tokens} tokens, {way.name}: {sum(good):.0f} of {len(pairs)}")
    return found


def rows_of(budget: int, found: Sequence[dict[str, Score]]) -> Iterator[Row]:
    """A row for each way, and for how far they are apart; `found` is of several seeds."""
    named = {name: [scores[name] for scores in found] for name in found[0]}
    rights = {name: [one for own in all_ for one in own.right] for name, all_ in named.items()}
    head = f"{budget // 1000}k tokens: "
    for name, all_ in named.items():
        put = [one for own in all_ for one in own.well_put]
        yield {
            "case": f"{head}{name}",
            "tokens": sum(own.tokens for own in all_),
            "questions": len(rights[name]),
            **shown(bootstrap_mean(rights[name])),
            "by seed": ", ".join(f"{100 * np.mean(own.right):g}" for own in all_),
            "right sum asked": 100 * sum(put) / len(put),
        }
    for name in (SAME, WHOLE):
        apart = bootstrap_difference(rights[COMPOSED], rights[name])
        yield {"case": f"{head}composed over {name}", **shown(apart)}


def main() -> None:
    """Teach, ask and compare."""
    parser = arguments(QUESTION)
    parser.add_argument("--tokens", type=int, nargs="+", default=[26_000, 53_000, 106_000])
    parser.add_argument("--questions", type=int, default=200, help="for each seed")
    parser.add_argument("--passes", type=float, default=3.2, help="over the texts")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    given = parser.parse_args()
    rows = list[Row]()
    for tokens in given.tokens:
        found = list[dict[str, Score]]()
        for seed in given.seeds:
            with TemporaryDirectory() as folder:
                place = Path(folder)
                found.append(scored(tokens, given.questions, given.passes, seed, place))
        rows += rows_of(tokens, found)
    publish("functions", QUESTION, rows, given.record)


if __name__ == "__main__":
    main()
