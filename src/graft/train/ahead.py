"""What the next steps need, made ready in a thread beside the step that is under way."""

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

Item = TypeVar("Item")
Ready = TypeVar("Ready")


def prepare_ahead(
    items: Iterable[Item], prepare: Callable[[Item], Ready], *, count: int = 2
) -> Generator[Ready]:
    """As `map(prepare, items)`, with the next `count` prepared while the caller is busy.

    One thread prepares them one after the other; `items` is read by the caller's own. What
    `prepare` raises is raised in its item's turn, behind everything before it. When the
    iterator ends or is closed, what is not begun is dropped, and what is, waited for.
    """
    source = iter(items)
    thread = ThreadPoolExecutor(1, thread_name_prefix="ahead")
    try:
        waiting = deque[Future[Ready]]()
        for item in islice(source, count):
            waiting.append(thread.submit(prepare, item))
        while waiting:
            ready = waiting.popleft().result()
            for item in islice(source, 1):
                waiting.append(thread.submit(prepare, item))
            yield ready
    finally:
        thread.shutdown(cancel_futures=True)
