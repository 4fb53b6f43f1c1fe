import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import astuple, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graft.models.huggingface import HuggingFaceModel
from graft.models.language import Ids, Passage
from graft.toolformer.call import Call, render
from graft.toolformer.dataset import (
    Annotated,
    Candidate,
    Losses,
    Scored,
    Text,
    call_tokens,
)
from graft.toolformer.keep import (
    KeepConfig,
    choose,
    decaying_weights,
    describe,
    merge,
    score,
    show_kept_calls,
    weighted_loss,
)
from oracle import score_slowly
from small_models import make_model

SUM = Text("sum", "Mara had 47 apples and 38 plums, in all 85 of them.")
LETTER = Text("letter", "Dear Teren, today it is Monday.")
RIGHT = Call("Calculator", "47 + 38", "85")
WRONG = Call("Calculator", "47 - 38", "9")
TODAY = Call("Calendar", "", "Today is Monday, January 30, 2023.")
NOTHING = Call("Search", "数 (né)", "", quoted=True)


def annotated(text: Text, *candidates: tuple[int, Call]) -> Annotated:
    return Annotated(text, tuple(Candidate(i, call, 0.5) for i, call in candidates))


def scored(text: Text, *placed: tuple[int, Call, float]) -> Scored:
    """A text whose calls gain so many nats."""
    return Scored(
        text,
        tuple(
            (Candidate(i, call, 0.5), Losses(1.0, 9.0, 1.0 + gain)) for i, call, gain in placed
        ),
    )


def kept_calls(
    rows: Sequence[Scored], settings: KeepConfig
) -> dict[str, list[tuple[int, str]]]:
    chosen = choose(rows, settings).calls
    return {k: [(c.position, render(c.call)) for c, _ in calls] for k, calls in chosen.items()}


def test_the_weights_fall_from_five_fifteenths_to_nothing() -> None:
    fifteenths = [5 / 15, 4 / 15, 3 / 15, 2 / 15, 1 / 15]
    assert decaying_weights(6).tolist() == pytest.approx([*fifteenths, 0])
    assert decaying_weights(5).tolist() == pytest.approx(fifteenths)


def test_at_a_texts_end_the_weights_that_are_left_sum_to_one() -> None:
    assert decaying_weights(1).tolist() == [1.0]
    assert decaying_weights(2).tolist() == pytest.approx([5 / 9, 4 / 9])
    assert decaying_weights(3).tolist() == pytest.approx([5 / 12, 4 / 12, 3 / 12])


def test_the_loss_is_the_weighted_negative_log_likelihood() -> None:
    assert weighted_loss(np.array([-3.0, 0, 0, 0, 0])) == pytest.approx(1.0)
    assert weighted_loss(np.array([0, 0, 0, 0, -3.0])) == pytest.approx(0.2)
    assert weighted_loss(np.array([0, 0, 0, 0, 0, -99.0])) == 0.0
    assert weighted_loss(np.full(5, -2.0)) == pytest.approx(2.0)
    assert weighted_loss(np.array([-9.0, -18.0])) == pytest.approx(5 + 8)


def test_a_call_gains_over_the_better_of_no_call_and_no_result() -> None:
    assert Losses(1.0, 4.0, 3.0).gain == 2.0
    assert Losses(1.0, 2.5, 3.0).gain == 1.5
    assert Losses(3.0, 9.0, 1.0).gain == -2.0


def test_a_call_that_helps_without_its_result_gains_nothing() -> None:
    itself = Scored(SUM, ((Candidate(3, RIGHT, 1.0), Losses(0.5, 0.5, 9.0)),))
    assert choose([itself], KeepConfig(threshold=0.1, tools={})).calls == {}


@pytest.mark.parametrize("keeps_arrow", [True, False])
def test_the_three_losses_are_those_of_the_naive_way(
    reader: HuggingFaceModel, *, keeps_arrow: bool
) -> None:
    settings = KeepConfig(separator=" ~ ", empty_keeps_arrow=keeps_arrow)
    last = [len(reader.encode(text.text)) - 1 for text in (SUM, LETTER)]
    rows = [
        annotated(
            SUM, (0, RIGHT), (4, RIGHT), (4, WRONG), (last[0] - 2, RIGHT), (last[0], TODAY)
        ),
        annotated(LETTER, (last[1], TODAY), (7, TODAY)),
    ]
    for row, result in zip(rows, score(rows, reader, settings), strict=True):
        slow = score_slowly(row, reader, settings)
        assert [candidate for candidate, _ in result.candidates] == list(row.candidates)
        assert [candidate for candidate, _ in slow.candidates] == list(row.candidates)
        for (_, one), (_, other) in zip(result.candidates, slow.candidates, strict=True):
            assert astuple(one) == pytest.approx(astuple(other), abs=1e-4)


def test_a_result_that_helps_gains_and_another_one_does_not(untaught) -> None:
    at = len(untaught.encode("Mara had 47 apples and 38 plums, in all"))
    model = Telling(untaught)
    [row] = score([annotated(SUM, (at, RIGHT), (at, WRONG))], model, KeepConfig())
    (_, right), (_, wrong) = row.candidates
    assert right.gain == pytest.approx(3.0)
    assert wrong.gain == pytest.approx(0.0)


class Telling(HuggingFaceModel):
    """A model to which every token costs 3 nats, unless ` 85` stands in front of the text."""

    def __init__(self, model: HuggingFaceModel) -> None:
        super().__init__(model.model, model.tokenizer, name="telling")

    def score(self, passages: Sequence[Passage]) -> list[np.ndarray]:
        told = ["-> 85]" in self.decode(passage.tokens) for passage in passages]
        return [
            np.full(len(p.wanted), 0.0 if helped else -3.0)
            for p, helped in zip(passages, told, strict=True)
        ]


def test_a_text_is_read_once_behind_each_call_wherever_it_is_proposed(untaught) -> None:
    tokens = untaught.encode(SUM.text)
    before = untaught.tokens_processed
    other = replace(RIGHT, result="86")
    places = (3, 9)
    candidates = [(i, call) for i in places for call in (RIGHT, other, RIGHT)]
    list(score([annotated(SUM, *candidates)], untaught, KeepConfig()))

    def cost(prefix: str, position: int) -> int:
        # the start token, and the last of the five weighed tokens is not read
        return len(untaught.encode(prefix)) + min(position + 5, len(tokens))

    prefixes = ["[Calculator(47 + 38) -> 85]\n", "[Calculator(47 + 38) -> 86]\n"]
    prefixes.append("[Calculator(47 + 38) ->]\n")
    expected = sum(cost(prefix, places[1]) for prefix in ["", *prefixes])
    assert untaught.tokens_processed - before == expected


def test_scores_do_not_depend_on_the_neighbours(untaught) -> None:
    rows = [annotated(SUM, (3, RIGHT), (9, WRONG)), annotated(LETTER, (5, TODAY))]
    together = list(score(rows, untaught, KeepConfig()))
    alone = [next(score([row], untaught, KeepConfig())) for row in rows]
    for one, other in zip(together, alone, strict=True):
        for (_, losses), (_, same) in zip(one.candidates, other.candidates, strict=True):
            assert losses.gain == pytest.approx(same.gain, abs=1e-5)


def test_a_call_behind_the_last_token_or_beyond_the_context_is_left_out(untaught) -> None:
    tokens = untaught.encode(SUM.text)
    long = Text("long", "apples and plums, " * 200)
    end = untaught.context - len(untaught.encode(render(RIGHT) + "\n")) - 1
    rows = [
        annotated(SUM, (len(tokens), RIGHT), (2, RIGHT)),
        annotated(long, (end - 5, RIGHT), (end - 4, RIGHT)),
        annotated(LETTER),
    ]
    found = [
        [c.position for c, _ in row.candidates] for row in score(rows, untaught, KeepConfig())
    ]
    assert found == [[2], [end - 5], []]


def test_each_tool_has_its_threshold_and_reaching_it_is_enough() -> None:
    rows = [
        scored(SUM, (1, RIGHT, 0.5), (2, WRONG, 0.49), (3, TODAY, 0.99)),
        scored(LETTER, (5, TODAY, 1.0)),
    ]
    kept = choose(rows, KeepConfig())
    assert [(c.position, c.call) for c, _ in kept.calls["sum"]] == [(1, RIGHT)]
    assert [(c.position, c.call) for c, _ in kept.calls["letter"]] == [(5, TODAY)]
    assert kept.reasons == {
        "Calculator": {"kept": 1, "unhelpful": 1},
        "Calendar": {"kept": 1, "unhelpful": 1},
    }


LOW = KeepConfig(threshold=0.0, tools={})


def test_of_several_calls_at_a_place_the_most_helpful_stays() -> None:
    row = scored(SUM, (4, WRONG, 1.0), (4, RIGHT, 2.0), (4, TODAY, 1.5))
    kept = choose([row], LOW)
    assert [c.call for c, _ in kept.calls["sum"]] == [RIGHT]
    assert kept.reasons["Calculator"] == {"kept": 1, "place taken": 1}
    assert kept.reasons["Calendar"] == {"place taken": 1}


def test_a_call_stands_once_in_a_text_where_it_helps_most() -> None:
    row = scored(SUM, (2, RIGHT, 1.0), (6, RIGHT, 2.0), (8, WRONG, 1.0))
    kept = choose([row], LOW)
    assert [(c.position, c.call) for c, _ in kept.calls["sum"]] == [(6, RIGHT), (8, WRONG)]
    assert kept.reasons["Calculator"] == {"kept": 2, "repeated": 1}


def test_a_text_that_stands_in_the_corpus_twice_is_chosen_from_once() -> None:
    rows = [scored(SUM, (2, RIGHT, 1.0)), scored(replace(SUM, id="copy"), (2, RIGHT, 1.0))]
    kept = choose(rows, LOW)
    assert list(kept.calls) == ["sum"]
    assert kept.reasons["Calculator"] == {"kept": 1, "text repeated": 1}


def test_a_text_takes_so_many_calls_the_most_helpful_ones() -> None:
    calls = [(i, Call("Calculator", f"{i} + 1", str(i + 1)), float(i)) for i in range(5)]
    kept = choose([scored(SUM, *calls)], replace(LOW, calls_per_text=2))
    assert [c.position for c, _ in kept.calls["sum"]] == [3, 4]
    assert kept.reasons["Calculator"] == {"kept": 2, "enough in its text": 3}


def test_the_cap_drops_a_tools_least_helpful_calls_and_no_other_tools() -> None:
    rows = [
        scored(Text(str(k), f"text {k}"), (2, RIGHT, float(k)), (5, TODAY, 0.1))
        for k in range(4)
    ]
    kept = choose(rows, replace(LOW, cap=2))
    calculator = [k for k, pairs in kept.calls.items() for c, _ in pairs if c.call == RIGHT]
    assert calculator == ["2", "3"]
    assert kept.reasons["Calculator"] == {"kept": 2, "over the cap": 2}
    assert kept.reasons["Calendar"] == {"kept": 2, "over the cap": 2}
    assert all(pairs for pairs in kept.calls.values())


TOOLS = st.sampled_from(["Calculator", "Calendar", "Search"])
GAINS = st.floats(-3, 3).map(lambda gain: round(gain, 1))
CALLS = st.builds(Call, TOOLS, st.sampled_from(["1", "2"]), st.just("3"))
PLACED = st.lists(st.tuples(st.integers(0, 4), CALLS, GAINS), max_size=6)
ROWS = st.lists(PLACED, max_size=5)


def rows_of(drawn: list[list[tuple[int, Call, float]]]) -> list[Scored]:
    """Texts of which the fifth stands in the corpus twice; built outside the strategy, for the
    runtime checks look at random items."""
    return [scored(Text(str(k), f"text {k % 4}"), *row) for k, row in enumerate(drawn)]


@given(ROWS, st.integers(1, 3), st.integers(1, 3))
def test_every_candidate_ends_in_exactly_one_count(
    drawn: list[list[tuple[int, Call, float]]], cap: int, most: int
) -> None:
    rows = rows_of(drawn)
    settings = KeepConfig(threshold=0.3, cap=cap, calls_per_text=most)
    kept, candidates = choose(rows, settings), Counter[str]()
    for row in rows:
        candidates.update(candidate.call.tool for candidate, _ in row.candidates)
    assert {tool: sum(counts.values()) for tool, counts in kept.reasons.items()} == candidates
    stay = Counter(c.call.tool for pairs in kept.calls.values() for c, _ in pairs)
    for tool in candidates:
        assert kept.reasons[tool]["kept"] == stay[tool] <= cap
    report = describe(rows, kept, settings)
    assert report["candidates"] == candidates
    assert report["kept"] == {tool: stay[tool] for tool in candidates}
    assert report["texts"] == len(rows)
    assert report["texts_with_calls"] == len(kept.calls)


@given(ROWS)
def test_sweeping_is_choosing_again_and_a_higher_threshold_keeps_no_more(
    drawn: list[list[tuple[int, Call, float]]],
) -> None:
    rows = rows_of(drawn)
    report = describe(rows, choose(rows, LOW), LOW)
    swept = report["kept_at"]
    assert isinstance(swept, dict)
    for level in (0.5, 1.0, 2.0):
        again = choose(rows, replace(LOW, threshold=level)).reasons
        assert swept[str(level)] == {
            tool: again[tool]["kept"] if tool in again else 0 for tool in swept["0.5"]
        }
    for tool in swept["0.5"]:
        assert swept["0.5"][tool] >= swept["1.0"][tool] >= swept["2.0"][tool]


def test_the_report_shows_the_best_and_the_worst_calls_and_why_others_went() -> None:
    rows = [scored(SUM, (1, RIGHT, 3.0), (2, WRONG, -1.0)), scored(LETTER, (5, TODAY, 1.2))]
    report = describe(rows, choose(rows, KeepConfig()), KeepConfig(), extremes=1)
    assert report["reasons"] == {
        "Calculator": {"kept": 1, "unhelpful": 1},
        "Calendar": {"kept": 1},
    }
    assert report["kept_at"] == {
        "0.5": {"Calculator": 1, "Calendar": 1},
        "1.0": {"Calculator": 1, "Calendar": 1},
        "2.0": {"Calculator": 1, "Calendar": 0},
    }
    shown = {"text_id": "sum", "text": SUM.text}
    best = {"call": "[Calculator(47 + 38) -> 85]", "position": 1, "gain": 3.0, **shown}
    worst = {"call": "[Calculator(47 - 38) -> 9]", "position": 2, "gain": -1.0, **shown}
    assert report["highest"] == [best]
    assert report["lowest"] == [worst]


def test_kept_calls_are_shown_from_the_best_to_the_least_with_what_stands_around_them() -> None:
    model = make_model("llama", "bytes")
    letters = "abcdefghi"
    rows = [
        scored(Text(letter, f"{letter} is 85."), (5, RIGHT, 1.0 + index / 2))
        for index, letter in enumerate(letters)
    ]
    shown = show_kept_calls(rows, choose(rows, LOW), model, most=3)
    assert [(one["gain"], one["before"][0]) for one in shown] == [(5, "i"), (3, "e"), (1, "a")]
    assert shown[0] == {
        "gain": 5.0,
        "call": "[Calculator(47 + 38) -> 85]",
        "before": "i is ",
        "after": "85.",
    }
    assert len(show_kept_calls(rows, choose(rows, LOW), model)) == 9
    assert show_kept_calls(rows, choose(rows, KeepConfig(threshold=50, tools={})), model) == []


def without(
    model: HuggingFaceModel, tokens: Ids, placed: Sequence[tuple[int, Call]]
) -> list[int]:
    """The tokens with each call's own taken out, which must be where they are said to be."""
    left = list(tokens)
    for position, call in placed:
        written = call_tokens(model, call)
        assert left[position : position + len(written)] == written
        del left[position : position + len(written)]
    return left


@settings(max_examples=40)
@given(
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30),
    st.lists(
        st.tuples(st.integers(0, 60), st.sampled_from([RIGHT, TODAY, NOTHING])), max_size=3
    ),
)
def test_taking_the_calls_out_of_a_merged_text_leaves_its_very_tokens(
    reader: HuggingFaceModel, written: str, drawn: list[tuple[int, Call]]
) -> None:
    tokens = reader.encode(written)
    by_place = {position % len(tokens): call for position, call in drawn}
    row = scored(Text("a", written), *((i, call, 1.0) for i, call in by_place.items()))
    kept = choose([row], LOW)
    [merged] = merge([row], kept, reader)
    placed = [(c.position, c.call) for c, _ in kept.calls.get("a", ())]
    assert list(merged.plain) == tokens
    assert merged.calls == tuple(call for _, call in placed)
    assert without(reader, merged.tokens, placed) == tokens


def test_several_tools_meet_in_one_text_at_its_first_and_at_its_last_token(reader) -> None:
    tokens = reader.encode(SUM.text)
    places = [(0, TODAY), (len(tokens) // 2, WRONG), (len(tokens) - 1, RIGHT)]
    row = scored(SUM, *((i, call, 1.0) for i, call in reversed(places)))
    [merged] = merge([row], choose([row], LOW), reader)
    assert merged.calls == (TODAY, WRONG, RIGHT)
    assert without(reader, merged.tokens, places) == tokens
    assert list(merged.plain) == tokens
    text = reader.decode(merged.tokens)
    assert [text.index(render(call)) for call in merged.calls] == sorted(
        text.index(render(call)) for call in merged.calls
    )


def test_a_text_without_a_kept_call_comes_plain_and_in_its_place(untaught) -> None:
    rows = [scored(LETTER, (3, TODAY, -1.0)), scored(SUM, (3, RIGHT, 1.0))]
    plain, called = merge(rows, choose(rows, LOW), untaught)
    assert plain.text == LETTER
    assert plain.tokens == plain.plain == tuple(untaught.encode(LETTER.text))
    assert plain.calls == ()
    assert called.text == SUM
    assert called.tokens != called.plain


def test_the_papers_numbers_are_the_defaults() -> None:
    config = KeepConfig()
    assert config.of("Search") == config.of("Calendar") == 1.0
    assert config.of("Calculator") == 0.5
    assert config.cap == 25_000
    assert math.isclose(float(decaying_weights(100).sum()), 1.0)
