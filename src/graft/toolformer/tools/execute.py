"""Tools with a memory, and a count of what was asked of them."""

import datetime
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

from graft.errors import ToolError
from graft.toolformer.tools.answers import Answers, Entry, Outcome, key_of, outcome_of
from graft.toolformer.tools.asking import (
    Gate,
    execute,
    execute_batch,
    in_background,
    side_by_side,
)
from graft.toolformer.tools.tool import Context, LateError, Question, Tool, own_kind

MAX_REMEMBERED = 100_000

_Asked = tuple[str, str, int, str, datetime.date | None, str]


@dataclass(frozen=True, slots=True)
class Usage:
    """How a tool was used: calls asked, answered from memory, without answer, seconds, cost."""

    calls: int = 0
    memo_hits: int = 0
    errors: int = 0
    seconds: float = 0.0
    cost: float = 0.0

    def to_line(self) -> dict[str, float]:
        """As it stands in logs and reports."""
        return {
            "calls": self.calls,
            "remembered": self.memo_hits,
            "errors": self.errors,
            "seconds": round(self.seconds, 4),
            "cost": self.cost,
        }


def used_since(
    before: Mapping[str, Usage], now: Mapping[str, Usage]
) -> dict[str, dict[str, float]]:
    """What the tools were asked in between, of those that were, as `Usage.to_line` has it."""
    found = dict[str, dict[str, float]]()
    for name, after in sorted(now.items()):
        earlier = before.get(name, Usage())
        if after.calls > earlier.calls:
            found[name] = Usage(
                after.calls - earlier.calls,
                after.memo_hits - earlier.memo_hits,
                after.errors - earlier.errors,
                after.seconds - earlier.seconds,
                after.cost - earlier.cost,
            ).to_line()
    return found


@dataclass(frozen=True, slots=True)
class Asked:
    """What a call came to, and whether it was known before."""

    known: str | ToolError
    remembered: bool


@runtime_checkable
class Asker(Protocol):
    """Who asks tools for a text that is being written."""

    def submit(self, tool: Tool, argument: str, context: Context) -> Future[str]:
        """Ask, without waiting."""
        ...


class Executor:
    """Tools with a memory: the same question to the same tool is asked once.

    Answers and refusals are remembered by tool, version, longest result, argument and
    date; what came too late, or raised a bug, is asked again. May be used by several threads.

    Args:
        answers: a file of answers and its ledger; else memory alone.
    """

    def __init__(self, answers: Answers | None = None) -> None:
        self.answers = answers
        self._lock = threading.Lock()
        self._memory: dict[_Asked, str | ToolError] = {}
        self._usage: dict[str, Usage] = {}
        self._gates: dict[tuple[str, int], Gate] = {}

    @property
    def usage(self) -> dict[str, Usage]:
        """How each tool was used so far, by its name."""
        with self._lock:
            return dict(self._usage)

    def answer(self, tool: Tool, argument: str, context: Context) -> str:
        """As `execute`, from memory where possible."""
        return given(self.ask(tool, argument, context).known)

    def ask(self, tool: Tool, argument: str, context: Context) -> Asked:
        """As `answer`, refusals too, and whether it came from memory."""
        known = self._known(tool, argument, context)
        if known is not None:
            return Asked(known, remembered=True)
        return Asked(self._ask(tool, argument, context), remembered=False)

    def answer_all(
        self, tool: Tool, questions: Sequence[Question], notes: Sequence[str] = ()
    ) -> list[str | ToolError]:
        """As `answer`, for many at once: an answer or a refusal for each.

        Questions that are equal are asked once; the others by `tool.answer_many`, or side by
        side. `notes` are of the questions: a bug is given that of the one it came with.
        """
        found, places = dict[int, str | ToolError](), dict[_Asked, list[int]]()
        for place, question in enumerate(questions):
            key = _key(tool, *question)
            if key not in places and (known := self._known(tool, *question)) is not None:
                found[place] = known
            else:
                places.setdefault(key, []).append(place)
        firsts = [own[0] for own in places.values()]
        ask = self._ask_each if tool.answer_many is None else self._ask_in_batches
        asked = ask(
            tool,
            [questions[place] for place in firsts],
            [notes[place] for place in firsts] if notes else [],
        )
        for own, known in zip(places.values(), asked, strict=True):
            for place in own[1:]:
                self._note(tool, questions[place][0], outcome_of(known), remembered=True)
            found |= dict.fromkeys(own, known)
        return [found[place] for place in range(len(questions))]

    def submit(self, tool: Tool, argument: str, context: Context) -> Future[str]:
        """As `answer`, without waiting: for a decoder whose other rows go on meanwhile."""
        return in_background(
            lambda: self.answer(tool, argument, context), f"asking {tool.name}"
        )

    def _known(self, tool: Tool, argument: str, context: Context) -> str | ToolError | None:
        """What is remembered, which then counts as a call."""
        with self._lock:
            known = self._memory.get(_key(tool, argument, context))
        if known is None and self.answers is not None:
            known = self.answers.find(key_of(tool, argument, context))
        if known is not None:
            self._note(tool, argument, outcome_of(known), remembered=True)
        return known

    def _ask(self, tool: Tool, argument: str, context: Context) -> str | ToolError:
        if self.answers is not None:
            self.answers.require(tool, argument)
        started, ended = time.perf_counter(), "bug"
        try:
            known: str | ToolError = execute(tool, argument, context, self._gate_of(tool))
            ended = outcome_of(known)
        except ToolError as refusal:
            known, ended = refusal, outcome_of(refusal)
        finally:
            self._note(tool, argument, ended, seconds=time.perf_counter() - started)
        self._remember(tool, argument, context, known)
        return known

    def _ask_each(
        self, tool: Tool, questions: Sequence[Question], notes: Sequence[str]
    ) -> list[str | ToolError]:
        """As many at the same time as the tool allows, each remembered as it comes."""

        def ask(place: int) -> str | ToolError:
            try:
                return self._ask(tool, *questions[place])
            except Exception as bug:
                if notes:
                    bug.add_note(notes[place])
                raise

        return side_by_side(ask, len(questions), tool.most_calls)

    def _ask_in_batches(
        self, tool: Tool, questions: Sequence[Question], notes: Sequence[str]
    ) -> list[str | ToolError]:
        """Many at once by `tool.answer_many`, each batch remembered as it comes."""
        found = list[str | ToolError]()
        for start in range(0, len(questions), tool.most_at_once):
            batch = questions[start : start + tool.most_at_once]
            if self.answers is not None:
                self.answers.require(tool, batch[0][0])
            started = time.perf_counter()
            try:
                answers = execute_batch(tool, batch, self._gate_of(tool))
            except Exception as bug:
                self._note(tool, batch[0][0], "bug", seconds=time.perf_counter() - started)
                if notes:
                    bug.add_note(f"{notes[start]}, the first of them")
                raise
            seconds = (time.perf_counter() - started) / len(batch)
            for (argument, context), known in zip(batch, answers, strict=True):
                self._remember(tool, argument, context, known)
                self._note(tool, argument, outcome_of(known), seconds=seconds)
            found += answers
        return found

    def _gate_of(self, tool: Tool) -> Gate:
        with self._lock:
            return self._gates.setdefault((tool.name, tool.most_calls), Gate(tool.most_calls))

    def _remember(
        self, tool: Tool, argument: str, context: Context, known: str | ToolError
    ) -> None:
        if self.answers is not None:
            self.answers.remember(key_of(tool, argument, context), tool, argument, known)
        if isinstance(known, LateError):
            return
        with self._lock:
            if len(self._memory) >= MAX_REMEMBERED:
                del self._memory[next(iter(self._memory))]
            self._memory[_key(tool, argument, context)] = known

    def _note(
        self,
        tool: Tool,
        argument: str,
        outcome: Outcome,
        *,
        remembered: bool = False,
        seconds: float = 0.0,
    ) -> None:
        cost = 0.0 if remembered else tool.cost
        with self._lock:
            before = self._usage.get(tool.name, Usage())
            self._usage[tool.name] = replace(
                before,
                calls=before.calls + 1,
                memo_hits=before.memo_hits + remembered,
                errors=before.errors + (outcome in ("refusal", "late")),
                seconds=before.seconds + seconds,
                cost=before.cost + cost,
            )
        if self.answers is not None:
            self.answers.note(
                Entry(tool.name, tool.version, argument, outcome, remembered, seconds, cost)
            )


def _key(tool: Tool, argument: str, context: Context) -> _Asked:
    return (
        *(tool.name, tool.version, tool.max_result_characters),
        *(argument, context.date, context.text * tool.by_text),
    )


def given(known: str | ToolError) -> str:
    """The answer; a refusal is raised."""
    if isinstance(known, ToolError):
        raise own_kind(known)(str(known)) from known
    return known
