"""Could a model learn a tool from its examples?

A call is kept if its result lowers the loss of the five tokens that follow (Schick et al. 2023,
Section 2). So each call of an example should be answered, and answers should tell what follows
them: word for word is easiest to learn; what has to be worked out of an answer is harder.
"""

import re
import time
from dataclasses import dataclass

from graft.errors import ToolError
from graft.toolformer.call import Call, calls_in, render
from graft.toolformer.call import strip as without_calls
from graft.toolformer.tools.asking import execute
from graft.toolformer.tools.tool import Context, Demonstration, Tool

LEAST_EXAMPLES = 2
WORDS_AFTER = 5
"""So many words after a call should be told by its answer, in part."""

_WORD = re.compile(r"\w+(?:[.,]\w+)*")
_SAYS_LITTLE = frozenset("a an and are as at by for in is it of on or that the to was".split())


@dataclass(frozen=True, slots=True)
class Tried:
    """A call of an example: what it was answered, or why not; what of it follows."""

    call: Call
    error: str | None
    told: tuple[str, ...]
    seconds: float


@dataclass(frozen=True, slots=True)
class Checked:
    """A tool's examples, tried; and what keeps a model from learning from them."""

    tool: str
    tried: tuple[Tried, ...]
    faults: tuple[str, ...]

    @property
    def learnable(self) -> bool:
        """Whether a model could learn the tool from its examples."""
        return not self.faults


def check_tool(tool: Tool) -> Checked:
    """Ask the tool every call of its examples, and see what the answers tell."""
    tried = tuple(one for shown in tool.prompt.demonstrations for one in _tried(tool, shown))
    return Checked(tool.name, tried, tuple(_faults(tool, tried)))


def _tried(tool: Tool, shown: Demonstration) -> list[Tried]:
    found, context = list[Tried](), Context(shown.date, shown.text)
    for call, rest in calls_in(shown.output):
        started = time.perf_counter()
        try:
            answered, error = call.answered(execute(tool, call.argument, context)), None
        except ToolError as refusal:
            answered, error = call, str(refusal)
        told = _told(answered.result or "", without_calls(rest))
        found.append(Tried(answered, error, told, time.perf_counter() - started))
    return found


def _told(result: str, follows: str) -> tuple[str, ...]:
    """The telling words right after a call that stand in its answer too."""
    answer = {word.lower() for word in _WORD.findall(result)}
    after = [word.lower() for word in _WORD.findall(follows)[:WORDS_AFTER]]
    return tuple(word for word in after if word in answer and word not in _SAYS_LITTLE)


def _faults(tool: Tool, tried: tuple[Tried, ...]) -> list[str]:
    faults = list[str]()
    if len(tool.prompt.demonstrations) < LEAST_EXAMPLES:
        faults.append(
            f"{len(tool.prompt.demonstrations)} examples; give at least {LEAST_EXAMPLES}, texts"
            " with calls written in"
        )
    faults += [f"{render(one.call)}: no answer: {one.error}" for one in tried if one.error]
    answered = [one for one in tried if one.error is None]
    if answered and not any(one.told for one in answered):
        faults.append(
            f"no answer holds a word of the {WORDS_AFTER} that follow its call; put calls right"
            " in front of what they tell"
        )
    return faults
