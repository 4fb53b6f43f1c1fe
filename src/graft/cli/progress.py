"""Progress of long work as bars with rate and remaining time."""

import contextlib
import signal
import threading
from collections.abc import Callable, Generator, Iterable
from typing import Protocol, runtime_checkable

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)


@runtime_checkable
class Advance(Protocol):
    """How far a stage is."""

    @property
    def stage(self) -> str:
        """Its name."""
        ...

    @property
    def done(self) -> int:
        """How much is done."""
        ...

    @property
    def total(self) -> int:
        """How much there is to do."""
        ...

    @property
    def unit(self) -> str:
        """Of what."""
        ...

    @property
    def note(self) -> str:
        """What else there is to say."""
        ...


def show(advances: Iterable[Advance], console: Console | None = None) -> None:
    """Run through `advances`, a bar for each stage; without a terminal, a line for each."""
    console = console or Console(stderr=True)
    bars: dict[str, TaskID] = {}
    last: Advance | None = None
    with _bars(console) as progress, _heeding_ctrl_c() as heed:
        for advance in advances:
            heed()
            if last is not None and last.stage != advance.stage:
                _say(console, last)
            last = advance
            bar = bars.get(advance.stage)
            if bar is None:
                bar = progress.add_task(advance.stage, total=advance.total or None, note="")
                bars[advance.stage] = bar
            note = f"{advance.unit}  {advance.note}"[:60]
            progress.update(bar, completed=advance.done, total=advance.total, note=note)
    if last is not None:
        _say(console, last)


@contextlib.contextmanager
def _heeding_ctrl_c() -> Generator[Callable[[], None]]:
    """Ctrl-C stops at once; where a library swallowed it, the function that is given does."""
    pressed = False

    def note(_number: int, _frame: object) -> None:
        nonlocal pressed
        pressed = True
        raise KeyboardInterrupt

    def heed() -> None:
        if pressed:
            raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield heed
        return
    before = signal.signal(signal.SIGINT, note)
    try:
        yield heed
    finally:
        signal.signal(signal.SIGINT, before)


def _say(console: Console, advance: Advance) -> None:
    if not console.is_terminal:
        console.print(
            f"{advance.stage}: {advance.done} of {advance.total} {advance.unit} {advance.note}"
        )


def _bars(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description:<18}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
        console=console,
        disable=not console.is_terminal,
    )
