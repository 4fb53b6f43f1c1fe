"""Does the memory of annotate and keep grow with the corpus?"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from resident import resident_mib
from stopwatch import arguments, publish

QUESTION = "memory: peak of gather, annotate by rules, score and keep, by texts in the corpus"


def stages(corpus: Path, out: Path) -> None:
    """The stages before training, in this process; prints its peak in MiB and its seconds."""
    from graft.config import load
    from graft.toolformer import teach

    given = [f'corpus="{corpus}"', 'tools=["calculator"]', "annotate.proposer=rules"]
    config = load(teach.TeachConfig, None, given)
    shop = teach.Workshop.begin(out, config)
    began = time.perf_counter()
    before = (teach.gather, teach.annotate_corpus, teach.score_candidates, teach.keep_calls)
    for stage in before:
        for _ in stage(shop):
            pass
    told = {"MiB": resident_mib("VmHWM"), "seconds": time.perf_counter() - began}
    sys.stdout.write(json.dumps(told) + "\n")


def measure(texts: int) -> dict[str, object]:
    """One row: the little world with so many texts, in a process of its own."""
    from graft.world.shipped import write_world

    with tempfile.TemporaryDirectory() as folder:
        write_world(Path(folder) / "world", texts=texts, questions=4)
        corpus = Path(folder) / "world" / "corpus.jsonl"
        command = [sys.executable, __file__, "--corpus", str(corpus), "--out", f"{folder}/run"]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        found = json.loads(said.splitlines()[-1])
        kept = json.loads((Path(folder) / "run" / "keep" / "report.json").read_text())
    return {"case": f"{texts:,} texts", "candidates": sum(kept["candidates"].values()), **found}


def main() -> None:
    """Measure every size that was asked for; or, with a corpus, be the process measured."""
    parser: argparse.ArgumentParser = arguments(QUESTION)
    parser.add_argument("--texts", type=int, nargs="+", default=[1000, 30_000])
    parser.add_argument("--corpus", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.corpus is not None:
        stages(given.corpus, given.out)
    else:
        publish("memory", QUESTION, [measure(texts) for texts in given.texts], given.record)


if __name__ == "__main__":
    main()
