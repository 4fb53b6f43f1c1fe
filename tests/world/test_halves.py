"""What is read while growing and what is held out for the questions never meet."""

import re

import numpy as np
import pytest

from graft.toolformer.tools.calculator import calculator_tool
from graft.toolformer.tools.calendar import calendar_tool
from graft.toolformer.tools.tool import Context
from graft.world.amounts import OPERATIONS, amount_story, numbers
from graft.world.days import FORMS, FRAMES, day_story, draw_date, undated
from graft.world.facts import FRAMES as FACT_FRAMES
from graft.world.facts import MENTIONS, fact_story
from graft.world.names import first_name, held_out, land, person, strange, town
from graft.world.plain import ENDINGS, OPENINGS, plain_story
from graft.world.story import Half, Story

STORIES = {
    "amounts": amount_story,
    "days": day_story,
    "facts": fact_story,
    "plain": plain_story,
}


def stories(kind: str, half: Half, count: int = 300) -> list[Story]:
    rng = np.random.default_rng(5)
    return [STORIES[kind](rng, half) for _ in range(count)]


@pytest.mark.parametrize("draw", [first_name, person, town, land])
def test_no_name_is_in_both_halves(draw) -> None:
    rng = np.random.default_rng(0)
    read = {draw(rng, "read") for _ in range(2000)}
    held = {draw(rng, "held") for _ in range(2000)}
    assert not read & held
    assert len(read) > 100
    assert len(held) > 25
    assert not {name.split()[0] for name in read} & {name.split()[0] for name in held}


def test_a_fifth_of_the_names_is_held_out_for_all_time() -> None:
    names = ("Mara", "Teren", "Tolvik", "Osk", "Brania")
    assert [name for name in names if held_out(name)] == ["Tolvik"]
    share = np.mean([held_out(f"name {index}") for index in range(5000)])
    assert share == pytest.approx(0.2, abs=0.02)


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda one: one.sign)
def test_no_pair_of_numbers_is_in_both_halves_and_each_result_is_right(operation) -> None:
    rng, calculator = np.random.default_rng(0), calculator_tool()
    drawn = {
        half: {numbers(rng, operation.sign, half) for _ in range(3000)}
        for half in ("read", "held")
    }
    assert not drawn["read"] & drawn["held"]
    for half, other in (("read", "held"), ("held", "read")):
        pairs = {(a, b) for a, b, _ in drawn[half]}
        assert not pairs & {(a, b) for a, b, _ in drawn[other]}
        for a, b, result in list(drawn[half])[:100]:
            asked = f"{a} {operation.sign} {b}"
            assert calculator.answer(asked, Context()) == str(result)


def test_no_day_is_in_both_halves() -> None:
    rng = np.random.default_rng(0)
    read = {draw_date(rng, "read") for _ in range(5000)}
    held = {draw_date(rng, "held") for _ in range(5000)}
    assert not read & held
    assert min(read | held).year == 1900
    assert max(read | held).year == 2049


def expression(shape: str) -> str:
    """What a shape's sentences look like, whatever fills its slots."""
    escaped = re.escape(shape.replace("@", ""))
    filled = re.sub(r"\\\{\w+\\\}", ".+", escaped)
    return filled.replace("<", "(?:").replace(">", ")").replace(r"\|", "|")


def shapes(kind: str) -> list[tuple[tuple[str, ...], tuple[str, ...]]]:
    match kind:
        case "amounts":
            return [(one.openings, one.endings) for one in OPERATIONS]
        case "days":
            return [(FRAMES, FORMS)]
        case "plain":
            return [(OPENINGS, ENDINGS)]
        case _:
            return [(mentions, FACT_FRAMES) for mentions in MENTIONS.values()]


@pytest.mark.parametrize("kind", STORIES)
def test_every_list_of_shapes_is_long_enough_for_both_halves(kind: str) -> None:
    for firsts, seconds in shapes(kind):
        assert len(firsts) >= 4
        assert len(seconds) >= 4
        assert len(set(firsts)) == len(firsts)
        assert len(set(seconds)) == len(seconds)


@pytest.mark.parametrize("kind", ["amounts", "plain"])
def test_no_pair_of_sentence_shapes_is_told_in_both_halves(kind: str) -> None:
    told: dict[str, set[tuple[int, int, int]]] = {}
    for half in ("read", "held"):
        told[half] = set()
        for story in stories(kind, half, 400):
            matches = {
                (k, i, j)
                for k, (firsts, seconds) in enumerate(shapes(kind))
                for i, first in enumerate(firsts)
                if re.match(expression(first), story.text)
                for j, second in enumerate(seconds)
                if re.search(expression(second) + r"\Z", story.text)
            }
            assert matches
            if len(matches) == 1:  # else the sentence could be of several shapes
                told[half] |= matches
    assert not told["read"] & told["held"]
    assert min(map(len, told.values())) > 15


@pytest.mark.parametrize("half", ["read", "held"])
@pytest.mark.parametrize("kind", STORIES)
def test_a_storys_answer_stands_where_it_says_and_nothing_is_left_unfilled(
    kind: str, half: Half
) -> None:
    for story in stories(kind, half):
        assert not set("@{}<>|[]") & set(story.text)
        assert "  " not in story.text
        assert story.text == story.text.strip()
        for use in story.uses:
            assert story.text[use.position :].startswith(f" {use.answer}")
        assert len(story.uses) == (0 if kind == "plain" else 1)


def test_the_tools_answer_the_stories_as_the_stories_say() -> None:
    calculator, calendar = calculator_tool(), calendar_tool()
    for story in stories("amounts", "held"):
        [use] = story.uses
        assert calculator.answer(use.argument, Context(story.date)) == use.result
        assert use.result == use.answer
    for story in stories("days", "held"):
        [use] = story.uses
        assert calendar.answer(use.argument, Context(story.date)) == use.result
    for story in stories("facts", "held"):
        [use] = story.uses
        assert use.answer in use.result.partition(" > ")[2]


def test_a_text_without_a_day_in_it_may_carry_one() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        story = undated(rng, "held")
        assert story.date is not None
        assert not story.uses
        assert not re.search("[0-9]", story.text)


def test_strange_names_are_nobodys_and_never_held_out() -> None:
    rng = np.random.default_rng(0)
    names = [strange(rng) for _ in range(2000)]
    assert not any(held_out(name) for name in names)
    known = {person(rng, "read").split()[0] for _ in range(3000)}
    assert len(set(names)) > 1000
    assert len(set(names) - known) > 0.9 * len(set(names))


def test_a_strange_story_is_of_the_half_that_is_read_but_for_its_names() -> None:
    stories = [amount_story(np.random.default_rng(k), "strange") for k in range(200)]
    for story in stories:
        a, b = (int(part) for part in story.uses[0].argument.split()[::2])
        sign = story.uses[0].argument.split()[1]
        assert story.uses[0].result == str(
            int({"+": a + b, "-": a - b, "*": a * b, "/": a / b}[sign])
        )
