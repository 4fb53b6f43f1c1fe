"""A small base model grown on a user's own texts, from nothing to a folder that loads anywhere.

For trying graft on real text where no pretrained model is at hand. Three kinds of document:

* *texts* of the corpora, each row of a batch out of one of them;
* *notes*: a stretch or two of a text, in brackets, and then the text, which alone is learnt. So
  the model learns to use what stands before a text, as the filter asks of it;
* *echoes*: words and numbers out of a text, in no order, and the same again with other signs
  between them; only the second time is learnt. No call is among them, but its signs are: a
  model learns to copy early, whatever stands around.

As for the seedling, a step's documents hang on the seed and the step alone.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from transformers import PreTrainedTokenizerFast

from graft.config import to_table
from graft.errors import ConfigError
from graft.grow.batches import Batch, Row, encode_pieces
from graft.grow.lessons import Piece
from graft.grow.model import ModelConfig, grow_model, new_model
from graft.grow.tokenizer import train_tokenizer
from graft.scale.progress import Progress
from graft.store.runs import Run
from graft.toolformer.corpus import read_corpus
from graft.train.schedule import warm_up_then
from graft.world.story import pick

_THING = re.compile(r"[0-9][0-9.,]*[0-9]|[0-9]|[^\W\d_]{2,}")
_JOINTS = (" ", ", ", " = ", "=", " + ", "+", "-", " - ", "*", " * ", "/", "; ", "\n", "->")
_ARROWS = (" -> ", "->", ") -> ", " = ", " ")
_FRAMES = (("", ""), ("(", ")"), ("[", "]"), ("The ", "."), ("$", ""), ("[", "]\n"))


@dataclass(frozen=True, kw_only=True)
class GrowBaseConfig(ModelConfig):
    """How large the model is, what it reads, and for how long."""

    corpora: tuple[str, ...] = ()
    """Files or folders of texts, as `graft toolformer teach` reads them."""
    shares: tuple[float, ...] = ()
    """The share of rows out of each corpus; equal ones if none are named."""
    echoes: float = 0.15
    """Share of documents that are echoes."""
    notes: float = 0.4
    """Share of the texts that have notes before them."""
    width: int = 192
    heads: int = 6
    inner: int = 512
    vocabulary: int = 3072
    steps: int = 4200
    weight_decay: float = 0.05
    tokenizer_characters: int = 4_000_000
    """So much of each corpus the tokenizer is trained on."""

    def __post_init__(self) -> None:
        """Refuse what cannot be grown."""
        super().__post_init__()
        if self.steps < 1:
            raise ValueError("'steps' begins at 1")
        if self.shares and len(self.shares) != len(self.corpora):
            raise ValueError("'shares' must have one number for each of the corpora")
        if self.shares and min(self.shares) <= 0:
            raise ValueError("'shares' must be more than 0")
        if not (0 <= self.echoes <= 1 and 0 <= self.notes <= 1):
            raise ValueError("'echoes' and 'notes' lie in [0, 1]")


def grow_base(config: GrowBaseConfig, folder: Path) -> Iterator[Progress]:
    """Grow a model in `folder`, from its last checkpoint if there is one.

    The finished model, a Hugging Face folder, is in `folder/model`.

    Raises:
        ConfigError: no corpus is named.
        DataError: a corpus cannot be read.
        StoreError: another model was begun in `folder`.
    """
    if not config.corpora:
        raise ConfigError("a base needs texts to grow on; name at least one file or folder")
    corpora = [[text.text for text in read_corpus(Path(name))] for name in config.corpora]
    with Run.open(folder, to_table(config)):
        tokenizer = train_tokenizer(
            _characters_of(corpora, config.tokenizer_characters), config.vocabulary
        )
        schedule = warm_up_then(
            "linear", steps=config.steps, warm_up=config.warm_up, floor=config.floor
        )
        steps = grow_model(
            config,
            (new_model(config, tokenizer), tokenizer),
            lambda step: batch_of(config, corpora, tokenizer, step),
            (config.steps, schedule),
            folder,
        )
        for step in steps:
            note = f"loss {step.loss:.3f}"
            yield Progress("grow base", step.index, config.steps, "steps", note)


def batch_of(
    config: GrowBaseConfig,
    corpora: Sequence[Sequence[str]],
    tokenizer: PreTrainedTokenizerFast,
    step: int,
) -> Batch:
    """The rows of one step; what does not fit a row's end is cut."""
    rng, end = np.random.default_rng((config.seed, step)), tokenizer.eos_token_id
    assert isinstance(end, int)
    shares = np.array(config.shares or [1.0] * len(corpora))
    rows: list[Row] = []
    for _ in range(config.rows):
        texts = corpora[int(rng.choice(len(corpora), p=shares / shares.sum()))]
        row: Row = []
        while len(row) < config.row_tokens:
            document = encode_pieces(tokenizer, _document(rng, texts, config), end)
            row.extend(document)
        rows.append(row[: config.row_tokens])
    cells = np.array(rows)
    return Batch(torch.from_numpy(cells[..., 0]), torch.from_numpy(cells[..., 1] == 1))


def _document(
    rng: np.random.Generator, texts: Sequence[str], config: GrowBaseConfig
) -> list[Piece]:
    """A text, or where it is long a stretch from any word of it on; or an echo of one."""
    text = texts[int(rng.integers(len(texts)))]
    if rng.random() < config.echoes:
        return echo(rng, text)
    letters = 6 * config.row_tokens
    if len(text) > letters:
        begin = int(rng.integers(len(text) - letters // 2))
        text = text[text.find(" ", begin) + 1 :][:letters]
    if rng.random() < config.notes:
        return [(note(rng, text), False), (text, True)]
    return [(text, True)]


def note(rng: np.random.Generator, text: str) -> str:
    """One stretch or two of what `text` begins with, in brackets, on a line of their own.

    Each ends in a word or a number of the text, more often in a number where there are any;
    half the time its signs are others than in the text.
    """
    things = list(_THING.finditer(text[:600]))
    numbers = [k for k, thing in enumerate(things) if thing[0][0].isdigit()]
    written: list[str] = []
    for _ in range(int(rng.integers(1, 3)) if things else 0):
        among = numbers if numbers and rng.random() < 0.7 else range(len(things))
        last = int(pick(rng, tuple(among)))
        chosen = things[max(0, last - int(rng.integers(1, 6))) : last + 1]
        stretch = text[chosen[0].start() : chosen[-1].end()]
        if rng.random() < 0.5:
            said = [thing[0] for thing in chosen]
            stretch = pick(rng, _JOINTS).join(said[:-1]) + pick(rng, _ARROWS) + said[-1]
        written.append(f"[{stretch}]")
    return "".join(written) + "\n"


def echo(rng: np.random.Generator, text: str) -> list[Piece]:
    """Words out of `text` and numbers of any length; and the same with other signs between."""
    words = _THING.findall(text) or ["0"]
    things = [
        str(int(10 ** rng.uniform(0.3, 4))) if rng.random() < 0.5 else pick(rng, words)
        for _ in range(int(rng.integers(3, 9)))
    ]
    (before, after), (again, last) = pick(rng, _FRAMES), pick(rng, _FRAMES)
    first, second = pick(rng, _JOINTS), pick(rng, _JOINTS)
    return [
        (before + first.join(things) + after + "\n" + again, False),
        (second.join(things) + last, True),
    ]


def _characters_of(corpora: Sequence[Sequence[str]], most: int) -> Iterator[str]:
    for texts in corpora:
        taken = 0
        for text in texts:
            if taken > most:
                break
            taken += len(text)
            yield text
