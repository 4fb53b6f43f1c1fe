"""All stages in a row, in a run's folder: from a corpus to a model that uses tools.

Here a stage, a function from an iterable to an iterator, meets the shards that it works on.
"""

import json
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import BinaryIO, cast

import pyarrow as pa

from graft.config import to_table
from graft.errors import ConfigError
from graft.scale.local import carry
from graft.scale.progress import Progress
from graft.store.runs import held, write_json, write_text
from graft.store.shards import Row, list_shards, read_shards, write_shard
from graft.store.whole import append_line, read_json, remove_partial, whole_file, writing
from graft.toolformer.annotate import annotate, most_text_tokens
from graft.toolformer.compare import evaluate_run
from graft.toolformer.corpus import CorpusReader, split_passages, write_corpus
from graft.toolformer.dataset import Merged, Scored
from graft.toolformer.keep import (
    Kept,
    choose,
    describe,
    merge,
    score,
    show_kept_calls,
)
from graft.toolformer.records import ANNOTATED, MERGED, SCORED, TEXT
from graft.toolformer.tasks.benchmarks import open_tasks
from graft.toolformer.tools.described import ToolConfig
from graft.toolformer.tools.execute import used_since
from graft.toolformer.train import Progress as Taken
from graft.toolformer.train import count_steps, divide, finetune
from graft.toolformer.workshop import TeachConfig, Trained, Workshop, read_merged
from graft.train.loop import take_known

__all__ = [
    "TeachConfig",
    "Workshop",
    "annotate_corpus",
    "evaluate_run",
    "gather",
    "keep_calls",
    "read_counts",
    "score_candidates",
    "teach",
    "train_model",
]


def gather(shop: Workshop) -> Iterator[Progress]:
    """Read the corpus into shards of passages that fit the model."""
    config = shop.config
    most = most_text_tokens(shop.model, shop.tools, config.annotate)
    if most < 8:
        raise ConfigError(
            f"the context of {config.model} leaves {most} tokens for a text beside the "
            "prompts; take a model with a longer context, or propose by rules "
            "(--set annotate.proposer=rules)"
        )
    settings = {
        "corpus": str(config.corpus),
        "limit": config.limit,
        "shard_texts": config.shard_texts,
        "most_tokens": most,
    }
    reader = CorpusReader(config.corpus, limit=config.limit)
    if not (shop.root / "corpus").exists():
        next(iter(reader), None)  # before a folder is made for a corpus that is not there
    with shop.open("corpus", settings) as opened:
        if (before := opened.finished("shards")) is not None:
            yield _gathered_before(before)
            return
        passages = (p for text in reader for p in split_passages(text, shop.model, most))
        shards = 0
        for _ in write_corpus(passages, opened.folder("shards"), config.shard_texts):
            shards += 1
            yield Progress("corpus", shards, 0, "shards")
        skipped = {"skipped": dict(reader.skipped), "told": reader.told()}
        opened.finish("shards", {"shards": shards, **skipped})
        yield Progress("corpus", shards, shards, "shards", reader.told())


def _gathered_before(summary: Mapping[str, object]) -> Progress:
    """That nothing is read again, and what was skipped when it was read."""
    shards, told = cast("int", summary["shards"]), cast("str", summary.get("told") or "")
    note = "done before" + (
        f", without {told}; to read anew take another --out" if told else ""
    )
    return Progress("corpus", shards, shards, "shards", note)


def _telling(settings: ToolConfig) -> dict[str, object]:
    """What of a tool's settings decides which calls are found, and their answers."""
    names = ("examples", "pattern", "max_result_characters")
    return {name: to_table(settings)[name] for name in names}


def annotate_corpus(shop: Workshop) -> Iterator[Progress]:
    """Find candidate calls for every text of the corpus."""
    settings: dict[str, object] = {
        "model": shop.config.model,
        "tools": {name: tool.version for name, tool in shop.tools.items()},
        "today": str(shop.config.today),
        "annotate": to_table(shop.config.annotate),
    }
    if told := {name: _telling(one) for name, one in shop.config.tool.items()}:
        settings["tool"] = told

    def stage(rows: list[Row]) -> Iterator[Row]:
        texts = [TEXT.from_row(row) for row in rows]
        found = annotate(texts, shop.model, shop.tools, shop.config.annotate, shop.executor)
        return (ANNOTATED.to_row(one) for one in found)

    yield from _carry(shop, "annotate", "corpus", settings, stage, ANNOTATED.schema)


def score_candidates(shop: Workshop) -> Iterator[Progress]:
    """Compute the three losses of every candidate."""
    keep = shop.config.keep
    settings = {
        "model": shop.config.model,
        "separator": keep.separator,
        "empty_keeps_arrow": keep.empty_keeps_arrow,
    }

    def stage(rows: list[Row]) -> Iterator[Row]:
        annotated = [ANNOTATED.from_row(row) for row in rows]
        return (SCORED.to_row(one) for one in score(annotated, shop.model, keep))

    yield from _carry(shop, "score", "annotate", settings, stage, SCORED.schema)


def keep_calls(shop: Workshop) -> Iterator[Progress]:
    """Choose the calls worth keeping, merge them into their texts, and report."""
    scored = _ScoredTexts(shop)
    kept = choose(scored, shop.config.keep)
    report = describe(scored, kept, shop.config.keep)
    report["annotate"] = dict(sorted(read_counts(shop).items()))
    report["settings"] = to_table(shop.config.keep)
    folder = shop.root / "keep"
    with held(folder):
        shop.settle()
        with whole_file(folder / "kept.jsonl") as file:
            merged = _told(merge(scored, kept, shop.model), kept, shop, file)
            rows = map(MERGED.to_row, merged)
            total = write_shard(folder / "merged.parquet", rows, MERGED.schema)
        shown = show_kept_calls(scored, kept, shop.model)
        report["shown"] = shown
        write_text(folder / "kept.md", kept_page(shown, _count(kept)))
        write_json(folder / "report.json", report)
    yield Progress("keep", len(kept.calls), total, "texts")


def _count(kept: Kept) -> int:
    return sum(map(len, kept.calls.values()))


def kept_page(shown: Iterable[Mapping[str, object]], total: int) -> str:
    """Kept calls between what stands around them, as a table in Markdown."""
    rows = [
        f"| {one['gain']:.2f} | {_cell(one['before'])} | {_cell(one['call'])} "
        f"| {_cell(one['after'])} |"
        for one in shown
    ]
    lines = [
        f"# {len(rows)} of {total} kept calls, evenly over their ranks by gain",
        "",
        "| gain, nats | before | call | after |",
        "|---|---|---|---|",
        *rows,
    ]
    return "\n".join(lines) + "\n"


def _cell(text: object) -> str:
    """A text in a cell of a table: on one line, and no bar in it."""
    return " ".join(str(text).split()).replace("|", "¦")


class _ScoredTexts:
    """The scored texts of a run, read anew from its shards each time they are gone through.

    So that of a large corpus no more is in memory than the calls that are kept.
    """

    def __init__(self, shop: Workshop) -> None:
        self._shards = shop.require("score")

    def __iter__(self) -> Iterator[Scored]:
        return (SCORED.from_row(row) for row in read_shards(self._shards))


def train_model(shop: Workshop, kind: Trained) -> Iterator[Progress]:
    """Finetune on the merged texts, or on the same texts without calls."""
    folder, settings = shop.root / "train" / kind, shop.config.train
    examples = divide(read_merged(shop), settings, calls=kind == "toolformer")
    total = count_steps(shop.model, examples.training, settings)
    tools = shop.tools.values() if kind == "toolformer" else ()
    with held(folder):
        waiting, told = deque[Taken](), ""
        for step in finetune(
            shop.model, examples.training, examples.development, settings, folder, tools=tools
        ):
            shop.settle()
            waiting.append(step)
            for known in take_known(waiting):
                line = {**known.to_line(), "perplexity": known.perplexity}
                append_line(folder / "log.jsonl", line)
                told = f"loss {known.loss:.3f}"
            note = told
            if step.perplexity is not None:
                note += f", development perplexity {step.perplexity:.3f}"
            yield Progress(f"train {kind}", step.index, total, "steps", note)
        shop.settle()
        if kind == "toolformer":
            _recommend(folder / "model", shop)


def teach(shop: Workshop) -> Iterator[Progress]:
    """Every stage; what is finished is not done again.

    Raises:
        DataError: a task cannot be read, before anything else is done; and as the stages do.
    """
    open_tasks(shop.config.evaluate.tasks)
    yield from gather(shop)
    yield from annotate_corpus(shop)
    yield from score_candidates(shop)
    yield from keep_calls(shop)
    yield from train_model(shop, "toolformer")
    yield from train_model(shop, "control")
    if shop.config.evaluate.tasks:
        yield from evaluate_run(shop)


def _carry(
    shop: Workshop,
    stage: str,
    source: str,
    settings: Mapping[str, object],
    work: Callable[[list[Row]], Iterable[Row]],
    schema: pa.Schema,
) -> Iterator[Progress]:
    """Do a stage for each shard of another, logging tokens and seconds of each."""
    shards = shop.require(source)
    total, done = len(list_shards(shards)), 0
    with shop.open(stage, settings) as opened:
        if opened.finished("shards") is not None:
            yield Progress(stage, total, total, "shards", "done before")
            return
        before, asked = shop.model.tokens_processed, shop.executor.usage
        for carried in carry(shards, opened.folder("shards"), work, schema):
            done += 1
            tokens = shop.model.tokens_processed - before
            before = shop.model.tokens_processed
            used = used_since(asked, shop.executor.usage)
            asked = shop.executor.usage
            if not carried.skipped:
                line = {"shard": carried.name, "tokens": tokens, "seconds": carried.seconds}
                opened.log("shards", line | ({"ledger": used} if used else {}))
            yield Progress(stage, done, total, "shards", f"{tokens} tokens")
        opened.finish("shards", {"shards": total})


def read_counts(shop: Workshop) -> Counter[str]:
    """What became of all proposals, summed over the corpus."""
    rows = read_shards(shop.require("annotate"))
    return sum((ANNOTATED.from_row(row).counts for row in rows), Counter[str]())


def _told(
    merged: Iterable[Merged], kept: Kept, shop: Workshop, file: BinaryIO
) -> Iterator[Merged]:
    """The merged texts as they are; each with a call is also written as a JSON line.

    To read, or to train on elsewhere.
    """
    for record in merged:
        if record.calls:
            gains = [round(losses.gain, 4) for _, losses in kept.calls.get(record.text.id, ())]
            line = {
                "id": record.text.id,
                "text": shop.model.decode(record.tokens),
                "plain": record.text.text,
                "gains": gains,
            }
            with writing(shop.root / "keep" / "kept.jsonl"):
                file.write(json.dumps(line, ensure_ascii=False).encode() + b"\n")
        yield record


def _recommend(model: Path, shop: Workshop) -> None:
    """Tell in a model's card when to open a call, what to search in, and the tools' limits."""
    remove_partial(model)
    card = read_json(model / "graft.json")
    config = shop.config
    card["run"] = {
        "top_k": config.run.top_k,
        "least_probability": config.run.least_probability,
        "max_calls": config.run.max_calls,
    }
    card["search"] = str((config.search or config.corpus).resolve())
    if config.tool:
        card["tool"] = {name: _limits(settings) for name, settings in config.tool.items()}
    write_json(model / "graft.json", card)


def _limits(settings: ToolConfig) -> dict[str, object]:
    """What of a tool's settings counts when a taught model calls it."""
    return {
        name: value
        for name, value in to_table(settings).items()
        if value is not None and name not in ("examples", "pattern")
    }
