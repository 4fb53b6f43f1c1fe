"""A run's folder and what its stages share: the recipe, the model, the tools.

Each stage has a folder with its own recipe, so it can be run, stopped, resumed and replaced
alone:

    RUN/recipe.json the settings of all stages
    RUN/corpus/     the texts, split into passages that fit the model
    RUN/annotate/   their candidate calls
    RUN/score/      the candidates' losses
    RUN/keep/       the chosen calls: merged texts, kept.jsonl to read, report.json
    RUN/train/      the taught model and its control
    RUN/evaluate/   both and the base on tasks
    RUN/report.json what it all came to
"""

import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Literal, cast

from graft.config import dump, fill, load, to_table
from graft.errors import ConfigError, StoreError
from graft.models.huggingface import HuggingFaceModel, load_model
from graft.store.runs import Run, refuse_another, write_text
from graft.store.shards import read_shard
from graft.store.whole import reading, remove_partial, writing
from graft.toolformer.annotate import AnnotateConfig
from graft.toolformer.dataset import Merged
from graft.toolformer.functions import open_tools
from graft.toolformer.keep import KeepConfig
from graft.toolformer.records import MERGED
from graft.toolformer.tools.answers import AnswersConfig, open_answers
from graft.toolformer.tools.described import ToolConfig, configured
from graft.toolformer.tools.execute import Executor
from graft.toolformer.tools.loading import is_place
from graft.toolformer.tools.tool import Tool
from graft.toolformer.tools.toolbox import (
    require_call_name,
    require_settings_of_tools,
)
from graft.toolformer.train import TrainConfig, read_card
from graft.toolformer.writing import RunConfig

Trained = Literal["toolformer", "control"]


@dataclass(frozen=True, kw_only=True)
class EvaluateConfig:
    """Settings of `evaluate`."""

    tasks: tuple[str, ...] = ()  # files of questions, or KIND:FILE for a benchmark's own
    texts: Path | None = None  # texts for perplexity; else the development texts of `train`
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class TeachConfig:
    """A whole run: what is taught with what, and the settings of every stage."""

    corpus: Path
    model: str = "seedling"
    tools: tuple[str, ...] = ("calculator", "calendar")
    search: Path | None = None  # what the search tool looks through; else the corpus itself
    today: date | None = None  # what the calendar says where a text has no date
    shard_texts: int = 128
    limit: int | None = None  # texts to read from the corpus
    tool: Mapping[str, ToolConfig] = field(default_factory=dict)  # [tool.NAME], as in calls
    answers: AnswersConfig = field(default_factory=AnswersConfig)
    annotate: AnnotateConfig = field(default_factory=AnnotateConfig)
    keep: KeepConfig = field(default_factory=KeepConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    run: RunConfig = field(default_factory=RunConfig)
    evaluate: EvaluateConfig = field(default_factory=EvaluateConfig)

    def __post_init__(self) -> None:
        """Refuse what cannot be run, and settings of tools that do not exist."""
        if self.shard_texts < 1 or (self.limit is not None and self.limit < 1):
            raise ValueError("'shard_texts' and 'limit' begin at 1")
        for setting in self.settings_of_tools():
            require_call_name(setting.rpartition(".")[2], setting, self.tools)

    def settings_of_tools(self) -> list[str]:
        """The settings that are of one tool: `annotate.tools.Calculator`, ..."""
        sections = {
            "annotate.tools": self.annotate.tools,
            "keep.tools": self.keep.tools,
            "tool": self.tool,
        }
        return [f"{name}.{tool}" for name, tools in sections.items() for tool in tools]


_FIXED = ("corpus", "limit", "shard_texts", "model", "tools", "search", "today", "annotate")
"""Settings of a begun run that may not change."""


class Workshop:
    """A run's folder with what its stages share; model and tools are loaded when asked for."""

    def __init__(self, root: Path, config: TeachConfig) -> None:
        self.root, self.config = root, config
        self._executor: Executor | None = None
        self._model: HuggingFaceModel | None = None
        self._tools: dict[str, Tool] | None = None

    @classmethod
    def begin(cls, root: Path, config: TeachConfig) -> "Workshop":
        """A run in `root`, new or begun.

        Its recipe is left there for the later stages; a begun run's is changed only by a
        stage that takes its settings.

        Raises:
            StoreError: the folder is of another run, or of something else.
        """
        with writing(root):
            root.mkdir(parents=True, exist_ok=True)
            begun = (root / "recipe.json").is_file()
        refuse_another(root, to_table(config), _FIXED)
        _refuse_strangers(root)
        shop = cls(root, config)
        if not (begun and (root / "annotate").exists()):
            shop.settle()
        return shop

    @classmethod
    def resume(cls, root: Path, overrides: Sequence[str] = ()) -> "Workshop":
        """The run in `root` with its own recipe, some settings changed."""
        with reading(root):
            there = (root / "recipe.json").is_file()
        if not there:
            raise StoreError(f"{root}: no run here; begin one with `graft toolformer annotate`")
        return cls.begin(root, load(TeachConfig, root / "recipe.json", overrides))

    def settle(self) -> None:
        """Leave the recipe for the later stages, once a stage has taken its settings."""
        path, recipe = self.root / "recipe.json", dump(self.config)
        if not path.is_file() or path.read_text(encoding="utf-8") != recipe:
            remove_partial(self.root)
            write_text(path, recipe)

    @property
    def model(self) -> HuggingFaceModel:
        """The base model."""
        if self._model is None:
            self._model = load_model(self.config.model)
        return self._model

    @property
    def executor(self) -> Executor:
        """What asks the tools and remembers their answers."""
        if self._executor is None:
            self._executor = Executor(open_answers(self.config.answers))
        return self._executor

    @property
    def tools(self) -> dict[str, Tool]:
        """The tools by the names they have in calls."""
        if self._tools is None:
            remove_partial(self.root / "index")
            found = open_tools(
                self.config.tools,
                corpus=self.config.search or self.config.corpus,
                today=self.config.today,
                index_folder=self.root / "index",
                apart=self.config.search is None,
                executor=self.executor,
            )
            require_settings_of_tools(found, self.config.settings_of_tools())
            self._tools = {
                name: configured(tool, self.config.tool.get(name, ToolConfig()))
                for name, tool in found.items()
            }
        return self._tools

    def open(self, stage: str, settings: Mapping[str, object]) -> Run:
        """The folder of a stage, refused if it was begun with other settings."""
        opened = Run.open(self.root / stage, settings)
        self.settle()
        return opened

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


def _refuse_strangers(root: Path) -> None:
    """Leave a folder alone that holds files, and no run."""
    there = sorted(path.name for path in root.iterdir() if not path.name.startswith("."))
    if there and "recipe.json" not in there:
        raise StoreError(
            f"{root}: holds other files ({', '.join(there[:3])}) and no run; choose another"
            " --out"
        )


def read_merged(shop: Workshop) -> list[Merged]:
    """The merged texts of `keep`."""
    path = shop.root / "keep" / "merged.parquet"
    if not path.is_file():
        raise StoreError(f"{path}: not there; run `graft toolformer keep` first")
    return [MERGED.from_row(row) for row in read_shard(path)]


def as_one_name(place: str) -> str:
    """As it stands among names between commas."""
    return '"{}"'.format(place.replace('"', '""')) if {*place} & {*',"'} else place


def run_config_of(model: Path, overrides: Sequence[str] = ()) -> RunConfig:
    """How a taught model is to be run, as its card says, some settings changed."""
    card = read_card(model) or {}
    known = cast("dict[str, object]", card.get("run", {}))
    given = [f"{name}={value}" for name, value in known.items()]
    return load(RunConfig, None, [*given, *overrides])


def tools_of(
    folder: Path, names: Iterable[str] | None, search: Path | None, today: date | None
) -> dict[str, Tool]:
    """The tools that a taught model's `graft.json` names, or those that `names` names.

    With the limits that they had when the model was taught.

    Raises:
        ConfigError: the card names a tool that stands in somebody's Python: a card is data and
            runs nothing, so that has to be named by `names`.
    """
    card = read_card(folder) or {"tools": []}
    written = cast("list[dict[str, str]]", card["tools"])
    places = [tool.get("place", tool["name"]) for tool in written]
    if names is None and (own := [place for place in places if is_place(place)]):
        every = ",".join(as_one_name(place) for place in places)
        raise ConfigError(
            f"{folder}: was taught '{own[0]}', which is not run unasked; name its tools: "
            f"--tools {shlex.quote(every)}"
        )
    chosen = names if names is not None else [tool["name"] for tool in written]
    looked = cast("str | None", card.get("search"))
    corpus = search or (None if looked is None else Path(looked))
    tools = open_tools(chosen, corpus=corpus, today=today)
    limits = cast("dict[str, dict[str, object]]", card.get("tool", {}))
    told = f"{folder / 'graft.json'}, tool"
    return {
        name: configured(tool, fill(ToolConfig, limits.get(name, {}), told))
        for name, tool in tools.items()
    }
