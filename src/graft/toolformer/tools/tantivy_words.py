"""Word lists by tantivy, which reads of long lists only the blocks that can matter.

The passages themselves stay in SQLite's file. These lists say which of its rows hold which
words, and are brought up to date from it: who is killed goes on behind the last rows written.
tantivy is an extra, for millions of passages.
"""

import contextlib
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, cast

from graft.errors import ConfigError, DataError, StoreError

if TYPE_CHECKING:
    from tantivy import DocAddress, Schema, TextAnalyzer

ROWS_PER_STEP = 50_000
"""Rows that are written together: a step is on disk whole or not at all."""
HEAP_BYTES = 64 << 20
"""Of memory for rows that are not yet written."""
TIED = 50
"""Rows looked at beyond those wanted, so that of equal scores the first row wins."""
_DIGITS = 4
"""Of a score: lists that were cut elsewhere add the same numbers in another order."""


class WordLists:
    """Lists that are asked, by several threads if need be.

    Raises:
        ConfigError: tantivy is not installed.
        DataError: the lists are missing or damaged.
    """

    def __init__(self, folder: Path) -> None:
        require_tantivy(folder)
        from tantivy import Index

        self._folder = folder
        with _reading(folder):
            opened = Index.open(str(folder))
        self._analyzer = _analyzer()
        self._schema, self._searcher = opened.schema, opened.searcher()
        self.rows = self._searcher.num_docs

    def best(self, words: Sequence[str], limit: int) -> list[int]:
        """The rows that match best by BM25, best first; of equal ones the first row.

        Raises:
            DataError: the lists are damaged.
        """
        from tantivy import Occur, Query

        stems = dict.fromkeys(stem for word in words for stem in self._stems(word))
        terms = [Query.term_query(self._schema, "text", one, "freq") for one in stems]
        query = Query.boolean_query([(Occur.Should, term) for term in terms])
        with _reading(self._folder):
            found = self._searcher.search(query, limit + TIED, count=False).hits
            hits = cast("list[tuple[float, DocAddress]]", found)
            rows = self._searcher.fast_field_values("row", [address for _, address in hits])
        ranked = sorted(
            (-round(score, _DIGITS), cast("int", row))
            for (score, _), row in zip(hits, rows, strict=True)
        )
        return [row for _, row in ranked[:limit]]

    def count(self, word: str) -> int:
        """In how many rows a word stands, in any of its forms.

        Raises:
            DataError: the lists are damaged.
        """
        with _reading(self._folder):
            counts = [self._searcher.doc_freq("text", stem) for stem in self._stems(word)]
        return min(counts, default=0)

    def _stems(self, word: str) -> list[str]:
        return self._analyzer.analyze(word)


def add_rows(folder: Path, after: Callable[[int], Iterable[tuple[int, str]]]) -> Iterator[int]:
    """Bring the lists in `folder` up to date; gives how many rows stand in them, step by step.

    Args:
        folder: where the lists are, or are to be.
        after: the numbers and texts of the rows behind a row, in order. Rows are numbered
            from 1 without holes.

    Raises:
        ConfigError: tantivy is not installed.
        StoreError: they cannot be written.
    """
    require_tantivy(folder)
    from tantivy import Document, Index

    with _writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        lists = Index(_schema(), path=str(folder))
        lists.register_tokenizer("words", _analyzer())
        done = lists.searcher().num_docs
        writer = lists.writer(heap_size=HEAP_BYTES, num_threads=1)
    rows = iter(after(done))
    while some := list(islice(rows, ROWS_PER_STEP)):
        with _writing(folder):
            for row, text in some:
                writer.add_document(Document(row=row, text=text))
            writer.commit()
        done += len(some)
        yield done
    with _writing(folder):
        writer.wait_merging_threads()


def require_tantivy(folder: Path) -> None:
    """Say how to get tantivy where it is missing.

    Raises:
        ConfigError: it is not installed.
    """
    if find_spec("tantivy") is None:
        raise ConfigError(
            f"{folder}: its word lists are tantivy's, which is not installed; install it with:"
            " pip install 'graft-models[tantivy]'"
        )


def _schema() -> "Schema":
    from tantivy import SchemaBuilder

    builder = SchemaBuilder()
    builder.add_text_field("text", tokenizer_name="words", index_option="freq")
    builder.add_integer_field("row", fast=True)
    return builder.build()


def _analyzer() -> "TextAnalyzer":
    """Words in lower case, without diacritics, by their stems: as SQLite's tokenizer has it."""
    from tantivy import Filter, TextAnalyzerBuilder, Tokenizer

    builder = TextAnalyzerBuilder(Tokenizer.simple())
    for one in (Filter.lowercase(), Filter.ascii_fold(), Filter.stemmer("english")):
        builder = builder.filter(one)
    return builder.build()


@contextlib.contextmanager
def _reading(folder: Path) -> Generator[None]:
    """Turns what tantivy says of damaged lists into a `DataError` with the remedy."""
    try:
        yield
    except BaseException as error:  # a panic of Rust's is no Exception
        panic = type(error).__module__ == "pyo3_runtime"
        if not panic and not isinstance(error, OSError | ValueError):
            raise
        raise DataError(
            f"{folder}: no word lists, or damaged: {error!s:.200}; delete"
            f" {folder.parent.parent} and run its `graft tools index` again"
        ) from error


@contextlib.contextmanager
def _writing(folder: Path) -> Generator[None]:
    """Turns tantivy's refusal to write into a `StoreError` with the remedy."""
    try:
        yield
    except (OSError, ValueError) as error:
        raise StoreError(
            f"{folder}: word lists cannot be written: {error}; free some space and run the same"
            f" command again, or delete {folder} to have them made anew"
        ) from error
