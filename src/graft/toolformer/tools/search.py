"""The search engine: short snippets `Title > text` by BM25 over the user's own texts.

Schick et al. 2023, Section 3: the Wikipedia search.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from graft.errors import ToolError
from graft.toolformer.call import Call
from graft.toolformer.tools.index import FUNCTION_WORDS, Index, read_terms
from graft.toolformer.tools.passages import Passage, sentences
from graft.toolformer.tools.tool import Context, Demonstration, Prompt, Tool

NAME = "Search"
LEAST_WORDS = 5
"""A shorter text has nothing that a search could be about."""
MAX_POSITIONS = 3
"""Places of one text in front of which the rules propose."""
FURTHEST_CHARACTERS = 200
"""A name further back is no longer what the text is about."""
WORDS_BETWEEN = 4
"""So many words between the name and the place go into the query."""

PROMPT = Prompt(
    "Your task is to add calls of a search engine to a text. A call finds facts and helps to "
    'write what follows. Write a call as "[Search("query")]", where "query" is what to look '
    "for.",
    (
        Demonstration(
            "The river Elbe flows into the North Sea at Cuxhaven.",
            'The river Elbe flows into [Search("mouth of the river Elbe")] the North Sea at '
            "Cuxhaven.",
        ),
        Demonstration(
            "Marie Curie was born in Warsaw in 1867.",
            'Marie Curie was born in [Search("Marie Curie born")] Warsaw in 1867.',
        ),
        Demonstration(
            "The Eiffel Tower was finished in 1889 by a crew of 300 men.",
            'The Eiffel Tower was finished in [Search("Eiffel Tower finished")] 1889 by a crew '
            "of 300 men.",
        ),
    ),
)

_CAPITALISED = r"[^\W\d_a-z][\w'\u2019-]*"
_TELLING = re.compile(
    rf"\b(?P<name>{_CAPITALISED}(?: (?:(?:of the|of|de la|de|van|von) )?{_CAPITALISED})*)"
    r"|(?<![\w.,])(?P<number>[0-9]+(?:[.,][0-9]+)*)(?!\w)"
)
_TELLING_SPACES = 3
"""A sentence of fewer words than four may stand anywhere."""
_SPARE = 10
"""Passages that are looked at beyond those wanted, for some may be left out."""
_SENTENCE_STARTS = re.compile(r"(?:^|[.!?:\n])\s*$")


@dataclass(frozen=True, slots=True)
class _Name:
    """A name as it stands in a text."""

    text: str
    end: int

    @property
    def of_several_words(self) -> bool:
        return " " in self.text


def search_tool(
    index: Path, *, passages: int = 1, snippet_words: int = 25, apart: bool = False
) -> Tool:
    """Search in the index at `index` (see `build_index`) as a tool.

    Args:
        index: the index file.
        passages: how many passages an answer quotes from, best first.
        snippet_words: the longest quotation of one passage, without its title.
        apart: leave out passages that share a sentence of four words or more with the text
            that is asked from. Where the index is of the very corpus that is annotated, a text
            would find itself, and be told what it is to predict.
    """
    opened = Index(index)

    return passages_tool(
        lambda query, context: find_passages(
            opened, query, passages, context if apart else None
        ),
        snippet_words=snippet_words,
        by_text=apart,
        version=f"1 {opened.fingerprint[:16]} {passages} {snippet_words}{' apart' * apart}",
        limits="Finds words, not meanings (BM25), where spaces or signs stand between them: of"
        " Chinese, Japanese or Thai hardly any; quotes the best sentence, at most"
        f" {snippet_words} words of it.",
    )


def passages_tool(
    find: Callable[[str, Context], list[Passage]],
    *,
    snippet_words: int,
    version: str,
    limits: str,
    by_text: bool = False,
) -> Tool:
    """The search tool over anything that finds passages, best first."""

    def answer(argument: str, context: Context) -> str:
        found = find(argument, context)
        if not found:
            raise ToolError(f"nothing found for {argument[:60]!r}")
        return " | ".join(snippet(passage, argument, snippet_words) for passage in found)

    return Tool(
        name=NAME,
        answer=answer,
        prompt=PROMPT,
        sees=sees,
        rules=rules,
        quoted=True,
        by_text=by_text,
        helps="Texts of at least five words that tell what stands in the texts looked through.",
        limits=limits,
        version=version,
    )


def find_passages(
    index: Index, query: str, limit: int, apart_from: Context | None
) -> list[Passage]:
    """The best passages, but for those that share a sentence with the text that asks."""
    if apart_from is None:
        return index.find(query, limit)
    found = index.find(query, limit + _SPARE)
    return [one for one in found if not overlaps(one.text, apart_from.text)][:limit]


def overlaps(passage: str, text: str) -> bool:
    """Whether a passage and a text share a sentence, white space aside."""
    whole = " ".join(text.split())
    told = [" ".join(one.split()) for one in sentences(passage)]
    return any(one in whole for one in told if one.count(" ") >= _TELLING_SPACES)


def snippet(passage: Passage, query: str, longest: int) -> str:
    """`Title > text`: the stretch of the best sentence with most words of the query.

    Words that the title says already count less: of Mara Lind's passages, the query
    `Mara Lind born` wants the sentence with `born`.
    """
    terms = set(read_terms(query))
    telling = terms - {*read_terms(passage.title)} - FUNCTION_WORDS

    def hits(text: str) -> tuple[int, int]:
        words = {*read_terms(text)}
        return len(telling & words), len(terms & words)

    words = max(sentences(passage.text), key=hits).split()
    stretches = [
        " ".join(words[start : start + longest])
        for start in range(max(1, len(words) - longest + 1))
    ]
    return f"{passage.title} > {max(stretches, key=hits)}"


def sees(text: str, _context: Context) -> bool:
    """Any text of at least five words (Appendix A: all)."""
    return len(text.split(maxsplit=LEAST_WORDS)) >= LEAST_WORDS


def rules(text: str, _context: Context) -> list[tuple[int, Call]]:
    """Searches for a name of the text, each before a name or number that follows it.

    `Mara Lind was born in Tovel` gives `Search("Mara Lind born")` before `Tovel`.
    """
    return list(islice(_searches(text), MAX_POSITIONS))


def _searches(text: str) -> Iterator[tuple[int, Call]]:
    subject: _Name | None = None
    for found in _TELLING.finditer(text):
        name, start = _name_in(found)
        opens = _SENTENCE_STARTS.search(text[max(0, start - 3) : start]) is not None
        if subject is not None and not opens and _may_be_told_by(subject, found, start, text):
            query = _query(subject.text, text[subject.end : start])
            yield start - 1, Call(NAME, query, quoted=True)
        if name is not None and _is_better_subject(name, subject, opens=opens):
            subject = name


def _name_in(found: re.Match[str]) -> tuple[_Name | None, int]:
    """The name without words such as `The` in front, or None; and where it starts."""
    words = (found["name"] or "").split(" ")
    while words and words[0].lower() in FUNCTION_WORDS:
        words = words[1:]
    name = " ".join(words)
    if not found["name"] or not name:
        return None, found.start()
    return _Name(name, found.end()), found.end() - len(name)


def _may_be_told_by(subject: _Name, found: re.Match[str], start: int, text: str) -> bool:
    """Whether the place is a word's start near `subject`, and says something new."""
    near = found.end() - subject.end <= FURTHEST_CHARACTERS
    new = text[start : found.end()] not in subject.text
    telling = start < found.end() and found[0].lower() not in FUNCTION_WORDS
    return near and new and telling and text[start - 1 : start] == " "


def _is_better_subject(name: _Name, subject: _Name | None, *, opens: bool) -> bool:
    """The latest name of several words, else the first one that no sentence begins with."""
    return name.of_several_words or (subject is None and not opens)


def _query(name: str, between: str) -> str:
    words = [
        word for word in read_terms(between) if len(word) > 1 and word not in FUNCTION_WORDS
    ]
    return " ".join([name, *words[-WORDS_BETWEEN:]])
