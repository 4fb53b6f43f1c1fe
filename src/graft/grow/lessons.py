"""What the language seedling reads: stories, results to be made use of, and call exercises.

Four kinds of lesson, in shares that the recipe sets:

* *stories*: plain text of the little world, no call in it;
* *notes*: an answered call, then a story that needs its result. Only the story is learnt, so
  the seedling learns to use a result that stands before a text, never to write a call;
* *echoes*: words, names and numbers in no order, then the same again. Only the second time is
  learnt. They are what makes a small model begin to copy early;
* *exercises*: the form of the annotation prompt: an instruction, then pairs of a text and the
  same text with calls. The calls are well formed and drawn from the text, but half of them
  are useless: which call helps, the filter must find out later.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from graft.toolformer.call import Call, render
from graft.toolformer.tools.prompt import render_input
from graft.world.amounts import THINGS, amount_story
from graft.world.days import day_name, day_story, draw_date, undated
from graft.world.facts import ARTICLES, draw_fact, fact_story
from graft.world.names import person, town
from graft.world.plain import plain_story
from graft.world.story import Half, Story, Use, pick

Piece = tuple[str, bool]
"""A stretch of text, and whether it is to be learnt or only read."""


@dataclass(frozen=True, kw_only=True)
class LessonConfig:
    """Shares of the lessons that are no exercises, by documents; the rest is plain stories."""

    notes: float = 0.55
    echoes: float = 0.12
    whole_prompt: float = 0.3
    """Share of the exercises that begin with a tool's whole prompt."""
    useful: float = 0.6
    """Share of calls in the exercises that are the right ones at the right place."""
    pairs: int = 5
    strange: float = 0.0
    """Share of documents whose names are put together anew: copied they can be, known not."""


def draw_story(rng: np.random.Generator, half: Half = "read") -> Story:
    """A story of any kind."""
    match int(rng.integers(10)):
        case 0 | 1 | 2:
            return amount_story(rng, half)
        case 3 | 4 | 5:
            return day_story(rng, half)
        case 6 | 7 | 8:
            return fact_story(rng, half)
        case _:
            return plain_story(rng, half)


def draw_lesson(rng: np.random.Generator, config: LessonConfig) -> list[Piece]:
    """One document to read that is no exercise, as pieces."""
    half, kind = _half(rng, config), float(rng.random())
    if kind < config.notes:
        return note(rng, half)
    if kind < config.notes + config.echoes:
        return echo(rng, half)
    return [(draw_story(rng, half).text, True)]


def _half(rng: np.random.Generator, config: LessonConfig) -> Half:
    return "strange" if config.strange and rng.random() < config.strange else "read"


def echo(rng: np.random.Generator, half: Half = "read") -> list[Piece]:
    """A handful of things in no order, and the same things again."""
    things: list[str] = []
    for _ in range(int(rng.integers(3, 9))):
        match int(rng.integers(5)):
            case 0:
                things.append(str(int(10 ** rng.uniform(0.5, 4))))
            case 1:
                things.append(day_name(draw_date(rng, "read")))
            case 2:
                things.append(person(rng, half))
            case 3:
                things.append(town(rng, half))
            case _:
                things.append(pick(rng, THINGS))
    line = " ".join(things)
    return [(line + "\n", False), (line, True)]


def note(rng: np.random.Generator, half: Half = "read") -> list[Piece]:
    """An answered call in front of a story; now and then of another story, or a wrong one."""
    while not (story := draw_story(rng, half)).uses:
        pass
    [use] = story.uses
    call = Call(use.tool, use.argument, use.result, quoted=use.tool == "Search")
    luck = float(rng.random())
    if luck < 0.1:
        call = useless(rng, story, use.tool)
        call = call.answered(answer_of(rng, call))
    elif luck < 0.2:
        call = Call(call.tool, call.argument, quoted=call.quoted).answered("")
    return [(render(call) + "\n", False), (story.text, True)]


def exercise(
    rng: np.random.Generator, prompts: Mapping[str, str], config: LessonConfig
) -> list[Piece]:
    """An instruction and pairs of a text and the same text with calls of one tool in it."""
    tool = pick(rng, tuple(prompts))
    whole = rng.random() < config.whole_prompt
    head = prompts[tool] if whole else prompts[tool].split("\n", 1)[0] + "\n\n"
    pieces: list[Piece] = [(head, False)]
    for _ in range(1 if whole else config.pairs):
        story = _story_for(rng, tool, _half(rng, config))
        pieces.append((render_input(story.text), False))
        pieces.append((_with_calls(rng, story, tool, config.useful) + "\n\n", True))
    return pieces


def _story_for(rng: np.random.Generator, tool: str, half: Half) -> Story:
    if rng.random() < 0.15:
        return draw_story(rng, half)
    match tool:
        case "Calculator":
            return amount_story(rng, half)
        case "Calendar":
            return day_story(rng, half) if rng.random() < 0.8 else undated(rng, half)
        case _:
            return fact_story(rng, half)


def _with_calls(rng: np.random.Generator, story: Story, tool: str, useful: float) -> str:
    uses = [use for use in story.uses if use.tool == tool]
    if uses and rng.random() < useful:
        [use] = uses
        at, call = use.position, Call(tool, use.argument, quoted=tool == "Search")
    elif rng.random() < 0.75:
        at = _somewhere(rng, story.text, uses)
        call = useless(rng, story, tool)
    else:
        return story.text
    return f"{story.text[:at]} {render(call)}{story.text[at:]}"


def _somewhere(rng: np.random.Generator, text: str, uses: Sequence[Use]) -> int:
    """A place in front of a word, a number or a date; half the time that of a right call."""
    if uses and rng.random() < 0.5:
        return uses[0].position
    words = [index for index, letter in enumerate(text) if letter == " "]
    telling = [at for at in words if text[at + 1].isdigit() or text[at + 1].isupper()]
    return pick(rng, telling or words)


def useless(rng: np.random.Generator, story: Story, tool: str) -> Call:
    """A well-formed call made of what stands in the story, right only by luck."""
    match tool:
        case "Calculator":
            words = "".join(c if c.isdigit() else " " for c in story.text).split()
            known = words or [str(rng.integers(2, 500)), str(rng.integers(2, 500))]
            return Call(tool, f"{pick(rng, known)} {pick(rng, '+-*/')} {pick(rng, known)}")
        case "Calendar":
            return Call(tool, "")
        case _:
            return Call(
                tool, f"{_name_in(rng, story)} {pick(rng, tuple(ARTICLES))}", quoted=True
            )


def _name_in(rng: np.random.Generator, story: Story) -> str:
    if story.kind == "facts" and rng.random() < 0.7:
        return story.uses[0].argument.rsplit(" ", 1)[0]
    names = [word for word in story.text.replace(".", "").split() if word[:1].isupper()]
    return pick(rng, names).strip(',":?') or "the town"


def answer_of(rng: np.random.Generator, call: Call) -> str:
    """An answer in the form of the tool's, for calls whose answer does not matter."""
    match call.tool:
        case "Calculator":
            return str(rng.integers(2, 3000))
        case "Calendar":
            return f"Today is {day_name(draw_date(rng, 'read'))}."
        case _:
            return draw_fact(rng, "read").snippet
