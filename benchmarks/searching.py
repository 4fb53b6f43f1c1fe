"""One side of `search.py`, as a process of its own: index the paragraphs, or answer queries.

`python searching.py SIDE WORK FOLDER` reads FOLDER/texts.jsonl and FOLDER/queries.json, and
prints what it found with the seconds and the peak of memory of the whole process.
"""

import json
import resource
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path

from resident import resident_mib

FOUND = 5
TANTIVY = "graft with tantivy"

Titled = list[str]


def index_by_graft(folder: Path) -> None:
    """As `graft tools index` does."""
    from graft.toolformer.tools.indexing import index_texts

    for _ in index_texts([folder / "texts.jsonl"], folder / "graft"):
        pass


def index_by_tantivy(folder: Path) -> None:
    """As `graft tools index --engine tantivy` does."""
    from graft.toolformer.tools.indexing import index_texts

    for _ in index_texts([folder / "texts.jsonl"], folder / TANTIVY, engine="tantivy"):
        pass


def ask_graft(folder: Path, side: str = "graft") -> list[Titled]:
    """One query after the other, as the tool is asked."""
    from graft.toolformer.tools.index import Index

    index = Index(folder / side)
    return [[one.text for one in index.find(query, FOUND)] for query in queries(folder)]


def index_by_bm25s(folder: Path) -> None:
    """As its documentation does, with a stemmer and stop words."""
    import bm25s
    import Stemmer

    with (folder / "texts.jsonl").open(encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    tokens = bm25s.tokenize(
        [f"{row['title']} {row['text']}" for row in rows],
        stopwords="en",
        stemmer=Stemmer.Stemmer("english"),
        show_progress=False,
    )
    index = bm25s.BM25()
    index.index(tokens, show_progress=False)
    index.save(folder / "bm25s", corpus=rows)


def ask_bm25s(folder: Path) -> list[Titled]:
    """All queries in one batch, the index mapped and not read into memory."""
    import bm25s
    import Stemmer

    index = bm25s.BM25.load(folder / "bm25s", mmap=True, load_corpus=True)
    tokens = bm25s.tokenize(
        queries(folder),
        stopwords="en",
        stemmer=Stemmer.Stemmer("english"),
        show_progress=False,
    )
    found, _ = index.retrieve(tokens, k=FOUND, show_progress=False)
    return [[one["text"] for one in row] for row in found]


def queries(folder: Path) -> list[str]:
    """What is asked."""
    return json.loads((folder / "queries.json").read_text(encoding="utf-8"))


WORK: dict[tuple[str, str], Callable[[Path], object]] = {
    ("graft", "index"): index_by_graft,
    ("graft", "ask"): ask_graft,
    (TANTIVY, "index"): index_by_tantivy,
    (TANTIVY, "ask"): lambda folder: ask_graft(folder, TANTIVY),
    ("bm25s", "index"): index_by_bm25s,
    ("bm25s", "ask"): ask_bm25s,
}


def main() -> None:
    """Do one side's work and say what it took."""
    side, work, place = sys.argv[1:]
    folder, began = Path(place), time.perf_counter()
    if work == "index":
        shutil.rmtree(folder / side, ignore_errors=True)
    found = WORK[side, work](folder)
    wall = time.perf_counter() - began
    used = resource.getrusage(resource.RUSAGE_SELF)
    told = {
        "CPU": used.ru_utime + used.ru_stime,
        "wall": wall,
        "MiB": resident_mib("VmHWM"),
        "disk": sum(one.stat().st_size for one in (folder / side).rglob("*") if one.is_file()),
        "found": found,
    }
    sys.stdout.write(json.dumps(told) + "\n")


if __name__ == "__main__":
    main()
