"""From texts to merged texts the fast way, beside an oracle that is slow and plainly right."""

import datetime
from collections.abc import Sequence
from dataclasses import astuple, replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from graft.errors import ToolError
from graft.models.finetune import copy_to_train, loss_of_rows
from graft.models.huggingface import HuggingFaceModel
from graft.models.language import Branch, Ids
from graft.toolformer.annotate import AnnotateConfig, Sampling, annotate, most_text_tokens
from graft.toolformer.call import Call
from graft.toolformer.corpus import split_passages
from graft.toolformer.dataset import (
    Annotated,
    Candidate,
    Losses,
    Scored,
    Text,
    call_tokens,
    generator,
)
from graft.toolformer.keep import KeepConfig, choose, merge, score
from graft.toolformer.run import run
from graft.toolformer.tools.tool import Context, Demonstration, Prompt, Tool
from graft.toolformer.writing import RunConfig
from oracle import (
    SlowAnnotator,
    annotate_slowly,
    choose_slowly,
    gain,
    merge_slowly,
    score_slowly,
)
from small_models import ARCHITECTURES, make_model

CONVENTIONS = (
    "byte pairs",
    "sentence pieces, dummy space",
    "sentence pieces, no dummy",
    "bytes",
)
ARGUMENTS = ("a", "né", "b 2", "7", "")
DAY = datetime.date(2023, 1, 30)
TEXTS = [
    Text("one token", "7"),
    Text("sum", "Mara had 47 apples, she bought 38 more.", DAY),
    Text("long", "語語é 12; " * 28),
    Text("unicode", "naïve 数 学 — ok"),
    Text("nothing", ""),
    Text("again", "7"),
]


def shout(argument: str, _context: Context) -> str:
    """Large letters; nothing for a number; no answer to nothing."""
    if not argument:
        raise ToolError("nothing was asked")
    return "" if argument.isdigit() else argument.upper()


def everywhere(name: str, *, quoted: bool):
    """Rules that propose at the first, the middle and the last character, and behind it."""

    def rules(text: str, _context: Context) -> list[tuple[int, Call]]:
        places = [0, 9, len(text) // 2, max(0, len(text) - 1), len(text)]
        arguments = ("b 2", "7", "né", "b 2", "a")
        return [
            (min(place, len(text)), Call(name, argument, quoted=quoted))
            for place, argument in zip(places, arguments, strict=True)
        ]

    return rules


def make_tool(name: str, *, quoted: bool) -> Tool:
    argument = '"a"' if quoted else "a"
    shown = Demonstration("b a 1", f"b [{name}({argument})] a 1")
    return Tool(
        name=name,
        answer=shout,
        prompt=Prompt(f"Call {name}.", (shown,) * 3),
        rules=everywhere(name, quoted=quoted),
        quoted=quoted,
    )


TOOLS = {"Up": make_tool("Up", quoted=False), "Say": make_tool("Say", quoted=True)}
BY_MODEL = AnnotateConfig(
    sampling=Sampling(threshold=1e-3, positions=3, samples=5, temperature=1.3),
    tools={"Say": Sampling(threshold=0.0, positions=2, samples=8, temperature=0.8)},
    call_tokens=10,
)
BY_RULES = AnnotateConfig(proposer="rules")
KEEP = KeepConfig(separator=" ~ ", cap=4, calls_per_text=2)


@pytest.fixture(
    scope="module",
    params=[(a, c) for a in ARCHITECTURES for c in CONVENTIONS],
    ids=", ".join,
)
def network(request: pytest.FixtureRequest) -> HuggingFaceModel:
    """A random model of each architecture with each kind of tokenizer."""
    return make_model(*request.param)


@pytest.fixture(scope="module")
def calling(network: HuggingFaceModel) -> HuggingFaceModel:
    """The same model once it has read so many calls that it writes some well."""
    model, rng = copy_to_train(network), np.random.default_rng(0)
    optimizer = torch.optim.AdamW(model.model.parameters(), lr=1e-2)
    for _ in range(50):
        loss = loss_of_rows(model, [row_of_calls(model, rng) for _ in range(2)])
        (loss.total / loss.count).backward()
        optimizer.step()
        optimizer.zero_grad()
    model.model.requires_grad_(False)
    return model


def row_of_calls(model: HuggingFaceModel, rng: np.random.Generator) -> list[int]:
    row = list(model.start)
    while len(row) < 240:
        tool = TOOLS[("Up", "Say")[rng.integers(2)]]
        call = Call(tool.name, ARGUMENTS[rng.integers(4)], quoted=tool.quoted)
        row += model.encode_after(" ok 7,"[: 3 * rng.integers(1, 3)])
        row += call_tokens(model, call)
    return row[:256]


def test_from_texts_to_merged_texts_a_model_proposes_as_in_the_naive_way(calling) -> None:
    annotated, _ = compared_with_the_oracle(calling, BY_MODEL)
    counts = sum((row.counts for row in annotated), start=type(annotated[0].counts)())
    for outcome in ("too_long", "empty", "unclosed", "candidates"):
        assert counts[f"Up.{outcome}"] + counts[f"Say.{outcome}"]


def test_from_texts_to_merged_texts_rules_propose_as_in_the_naive_way(network) -> None:
    annotated, scored = compared_with_the_oracle(network, BY_RULES)
    for row in annotated[1:4]:
        end = len(network.encode(row.text.text))
        assert {0, end - 1, end} <= {c.position for c in row.candidates}
    assert {"", "B 2", "NÉ"} <= {c.call.result for row in annotated for c in row.candidates}
    [long] = [row for row in scored if row.text.id == "long"]
    assert len(network.encode(long.text.text)) > network.context
    assert {0} <= {c.position for c, _ in long.candidates} < set(range(network.context))


def compared_with_the_oracle(
    model: HuggingFaceModel, config: AnnotateConfig
) -> tuple[list[Annotated], list[Scored]]:
    """Every stage of the fast path equals the slow one; gives what was annotated and scored."""
    annotated = list(annotate(TEXTS, model, TOOLS, config))
    slowly = [annotate_slowly(text, model, TOOLS.values(), config) for text in TEXTS]
    assert_same_candidates(annotated, slowly)
    scored = list(score(annotated, model, KEEP))
    scored_slowly = [score_slowly(row, model, KEEP) for row in slowly]
    assert_same_losses(scored, scored_slowly)
    keep = replace(KEEP, tools={name: amid(scored_slowly, name) for name in TOOLS})
    kept, kept_slowly = choose(scored, keep), choose_slowly(scored_slowly, keep)
    assert {text: places(pairs) for text, pairs in kept.calls.items()} == {
        text: places(pairs) for text, pairs in kept_slowly.items()
    }
    assert 0 < sum(map(len, kept_slowly.values())) < sum(len(r.candidates) for r in scored)
    for text, merged in zip(TEXTS, merge(scored, kept, model), strict=True):
        pairs = kept_slowly.get(text.id, [])
        assert merged.tokens == tuple(merge_slowly(model, text.text, pairs))
        assert merged.calls == tuple(candidate.call for candidate, _ in pairs)
        assert merged.plain == tuple(model.encode(text.text))
    return annotated, scored


def assert_same_candidates(fast: Sequence[Annotated], slow: Sequence[Annotated]) -> None:
    for one, other in zip(fast, slow, strict=True):
        assert one.text == other.text
        assert [(c.position, c.call) for c in one.candidates] == [
            (c.position, c.call) for c in other.candidates
        ]
        assert [c.probability for c in one.candidates] == pytest.approx(
            [c.probability for c in other.candidates], abs=1e-4
        )
        assert +one.counts == +other.counts


def assert_same_losses(fast: Sequence[Scored], slow: Sequence[Scored]) -> None:
    for one, other in zip(fast, slow, strict=True):
        assert one.text == other.text
        assert [(c.position, c.call) for c, _ in one.candidates] == [
            (c.position, c.call) for c, _ in other.candidates
        ]
        assert numbers(one) == pytest.approx(numbers(other), abs=1e-4)


def numbers(row: Scored) -> list[float]:
    return [number for _, losses in row.candidates for number in astuple(losses)]


def places(pairs: Sequence[tuple[Candidate, Losses]]) -> list[tuple[int, Call]]:
    return [(candidate.position, candidate.call) for candidate, _ in pairs]


def amid(rows: Sequence[Scored], tool: str) -> float:
    """A threshold that parts the gains of a tool, or of all if it has none to part."""
    every = [(gain(losses), c.call.tool) for row in rows for c, losses in row.candidates]
    gains = sorted({one for one, name in every if name == tool})
    if len(gains) < 2:
        gains = sorted({one for one, _ in every})
    middle = range(max(1, len(gains) // 4), max(2, len(gains) * 3 // 4))
    widest = max(middle, key=lambda k: gains[k] - gains[k - 1])
    return (gains[widest] + gains[widest - 1]) / 2


WRITTEN = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=24)
CALLS = (
    Call("Up", "né", "NÉ"),
    Call("Up", "7", ""),
    Call("Say", "b 2", "B 2 数", quoted=True),
)


class Watched(HuggingFaceModel):
    """Remembers the probabilities of each text, and each branch's position and samples."""

    def __init__(self, model: HuggingFaceModel) -> None:
        super().__init__(model.model, model.tokenizer, name="watched")
        self.likely: dict[tuple[int, ...], np.ndarray] = {}
        self.drawn: dict[bytes, tuple[int, list[list[int]]]] = {}

    def read(self, prompt: Ids, inputs: Sequence[Ids], texts: Sequence[Ids]):
        return WatchedReading(self, super().read(prompt, inputs, texts))


class WatchedReading:
    def __init__(self, model: Watched, reading) -> None:
        self.model, self.reading = model, reading

    def probabilities(self, marker: Ids, floor: float = 0.0) -> list[np.ndarray]:
        found = self.reading.probabilities(marker, floor)
        self.model.likely |= dict(zip(map(tuple, self.reading.texts), found, strict=True))
        return found

    def sample(
        self, marker: Ids, branches: Sequence[Branch], stop: frozenset[int], temperature: float
    ) -> list[list[list[int]]]:
        samples = self.reading.sample(marker, branches, stop, temperature)
        for branch, written in zip(branches, samples, strict=True):
            self.model.drawn[branch.draws.tobytes()] = (branch.position, written)
        return samples


FEW = replace(BY_MODEL, sampling=Sampling(threshold=0.0, positions=2, samples=2), call_tokens=4)


def watched(model: HuggingFaceModel, texts: Sequence[Text]) -> tuple[Watched, Scored]:
    """What the model was asked and said, and the losses of the text named `mine`."""
    watching = Watched(model)
    list(annotate(texts, watching, {"Up": TOOLS["Up"]}, FEW))
    rows = [
        Annotated(text, tuple(Candidate(i, call, 1.0) for i in (0, 2, 5) for call in CALLS))
        for text in texts
    ]
    [mine] = [row for row in score(rows, watching, KEEP) if row.text.id == "mine"]
    return watching, mine


@settings(max_examples=8)
@given(WRITTEN, st.lists(WRITTEN | st.just("7 apples, " * 9), max_size=4), st.integers(0, 4))
def test_a_texts_numbers_and_draws_are_its_own_whatever_stands_beside_it(
    reader, written: str, others: list[str], at: int
) -> None:
    mine = Text("mine", written)
    beside = [Text(f"other {k}", other) for k, other in enumerate(others)]
    alone, losses = watched(reader, [mine])
    together, losses_beside = watched(reader, [*beside[:at], mine, *beside[at:]])
    assert numbers(losses_beside) == pytest.approx(numbers(losses), abs=1e-4)
    for tokens, likely_N in alone.likely.items():
        np.testing.assert_allclose(together.likely[tokens], likely_N, atol=1e-4)
    for draws, (position, samples) in alone.drawn.items():
        rng = generator(FEW.seed, "annotate", "mine", "Up", position)
        assert draws == rng.random((2, FEW.call_tokens)).tobytes()
        assert together.drawn[draws] == (position, samples)


def test_a_text_longer_than_the_context_is_cut_into_passages_that_every_stage_takes(
    reader,
) -> None:
    [whole] = [text for text in TEXTS if text.id == "long"]
    assert len(reader.encode(whole.text)) > reader.context
    most = most_text_tokens(reader, TOOLS, FEW)
    passages = list(split_passages(whole, reader, most))
    assert "".join(passage.text for passage in passages) == whole.text
    for passage, annotated in zip(
        passages, annotate(passages, reader, TOOLS, FEW), strict=True
    ):
        length = len(reader.encode(passage.text))
        assert annotated.counts["Up.positions"] == min(2, length)
        ends = tuple(Candidate(i, call, 1.0) for i in (0, length - 1) for call in CALLS)
        [scored] = score([Annotated(passage, ends)], reader, KEEP)
        assert [candidate for candidate, _ in scored.candidates] == list(ends)
    written = run(passages, reader, {}, RunConfig(max_new_tokens=2))
    assert [generation.cut for generation in written] == [0] * len(passages)


def test_a_text_is_too_long_from_where_the_longest_call_behind_it_would_not_fit(reader) -> None:
    texts = [Text(str(count), "7" * count) for count in range(1, 130)]
    once = replace(FEW, sampling=Sampling(threshold=0.0, positions=1, samples=1))
    annotated = annotate(texts, reader, {"Up": TOOLS["Up"]}, once)
    left_out = [row.counts["Up.too_long"] == 1 for row in annotated]
    assert left_out == [
        SlowAnnotator(reader, TOOLS["Up"], text, once).is_too_long() for text in texts
    ]
    assert {True, False} == set(left_out)
