"""All stages in a row, in a run's folder: from a corpus to a model that uses tools.

Here a stage meets the shards it works on. Each stage has a folder with its own recipe, so it
can be run, stopped, resumed and replaced alone:

    RUN/corpus/     the texts, split into passages that fit the model
    RUN/annotate/   their candidate calls
    RUN/score/      the candidates' losses
    RUN/keep/       the chosen calls: merged texts, kept.jsonl to read, report.json
    RUN/train/      the taught model and its control
    RUN/evaluate/   both and the base on tasks
"""

import json
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date
from pathlib import Path
from typing import Literal, cast

import pyarrow as pa

from graft.config import dump, load, to_table
from graft.errors import ConfigError, StoreError
from graft.models.huggingface import HuggingFaceModel, load_model
from graft.scale.local import carry
from graft.scale.progress import Progress
from graft.store.runs import Run, write_json, write_text
from graft.store.shards import Row, list_shards, read_shard, read_shards, write_shard
from graft.store.whole import read_json, writing
from graft.toolformer.annotate import AnnotateConfig, annotate, most_text_tokens
from graft.toolformer.corpus import CorpusReader, split_passages, write_corpus
from graft.toolformer.dataset import Merged, Text
from graft.toolformer.evaluate import (
    Measured,
    System,
    build_report,
    evaluate,
    measure_perplexity,
)
from graft.toolformer.keep import KeepConfig, Kept, choose, describe, merge, score
from graft.toolformer.records import ANNOTATED, MERGED, SCORED, TEXT
from graft.toolformer.run import Generation, run
from graft.toolformer.tasks.files import load_task
from graft.toolformer.tools.execute import Executor
from graft.toolformer.tools.tool import Tool
from graft.toolformer.tools.toolbox import tools_by_name
from graft.toolformer.train import TrainConfig, count_steps, divide, finetune, read_card
from graft.toolformer.writing import RunConfig

Trained = Literal["toolformer", "control"]


@dataclass(frozen=True, kw_only=True)
class EvaluateConfig:
    """Settings of `evaluate`."""

    tasks: tuple[Path, ...] = ()  # JSON lines of questions
    texts: Path | None = None  # texts for perplexity; else the development texts of `train`
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class TeachConfig:
    """A whole run: what is taught with what, and the settings of every stage."""

    corpus: Path
    model: str = "seedling"
    tools: tuple[str, ...] = ("calculator", "calendar")
    search: Path | None = None  # the texts that the search tool looks through
    today: date | None = None  # what the calendar says where a text has no date
    shard_texts: int = 128
    limit: int | None = None  # texts to read from the corpus
    annotate: AnnotateConfig = field(default_factory=AnnotateConfig)
    keep: KeepConfig = field(default_factory=KeepConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    run: RunConfig = field(default_factory=lambda: RunConfig(wait_for_tools=True))
    evaluate: EvaluateConfig = field(default_factory=EvaluateConfig)


class Workshop:
    """A run's folder with the model and tools that its stages share, loaded when first asked."""

    def __init__(self, root: Path, config: TeachConfig) -> None:
        self.root, self.config = root, config
        self.executor = Executor()
        self._model: HuggingFaceModel | None = None
        self._tools: dict[str, Tool] | None = None

    @classmethod
    def begin(cls, root: Path, config: TeachConfig) -> "Workshop":
        """A run in `root`, new or begun; its recipe is left there for the later stages."""
        with writing(root):
            root.mkdir(parents=True, exist_ok=True)
        write_text(root / "recipe.json", dump(config))
        return cls(root, config)

    @classmethod
    def resume(cls, root: Path, overrides: Sequence[str] = ()) -> "Workshop":
        """The run in `root` with its own recipe, some settings changed."""
        if not (root / "recipe.json").is_file():
            raise StoreError(f"{root}: no run here; begin one with `graft toolformer annotate`")
        return cls.begin(root, load(TeachConfig, root / "recipe.json", overrides))

    @property
    def model(self) -> HuggingFaceModel:
        """The base model."""
        if self._model is None:
            self._model = load_model(self.config.model)
        return self._model

    @property
    def tools(self) -> dict[str, Tool]:
        """The tools by the names they have in calls."""
        if self._tools is None:
            self._tools = tools_by_name(
                self.config.tools,
                corpus=self.config.search,
                today=self.config.today,
                index_folder=self.root / "index",
            )
        return self._tools

    def open(self, stage: str, settings: Mapping[str, object]) -> Run:
        """The folder of a stage, refused if it was begun with other settings."""
        self.root.mkdir(parents=True, exist_ok=True)
        return Run.open(self.root / stage, settings)

    def require(self, stage: str) -> Path:
        """The shards of a finished stage."""
        if not (self.root / stage / "shards" / "manifest.json").is_file():
            raise StoreError(
                f"{self.root}: the stage '{stage}' is not finished; run "
                f"`graft toolformer {'annotate' if stage == 'corpus' else stage}` first"
            )
        return self.root / stage / "shards"

    def require_model(self, kind: Trained) -> Path:
        """The folder of a trained model."""
        folder = self.root / "train" / kind / "model"
        if not folder.is_dir():
            raise StoreError(f"{folder}: not there; run `graft toolformer train` first")
        return folder


def gather(shop: Workshop) -> Iterator[Progress]:
    """Read the corpus into shards of passages that fit the model."""
    config = shop.config
    most = most_text_tokens(shop.model, shop.tools, config.annotate)
    if most < 8:
        raise ConfigError(
            f"the context of {config.model} leaves {most} tokens for a text beside the prompts; "
            "take a model with a longer context, or propose by rules"
        )
    settings = {
        "corpus": str(config.corpus),
        "limit": config.limit,
        "shard_texts": config.shard_texts,
        "most_tokens": most,
    }
    with shop.open("corpus", settings) as opened:
        if opened.finished("shards") is not None:
            return
        reader = CorpusReader(config.corpus, limit=config.limit)
        passages = (p for text in reader for p in split_passages(text, shop.model, most))
        shards = 0
        for _ in write_corpus(passages, opened.folder("shards"), config.shard_texts):
            shards += 1
            yield Progress("corpus", shards, 0, "shards")
        skipped = {"skipped": dict(reader.skipped), "told": reader.told()}
        opened.finish("shards", {"shards": shards, **skipped})
        yield Progress("corpus", shards, shards, "shards", reader.told())


def annotate_corpus(shop: Workshop) -> Iterator[Progress]:
    """Find candidate calls for every text of the corpus."""
    settings = {
        "model": shop.config.model,
        "tools": {name: tool.version for name, tool in shop.tools.items()},
        "today": str(shop.config.today),
        "annotate": to_table(shop.config.annotate),
    }

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
    scored = [SCORED.from_row(row) for row in read_shards(shop.require("score"))]
    kept = choose(scored, shop.config.keep)
    report = describe(scored, kept, shop.config.keep)
    report["annotate"] = dict(sorted(read_counts(shop).items()))
    report["settings"] = to_table(shop.config.keep)
    folder = shop.root / "keep"
    merged = list(merge(scored, kept, shop.model))
    write_shard(folder / "merged.parquet", map(MERGED.to_row, merged), MERGED.schema)
    write_text(folder / "kept.jsonl", "".join(_lines(merged, kept, shop)))
    write_json(folder / "report.json", report)
    yield Progress("keep", len(kept.calls), len(scored), "texts")


def train_model(shop: Workshop, kind: Trained) -> Iterator[Progress]:
    """Finetune on the merged texts, or on the same texts without calls."""
    folder, settings = shop.root / "train" / kind, shop.config.train
    examples = divide(read_merged(shop), settings, calls=kind == "toolformer")
    total = count_steps(shop.model, examples.training, settings)
    steps = finetune(
        shop.model,
        examples.training,
        examples.development,
        settings,
        folder,
        tools=shop.tools.values() if kind == "toolformer" else (),
    )
    for step in steps:
        with (folder / "log.jsonl").open("a", encoding="utf-8") as log:
            log.write(json.dumps(asdict(step)) + "\n")
        note = f"loss {step.loss:.3f}"
        if step.perplexity is not None:
            note += f", development perplexity {step.perplexity:.3f}"
        yield Progress(f"train {kind}", step.index, total, "steps", note)


def evaluate_run(shop: Workshop) -> Iterator[Progress]:
    """Compare base, control, disabled and Toolformer on the recipe's tasks; writes the report."""
    config = shop.config
    tasks = [load_task(path) for path in config.evaluate.tasks]
    control = load_model(str(shop.require_model("control")))
    taught = load_model(str(shop.require_model("toolformer")))
    systems: dict[str, System] = {
        "base": (shop.model, shop.tools),
        "control": (control, shop.tools),
        "disabled": (taught, {}),
        "toolformer": (taught, shop.tools),
    }
    began, measured = time.perf_counter(), list[Measured]()
    results = evaluate(
        systems, tasks, config.run, seed=config.evaluate.seed, executor=shop.executor
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
    tokens = sum(model.tokens_processed for model in (shop.model, control, taught))
    with writing(shop.root / "evaluate"):
        (shop.root / "evaluate").mkdir(exist_ok=True)
    write_json(shop.root / "evaluate" / "report.json", report)
    write_json(
        shop.root / "evaluate" / "seconds.json",
        {"seconds": time.perf_counter() - began, "tokens": tokens},
    )
    write_json(shop.root / "report.json", {**report, **summarize(shop)})


def generate_some(shop: Workshop, per_task: Iterable[int]) -> list[Generation]:
    """The taught model on the first questions of each task."""
    model = load_model(str(shop.require_model("toolformer")))
    prompts = [
        Text(asked.id, asked.prompt, asked.date)
        for path, count in zip(shop.config.evaluate.tasks, per_task, strict=False)
        for asked in load_task(path).questions[:count]
    ]
    return list(run(prompts, model, shop.tools, shop.config.run, shop.executor))


def summarize(shop: Workshop) -> dict[str, object]:
    """What the stages before came to: texts and calls, tokens processed, seconds."""
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
        "tokens": {s: int(sum(one["tokens"] for one in all)) for s, all in lines.items()},
        "seconds": {
            s: round(sum(one["seconds"] for one in all), 2) for s, all in lines.items()
        },
    }


def _log_lines(path: Path) -> list[dict[str, float]]:
    """The lines of a log, the last one of each shard or step."""
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return list({line.get("shard", line.get("index")): line for line in lines}.values())


def _texts_to_predict(shop: Workshop) -> list[Text]:
    if shop.config.evaluate.texts is not None:
        return list(CorpusReader(shop.config.evaluate.texts))
    chosen = divide(read_merged(shop), shop.config.train, calls=False).development
    return [Text(str(k), shop.model.decode(tokens)) for k, tokens in enumerate(chosen)]


def teach(shop: Workshop) -> Iterator[Progress]:
    """Every stage; what is finished is not done again."""
    yield from gather(shop)
    yield from annotate_corpus(shop)
    yield from score_candidates(shop)
    yield from keep_calls(shop)
    yield from train_model(shop, "toolformer")
    yield from train_model(shop, "control")
    if shop.config.evaluate.tasks:
        yield from evaluate_run(shop)


def read_merged(shop: Workshop) -> list[Merged]:
    """The merged texts of `keep`."""
    path = shop.root / "keep" / "merged.parquet"
    if not path.is_file():
        raise StoreError(f"{path}: not there; run `graft toolformer keep` first")
    return [MERGED.from_row(row) for row in read_shard(path)]


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
        before = shop.model.tokens_processed
        for carried in carry(shards, opened.folder("shards"), work, schema):
            done += 1
            tokens = shop.model.tokens_processed - before
            before = shop.model.tokens_processed
            if not carried.skipped:
                line = {"shard": carried.name, "tokens": tokens, "seconds": carried.seconds}
                opened.log("shards", line)
            yield Progress(stage, done, total, "shards", f"{tokens} tokens")
        opened.finish("shards", {"shards": total})


def read_counts(shop: Workshop) -> Counter[str]:
    """What became of all proposals, summed over the corpus."""
    rows = read_shards(shop.require("annotate"))
    return sum((ANNOTATED.from_row(row).counts for row in rows), Counter[str]())


def tools_of(
    folder: Path, names: Iterable[str] | None, search: Path | None, today: date | None
) -> dict[str, Tool]:
    """The tools that a taught model's `graft.json` names, or those that `names` names."""
    card = read_card(folder) or {"tools": []}
    written = cast("list[dict[str, str]]", card["tools"])
    chosen = names if names is not None else [tool["name"] for tool in written]
    return tools_by_name(chosen, corpus=search, today=today)


def _lines(merged: Iterable[Merged], kept: Kept, shop: Workshop) -> Iterator[str]:
    """Each merged text as a JSON line: to read, or to train on elsewhere."""
    for record in merged:
        if not record.calls:
            continue
        gains = [round(losses.gain, 4) for _, losses in kept.calls.get(record.text.id, ())]
        line = {
            "id": record.text.id,
            "text": shop.model.decode(record.tokens),
            "plain": record.text.text,
            "gains": gains,
        }
        yield json.dumps(line, ensure_ascii=False) + "\n"
