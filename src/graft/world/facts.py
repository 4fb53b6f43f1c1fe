"""Facts of the world: an encyclopedia of people and places, and stories that mention them."""

from dataclasses import dataclass

import numpy as np

from graft.world.names import land, person, town
from graft.world.plain import aside, people
from graft.world.story import Half, Story, Use, pick, shapes, tell, vary

WORKS = "painter poet singer baker captain doctor teacher builder weaver judge".split()
GOODS = (
    "cheese glass salt wool honey paper silk boats clocks bells wine rope tea pottery knives "
    "bread carpets tin amber lace"
).split()


@dataclass(frozen=True, slots=True)
class Fact:
    """What the encyclopedia says of a subject: its title, one sentence, the key word, the value."""

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
        "{s} was born in @{v}.",
        "The birthplace of {s} is @{v}.",
        "Where was {s} born? The answer is @{v}.",
        "{s} <came into the world|first saw the light> in @{v}.",
        "<Everybody|Nobody> knows that {s} was born in @{v}.",
        "{s}, who was born in @{v}, <smiled|was silent>.",
        "\"{s} was born in @{v},\" said {P}.",
        "As a child {s} <left|grew up far from> the town of {his} birth, @{v}.",
    ),
    "lives": (
        "{s} lives in @{v}.",
        "<Today|Now> the home of {s} is in @{v}.",
        "Where does {s} live? The answer is @{v}.",
        "{P} <sent|carried> a letter to {s}, who lives in @{v}.",
        "The house of {s} <stands|is> in @{v}.",
        "{s} has <long|always> lived in @{v}.",
        "\"{s} lives in @{v},\" said {P}.",
        "Whoever looks for {s} must <go|travel> to @{v}.",
    ),
    "work": (
        "{s} works as a @{v}.",
        "By trade, {s} is a @{v}.",
        "What is the work of {s}? The answer is @{v}.",
        "{P} <met|knew> {s}, who was a @{v}.",
        "<All his life|For many years>, {s} was a @{v}.",
        "{s} earned a living as a @{v}.",
        "\"{s} is a @{v},\" said {P}.",
        "If you ask what {s} does, {he} is a @{v}.",
    ),
    "teacher": (
        "The teacher of {s} was @{v}.",
        "{s} was taught by @{v}.",
        "Who was the teacher of {s}? The answer is @{v}.",
        "{s} learned everything from @{v}.",
        "As a pupil, {s} listened to @{v}.",
        "{P} said that {s} was a pupil of @{v}.",
        "\"{s} was taught by @{v},\" said {P}.",
        "What {s} knew came from a teacher named @{v}.",
    ),
    "capital": (
        "The capital of {s} is @{v}.",
        "The <king|government> of {s} sits in the capital, @{v}.",
        "What is the capital of {s}? The answer is @{v}.",
        "{P} travelled to the capital of {s}, which is @{v}.",
        "<All roads|The best roads> of {s} lead to its capital, @{v}.",
        "The first city of {s} is its capital @{v}.",
        "\"The capital of {s} is @{v},\" said {P}.",
        "Chief among the cities of {s} is @{v}.",
    ),
    "river": (
        "The river that flows through {s} is the @{v}.",
        "In {s}, the <boats|ferries> go up and down the @{v}.",
        "Which river flows through {s}? The answer is the @{v}.",
        "{P} fished in {s}, where the river is called the @{v}.",
        "The river of {s} is the @{v}.",
        "The bridges of {s} cross the @{v}.",
        "\"{s} lies on the @{v},\" said {P}.",
        "The water under the walls of {s} is that of the @{v}.",
    ),
    "mayor": (
        "The mayor of {s} is @{v}.",
        "In {s} the mayor is called @{v}.",
        "Who is the mayor of {s}? The answer is @{v}.",
        "{P} wrote to the mayor of {s}, @{v}.",
        "The town of {s} has chosen as its mayor @{v}.",
        "The mayor who rules {s} is @{v}.",
        "\"The mayor of {s} is @{v},\" said {P}.",
        "At the head of the council of {s} stands @{v}.",
    ),
    "known": (
        "{s} is known for its @{v}.",
        "The <traders|ships> of {s} bring @{v}.",
        "What is {s} known for? The answer is @{v}.",
        "People go to {s} for its @{v}.",
        "{s} <makes|sells> the best @{v}.",
        "{P} came back from {s} with @{v}.",
        "\"{s} is known for its @{v},\" said {P}.",
        "What made {s} rich was its @{v}.",
    ),
}


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
    before = aside(rng, half, slots) if rng.random() < 0.25 else ""
    after = aside(rng, half, slots) if rng.random() < 0.25 else ""
    mention = vary(rng, pick(rng, shapes(MENTIONS[fact.relation], half)), slots)
    use = Use(0, "Search", fact.query, fact.snippet, fact.value)
    return tell("facts", [before, mention, after], use)
