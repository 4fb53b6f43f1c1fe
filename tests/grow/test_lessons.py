import re

import numpy as np
import pytest

from graft.grow.language import prompts
from graft.grow.lessons import (
    LessonConfig,
    answer_of,
    draw_lesson,
    draw_story,
    echo,
    exercise,
    note,
    useless,
)
from graft.toolformer.call import parse, render, strip
from graft.toolformer.tools.calculator import calculator_tool
from graft.toolformer.tools.tool import Context
from graft.world.names import held_out
from graft.world.story import Half

PROMPTS = prompts()
TOOLS = ("Calculator", "Calendar", "Search")


def draws(count: int = 300) -> list[np.random.Generator]:
    return [np.random.default_rng(seed) for seed in range(count)]


def test_nothing_that_is_learnt_outside_exercises_has_a_call_in_it() -> None:
    for rng in draws(600):
        pieces = draw_lesson(rng, LessonConfig())
        learnt = "".join(text for text, learns in pieces if learns)
        assert learnt
        assert not set("[]") & set(learnt)
        assert "->" not in learnt


def test_of_a_note_the_call_is_read_and_only_the_story_is_learnt() -> None:
    for rng in draws():
        (call, call_learnt), (story, story_learnt) = note(rng)
        assert (call_learnt, story_learnt) == (False, True)
        parsed = parse(call)
        assert parsed is not None
        assert call == f"{render(parsed)}\n"
        assert parsed.result is not None
        assert not set("[]\n") & set(story)


def test_most_notes_tell_what_the_story_needs_and_some_tell_nothing_or_something_else() -> None:
    told = nothing = 0
    for rng in draws(600):
        (call, _), (story, _) = note(rng)
        parsed = parse(call)
        assert parsed is not None
        assert parsed.result is not None
        nothing += parsed.result == ""
        result = parsed.result.removeprefix("Today is ").rstrip(".")
        values = [result, *re.findall(r"\w+", result)[-1:], result.split(",")[0]]
        told += bool(parsed.result) and any(value in story for value in values)
    assert 0.05 < nothing / 600 < 0.15
    assert told / 600 > 0.6


def test_an_echo_repeats_what_was_read() -> None:
    for rng in draws(100):
        (first, first_learnt), (second, second_learnt) = echo(rng)
        assert first == f"{second}\n"
        assert (first_learnt, second_learnt) == (False, True)
        assert len(second.split()) >= 3


def pairs_of(pieces: list[tuple[str, bool]]) -> list[tuple[str, str]]:
    """The texts and what they become, of an exercise."""
    read = [text for text, learns in pieces[1:] if not learns]
    learnt = [text for text, learns in pieces[1:] if learns]
    assert [learns for _, learns in pieces] == [False, *[False, True] * len(learnt)]
    inputs = [re.fullmatch(r"Input:\n(.*)\nOutput:\n", text) for text in read]
    return [(found[1], text) for found, text in zip(inputs, learnt, strict=True) if found]


def test_an_exercise_copies_its_texts_and_adds_at_most_one_call_to_each() -> None:
    calls, copied = 0, 0
    for rng in draws():
        pieces = exercise(rng, PROMPTS, LessonConfig())
        assert not pieces[0][1]
        [tool] = [name for name, told in PROMPTS.items() if told.startswith(pieces[0][0][:60])]
        pairs = pairs_of(pieces)
        assert len(pairs) in (1, LessonConfig().pairs)
        for text, output in pairs:
            assert strip(output) == f"{text}\n\n"
            call = parse(output)
            copied += 1
            if call is not None:
                calls += 1
                assert call.tool == tool
                assert call.result is None
                assert output.count("[") == 1
    assert 0.7 < calls / copied < 0.95


def test_a_whole_prompt_comes_with_one_text_and_its_first_line_with_several() -> None:
    heads: dict[int, set[str]] = {1: set(), 5: set()}
    for rng in draws(200):
        pieces = exercise(rng, PROMPTS, LessonConfig(pairs=5))
        heads[len(pairs_of(pieces))].add(pieces[0][0])
    assert heads[1] == set(PROMPTS.values())
    assert heads[5] == {told.split("\n")[0] + "\n\n" for told in PROMPTS.values()}


def test_more_than_half_of_the_calls_in_exercises_are_the_right_ones_in_their_place() -> None:
    calculator, right, calls = calculator_tool(), 0, 0
    for rng in draws(300):
        pieces = exercise(rng, {"Calculator": PROMPTS["Calculator"]}, LessonConfig())
        for _, output in pairs_of(pieces):
            call = parse(output)
            if call is None:
                continue
            calls += 1
            behind = output[output.index("]") + 1 :]
            asked = re.fullmatch(r"(\d+) [-+*/] (\d+)", call.argument)
            assert asked
            if "/ 0" not in call.argument:
                result = calculator.answer(call.argument, Context())
                right += behind.startswith((f" {result} ", f" {result},"))
    assert 0.4 < right / calls < 0.8


@pytest.mark.parametrize("tool", TOOLS)
def test_a_useless_call_is_well_formed(tool: str) -> None:
    for rng in draws(200):
        call = useless(rng, draw_story(rng), tool)
        assert call.tool == tool
        assert call.quoted == (tool == "Search")
        answered = call.answered(answer_of(rng, call))
        assert answered.result
        assert parse(render(answered)) == answered


@pytest.mark.parametrize("half", ["read", "held"])
def test_stories_are_of_all_kinds(half: Half) -> None:
    kinds = [draw_story(rng, half).kind for rng in draws(400)]
    shares = {kind: kinds.count(kind) / 400 for kind in kinds}
    assert set(shares) == {"amounts", "days", "facts", "plain"}
    assert min(shares.values()) > 0.05


def test_what_is_read_while_growing_is_of_the_read_half_alone() -> None:
    for rng in draws(200):
        story = draw_story(rng)
        for use in story.uses:
            if use.tool == "Search":
                assert not held_out(use.argument.split()[0])
