"""Two ways of doing one thing, timed in one process: a table, and JSON for the documents."""

import argparse
import shlex
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar, cast

import torch
from rich.console import Console
from rich.table import Table

from graft.cli.record import circumstances
from graft.store.runs import write_json, write_text

Result = TypeVar("Result")
Row = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Timed(Generic[Result]):
    """What came out, and the seconds of every repetition."""

    result: Result
    seconds: list[float]

    @property
    def median(self) -> float:
        """The middle of the repetitions, in seconds."""
        return statistics.median(self.seconds)

    @property
    def best(self) -> float:
        """The shortest of the repetitions, in seconds: the one that was disturbed least."""
        return min(self.seconds)


def in_turn(
    first: Callable[[], Result], second: Callable[[], Result], repeats: int
) -> tuple[Timed[Result], Timed[Result]]:
    """Both, one after the other, so often: what slows the machine slows both alike."""
    one, other = each_in_turn((first, second), repeats)
    return one, other


def each_in_turn(
    works: Sequence[Callable[[], Result]],
    repeats: int,
    clock: Callable[[], float] = time.perf_counter,
) -> list[Timed[Result]]:
    """The same for any number, by any clock."""
    timed = [Timed(work(), list[float]()) for work in works]  # warm-up, not counted
    for _ in range(repeats):
        for work, one in zip(works, timed, strict=True):
            began = clock()
            work()
            one.seconds.append(clock() - began)
    return timed


def multiply_peak(dtype: torch.dtype = torch.float32, size: int = 2048) -> float:
    """The floating-point operations per second of a large matrix product, the best of ten."""
    a, b = torch.randn(size, size).to(dtype), torch.randn(size, size).to(dtype)
    best = float("inf")
    for _ in range(10):
        began = time.perf_counter()
        a @ b
        best = min(best, time.perf_counter() - began)
    return 2 * size**3 / best


def arguments(question: str) -> argparse.ArgumentParser:
    """The flags that every benchmark has."""
    parser = argparse.ArgumentParser(description=question)
    parser.add_argument("--repeats", type=int, default=3, help="counted runs of each way")
    parser.add_argument("--record", type=Path, help="folder to write the JSON file to")
    return parser


def publish(
    name: str, question: str, rows: list[Row], folder: Path | None, *, case: str = ""
) -> None:
    """Print the rows, and write `benchmark-NAME.json` where a folder is given.

    What a benchmark measures besides, its `case`, is recorded as `benchmark-NAME-CASE.json`.
    """
    table = Table(title=question, title_justify="left")
    columns = list(dict.fromkeys(name for row in rows for name in row))
    for column in columns:
        table.add_column(column, justify="left" if column == "case" else "right")
    for row in rows:
        table.add_row(*(_written(row.get(name, "")) for name in columns))
    Console(width=160).print(table)
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        found = {
            "command": shlex.join(["python", f"benchmarks/{name}.py", *_flags(sys.argv[1:])]),
            **circumstances(),
            "threads": torch.get_num_threads(),
            "question": question,
            "rows": [dict(row) for row in rows],
        }
        name = f"{name}-{case}" if case else name
        write_json(folder / f"benchmark-{name}.json", found)
        write_text(folder / f"benchmark-{name}.md", page(name, found))


def _flags(given: list[str]) -> list[str]:
    """The flags of this run, without the folder that it is recorded in."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--record")
    return parser.parse_known_args(given)[1]


def page(name: str, found: Mapping[str, object]) -> str:
    """The page of a benchmark, in Markdown; everything in it stands in the JSON file."""
    rows = cast("list[Row]", found["rows"])
    columns = list(dict.fromkeys(column for row in rows for column in row))
    lines = [
        f"| {' | '.join(_written(row.get(column, '')) for column in columns)} |" for row in rows
    ]
    return "\n".join(
        [
            f"# benchmark-{name}",
            "",
            f"`{found['command']}` on {found['date']}, {found['machine']}, "
            f"{found['threads']} threads, commit `{found['commit']}`. All figures stand in "
            f"`benchmark-{name}.json`.",
            "",
            f"{found['question']}:",
            "",
            f"| {' | '.join(columns)} |",
            "|" + "---|" * len(columns),
            *lines,
            "",
        ]
    )


def _written(value: object) -> str:
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
    return f"{value:,}" if isinstance(value, int) else str(value)
