"""How many tokens per second are learnt from, beside the usual trainer?"""

import json
import tempfile
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import torch
from bases import BASES, load_base
from stopwatch import arguments, in_turn, publish
from transformers import Trainer, TrainingArguments
from transformers.utils.logging import disable_progress_bar, set_verbosity_error

from graft.models.finetune import copy_to_train, frame, loss_of_rows
from graft.models.huggingface import HuggingFaceModel
from graft.train.batches import split_batch, stream_batches
from graft.train.loop import fit
from graft.world.shipped import FOLDER

QUESTION = "train: tokens learnt from per second, the same model, texts and rows per step"
ROWS = 16


def rows_of(model: HuggingFaceModel, count: int, path: Path) -> list[list[int]]:
    """So many texts of a file, framed."""
    with path.open(encoding="utf-8") as lines:
        texts = [json.loads(line)["text"] for line in islice(lines, count)]
    return [row for text in texts for row in frame(model, model.encode(text), 1024)]


def ours(model: HuggingFaceModel, rows: list[list[int]], steps: int) -> None:
    """So many steps of graft's own loop, texts packed."""
    trainee = copy_to_train(model)
    lengths = [len(row) for row in rows]

    def batches() -> Iterator[list[list[list[int]]]]:
        for batch in islice(stream_batches(len(rows), rows=ROWS, seed=0), steps):
            yield [[rows[k] for k in part] for part in split_batch(batch, lengths, 8192)]

    optimizer = torch.optim.AdamW(trainee.model.parameters(), lr=1e-5, fused=True)
    for _ in fit(batches(), lambda part: loss_of_rows(trainee, part), optimizer, lambda _: 1.0):
        pass


def trainer(model: HuggingFaceModel, rows: list[list[int]], steps: int, sampling: str) -> None:
    """As many steps of `transformers.Trainer`, padded to the longest of each batch."""

    def collate(batch: list[dict[str, list[int]]]) -> dict[str, torch.Tensor]:
        found = [one["input_ids"] for one in batch]
        width = max(map(len, found))
        blank = [[0] * (width - len(row)) for row in found]
        both = list(zip(found, blank, strict=True))
        return {
            "input_ids": torch.tensor([row + tail for row, tail in both]),
            "attention_mask": torch.tensor([[1] * len(r) + tail for r, tail in both]),
            "labels": torch.tensor([row + [-100] * len(tail) for row, tail in both]),
        }

    with tempfile.TemporaryDirectory() as folder:
        settings = TrainingArguments(
            output_dir=folder,
            max_steps=steps,
            per_device_train_batch_size=ROWS,
            learning_rate=1e-5,
            lr_scheduler_type="constant",
            train_sampling_strategy=sampling,
            save_strategy="no",
            report_to=[],
            disable_tqdm=True,
            logging_strategy="no",
            use_cpu=True,
        )
        given = [{"input_ids": row, "length": len(row)} for row in rows]
        learner = copy_to_train(model).model
        Trainer(learner, settings, train_dataset=given, data_collator=collate).train()


def measure(base: str, source: tuple[str, Path], count: int, steps: int, repeats: int):
    """Ours beside the trainer as it is, and beside the trainer that sorts by length."""
    model = load_base(base)
    rows = rows_of(model, count, source[1])
    drawn = islice(stream_batches(len(rows), rows=ROWS, seed=0), steps)
    tokens = sum(len(rows[k]) - 1 for batch in drawn for k in batch)
    for sampling in ("random", "group_by_length"):
        beside, mine = in_turn(
            lambda sampling=sampling: trainer(model, rows, steps, sampling),
            lambda: ours(model, rows, steps),
            repeats,
        )
        yield {
            "case": f"{base}, {source[0]}",
            "beside": f"Trainer, {sampling}",
            "our tokens/s": tokens / mine.median,
            "its tokens/s": tokens / beside.median,
            "times faster": beside.median / mine.median,
        }


def main() -> None:
    """Measure every base that was asked for."""
    parser = arguments(QUESTION)
    parser.add_argument("--bases", nargs="+", default=list(BASES), choices=BASES)
    parser.add_argument("--steps", type=int, nargs="+", default=[40, 6])
    parser.add_argument("--texts", type=Path, help="JSON lines; else the little world's")
    given = parser.parse_args()
    set_verbosity_error()
    disable_progress_bar()
    name = "little world" if given.texts is None else given.texts.stem
    source = (name, given.texts or FOLDER / "corpus.jsonl")
    rows = [
        row
        for base, steps in zip(given.bases, given.steps, strict=False)
        for row in measure(base, source, steps * ROWS, steps, given.repeats)
    ]
    publish("train", QUESTION, rows, given.record)


if __name__ == "__main__":
    main()
