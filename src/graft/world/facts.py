"""Facts of the world: an encyclopedia of people and places, and stories that mention them."""

from dataclasses import dataclass

import numpy as np

from graft.world.names import land, person, town
from graft.world.plain import aside, people
from graft.world.story import Half, Story, Use, pair, pick, tell, vary

WORKS = "painter poet singer baker captain doctor teacher builder weaver judge".split()
GOODS = (
    "cheese glass salt wool honey paper silk boats clocks bells wine rope tea pottery knives "
    "bread carpets tin amber lace"
).split()


@dataclass(frozen=True, slots=True)
class Fact:
    """What the encyclopedia says of a subject: title, key word, value, one sentence."""

    subject: str
    relation: str
    value: str
    sentence: str

    @property
    def query(self) -> str:
        """What one would search for: the subject and the relation's word."""
        return f"{self.subject} {self.relation}"

    @property
    def snippet(self) -> str:
        """As the search tool answers: `Title > text`."""
        return f"{self.subject} > {self.sentence}"


ARTICLES: dict[str, str] = {
    "born": "{s} was born in {v}.",
    "lives": "{s} lives in {v}.",
    "work": "The work of {s} is that of a {v}.",
    "teacher": "The teacher of {s} was {v}.",
    "capital": "The capital of {s} is {v}.",
    "river": "The river that flows through {s} is the {v}.",
    "mayor": "The mayor of {s} is {v}.",
    "known": "{s} is known for its {v}.",
}
OF_PEOPLE = ("born", "lives", "work", "teacher")
OF_TOWNS = ("river", "mayor", "known")
MENTIONS: dict[str, tuple[str, ...]] = {
    "born": (
        "{s} was born in @{v}",
        "the birthplace of {s} is @{v}",
        "{s} <came into the world|first saw the light> in @{v}",
        "as a child {s} lived in the town of {his} birth, @{v}",
    ),
    "lives": (
        "{s} lives in @{v}",
        "the home of {s} is in @{v}",
        "the house of {s} <stands|is> in @{v}",
        "{s} has <long|always> lived in @{v}",
    ),
    "work": (
        "{s} works as a @{v}",
        "the work of {s} is that of a @{v}",
        "{s} earned a living as a @{v}",
        "by trade {s} was a @{v}",
    ),
    "teacher": (
        "the teacher of {s} was @{v}",
        "{s} was taught by @{v}",
        "{s} learned everything from @{v}",
        "{s} was a pupil of @{v}",
    ),
    "capital": (
        "the capital of {s} is @{v}",
        "the first city of {s} is @{v}",
        "the best roads of {s} lead to its capital, @{v}",
        "the <king|government> of {s} sits in @{v}",
    ),
    "river": (
        "the river that flows through {s} is the @{v}",
        "the river of {s} is the @{v}",
        "the bridges of {s} cross the @{v}",
        "{s} lies on the river @{v}",
    ),
    "mayor": (
        "the mayor of {s} is @{v}",
        "the town of {s} has chosen as its mayor @{v}",
        "{s} is ruled by its mayor, @{v}",
        "in {s} the mayor is called @{v}",
    ),
    "known": (
        "{s} is known for its @{v}",
        "{s} <makes|sells> the best @{v}",
        "people go to {s} for its @{v}",
        "what made {s} rich was its @{v}",
    ),
}
QUESTIONS: dict[str, str] = {
    "born": "Where was {s} born?",
    "lives": "Where does {s} live?",
    "work": "What is the work of {s}?",
    "teacher": "Who was the teacher of {s}?",
    "capital": "What is the capital of {s}?",
    "river": "Which river flows through {s}?",
    "mayor": "Who is the mayor of {s}?",
    "known": "What is {s} known for?",
}
FRAMES = (
    "{Mention}.",
    '"{Mention}," said {P}.',
    "<Everybody|Nobody> knows that {mention}.",
    "{P} <said|wrote|told {Q}> that {mention}.",
    "{question} The answer is @{v}.",
    '"{question}" asked {P}. "It is @{v}," said {Q}.',
    "It is <true|well known> that {mention}.",
    "<As you know|In those days>, {mention}.",
)

ANSWERED = (
    "{question} The answer is @{v}.",
    '"{question}" asked {P}. "It is @{v}," said {Q}.',
    "{question} It is @{v}.",
    '{P} asked {Q}: "{question}" {Q} said it was @{v}.',
    '"{question}" The teacher <wrote|said> @{v}.',
    'On the card stood: "{question}" Below it stood @{v}.',
    '"{question}" {P} did not know that it is @{v}.',
    '{Q} wondered: "{question}" <Somebody|An old book> said @{v}.',
)
"""Frames of a question and its answer, with nothing of the fact between."""


def draw_fact(rng: np.random.Generator, half: Half) -> Fact:
    """A fact about a person, a town or a land of the half."""
    relation = pick(rng, tuple(ARTICLES))
    return state_fact(rng, half, draw_subject(rng, half, relation), relation)


def draw_subject(rng: np.random.Generator, half: Half, relation: str) -> str:
    """A subject of which the relation can be told."""
    if relation in OF_PEOPLE:
        return person(rng, half)
    return town(rng, half) if relation in OF_TOWNS else land(rng, half)


def state_fact(rng: np.random.Generator, half: Half, subject: str, relation: str) -> Fact:
    """A fact about `subject`, its value drawn."""
    match relation:
        case "born" | "lives" | "capital":
            value = town(rng, half)
        case "work":
            value = pick(rng, WORKS)
        case "known":
            value = pick(rng, GOODS)
        case "river":
            value = town(rng, half)
        case _:
            value = person(rng, half)
    sentence = ARTICLES[relation].format(s=subject, v=value)
    return Fact(subject, relation, value, sentence)


def fact_story(rng: np.random.Generator, half: Half, fact: Fact | None = None) -> Story:
    """A text that mentions a fact, perhaps among other things."""
    fact = fact or draw_fact(rng, half)
    slots = people(rng, half) | {"s": fact.subject, "v": fact.value}
    before = aside(rng, slots) if rng.random() < 0.25 else ""
    after = aside(rng, slots) if rng.random() < 0.25 else ""
    shape, frame = pair(rng, MENTIONS[fact.relation], FRAMES, half)
    told = vary(rng, shape, slots)
    slots |= {"mention": told, "Mention": told[:1].upper() + told[1:]}
    slots["question"] = QUESTIONS[fact.relation].format(s=fact.subject)
    mention = vary(rng, frame, slots)
    use = Use(0, "Search", fact.query, fact.snippet, fact.value)
    return tell("facts", [before, mention, after], use)


def question_story(rng: np.random.Generator, half: Half, fact: Fact, frame: str) -> Story:
    """A text that asks for a fact and answers, perhaps among other things."""
    slots = people(rng, half) | {"s": fact.subject, "v": fact.value}
    slots["question"] = QUESTIONS[fact.relation].format(s=fact.subject)
    before = aside(rng, slots) if rng.random() < 0.25 else ""
    after = aside(rng, slots) if rng.random() < 0.25 else ""
    use = Use(0, "QA", slots["question"], fact.value, fact.value)
    return tell("questions", [before, vary(rng, frame, slots), after], use)
