"""What does it bring to open a call among the k likeliest tokens, and not the likeliest only?

Schick et al. 2023, Section 4.5 and Table 9: accuracy at k = 0, 1, 3 and 10, of all inputs, of
those in which a call was made, and of those in which none was.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace

from graft.measure.interval import bootstrap_mean
from graft.models.language import LanguageModel
from graft.scale.progress import Progress
from graft.toolformer.evaluate import Judged, judge
from graft.toolformer.tasks.task import Task
from graft.toolformer.tools.tool import Tool
from graft.toolformer.writing import RunConfig

RANKS = (0, 1, 3, 10)


def study_decoding(
    model: LanguageModel,
    tools: Mapping[str, Tool],
    tasks: Sequence[Task],
    settings: RunConfig,
    found: dict[str, object],
) -> Iterator[Progress]:
    """Every task at every k; `found` is filled with `{task: {k: {...}}}`.

    The paper's rule alone is studied: no call is held back for being unlikely, whatever
    `settings.least_probability` says.
    """
    for done, (task, rank) in enumerate(((t, k) for t in tasks for k in RANKS), start=1):
        asked = replace(settings, top_k=rank, least_probability=0.0, wait_for_tools=True)
        told = found.setdefault(task.name, {})
        assert isinstance(told, dict)
        told[str(rank)] = divide(judge(task, model, tools, asked))
        yield Progress(
            "study decoding", done, len(tasks) * len(RANKS), "results", f"{task.name}, k {rank}"
        )


def divide(judged: Sequence[Judged]) -> dict[str, object]:
    """Accuracy of all inputs, of those with a call and of those without, and their share."""
    parts = {
        "all": [one.right for one in judged],
        "with_call": [one.right for one in judged if one.called],
        "without_call": [one.right for one in judged if not one.called],
    }
    told: dict[str, object] = {
        name: asdict(bootstrap_mean(right)) if right else None for name, right in parts.items()
    }
    return {**told, "call_rate": len(parts["with_call"]) / len(judged)}
