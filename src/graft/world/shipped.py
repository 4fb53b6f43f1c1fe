"""The little world as files: what the demonstration is taught with and asked.

corpus.jsonl         plain texts to teach with
encyclopedia.jsonl   what the search tool looks through
texts.jsonl          other plain texts, to measure perplexity on
tasks/NAME.jsonl     held-out questions
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from graft.world.questions import SOME, corpus, corpus_facts, encyclopedia, question_facts
from graft.world.questions import questions as all_questions

FOLDER = Path(__file__).parent / "files"
"""The files that the package brings."""

TEXTS, QUESTIONS, SEED = 700, 120, 1
"""What `FOLDER` was written with."""


def write_world(
    folder: Path,
    *,
    texts: int = TEXTS,
    questions: int = QUESTIONS,
    seed: int = SEED,
    kinds: Sequence[str] = SOME,
) -> None:
    """Write all of it; the same arguments write the same bytes."""
    (folder / "tasks").mkdir(parents=True, exist_ok=True)
    facts = question_facts(seed, questions, kinds) + corpus_facts(seed, texts, kinds)
    _write(folder / "corpus.jsonl", corpus(seed, texts, kinds))
    _write(folder / "encyclopedia.jsonl", encyclopedia(seed, facts))
    _write(folder / "texts.jsonl", corpus(seed + 1, max(len(kinds), questions), kinds))
    for name, asked in all_questions(seed, questions, kinds).items():
        _write(folder / "tasks" / f"{name}.jsonl", asked)


def _write(path: Path, records: Iterable[Mapping[str, object]]) -> None:
    lines = (json.dumps(record, ensure_ascii=False) + "\n" for record in records)
    path.write_text("".join(lines), encoding="utf-8")
