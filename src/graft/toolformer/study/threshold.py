"""How high is the bar to be? The same candidates kept at several thresholds, and taught from.

Schick et al. 2023, Section 2 (`tau_f`) and Table 2.
"""

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from graft.errors import GraftError
from graft.scale.progress import Progress
from graft.store.folders import whole_folder
from graft.store.runs import write_json
from graft.store.whole import read_json
from graft.toolformer.teach import teach
from graft.toolformer.workshop import Workshop

_SHARED = ("corpus", "annotate", "score")


def study_threshold(
    shop: Workshop, out: Path, thresholds: Sequence[float]
) -> Iterator[Progress]:
    """Keep, train and evaluate at every threshold; `out/report.json` at the end.

    What the run found and scored is copied, not done again. A threshold that keeps too little
    to learn from is told so in the report.
    """
    report: dict[str, object] = {}
    for done, threshold in enumerate(thresholds, start=1):
        run = out / f"{threshold:g}"
        keep = replace(shop.config.keep, threshold=threshold, tools={})
        if not (run / "report.json").is_file():
            begun = Workshop.begin(run, replace(shop.config, keep=keep))
            begun.settle()
            _copy(shop.root, run)
            try:
                for progress in teach(begun):
                    yield replace(progress, stage=f"{threshold:g}: {progress.stage}")
            except GraftError as error:
                report[f"{threshold:g}"] = {"failed": str(error)}
                continue
        report[f"{threshold:g}"] = read_json(run / "report.json")
        yield Progress("study threshold", done, len(thresholds), "thresholds", f"{threshold:g}")
    write_json(out / "report.json", report)


def _copy(root: Path, run: Path) -> None:
    for stage in _SHARED:
        if not (run / stage).exists():
            with whole_folder(run / stage) as partial:
                shutil.copytree(root / stage, partial, dirs_exist_ok=True)
