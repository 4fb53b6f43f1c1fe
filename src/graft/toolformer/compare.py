"""What a run came to: four systems on the same tasks, in one report."""

import contextlib
import json
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

from graft.models.huggingface import load_model
from graft.scale.progress import Progress
from graft.store.folders import remove_folder, whole_folder
from graft.store.runs import write_json, write_text
from graft.store.whole import read_json, writing
from graft.toolformer.corpus import CorpusReader
from graft.toolformer.dataset import Text
from graft.toolformer.evaluate import (
    Judged,
    Measured,
    System,
    build_report,
    evaluate,
    measure_perplexity,
)
from graft.toolformer.run import Generation, run
from graft.toolformer.tasks.benchmarks import open_task, open_tasks
from graft.toolformer.tasks.task import Task
from graft.toolformer.tools.execute import used_since
from graft.toolformer.train import divide, require_taught_so
from graft.toolformer.workshop import Workshop, read_merged

_Line = dict[str, object]
"""Of a log: what a shard or a step came to."""


def evaluate_run(shop: Workshop) -> Iterator[Progress]:
    """Put base, control, disabled and Toolformer to the recipe's tasks; writes the report."""
    config = shop.config
    tasks = open_tasks(config.evaluate.tasks)
    for kind in ("control", "toolformer"):  # what was learnt from is not what is measured on
        require_taught_so(shop.require_model(kind), config.train)
    control = load_model(str(shop.require_model("control")))
    taught = load_model(str(shop.require_model("toolformer")))
    shop.settle()
    systems: dict[str, System] = {
        "base": (shop.model, shop.tools),
        "control": (control, shop.tools),
        "disabled": (taught, {}),
        "toolformer": (taught, shop.tools),
    }
    began, measured = time.perf_counter(), list[Measured]()
    asked = shop.executor.usage
    before = shop.model.tokens_processed  # of the stages before, where they ran just now
    results = evaluate(
        systems,
        tasks,
        replace(config.run, wait_for_tools=True),  # the same bytes however slow a tool is
        seed=config.evaluate.seed,
        executor=shop.executor,
    )
    for one in results:
        measured.append(one)
        note = f"{one.task}, {one.system}: {100 * one.result.accuracy:.1f}%"
        yield Progress("evaluate", len(measured), len(tasks) * len(systems), "results", note)
    texts = _texts_to_predict(shop)
    perplexities = {
        "base": measure_perplexity(shop.model, texts),
        "control": measure_perplexity(control, texts),
        "disabled": measure_perplexity(taught, texts, disabled=True),
    }
    report = build_report(measured, perplexities)
    tokens = sum(model.tokens_processed for model in (shop.model, control, taught)) - before
    folder = shop.root / "evaluate" / "answers"
    with writing(folder):
        folder.parent.mkdir(exist_ok=True)
    if folder.exists():
        remove_folder(folder)  # of other tasks, it may be
    with whole_folder(folder) as partial:
        for task in tasks:
            said = {one.system: one.judged for one in measured if one.task == task.name}
            write_text(partial / f"{task.name}.jsonl", answers(task, said))
    write_json(shop.root / "evaluate" / "report.json", report)
    write_json(
        shop.root / "evaluate" / "seconds.json",
        {
            "seconds": time.perf_counter() - began,
            "tokens": tokens,
            "ledger": used_since(asked, shop.executor.usage),
        },
    )
    write_json(shop.root / "report.json", {**report, **summarize(shop)})


def answers(task: Task, said: Mapping[str, Sequence[Judged]]) -> str:
    """Every question of a task with what each system wrote, as JSON lines to read."""
    lines: list[str] = []
    for index, asked in enumerate(task.questions):
        judged = {system: one[index] for system, one in said.items()}
        line = {
            "id": asked.id,
            "prompt": asked.prompt,
            "answers": asked.answers,
            "right": {system: one.right for system, one in judged.items()},
            "wrote": {system: one.wrote for system, one in judged.items()},
        }
        lines.append(json.dumps(line, ensure_ascii=False) + "\n")
    return "".join(lines)


def generate_some(shop: Workshop, per_task: Iterable[int]) -> list[Generation]:
    """The taught model on the first questions of each task."""
    model = load_model(str(shop.require_model("toolformer")))
    prompts = [
        Text(asked.id, asked.prompt, asked.date)
        for name, count in zip(shop.config.evaluate.tasks, per_task, strict=False)
        for asked in open_task(name).questions[:count]
    ]
    return list(run(prompts, model, shop.tools, shop.config.run, shop.executor))


def summarize(shop: Workshop) -> dict[str, object]:
    """What the stages came to: texts and calls, tokens processed, seconds, and the ledger.

    The ledger has, by stage and tool, how many calls were made, how many of them remembered
    and how many without answer, their seconds, and their cost in the tool's own unit.
    """
    kept = read_json(shop.root / "keep" / "report.json")
    logs = {
        "annotate": shop.root / "annotate" / "shards" / "log.jsonl",
        "keep": shop.root / "score" / "shards" / "log.jsonl",
        "train": shop.root / "train" / "toolformer" / "log.jsonl",
        "control": shop.root / "train" / "control" / "log.jsonl",
    }
    lines = {stage: _log_lines(path) for stage, path in logs.items()}
    lines["evaluate"] = [read_json(shop.root / "evaluate" / "seconds.json")]
    candidates = sum(cast("dict[str, int]", kept["candidates"]).values())
    corpus = {"texts": kept["texts"], "candidates": candidates, "kept": kept["kept"]}
    return {
        "corpus": corpus,
        "tokens": {s: int(_summed(all, "tokens")) for s, all in lines.items()},
        "seconds": {s: round(_summed(all, "seconds"), 2) for s, all in lines.items()},
        "ledger": {s: _ledger(all) for s, all in lines.items() if _ledger(all)},
    }


def _summed(lines: Iterable[_Line], name: str) -> float:
    return sum(cast("float", line[name]) for line in lines)


def _ledger(lines: Iterable[_Line]) -> dict[str, dict[str, float]]:
    """What each tool's calls came to, over all shards of a stage."""
    found = dict[str, Counter[str]]()
    for line in lines:
        for tool, told in cast("dict[str, dict[str, float]]", line.get("ledger", {})).items():
            found.setdefault(tool, Counter()).update(cast("dict[str, int]", told))
    return {
        tool: {name: round(value, 4) for name, value in told.items()}
        for tool, told in sorted(found.items())
    }


def _log_lines(path: Path) -> list[_Line]:
    """The lines of a log, the last one of each shard or step; not one that was cut."""
    lines = list[_Line]()
    for line in path.read_text(encoding="utf-8").splitlines():
        with contextlib.suppress(ValueError):
            lines.append(json.loads(line))
    return list({line.get("shard", line.get("index")): line for line in lines}.values())


def _texts_to_predict(shop: Workshop) -> list[Text]:
    if shop.config.evaluate.texts is not None:
        return list(CorpusReader(shop.config.evaluate.texts))
    chosen = divide(read_merged(shop), shop.config.train, calls=False).development
    return [Text(str(k), shop.model.decode(tokens)) for k, tokens in enumerate(chosen)]
