"""A run's folder and what its stages share: the recipe, the base, the annotator.

Each stage has a folder, so it can be run, stopped, resumed and replaced alone:

    RUN/recipe.json    the settings of all stages
    RUN/annotate/      pictures with their conditions, of the base's size
    RUN/keep/          which pairs are good, report.json, sheet.png
    RUN/latents/       latents and words, by content hash
    RUN/train/         the control; log.jsonl; convergence.png; a grid for each validation
    RUN/evaluate/      generated pictures and their fidelity
    RUN/report.json    what it all came to
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import zip_longest
from pathlib import Path
from typing import cast

import numpy as np
import torch

from graft.config import dump, fill, load, require, to_table
from graft.controlnet.annotators.annotator import Annotator
from graft.controlnet.annotators.kit import annotator_by_name
from graft.controlnet.condition import Value
from graft.controlnet.control import Controlled
from graft.controlnet.dataset import Pair
from graft.controlnet.evaluate import EvaluateConfig
from graft.controlnet.keep import KeepConfig
from graft.controlnet.records import PAIR
from graft.controlnet.taught import fill_control, read_delta
from graft.controlnet.tiles import picture_of
from graft.controlnet.train import require_taught_so
from graft.controlnet.trainee import TrainConfig, silent_controlled
from graft.controlnet.validation import ValidationConfig
from graft.errors import ConfigError, StoreError
from graft.models.diffusion import DiffusionModel, load_diffusion
from graft.store.runs import Run, refuse_another, write_json, write_text
from graft.store.shards import list_shards, read_column, read_shard
from graft.store.whole import read_json, remove_partial, writing


@dataclass(frozen=True, kw_only=True)
class TeachConfig:
    """A whole run: what is taught to which base, and the settings of every stage."""

    images: Path
    base: str = "seedling"
    condition: str = "canny"  # who draws it, or compares where `conditions` are given
    annotator: dict[str, Value] = field(default_factory=dict[str, Value])  # its settings
    conditions: Path | None = None  # a folder of finished conditions, by the pictures' names
    size: int | None = None  # pixels along a side; else the base's own
    tiles: int | None = None  # so many along a picture's shorter side; else its middle alone
    limit: int | None = None  # pictures to read
    shard_pictures: int = 64
    seed: int = 0
    keep: KeepConfig = field(default_factory=KeepConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    validation: ValidationConfig = field(default_factory=ValidationConfig)
    evaluate: EvaluateConfig = field(default_factory=EvaluateConfig)

    def __post_init__(self) -> None:
        if self.tiles is not None and self.tiles < 1:
            raise ValueError("tiles is at least 1, or not given")
        if self.limit is not None and self.limit < 1:
            raise ValueError("limit is at least 1, or not given")
        require(self, ("shard_pictures",), lambda count: count >= 1, "at least 1")
        require(self, ("seed",), lambda seed: seed >= 0, "at least 0")


@dataclass(frozen=True, slots=True)
class Division:
    """Ids of the pairs to learn from, to watch the training by, and to evaluate on."""

    training: tuple[str, ...]
    validation: tuple[str, ...]
    evaluation: tuple[str, ...]


_FIXED = (
    *("images", "base", "condition", "annotator", "conditions", "size", "tiles"),
    *("limit", "shard_pictures", "seed"),
)
"""Settings of a begun run that may not change."""


class Workshop:
    """A run's folder with what its stages share; the base is loaded when asked for."""

    def __init__(self, root: Path, config: TeachConfig) -> None:
        self.root, self.config = root, config
        self.annotator: Annotator = annotator_by_name(config.condition, config.annotator)
        self._model: DiffusionModel | None = None
        self._digest: str | None = None

    @classmethod
    def begin(cls, root: Path, config: TeachConfig) -> "Workshop":
        """A run in `root`, new or begun.

        Its recipe is left there for the later stages; a begun run's is changed only by a
        stage that takes its settings.
        """
        _refuse_pictures(root, config.images)
        with writing(root):
            root.mkdir(parents=True, exist_ok=True)
            begun = (root / "recipe.json").is_file() and (root / "annotate").exists()
        shop = cls(root, config)  # refuses an unknown condition before anything is written
        refuse_another(root, to_table(config), _FIXED)
        if not begun:
            shop.settle()
        return shop

    @classmethod
    def resume(cls, root: Path, overrides: Sequence[str] = ()) -> "Workshop":
        """The run in `root` with its own recipe, some settings changed."""
        if not (root / "recipe.json").is_file():
            raise StoreError(f"{root}: no run here; begin one with `graft controlnet annotate`")
        return cls.begin(root, load(TeachConfig, root / "recipe.json", overrides))

    def settle(self, *, taught: bool = False) -> None:
        """Leave the recipe for the later stages, once a stage has taken its settings.

        What a begun training goes by stays as it was, for only the training itself changes
        that, with `taught`.
        """
        path, config = self.root / "recipe.json", self.config
        begun = path.is_file() and (self.root / "train" / "division.json").is_file()
        if begun and not taught:
            noted = load(TeachConfig, path)
            config = replace(
                config,
                train=noted.train,
                validation=noted.validation,
                evaluate=replace(config.evaluate, pictures=noted.evaluate.pictures),
            )
        recipe = dump(config)
        if not path.is_file() or path.read_bytes() != recipe.encode():
            remove_partial(self.root)
            write_text(path, recipe)

    @property
    def model(self) -> DiffusionModel:
        """The frozen base, on the GPU if there is one."""
        if self._model is None:
            device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
            self._model = load_diffusion(self.config.base, device)
        return self._model

    @property
    def digest(self) -> str:
        """The base's digest as it was loaded, before anything was done with it."""
        if self._digest is None:
            self._digest = self.model.digest()
        return self._digest

    @property
    def size(self) -> int:
        """Pixels along a side of every picture of the run."""
        size = self.model.size if self.config.size is None else self.config.size
        self.model.require_size(size)
        return size

    def open(self, stage: str, settings: Mapping[str, object]) -> Run:
        """The folder of a stage, refused if it was begun with other settings."""
        self.root.mkdir(parents=True, exist_ok=True)
        opened = Run.open(self.root / stage, settings)
        self.settle()
        return opened

    def shards(self) -> list[Path]:
        """The finished shards of pairs, all that were there when they were finished.

        Raises:
            StoreError: they are not finished, or one is missing.
        """
        folder = self.root / "annotate" / "shards"
        if not (folder / "manifest.json").is_file():
            raise StoreError(
                f"{self.root}: its pictures are not annotated; run `graft controlnet annotate`"
                " first"
            )
        for name in cast("dict[str, str]", read_json(folder / "manifest.json")["files"]):
            if not (folder / name).is_file():
                raise StoreError(
                    f"{folder / name}: is missing since its stage was finished; put it back, or"
                    f" delete {folder} and run `graft controlnet annotate` again"
                )
        return list_shards(folder)

    def pairs(self) -> Iterable[Pair]:
        """All pairs, good and bad, in their order."""
        for shard in self.shards():
            for row in read_shard(shard):
                yield PAIR.from_row(row)

    def kept(self) -> list[str]:
        """Ids of the good pairs.

        Raises:
            StoreError: they were not chosen yet, or of other pairs than there are now.
        """
        path = self.root / "keep" / "kept.json"
        if not path.is_file():
            raise StoreError(f"{path}: not there; run `graft controlnet keep` first")
        table, annotated = read_json(path), self.annotated()
        if annotated and table.get("annotated", annotated) != annotated:
            raise StoreError(
                f"{path}: was chosen of other pairs than are annotated now; run `graft"
                " controlnet keep` again"
            )
        return cast("list[str]", table["ids"])

    def annotated(self) -> str:
        """The digest of the annotated pairs; empty where they are not finished."""
        path = self.root / "annotate" / "shards" / "manifest.json"
        return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""

    def require_annotated(self, names: Iterable[str]) -> None:
        """Refuse ids that no annotated pair has.

        Raises:
            StoreError: names the first of them.
        """
        there = {name for shard in self.shards() for name in read_column(shard, "id")}
        gone = [name for name in names if name not in there]
        if gone:
            raise StoreError(
                f"{self.root}: {gone[0]} was kept, and is not among its annotated pairs any"
                f" more ({len(gone)} such); run `graft controlnet keep` again"
            )

    def begin_division(self) -> Division:
        """Decide which pairs are for what, once and for all of this training.

        Raises:
            StoreError: other pairs are kept, or held out, than when the training began.
        """
        division, path = self.plan_division(), self.root / "train" / "division.json"
        if not path.is_file():
            write_json(path, to_table(division))
        return division

    def plan_division(self) -> Division:
        """Which pairs are for what, nothing of it decided.

        Raises:
            StoreError: the training began with another division.
        """
        division, path = self._divide(), self.root / "train" / "division.json"
        if path.is_file() and self.division() != division:
            raise StoreError(
                f"{path}: other pairs are kept or held out than when the training began; put"
                f" the settings back, or delete {path.parent}"
            )
        return division

    def division(self) -> Division:
        """Which pairs the training took for what; what it has seen is never evaluated on."""
        path = self.root / "train" / "division.json"
        if not path.is_file():
            raise StoreError(f"{path}: not there; run `graft controlnet train` first")
        return fill(Division, read_json(path), str(path))

    def require_divided_so(self) -> None:
        """Refuse to hold out more or fewer pictures than the training did.

        Raises:
            StoreError: so is asked; what the training has seen is never evaluated on.
        """
        noted, asked = load(TeachConfig, self.root / "recipe.json"), self.config
        for name, before, now in (
            ("evaluate.pictures", noted.evaluate.pictures, asked.evaluate.pictures),
            ("validation.pictures", noted.validation.pictures, asked.validation.pictures),
        ):
            if before != now:
                raise StoreError(
                    f"{self.root}: {name} was {before} when the training began, and is {now};"
                    f" put it back, or delete {self.root / 'train'} to teach it anew"
                )

    def _divide(self) -> Division:
        """By the hash of their pictures' ids, so that more pictures move none.

        Tiles of a picture stay together: what is watched or evaluated on is of pictures that
        nothing was learnt of. Of these at most as many tiles are taken as pictures are asked
        for, one of each picture before a second of any.
        """
        tiles_of = dict[str, list[str]]()
        for name in sorted(self.kept(), key=self._place):
            tiles_of.setdefault(self.picture_of(name), []).append(name)
        pictures = sorted(tiles_of, key=self._place)
        most = len(pictures) // 5
        tested = min(self.config.evaluate.pictures, most)
        watched = min(self.config.validation.pictures, most)
        groups = [tiles_of[picture] for picture in pictures]
        seen = _in_turns(groups[tested : tested + watched])
        return Division(
            training=tuple(_in_turns(groups[tested + watched :])),
            validation=tuple(seen[: self.config.validation.pictures]),
            evaluation=tuple(_in_turns(groups[:tested])[: self.config.evaluate.pictures]),
        )

    def _place(self, name: str) -> int:
        return _hash(self.config.seed, name)

    def picture_of(self, name: str) -> str:
        """The id of the picture that a pair was made of."""
        return name if self.config.tiles is None else picture_of(name)

    def chosen(self, names: Sequence[str]) -> list[Pair]:
        """The pairs of these ids, in this order.

        Raises:
            StoreError: one of them is not there; names it.
        """
        wanted = set(names)
        found = {pair.id: pair for pair in self.pairs() if pair.id in wanted}
        if gone := [name for name in names if name not in found]:
            raise StoreError(
                f"{self.root}: {gone[0]} is not among its annotated pairs any more"
                f" ({len(gone)} such); put the pictures back, or run `graft controlnet keep`"
                f" again and delete {self.root / 'train'} to teach anew"
            )
        return [found[name] for name in names]

    def trained(self) -> Controlled:
        """The base with the trained control.

        Raises:
            StoreError: there is none, or it was taught with other settings.
            ModelError: its weights, or those of its decoder, are missing or damaged.
        """
        folder = self.root / "train"
        if not (folder / "control").is_dir():
            raise StoreError(f"{folder}: no control; run `graft controlnet train` first")
        require_taught_so(folder, self.config.train, self.config.validation)
        controlled = silent_controlled(self.model, self.config.train)
        fill_control(controlled.control, folder / "control", self.model)
        if controlled.decoder is not None:
            controlled.add_to_decoder(read_delta(folder / "control", self.model))
        return controlled.to(self.model.device).eval().requires_grad_(False)

    def picture_rng(self, name: str) -> np.random.Generator:
        """What is drawn for one picture, whatever stands beside it."""
        return np.random.default_rng((self.config.seed, _hash(self.config.seed, name)))


def _refuse_pictures(root: Path, images: Path) -> None:
    """Raise ConfigError for a run that would have to read its own files as pictures."""
    read = root / "annotate" / "shards" / "manifest.json"
    if root.resolve() == images.resolve() and not read.is_file():
        raise ConfigError(
            f"{root}: is the folder of the pictures itself; choose another --out, in it or"
            " elsewhere"
        )


def _in_turns(groups: Sequence[Sequence[str]]) -> list[str]:
    """The first of each group, then the second of each, and so on."""
    return [name for turn in zip_longest(*groups) for name in turn if name is not None]


def _hash(seed: int, name: str) -> int:
    digest = hashlib.blake2b(f"{seed}/{name}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big")
