"""Whether a model could learn a tool from its examples."""

from dataclasses import replace

import pytest

from graft.toolformer.tools.calculator import calculator_tool
from graft.toolformer.tools.calendar import calendar_tool
from graft.toolformer.tools.check import check_tool
from graft.toolformer.tools.function import function_tool
from graft.toolformer.tools.tool import Tool


@pytest.mark.parametrize("tool", [calculator_tool(), calendar_tool()], ids=lambda t: t.name)
def test_the_tools_that_graft_brings_can_be_learnt_from_their_examples(tool: Tool) -> None:
    checked = check_tool(tool)
    assert checked.learnable, checked.faults
    assert len(checked.tried) == len(tool.prompt.demonstrations)
    assert all(one.error is None for one in checked.tried)


def double(amount: int) -> str:
    return str(2 * amount)


def of(*examples: str) -> Tool:
    return function_tool(double, examples=examples)


def test_what_an_answer_tells_of_the_next_words_is_named() -> None:
    checked = check_tool(
        of("Twice 3 is [double(3)] 6 and [double(amount=6)] 12.", "2 [double(2)] 4")
    )
    assert [(one.call.argument, one.told) for one in checked.tried] == [
        ("3", ("6",)),
        ("amount=6", ("12",)),
        ("2", ("4",)),
    ]
    assert checked.learnable


@pytest.mark.parametrize(
    ("tool", "fault"),
    [
        (of("Twice 3 is [double(3)] 6."), "1 examples; give at least 2"),
        (of(), "0 examples"),
        (of("[double(3)] a b c d e 6", "of it [double(3)] seven"), "no answer holds a word"),
        (
            replace(
                calendar_tool(),
                prompt=of("A [double(3)] 6", "B [double(3)] 6").prompt,
                name="Calendar",
            ),
            "no answer: the calendar takes no argument",
        ),
    ],
)
def test_what_keeps_a_model_from_learning_is_said(tool: Tool, fault: str) -> None:
    checked = check_tool(tool)
    assert not checked.learnable
    assert any(fault in one for one in checked.faults)
