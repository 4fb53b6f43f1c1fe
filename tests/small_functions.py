"""Functions that are models, one within the other, small enough to be taught in a test."""

import contextlib
from pathlib import Path

from graft.errors import ToolError
from graft.toolformer.call import Call
from graft.toolformer.functions import open_tools
from graft.toolformer.tools.execute import Executor
from graft.toolformer.tools.tool import Context, Tool
from graft.toolformer.tools.tracing import Scope, Trace, ask_within
from small_lessons import Lesson, taught_model

LESSONS: list[Lesson] = [
    ("Add 47 and 38:", Call("Calculator", "47 + 38", "85"), " 85."),
    ("How many are 47 and 38?", Call("Sum", "47 and 38", "85", quoted=True), " 85."),
    ("Mara counts.", Call("Count", "47 and 38", "85", quoted=True), " 85."),
    ("Say it.", Call("Slow", "now", "yes", quoted=True), " yes."),
]
SUM = """
name = "Sum"
description = "Adds what is written."
prompt = "Add {text}:"
model = "small"
tools = ["calculator"]
stop = ["."]
examples = ['Of 47 and 38, [Sum("47 and 38")] 85 is the sum.']
"""
COUNT = """
name = "Count"
description = "Counts."
prompt = "How many are {text}?"
model = "small"
tools = ["model:sum.toml"]
stop = ["."]
"""
OUTER = """
name = "Outer"
description = "Asks."
prompt = "Mara counts.{text}"
model = "small"
tools = ["model:count.toml"]
stop = ["."]
"""
FILES = {"sum": SUM, "count": COUNT, "outer": OUTER}
ARGUMENT = "47 and 38"


def write_functions(folder: Path) -> None:
    """A taught model's folder, and three functions of it, one within the other."""
    model = taught_model(LESSONS)
    model.model.save_pretrained(folder / "small")
    model.tokenizer.save_pretrained(folder / "small")
    for name, text in FILES.items():
        (folder / f"{name}.toml").write_text(text)


def opened(path: Path, executor: Executor | None = None) -> Tool:
    [tool] = open_tools([f"model:{path}"], executor=executor).values()
    return tool


def traced(tool: Tool, argument: str = ARGUMENT, executor: Executor | None = None) -> Trace:
    scope = Scope()
    with contextlib.suppress(ToolError):
        ask_within(scope, executor or Executor(), tool, argument, Context())
    [found] = scope.calls
    return found
