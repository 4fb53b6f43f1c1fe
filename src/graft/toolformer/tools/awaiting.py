"""One event loop for all async tools of a program, so that they may share clients and locks.

It runs on a daemon thread. A loop that a function blocks is left to it, and the next call
begins another one.
"""

import asyncio
import contextlib
import threading
from collections.abc import Awaitable
from concurrent.futures import CancelledError
from typing import TypeVar

from graft.toolformer.tools.asking import seconds_left
from graft.toolformer.tools.tool import LONGEST_SECONDS

SIGN_SECONDS = 1.0
"""A loop that shows no sign of life for so long after a late call is taken for blocked."""

_T = TypeVar("_T")
_lock = threading.Lock()
_running: list["_Loop"] = []


def wait_for(work: Awaitable[_T]) -> _T:
    """What `work` comes to on the program's loop, while anybody waits for the call.

    Raises:
        TimeoutError: nobody does any more; the work is cancelled.
        Exception: whatever it raised; a RuntimeError where it would end the program.
    """
    running = _loop()
    asked = asyncio.run_coroutine_threadsafe(_told(work), running.loop)
    try:
        return asked.result(seconds_left(LONGEST_SECONDS))
    except CancelledError as end:
        raise RuntimeError("the tool raised CancelledError") from end
    except TimeoutError:
        asked.cancel()
        running.require_sign()
        raise


class _Loop:
    """An event loop on a thread of its own, for as long as the program runs."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="async tools", daemon=True)
        self._thread.start()

    def is_alive(self) -> bool:
        """Whether its thread is there, which a forked process has not."""
        return self._thread.is_alive()

    def require_sign(self) -> None:
        """Give the loop up if it turns no more."""
        turned = threading.Event()
        self.loop.call_soon_threadsafe(turned.set)
        if not turned.wait(SIGN_SECONDS):
            with _lock, contextlib.suppress(ValueError):  # another call may have done so
                _running.remove(self)

    def _run(self) -> None:
        while True:
            with contextlib.suppress(SystemExit, KeyboardInterrupt):  # of a task of a tool's
                self.loop.run_forever()


def _loop() -> _Loop:
    with _lock:
        if not _running or not _running[-1].is_alive():
            _running[:] = [_Loop()]
        return _running[-1]


async def _told(work: Awaitable[_T]) -> _T:
    try:
        return await work
    except (SystemExit, KeyboardInterrupt) as end:  # would end the loop
        raise RuntimeError(f"the tool raised {type(end).__name__}({end})") from end
