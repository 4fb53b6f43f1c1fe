"""What a program started here says at its standard error, without control characters."""

import contextlib
import os
import threading
from collections.abc import Generator
from typing import TextIO

from graft.toolformer.tools.tracing import printable

LONGEST_LINE = 4096
"""Bytes that are held back till a line ends."""


@contextlib.contextmanager
def standard_error() -> Generator[TextIO]:
    """A file for a program's standard error: its lines come out at this program's own."""
    read, write = os.pipe()
    threading.Thread(target=_pass_on, args=(read,), name="standard error", daemon=True).start()
    with os.fdopen(write, "w") as file:
        yield file


def _pass_on(read: int) -> None:
    with os.fdopen(read, "rb") as lines, contextlib.suppress(OSError):  # nobody reads ours
        while line := lines.readline(LONGEST_LINE):
            text = line.decode(errors="replace").rstrip("\r\n").expandtabs()
            os.write(2, f"{printable(text)}\n".encode(errors="replace"))
