"""Ask a tool and come back: in time, with a string, and without its threads on one's hands.

Each call runs on a daemon thread of its own, so a tool that hangs delays nobody but its own
answer, and never the end of the program.
"""

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import TypeVar

from graft.errors import ToolError
from graft.toolformer.tools.tool import (
    BoundError,
    Context,
    LateError,
    Question,
    Tool,
    own_kind,
)

MAX_AT_ONCE = 64
"""Calls of one program that may run at once, those that hang included; others wait."""
FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS = 0.2, 5.0
"""Before what came too late is asked again."""

_T = TypeVar("_T")


class Gate:
    """Lets so many through at once; who waits gives up when nobody comes back any more."""

    def __init__(self, most: int) -> None:
        self.most, self._free, self._back = most, most, 0
        self._changed = threading.Condition()

    def enter(self, seconds: float) -> None:
        """Take a place.

        Raises:
            LateError: for so many seconds no place was left and nobody came back.
        """
        with self._changed:
            while not self._free:
                back = self._back
                if not self._changed.wait_for(lambda: self._back != back, seconds):  # noqa: B023
                    raise LateError(f"{self.most} calls have not come back")
            self._free -= 1

    def leave(self) -> None:
        """Give the place back."""
        with self._changed:
            self._free += 1
            self._back += 1
            self._changed.notify_all()


_places = Gate(MAX_AT_ONCE)
_call = threading.local()


def seconds_left(otherwise: float) -> float:
    """For the call that this thread answers, till nobody waits for it any more."""
    ends: float | None = getattr(_call, "ends", None)
    return otherwise if ends is None else max(0.0, ends - time.monotonic())


def execute(tool: Tool, argument: str, context: Context, gate: Gate | None = None) -> str:
    """The tool's answer, cut at its longest; what came too late is asked again, if it may be.

    A call within another one needs no place of its own among all: the one around it has one,
    and waits for it.

    Raises:
        ToolError: the tool has no answer, or took longer than `tool.timeout_seconds`.
        Exception: whatever else the tool raised, with a note that names the call.
    """
    gates = [] if gate is None else [gate]
    gates += [_places] if context.within is None else []

    def asked() -> str:
        return _checked(tool.answer(argument, context))

    def once() -> str:
        return _on_a_thread(tool, asked, tool.timeout_seconds, gates)

    try:
        result = _patiently(tool, once)
    except ToolError:
        raise
    except Exception as bug:
        bug.add_note(f"while {tool.name} was asked {argument[:200]!r}")
        raise
    return result[: tool.max_result_characters]


def side_by_side(work: Callable[[int], _T], count: int, workers: int) -> list[_T]:
    """What `work` gives for 0 to `count` - 1, by so many threads at most.

    Raises:
        Exception: what `work` raised first in that order; nothing new is begun after it.
    """
    found, bugs = dict[int, _T](), dict[int, Exception]()
    places = iter(range(count))

    def go_on() -> None:
        while not bugs and (place := next(places, None)) is not None:
            try:
                found[place] = work(place)
            except Exception as bug:  # noqa: BLE001 - not swallowed: raised by who waits
                bugs[place] = bug

    for worker in [in_background(go_on, "asking") for _ in range(min(workers, count))]:
        worker.result()
    if bugs:
        raise bugs[min(bugs)]
    return [found[place] for place in range(count)]


def execute_batch(
    tool: Tool, batch: Sequence[Question], gate: Gate | None = None
) -> list[str | ToolError]:
    """As `execute`, by `tool.answer_many`: an answer or a refusal for each question."""
    many, longest = tool.answer_many, tool.max_result_characters
    gates = [_places] if gate is None else [gate, _places]
    assert many is not None

    def asked() -> list[str | ToolError]:
        answers = [
            one if isinstance(one, ToolError) else _checked(one)[:longest]
            for one in many(batch)
        ]
        if len(answers) != len(batch):
            raise TypeError(f"{len(answers)} answers to {len(batch)} questions")
        return answers

    def once() -> list[str | ToolError]:
        return _on_a_thread(tool, asked, tool.timeout_seconds * len(batch), gates)

    try:
        return _patiently(tool, once)
    except ToolError as refusal:
        return [own_kind(refusal)(str(refusal)) for _ in batch]
    except Exception as bug:
        bug.add_note(f"while {tool.name} was asked {len(batch)} at once")
        raise


def _patiently(tool: Tool, once: Callable[[], _T]) -> _T:
    """What `once` gives, asked again as often as the tool may be."""
    wait = FIRST_WAIT_SECONDS
    for _ in range(tool.retries):
        try:
            return once()
        except BoundError:
            raise
        except LateError:
            time.sleep(wait)
            wait = min(2 * wait, LONGEST_WAIT_SECONDS)
    return once()


def _on_a_thread(
    tool: Tool, work: Callable[[], _T], seconds: float, gates: Sequence[Gate]
) -> _T:
    """What `work` gives within so many seconds, once there is a place for it.

    Raises:
        LateError: it took longer; the thread goes on, and its places are its own till then.
    """
    entered = list[Gate]()
    try:
        for one in gates:
            one.enter(seconds)
            entered.append(one)
    except LateError:
        for one in entered:
            one.leave()
        raise

    def asked() -> _T:
        _call.ends = time.monotonic() + seconds
        try:
            return _going_on(work)
        finally:
            for one in gates:
                one.leave()

    try:
        return in_background(asked, f"tool {tool.name}").result(seconds)
    except TimeoutError:
        raise LateError(f"no answer within {seconds:g} s") from None


def _going_on(work: Callable[[], _T]) -> _T:
    """What `work` gives; what would end the program without a word of the call is a bug."""
    try:
        return work()
    except Exception:
        raise
    except BaseException as end:
        raise RuntimeError(f"the tool raised {type(end).__name__}({end})") from end


def _checked(result: object) -> str:
    if not isinstance(result, str):
        raise TypeError(f"a tool answers with a string, not {type(result).__name__}")
    return result


def in_background(work: Callable[[], _T], name: str) -> Future[_T]:
    """Run `work` on a daemon thread; a thread pool's own would hold up the program's end."""
    outcome: Future[_T] = Future()

    def run() -> None:
        try:
            outcome.set_result(work())
        except BaseException as error:  # noqa: BLE001 - not swallowed: carried to who waits
            outcome.set_exception(error)

    threading.Thread(target=run, name=name, daemon=True).start()
    return outcome
