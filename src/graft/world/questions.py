"""What the little world is asked and taught with: tasks, an encyclopedia, a corpus.

The tasks are of the held-out half and the corpus is of the half that is read, so that no name,
no pair of numbers and no sentence shape of a question stands in the corpus. What is said of a
subject depends on the seed and its name alone: questions, corpus and encyclopedia agree, and
the first of many are the same as those of few.

All are records, ready to be written as JSON lines.
"""

import datetime
import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np

from graft.world.amounts import amount_story
from graft.world.days import day_story, undated
from graft.world.facts import (
    ANSWERED,
    ARTICLES,
    OF_PEOPLE,
    OF_TOWNS,
    QUESTIONS,
    Fact,
    draw_subject,
    fact_story,
    question_story,
    state_fact,
)
from graft.world.foreign import foreign_story
from graft.world.names import held_out
from graft.world.plain import plain_story
from graft.world.story import Half, Story, pair, pick, vary

Record = dict[str, object]

METRICS = {
    "arithmetic": "first_number",
    "dates": "date",
    "facts": "within_5_words",
    "plain": "no_call",
    "questions": "within_5_words",
    "foreign": "within_10_words",
}
"""The tasks, and how each is judged (see `graft.toolformer.tasks.task`)."""

SOME: tuple[str, ...] = ("arithmetic", "dates", "facts", "plain")
"""For a calculator, a calendar and search, and for no tool."""
ALL: tuple[str, ...] = ("arithmetic", "dates", "facts", "questions", "foreign", "plain")
"""And for question answering and translation: facts are told without a question then."""

DESCRIPTIONS = {
    "person": "{s} is <well known|spoken of|remembered> in many <houses|villages|places>.",
    "town": "{s} is a <small|quiet|busy|pretty> place with <old walls|narrow lanes|a market>.",
    "land": "{s} is a land of <hills|lakes|forests|wide fields> and <wind|rain|sun>.",
}
"""One sentence about a subject that answers no question."""

RELATIONS = {"person": OF_PEOPLE, "town": OF_TOWNS, "land": ("capital",)}

_SENTENCE_END = re.compile(r"[.!?]\"?(?= )")


@dataclass(frozen=True, slots=True)
class Told:
    """A story, and the fact that it mentions."""

    story: Story
    fact: Fact | None = None


def questions(seed: int, count: int, kinds: Sequence[str] = SOME) -> dict[str, list[Record]]:
    """Per task, `count` different questions about the held-out half, as tasks are read."""
    return {
        task: [_question(task, index, told.story) for index, told in enumerate(asked)]
        for task in kinds
        for asked in [_asked(seed, task, count, kinds)]
    }


def question_facts(seed: int, count: int, kinds: Sequence[str] = SOME) -> list[Fact]:
    """The facts that `questions` asks for, in its order."""
    of_facts = (task for task in kinds if task in ("facts", "questions"))
    asked = (told for task in of_facts for told in _asked(seed, task, count, kinds))
    return [told.fact for told in asked if told.fact]


def corpus(seed: int, count: int, kinds: Sequence[str] = SOME) -> list[Record]:
    """Plain texts to annotate, in turn of each kind: SOME of them, or ALL."""
    return [
        {"id": f"{story.kind}-{index}", "text": story.text, "date": _iso(story.date)}
        for index in range(count)
        for story in [_corpus_text(seed, index, kinds).story]
    ]


def corpus_facts(seed: int, count: int, kinds: Sequence[str] = SOME) -> list[Fact]:
    """The facts that `corpus` mentions, in its order."""
    told = (_corpus_text(seed, index, kinds) for index in range(count))
    return [one.fact for one in told if one.fact]


def encyclopedia(seed: int, facts: Iterable[Fact]) -> list[Record]:
    """An article about each subject of `facts`, and about as many others.

    Each has one sentence per relation of its subject, so one sentence answers a question.

    Raises ValueError for a fact that is not of this seed's world.
    """
    subjects: dict[str, str] = {}
    for fact in facts:
        if fact not in facts_about(seed, fact.subject, _kind(fact.relation)):
            raise ValueError(f"not in the world of seed {seed}: {fact.sentence}")
        subjects[fact.subject] = _kind(fact.relation)
    rng, wanted = _draws(seed, "encyclopedia"), 2 * len(subjects)
    while len(subjects) < wanted:
        relation = pick(rng, tuple(ARTICLES))
        subjects[draw_subject(rng, pick(rng, ("read", "held")), relation)] = _kind(relation)
    names = [list(subjects)[index] for index in rng.permutation(len(subjects))]
    return [_article(seed, name, subjects[name]) for name in names]


def facts_about(seed: int, subject: str, kind: str) -> list[Fact]:
    """All that the world of this seed says of a person, town or land: a fact per relation."""
    rng = _draws(seed, "facts", subject)
    half: Half = "held" if held_out(subject.split()[0]) else "read"
    return [_state(rng, half, subject, relation) for relation in RELATIONS[kind]]


def _state(rng: np.random.Generator, half: Half, subject: str, relation: str) -> Fact:
    while (fact := state_fact(rng, half, subject, relation)).value == subject:
        pass
    return fact


def _kind(relation: str) -> str:
    return next(kind for kind, relations in RELATIONS.items() if relation in relations)


def _article(seed: int, subject: str, kind: str) -> Record:
    rng = _draws(seed, "article", subject)
    sentences = [vary(rng, DESCRIPTIONS[kind], {"s": subject})]
    sentences += [fact.sentence for fact in facts_about(seed, subject, kind)]
    order = rng.permutation(len(sentences))
    return {"title": subject, "text": " ".join(sentences[index] for index in order)}


def _draw_told(rng: np.random.Generator, half: Half, seed: int, kinds: Sequence[str]) -> Told:
    """A story that mentions a fact of the world; without a question, if others have them."""
    while True:
        relation = pick(rng, tuple(ARTICLES))
        fact = _draw_known(rng, half, seed, relation)
        told = Told(fact_story(rng, half, fact), fact)
        if "questions" not in kinds or "?" not in told.story.text:
            return told


def _draw_answered(rng: np.random.Generator, half: Half, seed: int) -> Told:
    """A story that asks for a fact of the world, and answers."""
    relation, frame = pair(rng, tuple(QUESTIONS), ANSWERED, half)
    fact = _draw_known(rng, half, seed, relation)
    return Told(question_story(rng, half, fact, frame), fact)


def _draw_known(rng: np.random.Generator, half: Half, seed: int, relation: str) -> Fact:
    subject = draw_subject(rng, half, relation)
    known = facts_about(seed, subject, _kind(relation))
    return next(fact for fact in known if fact.relation == relation)


def _corpus_text(seed: int, index: int, kinds: Sequence[str]) -> Told:
    rng = _draws(seed, "corpus", index)
    kind = kinds[index % len(kinds)]
    if kind == "plain":
        return Told(pick(rng, (plain_story, undated))(rng, "read"))
    return _draw(rng, kind, "read", seed, kinds)


def _asked(seed: int, task: str, count: int, kinds: Sequence[str]) -> list[Told]:
    return list(islice(_different(seed, task, kinds), count))


def _different(seed: int, task: str, kinds: Sequence[str]) -> Iterator[Told]:
    """Stories of the held-out half, asked differently or on another day, without the answer."""
    rng = _draws(seed, "questions", task)
    seen: set[tuple[str, datetime.date | None]] = set()
    while True:
        told = _draw(rng, task, "held", seed, kinds)
        prompt, answers = _cut(told.story)
        asked = (prompt, told.story.date)
        if asked not in seen and not any(answer in prompt for answer in answers):
            seen.add(asked)
            yield told


def _draw(
    rng: np.random.Generator, task: str, half: Half, seed: int, kinds: Sequence[str]
) -> Told:
    match task:
        case "arithmetic":
            return Told(amount_story(rng, half))
        case "dates":
            return Told(day_story(rng, half))
        case "facts":
            return _draw_told(rng, half, seed, kinds)
        case "questions":
            return _draw_answered(rng, half, seed)
        case "foreign":
            return Told(foreign_story(rng, half))
        case _:
            return Told(undated(rng, half))


def _question(task: str, index: int, story: Story) -> Record:
    prompt, answers = _cut(story)
    if METRICS[task] == "date":  # a text may write the day in many ways: all of them are right
        answers = [str(_iso(story.date))]
    return {
        "id": f"{task}-{index}",
        "prompt": prompt,
        "answers": answers,
        "metric": METRICS[task],
        "date": _iso(story.date),
    }


def _cut(story: Story) -> tuple[str, list[str]]:
    """The text up to what a tool knows, and that; or two sentences, and nothing."""
    if story.uses:
        return story.text[: story.uses[0].position], [story.uses[0].answer]
    ends = [found.end() for found in _SENTENCE_END.finditer(story.text)]
    return story.text[: ends[1]], []


def _iso(date: datetime.date | None) -> str | None:
    return date.isoformat() if date else None


def _draws(seed: int, *names: object) -> np.random.Generator:
    """Random draws that belong to what `names` names, whatever else is drawn."""
    digest = hashlib.blake2b(repr((seed, *names)).encode(), digest_size=16).digest()
    return np.random.default_rng(int.from_bytes(digest))
