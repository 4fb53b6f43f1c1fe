"""A call and all that it led to: a tree of calls, bounded as a whole, kept to be shown.

A tool that asks other tools, such as a model that is given some, is asked from a `Scope`. What
it asks is counted there and in every scope around it, so that a limit of the outermost call
holds for the whole tree.
"""

import time
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass, replace

from graft.errors import ToolError
from graft.toolformer.tools.asking import in_background
from graft.toolformer.tools.execute import Executor, given
from graft.toolformer.tools.tool import (
    LONGEST_SECONDS,
    BoundError,
    Context,
    LateError,
    Tool,
)

LONGEST_TEXT = 200
"""Characters that a trace keeps of an argument, an answer or an error."""
DEEPEST = 16
"""Functions within functions, whatever a file says."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What one call of a function may take, with everything that it leads to."""

    new_tokens: int = 48  # that its model writes, those of its calls not counted
    seconds: float = 30.0
    calls: int = 16  # of tools, remembered ones too
    depth: int = 4  # functions within functions, itself included
    cost: float | None = None  # in the unit of the tools' own `cost`, its own included

    def __post_init__(self) -> None:
        """Refuse what no call could be made with."""
        if self.new_tokens < 1 or not 0 < self.seconds <= LONGEST_SECONDS:
            raise ValueError(
                "'limits.new_tokens' begins at 1, and 'limits.seconds' is above 0 and at most"
                f" {LONGEST_SECONDS:,.0f}, a day"
            )
        if self.calls < 0 or not 1 <= self.depth <= DEEPEST:
            raise ValueError(
                f"'limits.calls' begins at 0, and 'limits.depth' is from 1 to {DEEPEST}"
            )
        if self.cost is not None and not self.cost >= 0:
            raise ValueError("'limits.cost' begins at 0")


@dataclass(frozen=True, slots=True)
class Trace:
    """A call that was asked, and the calls that its tool made on the way.

    `argument` is as it stands in the call. `cost` is the tool's own, 0 where it was remembered.
    """

    tool: str
    argument: str
    answer: str | None
    error: str | None
    milliseconds: float
    cost: float
    remembered: bool
    calls: tuple["Trace", ...] = ()

    @property
    def told(self) -> str:
        """The call and what it came to, on one line."""
        asked = f"[{self.tool}({self.argument})"
        said = f" -> {self.answer}]" if self.error is None else f"] no answer: {self.error}"
        spent = f"{self.milliseconds:.1f} ms"
        spent += f", cost {self.cost:g}" if self.cost else ""
        spent += ", remembered" if self.remembered else ""
        return f"{asked}{said}  ({spent})"


class Scope:
    """A call under way, from which others are asked; its children are asked one by one.

    Args:
        outer: the call that it is made within; none for the outermost.
    """

    def __init__(self, outer: "Scope | None" = None) -> None:
        self.outer = outer
        self.calls: list[Trace] = []
        self.late: LateError | None = None
        """What kept one of its calls from being answered this time."""
        self._name, self._limits = "", Limits()
        self._bounded, self._began, self._asked, self._cost = False, 0.0, 0, 0.0

    def bound(self, name: str, limits: Limits, cost: float = 0.0) -> None:
        """Hold a function's limits to all that is asked from here on, and begin its time.

        Raises:
            BoundError: it stands too deep, or costs too much itself.
        """
        self._name, self._limits, self._bounded = name, limits, True
        self._began, self._asked, self._cost = time.monotonic(), 0, cost
        self.late = None
        self.calls.clear()
        for depth, scope in enumerate(self._around(), 1):
            if depth > scope._limits.depth:
                raise BoundError(
                    f"{scope._name}: functions more than {scope._limits.depth} deep"
                )
        if limits.cost is not None and cost > limits.cost:
            raise BoundError(f"{name}: would cost more than {limits.cost:g}")

    def require_time(self) -> float:
        """The seconds that are left to this call and every one around it.

        Raises:
            BoundError: none are.
        """
        left = float("inf")
        for scope in self._around():
            rest = scope._began + scope._limits.seconds - time.monotonic()
            if rest <= 0:
                raise BoundError(f"{scope._name}: no answer within {scope._limits.seconds:g} s")
            left = min(left, rest)
        return left

    def charge(self, cost: float) -> None:
        """Count a call, here and in every call around.

        Raises:
            BoundError: it would be one too many, or cost too much.
        """
        for scope in self._around():
            limits = scope._limits
            if scope._asked >= limits.calls:
                raise BoundError(f"{scope._name}: more than {limits.calls} calls")
            if limits.cost is not None and scope._cost + cost > limits.cost:
                raise BoundError(f"{scope._name}: would cost more than {limits.cost:g}")
        for scope in self._around():
            scope._asked += 1
            scope._cost += cost

    def refund(self, cost: float) -> None:
        """Take back the cost of a call that was remembered."""
        for scope in self._around():
            scope._cost -= cost

    def _around(self) -> "Iterator[Scope]":
        """This call and those around it that are functions, innermost first."""
        scope: Scope | None = self
        while scope is not None:
            if scope._bounded:
                yield scope
            scope = scope.outer


class Branch:
    """Asks tools within a call, with the memory and the ledger of an executor."""

    def __init__(self, executor: Executor, scope: Scope) -> None:
        self.executor, self.scope = executor, scope

    def submit(self, tool: Tool, argument: str, context: Context) -> Future[str]:
        """As `ask_within`, without waiting."""
        return in_background(
            lambda: ask_within(self.scope, self.executor, tool, argument, context),
            f"asking {tool.name}",
        )


def scope_of(context: Context) -> Scope:
    """The call that a tool is asked by; a new one where nobody keeps a trace."""
    return context.within if isinstance(context.within, Scope) else Scope()


def ask_within(
    scope: Scope, executor: Executor, tool: Tool, argument: str, context: Context
) -> str:
    """As `Executor.answer`, within a call: counted, held to what is left, and traced there.

    Raises:
        ToolError: the tool has no answer; a `BoundError` if a limit of a call around it is met.
    """
    below, began, remembered = Scope(scope), time.perf_counter(), False
    try:
        left = scope.require_time()
        scope.charge(tool.cost)
        timely = replace(tool, timeout_seconds=min(tool.timeout_seconds, left))
        asked = executor.ask(timely, argument, replace(context, within=below))
        known, remembered = asked.known, asked.remembered
        if isinstance(known, LateError):
            scope.require_time()
    except BoundError as refusal:
        known = refusal
    if remembered:
        scope.refund(tool.cost)
    if isinstance(known, LateError):
        kind = BoundError if isinstance(known, BoundError) else LateError
        scope.late = kind(f"{tool.name}: {known}"[:LONGEST_TEXT])
    spent = 1000 * (time.perf_counter() - began)
    scope.calls.append(_traced(tool, argument, known, spent, remembered, below))
    return given(known)


def _traced(
    tool: Tool,
    argument: str,
    known: str | ToolError,
    milliseconds: float,
    remembered: bool,  # noqa: FBT001 - private
    below: Scope,
) -> Trace:
    refused = isinstance(known, ToolError)
    return Trace(
        tool=tool.name,
        argument=f'"{shown(argument)}"' if tool.quoted else shown(argument),
        answer=None if refused else shown(known),
        error=shown(str(known)) if refused else None,
        milliseconds=milliseconds,
        cost=0.0 if remembered or isinstance(known, BoundError) else tool.cost,
        remembered=remembered,
        calls=tuple(below.calls),
    )


def shown(text: str) -> str:
    """A text on one line of bounded length, without what would move a terminal's cursor."""
    text = printable(" ".join(text[: 2 * LONGEST_TEXT].split()))
    return text if len(text) <= LONGEST_TEXT else f"{text[: LONGEST_TEXT - 1]}…"


def printable(text: str) -> str:
    """A text without what would move a terminal's cursor or change its colours."""
    return "".join(one if one.isprintable() else "\ufffd" for one in text)


def lines_of(trace: Trace) -> Iterator[str]:
    """The tree, a line for each call."""
    yield trace.told
    for place, inner in enumerate(trace.calls, 1):
        last = place == len(trace.calls)
        first, *rest = lines_of(inner)
        yield f"{'└─' if last else '├─'} {first}"
        yield from (f"{'   ' if last else '│  '}{line}" for line in rest)
