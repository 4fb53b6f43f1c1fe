"""Functions that refuse, wait and answer in ways of their own."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from graft.errors import ToolError
from graft.toolformer.tools.execute import Executor
from graft.toolformer.tools.tool import BoundError, Context, LateError, Question, Tool
from graft.toolformer.tools.tracing import Scope, ask_within

ANYTIME = Context()


class GoneError(ToolError):
    """Built as its owner likes."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(f"{code}: {text}")


class ClosedError(LateError):
    """The same of what may be there another time."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(f"{code}: {text}")


class SpentError(BoundError):
    """The same of a limit."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(f"{code}: {text}")


def refusing(kind: type[ToolError]) -> Tool:
    def answer(_argument: str, _context: Context) -> str:
        raise kind(7, "not here")

    return Tool(name="Refusing", answer=answer)


@pytest.mark.parametrize(
    ("own", "kind"),
    [(GoneError, ToolError), (ClosedError, LateError), (SpentError, BoundError)],
)
def test_a_refusal_of_a_tools_own_class_is_a_refusal_however_it_is_asked(
    own: type[ToolError], kind: type[ToolError]
) -> None:
    def many(_batch: Sequence[Question]) -> list[str | ToolError]:
        raise own(7, "not here")

    tool, questions = refusing(own), [("x", ANYTIME), ("y", ANYTIME)]
    found = list[ToolError]()
    for ask in (
        lambda: Executor().answer(tool, "x", ANYTIME),
        lambda: ask_within(Scope(), Executor(), tool, "x", ANYTIME),
    ):
        with pytest.raises(ToolError) as refusal:
            ask()
        found.append(refusal.value)
    for one in Executor().answer_all(replace(tool, answer_many=many), questions):
        assert isinstance(one, ToolError)
        found.append(one)
    assert {(type(one), str(one)) for one in found} == {(kind, "7: not here")}
