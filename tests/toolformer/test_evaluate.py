import datetime
import json
from collections.abc import Iterable, Iterator, Mapping

import pytest

from graft.models.language import LanguageModel
from graft.toolformer import evaluate as module
from graft.toolformer.call import Call
from graft.toolformer.compare import answers
from graft.toolformer.dataset import Text
from graft.toolformer.evaluate import (
    Judged,
    Measured,
    TaskResult,
    build_report,
    evaluate,
    evaluate_task,
    measure_perplexity,
    shares_of_tools,
)
from graft.toolformer.run import Generation
from graft.toolformer.tasks.task import Question, Task
from graft.toolformer.tools.calculator import calculator_tool
from graft.toolformer.tools.tool import Tool
from graft.toolformer.writing import RunConfig, TracedCall

JANUARY_30 = datetime.date(2023, 1, 30)
TOOLS = {"Calculator": calculator_tool()}
SUMS = Task(
    "sums",
    (
        Question("a", "27 * 3 is", ("81",), "first_number"),
        Question("b", "2 + 2 is", ("4",), "first_number"),
        Question("c", "5 + 5 is", ("10",), "first_number"),
        Question("d", "1 + 1 is", ("2",), "first_number"),
    ),
)
PLAIN = Task("plain", (Question("p", "It rained.", (), "no_call", JANUARY_30),))


class Writer(LanguageModel):
    """A model whose tokens are bytes; what it writes is decided in `continue_prompts`."""

    name, context, tokens_processed, end = "writer", 512, 0, 0

    def encode(self, text: str) -> list[int]:
        return list(text.encode())

    def encode_after(self, text: str) -> list[int]:
        return list(text.encode())


SAID = {"a": " 81", "b": " 4", "c": " 10"}
"""What is written where there are tools; all else is answered by 99."""


def continue_prompts(
    prompts: Iterable[Text], _model: object, tools: Mapping[str, Tool], *_rest: object
) -> Iterator[Generation]:
    """With tools: a call before the first two texts, and three right. Without: one right."""
    call = TracedCall(Call("Calculator", "3 + 4", "7"), 0.1, None, 0)
    for index, prompt in enumerate(prompts):
        calls = (call,) if tools and index < 2 and prompt.id != "p" else ()
        plain = SAID.get(prompt.id, " 99") if tools or prompt.id == "a" else " 99"
        written = " [Calculator(3 + 4) -> 7]" * len(calls) + plain
        yield Generation(prompt.id, prompt.text, written, plain, calls, 0)


@pytest.fixture(autouse=True)
def scripted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "run", continue_prompts)


def test_accuracy_and_the_share_of_inputs_with_a_call_are_counted() -> None:
    result = evaluate_task(SUMS, Writer(), TOOLS, RunConfig())
    assert (result.accuracy, result.n, result.call_rate) == (0.75, 4, 0.5)
    assert result.low < 0.75 < result.high <= 1.0


def test_what_stands_in_a_call_is_not_judged() -> None:
    """The calls say 7, the text says 99: neither question is right by what a tool said."""
    sevens = Task("sevens", (Question("x", "3 + 4 is", ("7",), "first_number"),))
    assert evaluate_task(sevens, Writer(), TOOLS, RunConfig()).accuracy == 0.0


def test_a_text_that_needs_no_call_is_right_without_one() -> None:
    assert evaluate_task(PLAIN, Writer(), TOOLS, RunConfig()) == TaskResult(
        1.0, 1.0, 1.0, 1, 0.0
    )
    loud = Task("plain", (Question("q", "It rained.", (), "no_call"),))
    assert evaluate_task(loud, Writer(), TOOLS, RunConfig()) == TaskResult(
        0.0, 0.0, 0.0, 1, 1.0
    )


def test_the_day_of_a_question_reaches_the_tools(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Text] = []

    def noting(prompts: Iterable[Text], *args: object) -> Iterator[Generation]:
        listed = list(prompts)
        seen.extend(listed)
        return continue_prompts(listed, *args)

    monkeypatch.setattr(module, "run", noting)
    evaluate_task(PLAIN, Writer(), TOOLS, RunConfig())
    assert seen == [Text("p", "It rained.", JANUARY_30)]


def test_the_interval_is_that_of_the_seed() -> None:
    one, same, other = (
        evaluate_task(SUMS, Writer(), TOOLS, RunConfig(), seed=seed) for seed in (1, 1, 2)
    )
    assert one == same
    assert one.accuracy == other.accuracy


def test_every_system_is_measured_on_every_task_and_reported_as_agreed() -> None:
    systems = {"disabled": (Writer(), {}), "toolformer": (Writer(), TOOLS)}
    measured = list(evaluate(systems, [SUMS, PLAIN], RunConfig()))
    assert [(one.task, one.system, one.result.accuracy) for one in measured] == [
        ("sums", "disabled", 0.25),
        ("sums", "toolformer", 0.75),
        ("plain", "disabled", 1.0),
        ("plain", "toolformer", 1.0),
    ]
    report = build_report(measured, {"base": 3.5})
    assert json.loads(json.dumps(report)) == report
    assert report["perplexity"] == {"base": 3.5}
    result = report["tasks"]["sums"]["toolformer"]  # type: ignore[index]
    assert list(result) == ["accuracy", "low", "high", "n", "call_rate"]
    assert result["call_rate"] == 0.5
    assert report["called"] == {"sums": {"toolformer": {"Calculator": 0.5}}}


def test_each_tool_counts_once_in_a_question() -> None:
    judged = [Judged(True, ("Search", "Calculator")), Judged(False, ("Search",)), Judged(True)]
    assert shares_of_tools([*judged, Judged(True)]) == {"Calculator": 0.25, "Search": 0.5}
    assert shares_of_tools([Judged(True)]) == {}


def test_a_tool_that_is_called_twice_in_a_text_is_told_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    call = TracedCall(Call("Calculator", "3 + 4", "7"), 0.1, None, 0)

    def twice(prompts: Iterable[Text], *_: object) -> Iterator[Generation]:
        for one in prompts:
            yield Generation(one.id, one.text, " 7", " 7", (call, call), 0)

    monkeypatch.setattr(module, "run", twice)
    judged = module.judge(SUMS, Writer(), TOOLS, RunConfig())
    assert {one.tools for one in judged} == {("Calculator",)}


def test_toolformer_is_put_over_the_others_question_by_question() -> None:
    """Three right against one, which is right in both: half of the questions better."""
    systems = {"disabled": (Writer(), {}), "toolformer": (Writer(), TOOLS)}
    report = build_report(list(evaluate(systems, [SUMS], RunConfig())), {})
    over = report["over"]["sums"]  # type: ignore[index]
    assert list(over) == ["disabled"]
    assert (over["disabled"]["mean"], over["disabled"]["n"]) == (0.5, 4)
    assert 0.0 <= over["disabled"]["low"] < 0.5 < over["disabled"]["high"] <= 1.0


def test_what_each_system_wrote_is_there_to_read() -> None:
    systems = {"disabled": (Writer(), {}), "toolformer": (Writer(), TOOLS)}
    said = {one.system: one.judged for one in evaluate(systems, [SUMS], RunConfig())}
    lines = [json.loads(line) for line in answers(SUMS, said).splitlines()]
    assert [line["id"] for line in lines] == ["a", "b", "c", "d"]
    assert lines[1] == {
        "id": "b",
        "prompt": "2 + 2 is",
        "answers": ["4"],
        "right": {"disabled": False, "toolformer": True},
        "wrote": {"disabled": " 99", "toolformer": " [Calculator(3 + 4) -> 7] 4"},
    }


def test_the_report_of_one_result_is_what_the_readme_shows() -> None:
    result = TaskResult(0.5, 0.4, 0.6, 10, 0.0)
    report = build_report([Measured("sums", "base", result)], {})
    assert report == {
        "tasks": {
            "sums": {
                "base": {"accuracy": 0.5, "low": 0.4, "high": 0.6, "n": 10, "call_rate": 0.0}
            }
        },
        "perplexity": {},
    }


def test_perplexity_rules_out_the_marker_where_calls_are_disabled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[object] = []

    def noting(_model: LanguageModel, texts: list[list[int]], *, disabled: object) -> float:
        asked.append((texts, disabled))
        return 2.0

    monkeypatch.setattr(module, "perplexity", noting)
    texts = [Text("a", "ab")]
    assert measure_perplexity(Writer(), texts) == 2.0
    assert measure_perplexity(Writer(), texts, disabled=True) == 2.0
    assert asked == [([[97, 98]], ()), ([[97, 98]], [32, 91])]
