"""Ask a tool and come back: in time, with a string, and without its threads on one's hands.

Each call runs on a daemon thread of its own, so a tool that hangs delays nobody but its own
answer, and never the end of the program.
"""

import datetime
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, replace

from graft.errors import ToolError
from graft.toolformer.tools.tool import Context, Tool

MAX_AT_ONCE = 64
"""Calls of one program that may run at once, those that hang included; others wait."""
MAX_REMEMBERED = 100_000

_Asked = tuple[str, str, str, datetime.date | None, str]

_places = threading.BoundedSemaphore(MAX_AT_ONCE)


class LateError(ToolError):
    """The tool did not answer in time; another time it may."""


@dataclass(frozen=True, slots=True)
class Usage:
    """How a tool was used: calls asked, answered from memory, without answer, seconds run."""

    calls: int = 0
    memo_hits: int = 0
    errors: int = 0
    seconds: float = 0.0


def execute(tool: Tool, argument: str, context: Context) -> str:
    """The tool's answer, cut at its longest.

    Raises:
        ToolError: the tool has no answer, or took longer than `tool.timeout_seconds`.
        Exception: whatever else the tool raised, with a note that names the call.
    """
    try:
        result = _on_a_thread(tool, argument, context).result(tool.timeout_seconds)
    except ToolError:
        raise
    except TimeoutError:
        raise LateError(f"no answer within {tool.timeout_seconds:g} s") from None
    except Exception as bug:
        bug.add_note(f"while {tool.name} was asked {argument[:200]!r}")
        raise
    return result[: tool.max_result_characters]


class Executor:
    """Tools with a memory: the same question to the same tool is asked once.

    Answers and refusals are remembered by tool, version, argument and date; what came too
    late, or raised a bug, is asked again. May be used by several threads.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._memory: dict[_Asked, str | ToolError] = {}
        self._usage: dict[str, Usage] = {}

    @property
    def usage(self) -> dict[str, Usage]:
        """How each tool was used so far, by its name."""
        with self._lock:
            return dict(self._usage)

    def answer(self, tool: Tool, argument: str, context: Context) -> str:
        """As `execute`, from memory where possible."""
        key = (tool.name, tool.version, argument, context.date, context.text * tool.by_text)
        with self._lock:
            known = self._memory.get(key)
        if known is not None:
            self._count(tool, known, memo_hits=1)
        else:
            known = self._ask(tool, argument, context)
            if not isinstance(known, LateError):
                self._remember(key, known)
        if isinstance(known, ToolError):
            raise type(known)(*known.args)
        return known

    def submit(self, tool: Tool, argument: str, context: Context) -> Future[str]:
        """As `answer`, without waiting: for a decoder whose other rows go on meanwhile."""
        return _in_background(
            lambda: self.answer(tool, argument, context), f"asking {tool.name}"
        )

    def _ask(self, tool: Tool, argument: str, context: Context) -> str | ToolError:
        started = time.perf_counter()
        try:
            known: str | ToolError = execute(tool, argument, context)
        except ToolError as refusal:
            known = refusal
        self._count(tool, known, seconds=time.perf_counter() - started)
        return known

    def _remember(self, key: _Asked, known: str | ToolError) -> None:
        with self._lock:
            if len(self._memory) >= MAX_REMEMBERED:
                del self._memory[next(iter(self._memory))]
            self._memory[key] = known

    def _count(
        self, tool: Tool, known: str | ToolError, memo_hits: int = 0, seconds: float = 0.0
    ) -> None:
        with self._lock:
            before = self._usage.get(tool.name, Usage())
            self._usage[tool.name] = replace(
                before,
                calls=before.calls + 1,
                memo_hits=before.memo_hits + memo_hits,
                errors=before.errors + isinstance(known, ToolError),
                seconds=before.seconds + seconds,
            )


def _on_a_thread(tool: Tool, argument: str, context: Context) -> Future[str]:
    places = _places
    if not places.acquire(timeout=tool.timeout_seconds):
        raise LateError(f"{MAX_AT_ONCE} calls have not come back")

    def asked() -> str:
        try:
            return _checked(tool.answer(argument, context))
        except (SystemExit, KeyboardInterrupt) as end:  # would end the program without a word
            raise RuntimeError(f"the tool raised {type(end).__name__}({end})") from end
        finally:
            places.release()

    return _in_background(asked, f"tool {tool.name}")


def _checked(result: object) -> str:
    if not isinstance(result, str):
        raise TypeError(f"a tool answers with a string, not {type(result).__name__}")
    return result


def _in_background(work: Callable[[], str], name: str) -> Future[str]:
    """Run `work` on a daemon thread; a thread pool's own would hold up the program's end."""
    outcome: Future[str] = Future()

    def run() -> None:
        try:
            outcome.set_result(work())
        except BaseException as error:  # noqa: BLE001 - not swallowed: carried to who waits
            outcome.set_exception(error)

    threading.Thread(target=run, name=name, daemon=True).start()
    return outcome
