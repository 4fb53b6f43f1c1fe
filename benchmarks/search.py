"""How long does an index of many paragraphs take, and the queries, beside bm25s?

Each side does each work in a process of its own, in turn: seconds are those of the processor
from the start of Python to its end (other work on the machine does not count), and of the
clock. Relevance is asked with XQuAD's questions in English, which are SQuAD's: does one of the
first five paragraphs hold the answer, and is it of the question's own paragraph?
"""

import json
import statistics
import subprocess
import sys
from collections.abc import Iterator, Sequence
from itertools import chain, islice
from pathlib import Path
from tempfile import TemporaryDirectory

from searching import FOUND, TANTIVY
from stopwatch import arguments, publish

from graft.errors import GraftError
from graft.measure.interval import bootstrap_mean
from graft.toolformer.tools.documents import read_documents, source_files
from graft.toolformer.tools.passages import Passage
from graft.world.shipped import write_world

QUESTION = "search: paragraphs indexed and queries answered, each in a process of its own"
SIDES, WORKS = ("graft", TANTIVY, "bm25s"), ("index", "ask")

Row = dict[str, object]


def paragraphs(sources: Sequence[Path], count: int, folder: Path) -> tuple[list[Passage], int]:
    """So many, of the texts in turn, and of the little world where these are too few."""
    real = chain.from_iterable(map(_of_source, sources))
    found = list(islice(real, count))
    if (missing := count - len(found)) > 0:
        write_world(folder / "world", texts=missing, questions=4)
        found += islice(_of_source(folder / "world" / "corpus.jsonl"), missing)
        return found, missing
    return found, 0


def _of_source(source: Path) -> Iterator[Passage]:
    for path in source_files(source):
        for document in read_documents(path):
            yield from document.passages


def asked(file: Path, count: int) -> list[tuple[str, str, str]]:
    """Questions, each with its paragraph and its answer."""
    rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    plain = [
        (row["question"]["en"], _plain(row["context"]["en"]), _plain(row["answer"]["en"]))
        for row in rows
    ]
    return plain[:count]


def _plain(text: str) -> str:
    return " ".join(text.split())


def one_run(side: str, work: str, folder: Path) -> dict[str, object]:
    """What a process of its own says of one work."""
    script = Path(__file__).with_name("searching.py")
    done = subprocess.run(
        [sys.executable, str(script), side, work, str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise GraftError(f"{side}, {work}: {done.stderr[-1000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def hits(found: object, questions: Sequence[tuple[str, str, str]]) -> list[float]:
    """Whether a paragraph with the answer, of the question's own, is among those found."""
    rows = found if isinstance(found, list) else []
    return [
        float(any(_plain(one) in context and answer in _plain(one) for one in row))
        for row, (_, context, answer) in zip(rows, questions, strict=True)
    ]


def row(case: str, runs: Sequence[dict[str, object]]) -> Row:
    """The median of the times and the highest peak."""
    return {
        "case": case,
        "CPU s": statistics.median(float(str(one["CPU"])) for one in runs),
        "wall s": statistics.median(float(str(one["wall"])) for one in runs),
        "peak MiB": max(float(str(one["MiB"])) for one in runs),
        "disk MiB": float(str(runs[0]["disk"])) / 2**20,
    }


def measured(
    folder: Path, questions: Sequence[tuple[str, str, str]], count: int, repeats: int
) -> list[Row]:
    """Each side in turn, so often."""
    runs = {(work, side): list[dict[str, object]]() for work in WORKS for side in SIDES}
    for _ in range(repeats):
        for work, side in runs:
            runs[work, side].append(one_run(side, work, folder))
    said = {"index": f"index {count:,} paragraphs", "ask": f"{len(questions):,} queries"}
    rows = {one: row(f"{said[one[0]]}, {one[1]}", some) for one, some in runs.items()}
    ratios = list[Row]()
    for own in SIDES[:-1]:
        for work in WORKS:
            case = f"{said[work]}, bm25s / {own}"
            ratios.append(_ratio(case, rows[work, own], rows[work, "bm25s"]))
        both = [_sum(rows["index", side], rows["ask", side]) for side in (own, "bm25s")]
        ratios.append(_ratio(f"both, bm25s / {own}", *both))
    found = list[Row]()
    for side in SIDES:
        told = bootstrap_mean(hits(runs["ask", side][0]["found"], questions))
        found.append(
            {
                "case": f"answer among the first {FOUND}, percent, {side}",
                "percent": 100 * told.mean,
                "from": 100 * told.low,
                "to": 100 * told.high,
            }
        )
    return [*rows.values(), *ratios, *found]


def _ratio(case: str, own: Row, peer: Row) -> Row:
    names = [name for name in own if name != "case"]
    return {"case": case} | {n: float(str(peer[n])) / float(str(own[n])) for n in names}


def _sum(one: Row, other: Row) -> Row:
    return {
        "CPU s": float(str(one["CPU s"])) + float(str(other["CPU s"])),
        "wall s": float(str(one["wall s"])) + float(str(other["wall s"])),
        "peak MiB": max(float(str(one["peak MiB"])), float(str(other["peak MiB"]))),
    }


def main() -> None:
    """Make the paragraphs, and measure."""
    parser = arguments(QUESTION)
    parser.add_argument("--texts", type=Path, nargs="+", required=True)
    parser.add_argument("--questions", type=Path, required=True)
    parser.add_argument("--paragraphs", type=int, default=100_000)
    parser.add_argument("--queries", type=int, default=1000)
    given = parser.parse_args()
    with TemporaryDirectory() as name:
        folder = Path(name)
        found, made = paragraphs(given.texts, given.paragraphs, folder)
        with (folder / "texts.jsonl").open("w", encoding="utf-8") as file:
            for one in found:
                file.write(json.dumps({"title": one.title, "text": one.text}) + "\n")
        questions = asked(given.questions, given.queries)
        said = json.dumps([question for question, _, _ in questions])
        (folder / "queries.json").write_text(said, encoding="utf-8")
        rows = measured(folder, questions, len(found), given.repeats)
    real: Row = {"case": f"paragraphs of real texts, of {len(found):,}"}
    publish(
        "search",
        QUESTION,
        [*rows, real | {"percent": 100 - 100 * made / len(found)}],
        given.record,
    )


if __name__ == "__main__":
    main()
