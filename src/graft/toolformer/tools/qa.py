"""Question answering: a short answer out of the user's own texts, and whose text it was.

Schick et al. 2023, Section 3: the question answering system, there Atlas. Here passages are
found by BM25 (`index.py`) and read without a network (`reader.py`).
"""

import json
import re
from collections.abc import Callable, Iterator
from functools import cache
from importlib import resources
from itertools import islice
from pathlib import Path
from typing import cast

from graft.errors import ToolError
from graft.toolformer.call import Call
from graft.toolformer.tools.index import Index
from graft.toolformer.tools.reader import Found, read_answers
from graft.toolformer.tools.search import find_passages, sees
from graft.toolformer.tools.tool import Context, Demonstration, Prompt, Tool

NAME = "QA"
Find = Callable[[str, Context], Found | None]
"""What the texts answer to a question that is asked from somewhere, if anything."""
MAX_POSITIONS = 3
"""Questions that the rules make of one text, and questions of its own that they take."""
FURTHEST_CHARACTERS = 200
"""A question that stands in a text is answered within so many behind it, or not."""
LONGEST_TEXT = 20_000
"""Characters of a text that the rules look at."""

PROMPT = Prompt(
    "Your task is to add calls of a question answering system to a text. A call asks for a "
    'fact and helps to write what follows. Write a call as "[QA("question")]", where '
    '"question" is what you want to know.',
    (
        Demonstration(
            "Marie Curie was born in Warsaw in 1867.",
            'Marie Curie was born in [QA("Where was Marie Curie born?")] Warsaw in 1867.',
        ),
        Demonstration(
            "The Eiffel Tower was finished in 1889 by a crew of 300 men.",
            'The Eiffel Tower was finished in [QA("When was the Eiffel Tower finished?")] 1889 '
            "by a crew of 300 men.",
        ),
        Demonstration(
            "The river Elbe flows into the North Sea.",
            'The river Elbe flows into [QA("Which sea does the river Elbe flow into?")] the '
            "North Sea.",
        ),
    ),
)

_NAMED = r"(?P<name>[^\W\d_a-z][\w'\u2019-]{0,40}(?: [^\W\d_a-z][\w'\u2019-]{0,40}){0,4})"
_TOLD = re.compile(
    rf"(?P<the>\b[Tt]he )?\b{_NAMED} (?P<is>was|were|is|are) (?P<deed>[a-z]{{2,20}}) "
    r"(?P<by>in|at|near|on|by)(?= (?P<year>\d)?(?P<capital>[^\W\d_a-z])?)"
)
_ASKED = re.compile(
    r"\b(?P<question>(?:Who|Whom|Whose|What|Which|When|Where|Why|How)\b"
    r"[^?.!\"\u201c\u201d\n\[\]]{4,200}\?)"
)
_MONTH = re.compile(
    r" (?:January|February|March|April|May|June|July|August|September|October|November"
    r"|December)\b"
)


def qa_tool(
    index: Path, *, passages: int = 5, source: bool = True, apart: bool = False
) -> Tool:
    """Question answering over the index at `index` (see `build_index`) as a tool.

    Args:
        index: the index file.
        passages: how many passages are read.
        source: whether the title of the passage is told behind the answer.
        apart: leave out passages that share a sentence with the text that is asked from, as
            the search tool does.
    """
    opened = Index(index)
    find = known_answers(opened, passages, apart=apart)

    def answer(argument: str, context: Context) -> str:
        best = find(argument, context)
        if best is None:
            raise ToolError(f"no answer found to {argument[:60]!r}")
        return f"{best.text} ({best.title})" if source else best.text

    return questions_tool(
        answer,
        find,
        by_text=apart,
        limits="Copies a stretch of one sentence that shares words with the question; English;"
        " always answers where something is shared, often wrongly"
        " (docs/results/benchmark-qa.md).",
        version=f"2 {opened.fingerprint[:16]} {passages} {source:d}{' apart' * apart}",
    )


def known_answers(index: Index, passages: int, *, apart: bool) -> Find:
    """What the reader without weights answers out of an index."""

    def find(question: str, context: Context) -> Found | None:
        found = find_passages(index, question, passages, context if apart else None)
        return next(iter(read_answers(question, found, index.rarity, weights())), None)

    return find


def questions_tool(
    answer: Callable[[str, Context], str],
    known: Find,
    *,
    limits: str,
    version: str,
    by_text: bool = False,
) -> Tool:
    """Question answering by anything that answers; `known` is what `rules` know of answers."""
    return Tool(
        name=NAME,
        answer=answer,
        prompt=PROMPT,
        sees=sees,
        rules=lambda text, context: rules(text, context, known),
        quoted=True,
        by_text=by_text,
        helps="Texts of at least five words that tell facts which stand in the texts looked"
        " through.",
        limits=limits,
        version=version,
    )


@cache
def weights() -> dict[str, float]:
    """How much each sign of an answer counts; `benchmarks/qa.py --fit` finds them."""
    file = resources.files("graft.toolformer.tools") / "reader.json"
    return cast("dict[str, float]", json.loads(file.read_text(encoding="utf-8")))


def rules(text: str, context: Context, find: Find) -> list[tuple[int, Call]]:
    """The text's own questions, each before its answer; and questions made of what it tells.

    `Where was Mara Lind born? In Tovel.` gives that question before `Tovel`, if that is what
    `find` finds; as the rules of the calculator know their results, these know their answers.
    `Mara Lind was born in Tovel` gives `QA("Where was Mara Lind born?")` before `Tovel`.
    """
    whole = text[:LONGEST_TEXT]
    made = islice(_questions(whole), MAX_POSITIONS)
    return sorted([*_own_questions(whole, context, find), *made], key=lambda one: one[0])


def _own_questions(text: str, context: Context, find: Find) -> Iterator[tuple[int, Call]]:
    """Questions that stand in a text, each before the first place where its answer stands."""
    for asked in islice(_ASKED.finditer(text), MAX_POSITIONS):
        answer = find(asked["question"], context)
        behind = text[asked.end() : asked.end() + FURTHEST_CHARACTERS]
        if answer is None:
            continue
        stands = re.search(rf"(?<!\w){re.escape(answer.text)}(?!\w)", behind)
        at = behind.rfind(" ", 0, stands.start()) if stands else -1
        if at >= 0:
            yield asked.end() + at, Call(NAME, asked["question"], quoted=True)


def _questions(text: str) -> Iterator[tuple[int, Call]]:
    for told in _TOLD.finditer(text):
        if not (told["year"] or told["capital"]):
            continue
        name, deed = f"{'the ' if told['the'] else ''}{told['name']}", told["deed"]
        if told["by"] == "by":
            question = f"Who {told['is']} {name} {deed} by?"
        elif told["year"] or _MONTH.match(text, told.end()):
            question = f"When {told['is']} {name} {deed}?"
        else:
            question = f"Where {told['is']} {name} {deed}?"
        yield told.end(), Call(NAME, question, quoted=True)
