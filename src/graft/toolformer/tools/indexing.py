"""Building an index of large texts: in a stream, to be killed and continued at any moment.

FOLDER/recipe.json              which texts it is of
FOLDER/index/passages.sqlite    the index, which is written step by step
FOLDER/index/words/             where tantivy is to find words: its lists of them
FOLDER/index/manifest.json      written last: what is in it and what was left out
"""

import hashlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, islice
from pathlib import Path
from typing import cast

from graft.errors import ConfigError, StoreError
from graft.store.runs import Run, read_json
from graft.toolformer.tools.documents import (
    Document,
    Meter,
    look_at,
    read_documents,
    source_files,
)
from graft.toolformer.tools.index import STAGE, index_file
from graft.toolformer.tools.index_writer import Engine, IndexWriter, State
from graft.toolformer.tools.passages import WORDS_PER_PASSAGE, Passage
from graft.toolformer.tools.tantivy_words import require_tantivy

PASSAGES_PER_STEP, SECONDS_PER_STEP = 10_000, 2.0
"""So much is lost at most where the command is killed."""

_MB = 1_000_000


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the building is."""

    stage: str
    done: int
    total: int
    note: str = ""
    unit: str = "MB"


@dataclass(frozen=True, slots=True)
class Indexed:
    """What an index holds, and what was left out of it, each with the first place."""

    documents: int
    paragraphs: int
    left_out: dict[str, int]
    first_left_out: dict[str, str]


def index_texts(
    sources: Sequence[Path], out: Path, workers: int = 1, engine: Engine = "sqlite"
) -> Iterator[Progress]:
    """Build the index of `sources` in the folder `out`, or go on where it was left.

    Args:
        sources: files and folders of texts, in this order.
        out: a new folder, or one that was begun with the same texts.
        workers: processes that turn the markup of dumps into text; the answers are the same.
        engine: what finds words: `sqlite`, which needs nothing, or `tantivy`, which is many
            times faster in a large index.

    Raises:
        ConfigError: there are no sources, or no workers, or tantivy is not installed.
        DataError: a source is damaged, or nothing in it can be used.
        StoreError: `out` is of other texts, is worked on by another process, or cannot be
            written.
    """
    if not sources or workers < 1:
        raise ConfigError("name texts to index, and at least one worker (--workers 1)")
    if engine == "tantivy":
        require_tantivy(out)
    files = [path for source in sources for path in source_files(source)]
    total = _megabytes(sum(path.stat().st_size for path in files))
    prints = list[str]()
    for seen in _looked_at(sources, prints):
        yield Progress("look at texts", _megabytes(seen), total)
    recipe = _recipe(sources, prints, engine)
    _refuse_other_texts(out, recipe)
    with Run.open(out, recipe) as run:
        if run.finished(STAGE) is None:
            run.folder(STAGE)
            with IndexWriter(index_file(out), engine) as writer:
                yield from _build(writer, files, total, workers)
                writer.state.require_text(", ".join(map(str, sources)))
                if not writer.finished:
                    writer.finish(_fingerprint(prints, engine))
                state = writer.state
            run.finish(STAGE, _summary(state))


def read_indexed(out: Path) -> Indexed:
    """What the finished index in `out` holds.

    Raises:
        StoreError: it is not finished.
    """
    told = cast("dict[str, object]", read_json(out / STAGE / "manifest.json")["summary"])
    return Indexed(
        cast("int", told["documents"]),
        cast("int", told["paragraphs"]),
        cast("dict[str, int]", told["left out"]),
        cast("dict[str, str]", told["first left out"]),
    )


def _looked_at(sources: Sequence[Path], prints: list[str]) -> Iterator[int]:
    """The bytes that were read so far; puts each source's fingerprint into `prints`."""
    seen = 0
    for source in sources:
        looking = look_at(source)
        while True:
            try:
                seen += next(looking)
            except StopIteration as end:
                prints.append(end.value)
                break
            yield seen


def _build(
    writer: IndexWriter, files: Sequence[Path], total: int, workers: int
) -> Iterator[Progress]:
    if writer.finished:
        return
    state, meter = writer.state, Meter()
    began, before = time.perf_counter(), state.passages
    ends = [0, *accumulate(path.stat().st_size for path in files)]
    for passages in _steps(files, state, meter, workers):
        writer.write(passages)
        rate = (state.passages - before) / (time.perf_counter() - began)
        note = f"{state.passages:,} paragraphs, {rate:,.0f}/s"
        at = _megabytes(ends[state.file] + meter.at)
        yield Progress("index", at, total, note)
    for step in writer.join():
        yield Progress("join word lists", step.done, step.total, unit=step.unit)


def _steps(
    files: Sequence[Path], state: State, meter: Meter, workers: int
) -> Iterator[list[Passage]]:
    """Passages that are to be written together; `state` then stands behind them."""
    pending, since = list[Passage](), time.monotonic()
    for path in files[state.file :]:
        for found in read_documents(path, state.record, meter, workers):
            for passage in islice(found.passages, _done_of(found, state), None):
                pending.append(passage)
                state.passages += 1
                state.passages_of_record += 1
                if len(pending) >= PASSAGES_PER_STEP:
                    yield pending
                    pending, since = list[Passage](), time.monotonic()
            state.count(found, path)
            state.record, state.passages_of_record = found.number + 1, 0
            if time.monotonic() - since > SECONDS_PER_STEP:
                yield pending
                pending, since = list[Passage](), time.monotonic()
        state.file, state.record, meter.at = state.file + 1, 1, 0
    yield pending


def _done_of(found: Document, state: State) -> int:
    """How many passages of a document were written before it was read again."""
    done = state.passages_of_record if found.number == state.record else 0
    state.record, state.passages_of_record = found.number, done
    return done


def _megabytes(size: int) -> int:
    """So many, a begun one counted whole."""
    return -(-size // _MB)


def _recipe(
    sources: Sequence[Path], prints: Sequence[str], engine: Engine
) -> dict[str, object]:
    """The texts by their names and contents: they may be moved, and not be changed."""
    told = [
        {"name": source.resolve().name, "fingerprint": one}
        for source, one in zip(sources, prints, strict=True)
    ]
    other = {} if engine == "sqlite" else {"engine": engine}
    return {"texts": told, "words per passage": WORDS_PER_PASSAGE, **other}


def _refuse_other_texts(out: Path, recipe: dict[str, object]) -> None:
    path = out / "recipe.json"
    if path.is_file() and (begun := read_json(path)) != recipe:
        names = [
            one["name"]
            for one in cast("list[dict[str, str]]", recipe["texts"])
            if one not in cast("list[dict[str, str]]", begun.get("texts", []))
        ]
        if not names and begun.get("engine") != recipe.get("engine"):
            names = [f"the engine ({begun.get('engine', 'sqlite')})"]
        what = f"{', '.join(names)} changed since, or was" if names else "was"
        raise StoreError(
            f"{out}: {what} not what this index was begun with; choose another --out, or delete"
            f" {out} to build it anew"
        )


def _fingerprint(prints: Sequence[str], engine: Engine) -> str:
    """Of all that answers hang on: two engines rank a little differently."""
    told = prints if engine == "sqlite" else [*prints, engine]
    return hashlib.sha256("\n".join(told).encode()).hexdigest()


def _summary(state: State) -> dict[str, object]:
    return {
        "documents": state.documents,
        "paragraphs": state.passages,
        "left out": state.left_out,
        "first left out": state.first_left_out,
    }
