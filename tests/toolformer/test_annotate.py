import datetime
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch

from graft.errors import ModelError
from graft.models.finetune import copy_to_train, loss_of_rows
from graft.models.huggingface import HuggingFaceModel
from graft.models.language import Branch, Ids
from graft.toolformer.annotate import (
    AnnotateConfig,
    Sampling,
    annotate,
    fitting_prompt,
    most_text_tokens,
    select_positions,
)
from graft.toolformer.call import Call
from graft.toolformer.dataset import Annotated, Candidate, Text, generator, splice
from graft.toolformer.tools.calculator import calculator_tool
from graft.toolformer.tools.calendar import calendar_tool
from graft.toolformer.tools.prompt import render_input, render_prompt
from graft.toolformer.tools.tool import Context, Demonstration, Prompt, Tool
from oracle import annotate_slowly

DAY = datetime.date(2023, 1, 30)
SUM, LETTER = "Mara had 47 apples and 38 plums, in all", "Dear Teren, today it is"
CALLS = {
    "Calculator": (SUM, Call("Calculator", "47 + 38")),
    "Calendar": (LETTER, Call("Calendar", "")),
}
TEXTS = [
    Text("sum", SUM + " 85 of them.", DAY),
    Text("letter", LETTER + " Monday.", DAY),
    Text("plain", "The harbour was quiet and the moon was bright.", DAY),
    Text("sum again", "Teren had 38 plums and 47 apples, in all 85.", DAY),
]
SETTINGS = AnnotateConfig(
    sampling=Sampling(threshold=0.001, positions=4, samples=6, temperature=1.3),
    tools={},
    call_tokens=14,
)


def small(tool: Tool) -> Tool:
    """The tool with a prompt that a context of 640 tokens has room for."""
    shown = Demonstration("I have 1 and 2, 3.", "I have 1 and 2, [Calculator(1 + 2)] 3.")
    return replace(tool, prompt=Prompt(f"Add calls of {tool.name}.", (shown,)))


@pytest.fixture(scope="module")
def calling() -> dict[str, Tool]:
    return {tool.name: small(tool) for tool in (calculator_tool(), calendar_tool())}


@pytest.fixture(scope="module")
def annotator(untaught: HuggingFaceModel, calling: dict[str, Tool]) -> HuggingFaceModel:
    """A small model that has learnt, not too well, to copy two texts with a call in them."""
    model, rows = copy_to_train(untaught), []
    for name, (beginning, call) in CALLS.items():
        for text in TEXTS[:3]:
            prompt = fitting_prompt(calling[name], model)
            asked, tokens = model.encode_after(render_input(text.text)), model.encode(text.text)
            at = len(model.encode(beginning))
            calls = [(at, call)] if text.text.startswith(beginning) else []
            rows.append([*model.start, *prompt, *asked, *splice(model, tokens, calls)])
    optimizer = torch.optim.AdamW(model.model.parameters(), lr=1e-2)
    for _ in range(120):
        loss = loss_of_rows(model, rows)
        (loss.total / loss.count).backward()
        optimizer.step()
        optimizer.zero_grad()
    model.model.requires_grad_(False)
    return model


def found(
    texts: Sequence[Text], model: HuggingFaceModel, tools: dict[str, Tool], settings=SETTINGS
) -> list[Annotated]:
    return list(annotate(texts, model, tools, settings))


def same(one: Annotated, other: Annotated) -> bool:
    """Equal but for the last bits of the probabilities."""
    pairs = list(zip(one.candidates, other.candidates, strict=False))
    return (
        one.text == other.text
        and one.counts == other.counts
        and len(one.candidates) == len(other.candidates)
        and all((a.position, a.call) == (b.position, b.call) for a, b in pairs)
        and all(abs(a.probability - b.probability) < 1e-5 for a, b in pairs)
    )


def test_a_tool_is_kept_out_of_texts_by_the_patterns_of_its_settings(
    annotator: HuggingFaceModel, calling: dict[str, Tool]
) -> None:
    def seen(**patterns: str) -> list[str]:
        of_one = Sampling(threshold=0.0, positions=1, samples=1, proposer="rules", **patterns)
        settings = replace(SETTINGS, tools={"Calculator": of_one})
        found = annotate(TEXTS, annotator, {"Calculator": calling["Calculator"]}, settings)
        return [one.text.id for one in found if one.counts["Calculator.seen"]]

    assert seen() == ["sum", "sum again"]
    assert seen(only="^Mara") == seen(never="Teren|moon") == ["sum"]
    assert seen(only="plums", never=r"85 of") == ["sum again"]
    assert seen(only="pears") == seen(never="(?i)PLUMS") == []
    with pytest.raises(ValueError, match=r"'never' is no regular expression: .*'\('"):
        Sampling(never="(")


def test_positions_are_those_over_the_threshold_the_likeliest_in_the_texts_order() -> None:
    probability_N = np.array([0.2, 0.05, 0.4, 0.1, 0.05001, 0.4])
    assert select_positions(probability_N, Sampling(positions=9)) == [0, 2, 3, 4, 5]
    assert select_positions(probability_N, Sampling(positions=3)) == [0, 2, 5]
    assert select_positions(probability_N, Sampling(positions=1)) == [2]
    assert select_positions(probability_N, Sampling(threshold=0.4)) == []
    assert select_positions(np.zeros(0), Sampling()) == []
    assert select_positions(np.zeros(3), Sampling(threshold=0.0)) == []


def test_the_papers_numbers_are_the_defaults() -> None:
    config = AnnotateConfig()
    assert config.of(calendar_tool()) == Sampling(threshold=0.05, positions=5, samples=5)
    assert config.of(calculator_tool()) == Sampling(threshold=0.0, positions=20, samples=10)


def test_candidates_are_those_of_the_naive_way(annotator, calling) -> None:
    together = found(TEXTS, annotator, calling)
    for text, annotated in zip(TEXTS, together, strict=True):
        assert same(annotated, annotate_slowly(text, annotator, calling.values(), SETTINGS))
    calls = [c.call.tool for one in together for c in one.candidates]
    assert {"Calculator", "Calendar"} <= set(calls), "a comparison of nothing proves nothing"


def test_a_texts_candidates_do_not_depend_on_its_neighbours_or_their_order(
    annotator, calling
) -> None:
    together = found(TEXTS, annotator, calling)
    alone = [found([text], annotator, calling)[0] for text in TEXTS]
    reversed_ = found(TEXTS[::-1], annotator, calling)[::-1]
    crowded = found(TEXTS, annotator, calling, replace(SETTINGS, batch_tokens=1))
    for one, others in zip(together, zip(alone, reversed_, crowded, strict=True), strict=True):
        assert all(same(one, other) for other in others)


def test_the_same_seed_proposes_the_same_and_another_seed_something_else(
    annotator, calling
) -> None:
    warm = replace(SETTINGS, sampling=replace(SETTINGS.sampling, temperature=2.0))
    first = found(TEXTS, annotator, calling, warm)
    assert first == found(TEXTS, annotator, calling, warm)
    assert first != found(TEXTS, annotator, calling, replace(warm, seed=1))


def test_every_proposal_is_counted_once(annotator, calling) -> None:
    warm = replace(SETTINGS, sampling=replace(SETTINGS.sampling, temperature=2.0))
    for annotated in found(TEXTS, annotator, calling, warm):
        count = annotated.counts
        assert count["texts"] == 1
        for name, tool in calling.items():
            outcomes = (
                *("unclosed", "malformed", "repeated", "input_after"),
                *("unanswered", "candidates"),
            )
            assert count[f"{name}.proposed"] == sum(count[f"{name}.{o}"] for o in outcomes)
            assert count[f"{name}.proposed"] == 6 * count[f"{name}.positions"]
            assert count[f"{name}.candidates"] == sum(
                c.call.tool == name for c in annotated.candidates
            )
            assert count[f"{name}.seen"] == tool.sees(
                annotated.text.text, annotated.text.context
            )


class Scripted(HuggingFaceModel):
    """A model that proposes before token 3, and there what it is told to write."""

    script: tuple[str, ...] = ()
    asked: list[Branch]

    def read(self, _prompt: Ids, _inputs: Sequence[Ids], texts: Sequence[Ids]):
        return ScriptedReading(self, texts)


class ScriptedReading:
    def __init__(self, model: Scripted, texts: Sequence[Ids]) -> None:
        self.model, self.texts = model, texts

    def probabilities(self, _marker: Ids, _floor: float = 0.0) -> list[np.ndarray]:
        return [np.where(np.arange(len(text)) == 3, 0.5, 0.0) for text in self.texts]

    def sample(
        self,
        _marker: Ids,
        branches: Sequence[Branch],
        _stop: frozenset[int],
        _temperature: float,
    ) -> list[list[list[int]]]:
        self.model.asked += branches
        return [[self.model.encode_after(line) for line in self.model.script] for _ in branches]


def scripted(untaught: HuggingFaceModel, *lines: str) -> Scripted:
    model = Scripted(untaught.model, untaught.tokenizer, name="scripted")
    model.script, model.asked = lines, []
    return model


def test_a_tool_may_have_another_proposer_than_the_others(annotator, calling) -> None:
    mixed = replace(
        SETTINGS,
        proposer="rules",
        tools={"Calendar": replace(SETTINGS.sampling, proposer="model")},
    )
    for annotated, by_model in zip(
        found(TEXTS, annotator, calling, mixed), found(TEXTS, annotator, calling), strict=True
    ):
        of = {name: [c for c in annotated.candidates if c.call.tool == name] for name in CALLS}
        assert all(c.probability == 1.0 for c in of["Calculator"])
        assert [c.call for c in of["Calendar"]] == [
            c.call for c in by_model.candidates if c.call.tool == "Calendar"
        ]
    longest = most_text_tokens(annotator, calling, mixed)
    assert longest < most_text_tokens(annotator, calling, replace(mixed, tools={}))


SAID = 'He read "la casa blanca" aloud, that is the white house.'
"""A text whose Spanish stands behind its third token."""


def test_a_copying_tools_call_whose_input_stands_only_after_it_is_dropped(
    untaught, calling
) -> None:
    """Appendix A: of such a call nobody could know what to ask."""
    plain = replace(calling["Calculator"], name="MT", quoted=True, answer=lambda *_: "so")
    plain = replace(plain, sees=lambda *_: True)
    lines = [f'MT("{one}")]' for one in ("la casa  Blanca", "H", "el gato")]
    model = scripted(untaught, *lines)
    [every] = found([Text("es", SAID)], model, {"MT": plain})
    assert every.counts["MT.candidates"] == 3
    [one] = found([Text("es", SAID)], model, {"MT": replace(plain, copies=True)})
    assert [c.call.argument for c in one.candidates] == ["H", "el gato"]
    assert (one.counts["MT.input_after"], one.counts["MT.candidates"]) == (1, 2)


def test_the_draws_of_a_sample_belong_to_seed_text_tool_and_position(untaught, calling) -> None:
    model = scripted(untaught, "Calculator(1 + 2)]")
    found(TEXTS[:1], model, calling, replace(SETTINGS, seed=9))
    assert len(model.asked) == 2
    for branch, name in zip(model.asked, calling, strict=True):
        expected = generator(9, "annotate", "sum", name, 3).random((6, 14))
        assert branch.position == 3
        assert np.array_equal(branch.draws, expected)


def test_what_cannot_be_used_is_counted_by_its_reason(untaught, calling) -> None:
    model = scripted(
        untaught,
        "Calculator(1 + 2)]",
        "Calculator(1 + 2) -> 7]",  # what it answers itself is not believed
        "Calculator(1 + 2",
        "Calculator(1 + 2)\n",
        "Calculator 1 + 2]",
        "Calendar()]",
        'Calculator("1 + 2")]',
        "Calculator(1 / 0)]",
        "Calculator(apples)]",
        "Calculator(2 + 2)]",
    )
    [annotated] = found(TEXTS[:1], model, {"Calculator": calling["Calculator"]})
    assert annotated.counts == {
        "texts": 1,
        "Calculator.seen": 1,
        "Calculator.positions": 1,
        "Calculator.proposed": 10,
        "Calculator.unclosed": 2,
        "Calculator.malformed": 3,
        "Calculator.repeated": 1,
        "Calculator.unanswered": 2,
        "Calculator.candidates": 2,
    }
    assert annotated.candidates == (
        Candidate(3, Call("Calculator", "1 + 2", "3"), 0.5),
        Candidate(3, Call("Calculator", "2 + 2", "4"), 0.5),
    )


def test_a_tools_bug_stops_and_names_tool_argument_and_text(untaught, calling) -> None:
    def broken(_argument: str, _context: Context) -> str:
        raise RuntimeError("boom")

    tool = replace(calling["Calculator"], answer=broken)
    with pytest.raises(RuntimeError, match="boom") as caught:
        found(TEXTS[:1], scripted(untaught, "Calculator(1 + 2)]"), {"Calculator": tool})
    notes = " ".join(caught.value.__notes__)
    assert "Calculator" in notes
    assert "'1 + 2'" in notes
    assert "text sum" in notes


def test_rules_put_a_call_before_the_token_whose_answer_it_is(reader) -> None:
    by_rules = AnnotateConfig(proposer="rules")
    tool = calculator_tool()
    text = Text("a", "Mara had 47 apples and 38 plums, in all 85 of them.")
    [annotated] = found([text], reader, {"Calculator": tool}, by_rules)
    [right] = {c.position for c in annotated.candidates if c.call.result == "85"}
    tokens = reader.encode(text.text)
    before, behind = reader.decode(tokens[:right]), reader.decode(tokens[right:])
    assert before.strip() == "Mara had 47 apples and 38 plums, in all"
    assert behind.strip() == "85 of them."
    assert annotated.counts["Calculator.proposed"] == len(tool.rules(text.text, text.context))
    assert {c.probability for c in annotated.candidates} == {1.0}


def test_a_text_that_a_tool_does_not_see_is_not_annotated_with_it(annotator, calling) -> None:
    blind = replace(calling["Calculator"], sees=lambda _text, _context: False)
    [annotated] = found(TEXTS[:1], annotator, {"Calculator": blind})
    assert annotated.candidates == ()
    assert annotated.counts == {"texts": 1}


def test_empty_and_overlong_texts_are_counted_and_come_without_candidates(
    annotator, calling
) -> None:
    anywhere = replace(calling["Calculator"], sees=lambda _text, _context: True)
    texts = [Text("nothing", ""), Text("long", "1 + 2 = 3, " * 200)]
    empty, long = found(texts, annotator, {"Calculator": anywhere})
    assert empty.counts == {"texts": 1, "Calculator.empty": 1}
    assert long.counts == {"texts": 1, "Calculator.too_long": 1}
    assert empty.candidates == long.candidates == ()


def test_a_prompt_loses_demonstrations_until_it_leaves_half_the_context(
    untaught, calling
) -> None:
    shown = Demonstration("I have 1 and 2, 3.", "I have 1 and 2, [Calculator(1 + 2)] 3.")
    prompt = Prompt("Add calls.", (shown,) * 20)
    tool = replace(calling["Calculator"], prompt=prompt)
    tokens = fitting_prompt(tool, untaught)
    count = untaught.decode(tokens).count("Input:")
    assert 0 < count < 20
    assert tokens == untaught.encode(
        render_prompt(replace(prompt, demonstrations=(shown,) * count))
    )
    assert len(tokens) * 2 <= untaught.context
    one_more = replace(prompt, demonstrations=(shown,) * (count + 1))
    assert len(untaught.encode(render_prompt(one_more))) * 2 > untaught.context


def test_an_instruction_that_leaves_no_room_is_refused_with_the_remedy(
    untaught, calling
) -> None:
    tool = replace(calling["Calculator"], prompt=Prompt("Add calls of it. " * 60))
    with pytest.raises(ModelError, match=r"small: .* Calculator alone .* propose by rules"):
        fitting_prompt(tool, untaught)


@pytest.mark.parametrize("unit", ["1 + 2 = 3, ", "apples 12 and ", "\n7", "naïve 9 ", " 4  5"])
def test_the_longest_text_that_is_promised_to_fit_does(annotator, calling, unit: str) -> None:
    most = most_text_tokens(annotator, calling, SETTINGS)
    tokens = annotator.encode(unit * 300)[:most]
    text = Text("long", annotator.decode(tokens))
    assert abs(len(annotator.encode(text.text)) - most) <= 1
    anywhere = {n: replace(t, sees=lambda _text, _context: True) for n, t in calling.items()}
    few = replace(SETTINGS, sampling=Sampling(threshold=0.0, positions=400, samples=1))
    [annotated] = found([text], annotator, anywhere, few)
    assert not any(name.endswith("too_long") for name in annotated.counts)
    assert annotated.counts["Calculator.positions"] >= most - 1


def test_by_rules_a_text_may_fill_half_the_context(untaught, calling) -> None:
    by_rules = AnnotateConfig(proposer="rules")
    assert most_text_tokens(untaught, calling, by_rules) == untaught.context // 2
