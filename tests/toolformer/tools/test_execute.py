import datetime
import os
import subprocess
import sys
import threading
import time
from asyncio import CancelledError
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path

import pytest

from graft.errors import ToolError
from graft.toolformer.tools import asking
from graft.toolformer.tools import execute as execute_module
from graft.toolformer.tools.asking import execute
from graft.toolformer.tools.calculator import calculator_tool
from graft.toolformer.tools.execute import Executor, used_since
from graft.toolformer.tools.tool import Context, LateError, Tool

ANYTIME = Context()


class Counting:
    """A tool that says how often it was asked."""

    def __init__(self) -> None:
        self.asked = 0

    def __call__(self, argument: str, context: Context) -> str:
        self.asked += 1
        if argument == "nothing":
            raise ToolError("nothing there")
        return f"{argument} {context.date} {self.asked}"


def echo(argument: str, _context: Context) -> str:
    return argument


def wrong(argument: str, _context: Context) -> str:
    return [argument][1]


def hanging(seconds: float = 60.0) -> Tool:
    released = threading.Event()

    def answer(_argument: str, _context: Context) -> str:
        released.wait(seconds)
        return "late"

    return Tool(name="Slow", answer=answer, timeout_seconds=0.05)


def test_a_tool_is_asked_with_its_argument_and_context() -> None:
    today = Context(datetime.date(2023, 1, 30))
    tool = Tool(name="Echo", answer=lambda argument, context: f"{argument} {context.date}")
    assert execute(tool, "x", today) == "x 2023-01-30"


def test_a_long_result_is_cut() -> None:
    tool = Tool(name="Echo", answer=echo, max_result_characters=5)
    assert execute(tool, "123456789", ANYTIME) == "12345"


def test_no_answer_passes_through_as_the_tool_gave_it() -> None:
    with pytest.raises(ToolError, match="nothing there") as refusal:
        execute(Tool(name="Counting", answer=Counting()), "nothing", ANYTIME)
    assert not hasattr(refusal.value, "__notes__")


def test_any_other_exception_names_the_tool_and_its_argument() -> None:
    with pytest.raises(IndexError) as bug:
        execute(Tool(name="Wrong", answer=wrong), "the argument", ANYTIME)
    assert bug.value.__notes__ == ["while Wrong was asked 'the argument'"]


@pytest.mark.parametrize("end", [SystemExit(3), KeyboardInterrupt(), CancelledError()])
def test_a_tool_that_would_end_the_program_is_a_bug_with_its_name(end: BaseException) -> None:
    def leave(_argument: str, _context: Context) -> str:
        raise end

    with pytest.raises(RuntimeError, match=f"the tool raised {type(end).__name__}") as bug:
        execute(Tool(name="Leaving", answer=leave), "x", ANYTIME)
    assert bug.value.__notes__ == ["while Leaving was asked 'x'"]


def test_a_result_that_is_no_string_is_a_bug() -> None:
    tool = Tool(name="Number", answer=lambda _argument, _context: 42)  # pyright: ignore
    with pytest.raises(TypeError, match="not int") as bug:
        execute(tool, "6 * 7", ANYTIME)
    assert "Number" in bug.value.__notes__[0]


def test_a_tool_that_takes_too_long_has_no_answer() -> None:
    started = time.monotonic()
    with pytest.raises(ToolError, match=r"no answer within 0\.05 s"):
        execute(hanging(), "", ANYTIME)
    assert time.monotonic() - started < 5


def test_a_time_out_inside_the_tool_is_no_answer_either() -> None:
    def answer(_argument: str, _context: Context) -> str:
        raise TimeoutError("the network")

    with pytest.raises(ToolError, match="no answer within 5 s"):
        execute(Tool(name="Far", answer=answer), "", ANYTIME)


def test_a_tool_that_always_hangs_does_not_fill_the_machine_with_threads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(asking, "_places", asking.Gate(3))
    before = threading.active_count()
    for _ in range(10):
        with pytest.raises(LateError):
            execute(hanging(seconds=0.5), "", ANYTIME)
    assert threading.active_count() <= before + 3


def test_a_hanging_tool_does_not_hold_up_the_end_of_the_program() -> None:
    program = """
import time
from graft.toolformer.tools.execute import Executor
from graft.toolformer.tools.tool import Context, Tool
tool = Tool(name="Slow", answer=lambda *_: time.sleep(600) or "", timeout_seconds=0.05)
executor = Executor()
executor.submit(tool, "", Context())
try:
    executor.answer(tool, "", Context())
except Exception as error:
    print(error)
"""
    sources = Path(execute_module.__file__).parents[3]
    ended = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": str(sources)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert (ended.stdout, ended.stderr) == ("no answer within 0.05 s\n", "")


def test_the_same_question_is_asked_once() -> None:
    counting, executor = Counting(), Executor()
    tool = Tool(name="Counting", answer=counting)
    answers = [executor.answer(tool, "x", ANYTIME) for _ in range(3)]
    assert answers == ["x None 1"] * 3
    usage = executor.usage["Counting"]
    assert (usage.calls, usage.memo_hits, usage.errors) == (3, 2, 0)
    assert usage.seconds > 0


def test_another_date_version_tool_or_argument_is_another_question() -> None:
    counting, executor = Counting(), Executor()
    tool = Tool(name="Counting", answer=counting)
    executor.answer(tool, "x", ANYTIME)
    executor.answer(tool, "y", ANYTIME)
    executor.answer(tool, "x", Context(datetime.date(2023, 1, 30)))
    executor.answer(Tool(name="Counting", answer=counting, version="2"), "x", ANYTIME)
    executor.answer(Tool(name="Other", answer=counting), "x", ANYTIME)
    assert counting.asked == 5
    assert executor.answer(replace(tool, max_result_characters=3), "z", ANYTIME) == "z N"
    assert executor.answer(tool, "z", ANYTIME) == "z None 7"


def test_a_refusal_is_remembered_and_counted_as_an_error() -> None:
    counting, executor = Counting(), Executor()
    tool = Tool(name="Counting", answer=counting)
    for _ in range(2):
        with pytest.raises(ToolError, match="nothing there"):
            executor.answer(tool, "nothing", ANYTIME)
    assert counting.asked == 1
    assert executor.usage["Counting"].errors == 2


def test_what_came_too_late_is_asked_again() -> None:
    first = threading.Event()

    def answer(_argument: str, _context: Context) -> str:
        if not first.is_set():
            first.set()
            time.sleep(0.5)
        return "there"

    executor = Executor()
    tool = Tool(name="Slow", answer=answer, timeout_seconds=0.2)
    with pytest.raises(ToolError, match="no answer"):
        executor.answer(tool, "", ANYTIME)
    patient = replace(tool, timeout_seconds=30)
    assert executor.answer(patient, "", ANYTIME) == "there"


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(execute_module, "MAX_REMEMBERED", 2)
    counting, executor = Counting(), Executor()
    tool = Tool(name="Counting", answer=counting)
    for argument in "abca":
        executor.answer(tool, argument, ANYTIME)
    assert counting.asked == 4
    executor.answer(tool, "c", ANYTIME)
    assert counting.asked == 4


def test_a_submitted_call_does_not_wait_and_brings_its_answer_or_its_error() -> None:
    executor, gate = Executor(), threading.Event()

    def answer(argument: str, _context: Context) -> str:
        gate.wait(5)
        if argument == "wrong":
            raise KeyError(argument)
        return argument.upper()

    tool = Tool(name="Gated", answer=answer)
    futures: list[Future[str]] = [
        executor.submit(tool, argument, ANYTIME) for argument in ("a", "b", "wrong")
    ]
    assert not any(future.done() for future in futures)
    gate.set()
    assert [future.result(5) for future in futures[:2]] == ["A", "B"]
    assert isinstance(futures[2].exception(5), KeyError)


def test_many_threads_may_ask_at_once() -> None:
    executor = Executor()
    tool = Tool(name="Echo", answer=echo)
    futures = [executor.submit(tool, str(number % 7), ANYTIME) for number in range(200)]
    assert [future.result(60) for future in futures] == [str(n % 7) for n in range(200)]
    assert executor.usage["Echo"].calls == 200


def many_asked(tool: Tool, arguments: list[str], notes: list[str] | None = None) -> list[str]:
    found = Executor().answer_all(tool, [(one, ANYTIME) for one in arguments], notes or [])
    return [str(one) if isinstance(one, str) else f"! {one}" for one in found]


def upper_or_not(argument: str, _context: Context) -> str:
    if argument == "no":
        raise ToolError("not that")
    if argument == "bug":
        raise KeyError(argument)
    return argument.upper()


def test_many_questions_are_answered_in_their_order_and_equal_ones_asked_once() -> None:
    batches = list[list[str]]()

    def answer_many(questions) -> list[str | ToolError]:
        batches.append([argument for argument, _ in questions])
        return [ToolError("not that") if one == "no" else one.upper() for one, _ in questions]

    one_by_one = Tool(name="Upper", answer=upper_or_not)
    batched = replace(one_by_one, answer_many=answer_many, most_at_once=3)
    arguments = ["a", "b", "a", "no", "c", "no", "d"]
    expected = ["A", "B", "A", "! not that", "C", "! not that", "D"]
    assert many_asked(one_by_one, arguments) == many_asked(batched, arguments) == expected
    assert batches == [["a", "b", "no"], ["c", "d"]]
    assert many_asked(batched, []) == []
    assert many_asked(replace(batched, max_result_characters=2), ["abc", "d"]) == ["AB", "D"]


def test_a_bug_among_many_is_told_with_its_note() -> None:
    tool = Tool(name="Upper", answer=upper_or_not)
    with pytest.raises(KeyError) as bug:
        many_asked(tool, ["a", "bug", "b"], ["in text 1", "in text 2", "in text 3"])
    assert bug.value.__notes__ == ["while Upper was asked 'bug'", "in text 2"]

    def answer_many(questions) -> list[str]:
        return [upper_or_not(*one) for one in questions]

    batched = replace(tool, answer_many=answer_many, most_at_once=2)
    with pytest.raises(KeyError) as bug:
        many_asked(batched, ["a", "b", "c", "bug"], ["1", "2", "3", "4"])
    assert bug.value.__notes__ == ["while Upper was asked 2 at once", "3, the first of them"]
    few = replace(tool, answer_many=lambda _: ["A"])
    with pytest.raises(TypeError, match="1 answers to 2 questions"):
        many_asked(few, ["a", "b"])


def test_no_more_calls_run_at_once_than_the_tool_allows() -> None:
    running, most, lock = 0, 0, threading.Lock()

    def answer(argument: str, _context: Context) -> str:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        time.sleep(0.01)
        with lock:
            running -= 1
        return argument

    tool = Tool(name="Busy", answer=answer, most_calls=3, timeout_seconds=30)
    arguments = [str(number) for number in range(60)]
    assert many_asked(tool, arguments) == arguments
    assert most == 3
    executor = Executor()
    futures = [executor.submit(tool, one, ANYTIME) for one in arguments]
    assert [future.result(60) for future in futures] == arguments  # who waits is not late
    assert most == 3


def test_who_waits_for_others_that_come_back_is_not_late() -> None:
    def answer(argument: str, _context: Context) -> str:
        time.sleep(0.1)
        return argument

    tool = Tool(name="Busy", answer=answer, most_calls=1, timeout_seconds=2)
    executor, arguments = Executor(), [str(number) for number in range(24)]
    futures = [executor.submit(tool, one, ANYTIME) for one in arguments]
    assert [future.result(60) for future in futures] == arguments  # the last after 2.4 s


def test_what_came_too_late_is_asked_again_as_often_as_allowed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    waits = list[float]()
    monkeypatch.setattr(asking.time, "sleep", waits.append)
    asked = 0

    def answer(argument: str, _context: Context) -> str:
        nonlocal asked
        asked += 1
        if asked < 4:
            raise LateError("the service is away")
        return argument

    tool = Tool(name="Away", answer=answer, retries=2)
    with pytest.raises(LateError, match="away"):
        execute(tool, "x", ANYTIME)
    assert (asked, waits) == (3, [0.2, 0.4])
    assert execute(tool, "x", ANYTIME) == "x"


def test_when_many_do_not_come_back_in_time_each_is_late() -> None:
    def answer_many(questions) -> list[str]:
        time.sleep(5)
        return ["late" for _ in questions]

    tool = Tool(name="Slow", answer=echo, answer_many=answer_many, timeout_seconds=0.02)
    assert many_asked(tool, ["a", "b"]) == ["! no answer within 0.04 s"] * 2


def test_what_was_asked_in_between_is_told_of_the_tools_that_were_asked() -> None:
    executor = Executor()
    executor.answer(calculator_tool(), "1 + 1", ANYTIME)
    before = executor.usage
    assert used_since(before, executor.usage) == {}
    priced = replace(calculator_tool(), name="Priced", cost=0.5)
    answers = executor.answer_all(priced, [(one, ANYTIME) for one in ("1 + 1", "1 + 1", "x")])
    assert [str(one) for one in answers[:2]] == ["2", "2"]
    found = used_since(before, executor.usage)
    assert list(found) == ["Priced"]
    assert found["Priced"].pop("seconds") > 0
    assert found["Priced"] == {"calls": 3, "remembered": 1, "errors": 1, "cost": 1.0}
