"""Answers that outlive a program, and the ledger of what they cost."""

import datetime
import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from graft.errors import StoreError, ToolError
from graft.toolformer.tools import answers as answers_module
from graft.toolformer.tools.answers import Answers, key_of
from graft.toolformer.tools.execute import Executor
from graft.toolformer.tools.tool import Context, LateError, Tool

ANYTIME = Context()
SOURCES = Path(answers_module.__file__).parents[3]


class Asked:
    """A tool that remembers what it was asked."""

    def __init__(self) -> None:
        self.arguments: list[str] = []
        self.released = threading.Event()

    def __call__(self, argument: str, context: Context) -> str:
        self.arguments.append(argument)
        if argument == "nothing":
            raise ToolError("nothing there")
        if argument == "slow":
            self.released.wait(60)
        if argument == "broken":
            raise KeyError(argument)
        return f"{argument} {context.date} \ud800\x00]"


@pytest.fixture
def asked() -> Iterator[Asked]:
    one = Asked()
    yield one
    one.released.set()


@pytest.fixture
def tool(asked: Asked) -> Tool:
    return Tool(name="Asked", answer=asked, timeout_seconds=1.0, cost=0.25)


def said(executor: Executor, tool: Tool, argument: str, context: Context = ANYTIME) -> str:
    try:
        return executor.answer(tool, argument, context)
    except ToolError as error:
        return f"{type(error).__name__}: {error}"


def test_what_was_asked_is_known_to_the_next_program(
    tmp_path: Path, tool: Tool, asked: Asked
) -> None:
    first = [
        said(Executor(Answers(tmp_path / "a.sqlite")), tool, one) for one in ("x", "nothing")
    ]
    again = [
        said(Executor(Answers(tmp_path / "a.sqlite")), tool, one) for one in ("x", "nothing")
    ]
    assert again == first == ["x None \ud800\x00]", "ToolError: nothing there"]
    assert asked.arguments == ["x", "nothing"]


@pytest.mark.parametrize(
    "other",
    [
        {"name": "Another"},
        {"version": "2"},
        {"max_result_characters": 3},
    ],
)
def test_another_tool_version_or_setting_is_asked_anew(
    tmp_path: Path, tool: Tool, asked: Asked, other: dict[str, object]
) -> None:
    answers = Answers(tmp_path / "a.sqlite")
    said(Executor(answers), tool, "x")
    said(Executor(answers), replace(tool, timeout_seconds=9.0), "x")
    assert asked.arguments == ["x"]
    said(Executor(answers), replace(tool, **other), "x")
    assert asked.arguments == ["x", "x"]


def test_date_and_text_count_where_the_answer_hangs_on_them(tool: Tool) -> None:
    dated = Context(datetime.date(2024, 1, 1))
    told = Context(text="a text")
    assert key_of(tool, "x", ANYTIME) == key_of(tool, "x", told)
    assert key_of(tool, "x", ANYTIME) != key_of(tool, "x", dated)
    by_text = replace(tool, by_text=True)
    assert key_of(by_text, "x", ANYTIME) != key_of(by_text, "x", told)


def test_a_replay_asks_nothing_and_says_what_it_does_not_know(
    tmp_path: Path, tool: Tool, asked: Asked
) -> None:
    path = tmp_path / "a.sqlite"
    recorded = [
        said(Executor(Answers(path, "record")), tool, one) for one in ("x", "nothing", "slow")
    ]
    assert recorded[2] == "LateError: no answer within 1 s"
    gone = replace(tool, answer=lambda *_: pytest.fail("asked in a replay"))
    replayed = [
        said(Executor(Answers(path, "replay")), gone, one) for one in ("x", "nothing", "slow")
    ]
    assert replayed == recorded
    with pytest.raises(StoreError, match=r"a\.sqlite: has no answer of Asked to 'y'"):
        said(Executor(Answers(path, "replay")), gone, "y")
    with pytest.raises(StoreError, match="has no answer of Asked to 'y'"):
        Executor(Answers(path, "replay")).answer_all(gone, [("x", ANYTIME), ("y", ANYTIME)])
    assert asked.arguments == ["x", "nothing", "slow"]


def test_a_recording_asks_again_and_a_memory_forgets_what_came_too_late(
    tmp_path: Path, tool: Tool, asked: Asked
) -> None:
    for _ in range(2):
        said(Executor(Answers(tmp_path / "a.sqlite", "record")), tool, "x")
    for _ in range(2):
        said(Executor(Answers(tmp_path / "b.sqlite")), tool, "slow")
    assert asked.arguments == ["x", "x", "slow", "slow"]


def test_the_ledger_has_every_call_with_time_cost_and_end(tmp_path: Path, tool: Tool) -> None:
    answers = Answers(tmp_path / "a.sqlite")
    executor = Executor(answers)
    for argument in ("x", "x", "nothing", "slow"):
        said(executor, tool, argument)
    with pytest.raises(KeyError):
        said(executor, tool, "broken")
    executor.answer_all(tool, [("x", ANYTIME), ("z", ANYTIME), ("z", ANYTIME)])
    answers.close()
    later = Answers(tmp_path / "a.sqlite")
    assert [(e.argument, e.outcome, e.remembered, e.cost) for e in later.entries()] == [
        ("x", "answer", False, 0.25),
        ("x", "answer", True, 0.0),
        ("nothing", "refusal", False, 0.25),
        ("slow", "late", False, 0.25),
        ("broken", "bug", False, 0.25),
        ("x", "answer", True, 0.0),
        ("z", "answer", False, 0.25),
        ("z", "answer", True, 0.0),
    ]
    [spent] = later.spent()
    assert (spent.calls, spent.remembered, spent.refusals, spent.late, spent.bugs) == (
        *(8, 3, 1, 1),
        1,
    )
    assert spent.cost == 1.25
    assert 1.0 <= spent.slowest <= spent.seconds


PROGRAM = """
import sys
from pathlib import Path
from graft.toolformer.tools.answers import Answers
from graft.toolformer.tools.execute import Executor
from graft.toolformer.tools.tool import Context, Tool
tool = Tool(name="Echo", answer=lambda argument, _: argument.upper())
answers = Answers(Path(sys.argv[1]))
executor = Executor(answers)
for number in range(300):
    assert executor.answer(tool, f"a{number}", Context()) == f"A{number}"
answers.close()
"""


def test_several_processes_write_into_one_file(tmp_path: Path) -> None:
    path = tmp_path / "a.sqlite"
    environment = {**os.environ, "PYTHONPATH": str(SOURCES)}
    processes = [
        subprocess.Popen([sys.executable, "-c", PROGRAM, str(path)], env=environment)
        for _ in range(3)
    ]
    assert [process.wait(120) for process in processes] == [0, 0, 0]
    [spent] = Answers(path).spent()
    assert spent.calls == 900
    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT count(*) FROM answer").fetchone() == (300,)


def test_a_file_that_is_none_is_named_with_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "a.sqlite").write_text("no database, whatever its name may say\n" * 100)
    with pytest.raises(StoreError, match=r"a\.sqlite: is damaged or no file of answers"):
        Answers(tmp_path / "a.sqlite")
    assert (tmp_path / "a.sqlite").read_text().startswith("no database")
    with pytest.raises(StoreError, match="nothing can be read from it"):
        Answers(tmp_path / "b.sqlite", "replay")
    with sqlite3.connect(tmp_path / "c.sqlite") as connection:
        connection.execute("PRAGMA user_version = 99")
    with pytest.raises(StoreError, match="another version of graft"):
        Answers(tmp_path / "c.sqlite")


def test_what_another_program_wrote_is_told_and_nothing_is_written_to_look(
    tmp_path: Path, tool: Tool
) -> None:
    path = tmp_path / "a.sqlite"
    Answers(path).remember(b"key", tool, "x", "known")
    for text in ("'plain'", "x'fffe00'"):
        with sqlite3.connect(path) as connection:
            connection.execute(f"UPDATE answer SET text = {text}")
        with pytest.raises(StoreError, match="is damaged: an answer in it is no text"):
            Answers(path).find(b"key")
    empty = tmp_path / "empty.sqlite"
    empty.touch()
    with pytest.raises(StoreError, match="is damaged or no file of answers"):
        Answers(empty, to_read=True)
    assert empty.stat().st_size == 0
    with pytest.raises(StoreError, match="a folder; name a file"):
        Answers(tmp_path)
    with sqlite3.connect(tmp_path / "other.sqlite") as connection:
        connection.execute("CREATE TABLE answer (wrong)")
        connection.execute("CREATE TABLE call (wrong)")
    with pytest.raises(StoreError, match="is damaged or no file of answers"):
        Answers(tmp_path / "other.sqlite", to_read=True).spent()


def test_a_recording_that_cannot_be_written_is_replayed_and_read(
    tmp_path: Path, tool: Tool, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.sqlite"
    recorded = Answers(path, "record")
    said = Executor(recorded).answer(tool, "47 + 38", ANYTIME)
    recorded.close()
    before = {one.name: one.read_bytes() for one in tmp_path.iterdir()}
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may write everywhere
    replayed = Answers(path, "replay")
    assert Executor(replayed).answer(tool, "47 + 38", ANYTIME) == said
    assert [one.calls for one in Answers(path, to_read=True).spent()] == [1]
    assert {one.name: one.read_bytes() for one in tmp_path.iterdir()} == before


def test_a_full_disk_is_told(tmp_path: Path, tool: Tool) -> None:
    answers = Answers(tmp_path / "a.sqlite")
    answers._connection.execute("PRAGMA max_page_count = 10")  # pyright: ignore
    questions = [(f"{number}" * 50, ANYTIME) for number in range(1000)]
    with pytest.raises(StoreError, match=r"a\.sqlite: cannot be used: database or disk is"):
        Executor(answers).answer_all(tool, questions)


def test_a_late_refusal_is_late_again(tmp_path: Path, tool: Tool) -> None:
    answers = Answers(tmp_path / "a.sqlite", "record")
    answers.remember(b"key", tool, "x", LateError("away"))
    found = Answers(tmp_path / "a.sqlite").find(b"key")
    assert isinstance(found, LateError)
    assert str(found) == "away"


def test_what_was_answered_before_a_bug_is_not_asked_again(
    tmp_path: Path, tool: Tool, asked: Asked
) -> None:
    path, one = tmp_path / "a.sqlite", replace(tool, most_calls=1)
    three = [(question, ANYTIME) for question in ("a", "b", "broken")]
    with pytest.raises(KeyError):
        Executor(Answers(path)).answer_all(one, three)
    assert [e.outcome for e in Answers(path).entries()] == ["answer", "answer", "bug"]
    Executor(Answers(path)).answer_all(one, [("a", ANYTIME), ("b", ANYTIME)])
    assert asked.arguments == ["a", "b", "broken"]

    def many(questions) -> list[str]:
        return [asked(*question) for question in questions]

    batched = replace(one, answer_many=many, most_at_once=2, version="2")
    with pytest.raises(KeyError):
        Executor(Answers(path)).answer_all(
            batched, [(q, ANYTIME) for q in ("a", "b", "broken")]
        )
    Executor(Answers(path)).answer_all(batched, [("a", ANYTIME), ("b", ANYTIME)])
    assert asked.arguments == ["a", "b", "broken"] * 2
    ends = [entry.outcome for entry in Answers(path).entries() if not entry.remembered]
    assert ends == ["answer", "answer", "bug"] * 2


KILLED = """
import os, sys
from pathlib import Path
from graft.toolformer.tools.answers import Answers
from graft.toolformer.tools.execute import Executor
from graft.toolformer.tools.tool import Context, Tool

def answer(argument, _):
    if argument == "9":
        os.kill(os.getpid(), 9)
    return argument

tool = Tool(name="Echo", answer=answer, most_calls=1)
questions = [(str(number), Context()) for number in range(20)]
Executor(Answers(Path(sys.argv[1]))).answer_all(tool, questions)
"""


def test_a_killed_program_loses_no_answer_and_no_line_of_the_ledger(tmp_path: Path) -> None:
    path = tmp_path / "a.sqlite"
    environment = {**os.environ, "PYTHONPATH": str(SOURCES)}
    killed = [sys.executable, "-c", KILLED, str(path)]
    assert subprocess.run(killed, env=environment, check=False, timeout=60).returncode == -9
    answers = Answers(path)
    assert [one.argument for one in answers.entries()] == [str(number) for number in range(9)]
    echo = Tool(name="Echo", answer=lambda *_: pytest.fail("asked again"))
    assert Executor(answers).answer(echo, "8", ANYTIME) == "8"


def test_a_database_of_something_else_is_left_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "mine.sqlite"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE thesis (chapter TEXT)")
    before = path.read_bytes()
    with pytest.raises(StoreError, match=r"something else .its table 'thesis'"):
        Answers(path)
    assert path.read_bytes() == before
