"""Functions of strangers as tools: what a call says is checked, and nothing is evaluated."""

import asyncio
import dataclasses
import datetime
import functools
import json
from typing import Literal, Optional

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graft.errors import ConfigError, ToolError
from graft.toolformer.call import Call, parse, render_arguments
from graft.toolformer.tools.asking import execute
from graft.toolformer.tools.described import ToolConfig
from graft.toolformer.tools.function import function_tool, tool
from graft.toolformer.tools.prompt import render_prompt
from graft.toolformer.tools.tool import Context, Tool

ANYTIME = Context()
TO_MILES = {"km": 1 / 1.609344, "m": 1 / 1609.344}


@tool(
    examples=[
        'The race is [miles(amount=10.0, unit="km")] 6.2 miles long.',
        'From 400 m, that is [miles(400, "m")] 0.2 miles, to 5 km.',
    ],
    pattern=r"(?P<amount>[0-9.]+) (?P<unit>km|m), or(?= )",
    timeout_seconds=2.0,
)
def miles(amount: float, unit: Literal["km", "m"] = "km") -> str:
    """Converts a length
    to miles.

    Nobody reads this.
    """
    if amount < 0:
        raise ToolError("no length is below 0")
    return f"{amount * TO_MILES[unit]:.1f} miles"


def answer(one: Tool, argument: str, context: Context = ANYTIME) -> str:
    return execute(one, argument, context)


def test_the_description_is_the_prompt() -> None:
    assert render_prompt(miles.prompt).startswith(
        "Your task is to add calls of the tool miles to a text. Converts a length to miles. A "
        'call helps to write what follows. Write a call as "[miles(amount, unit)]".\n'
    )
    [first, second] = miles.prompt.demonstrations
    assert first.text == "The race is 6.2 miles long."
    assert first.output == 'The race is [miles(amount=10.0, unit="km")] 6.2 miles long.'
    assert second.text == "From 400 m, that is 0.2 miles, to 5 km."
    assert (miles.name, miles.quoted, miles.timeout_seconds) == ("miles", False, 2.0)


@pytest.mark.parametrize(
    ("argument", "expected"),
    [
        ('amount=10.0, unit="km"', "6.2 miles"),
        ("10", "6.2 miles"),
        ("400, m", "0.2 miles"),
        ('unit="m", amount="400"', "0.2 miles"),
        ("amount=-1", "ToolError: no length is below 0"),
        ("amount=ten", "ToolError: amount: Input should be a valid number"),
        ("10, mile", "ToolError: unit: Input should be 'km' or 'm'"),
        ("", "ToolError: amount: Field required"),
        ("10, km, 3", "ToolError: 3 values, and there are 2 arguments"),
        ("10, into=m", "ToolError: no argument 'into'; there are: amount, unit"),
        ("__import__('os').system('true')", "ToolError: no comma before"),
    ],
)
def test_a_call_is_answered_or_its_fault_is_told(argument: str, expected: str) -> None:
    try:
        found = answer(miles, argument)
    except ToolError as error:
        found = f"ToolError: {error}"
    assert found.startswith(expected)


def test_the_pattern_proposes_calls_that_the_tool_can_answer() -> None:
    text = "It is 12 km, or 7.5 miles, then 300 m, or so; . km, or what; 5 km, or"
    proposed = miles.rules(text, ANYTIME)
    assert [text[:at] for at, _ in proposed] == ["It is 12 km, or", text.partition(" so")[0]]
    assert [call for _, call in proposed] == [
        Call("miles", render_arguments({"amount": 12, "unit": "km"})),
        Call("miles", render_arguments({"amount": 300, "unit": "m"})),
    ]
    assert [answer(miles, call.argument) for _, call in proposed] == ["7.5 miles", "0.2 miles"]


def test_a_call_is_proposed_in_front_of_a_word_only() -> None:
    def double(amount: int) -> int:
        return 2 * amount

    one = function_tool(double, pattern="twice (?P<amount>[0-9]+)")
    assert [at for at, _ in one.rules("twice 3 is, twice 4, twice 5", ANYTIME)] == [7]


def test_a_number_that_stands_for_a_text_is_one() -> None:
    def repeat(text: str, times: int = 2) -> str:
        return text * times

    assert answer(function_tool(repeat), "12") == "1212"


def test_one_text_is_written_in_quotes() -> None:
    def upper(text: str) -> str:
        return text.upper()

    one = function_tool(upper, examples=['Loud: [Upper("so")] SO.'], name="Upper", version="7")
    assert (one.name, one.quoted, one.version) == ("Upper", True, "7")
    assert answer(one, 'any "text", (really) = so') == 'ANY "TEXT", (REALLY) = SO'
    assert '"[Upper("text")]"' in one.prompt.instruction


def test_an_empty_text_is_the_default_where_there_is_one() -> None:
    def weather(place: str = "Osk") -> str:
        return f"rain in {place}"

    def named(place: str) -> str:
        return f"<{place}>"

    assert answer(function_tool(weather), "") == "rain in Osk"
    assert answer(function_tool(weather), "Tovel") == "rain in Tovel"
    assert answer(function_tool(named), "") == "<>"


@given(st.dictionaries(st.text(max_size=8), st.integers() | st.lists(st.text(max_size=5))))
def test_what_a_call_holds_reaches_the_function_as_it_was(given_: dict[str, object]) -> None:
    def echo(values: dict[str, object], more: int = 0) -> dict[str, object]:
        return {"values": values, "more": more}

    one = function_tool(echo, max_result_characters=10**6)
    call = parse(f"[echo({render_arguments({'values': given_})})]")
    assert json.loads(answer(one, call.argument)) == {"values": given_, "more": 0}


def test_an_async_function_and_its_context() -> None:
    async def day(shift: int, context: Context) -> str:
        await asyncio.sleep(0)
        return str(context.date + datetime.timedelta(shift))

    one = function_tool(day)
    assert one.by_text
    assert '"[day(shift)]"' in one.prompt.instruction
    assert answer(one, "2", Context(datetime.date(2024, 2, 28))) == "2024-03-01"
    with pytest.raises(ToolError, match="no argument 'context'"):
        answer(one, "2, context=3")


def test_a_context_that_may_be_none_is_filled_by_graft_too() -> None:
    def place(town: str, context: Context | None = None) -> str:
        return f"{town} in {context.text if context else 'no text'}"

    def spelt(town: str, context: Optional[Context] = None) -> str:  # noqa: UP045 - as some do
        return place(town, context)

    for one in (function_tool(place), function_tool(spelt)):
        assert one.by_text
        assert answer(one, "Osk", Context(text="the text")) == "Osk in the text"


@pytest.mark.parametrize("result", [None, 3, 2.5, True, ["a", {"b": "ü"}]])
def test_what_is_no_string_is_answered_as_json(result: object) -> None:
    def constant() -> object:
        return result

    found = answer(function_tool(constant), "")
    assert json.loads(found) == result
    assert "\\u" not in found


def test_a_bug_of_the_function_stops_the_run_with_its_call() -> None:
    def broken(amount: int) -> str:
        return str(1 // amount)

    with pytest.raises(ZeroDivisionError) as caught:
        answer(function_tool(broken), "amount=0")
    assert caught.value.__notes__ == ["while broken was asked 'amount=0'"]


def unnamed(*amounts: float) -> str:
    return str(sum(amounts))


def untyped(amount) -> str:
    return str(amount)


def one_number(amount: float) -> str:
    return str(amount)


@pytest.mark.parametrize(
    ("function", "settings", "message"),
    [
        (unnamed, {}, r"'\*amounts: float' has no name"),
        (untyped, {}, "of which type 'amount' is"),
        (one_number, {"examples": ["No call."]}, r"'No call.' holds no call \[one_number"),
        (one_number, {"examples": ["A [one_number(x)] call."]}, "amount: Input should be"),
        (one_number, {"examples": ["A [Another(1)] call."]}, "write calls as"),
        (one_number, {"examples": ['A [one_number("1")] call.']}, "write calls as"),
        (one_number, {"pattern": "(?P<amont>[0-9])"}, "group 'amont' is no argument"),
        (one_number, {"pattern": "(?P<amount>"}, "the pattern"),
        (one_number, {"name": "one number"}, "'one number' cannot be written in a call"),
        (one_number, {"timeout": 3.0}, "unexpected keyword argument 'timeout'"),
    ],
)
def test_what_cannot_be_a_tool_says_why(
    function, settings: dict[str, object], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        function_tool(function, **settings)


def test_another_source_is_another_version() -> None:
    def first(amount: int) -> int:
        return amount + 1

    def second(amount: int) -> int:
        return amount + 2

    assert function_tool(first).version == function_tool(first).version
    assert function_tool(first).version != function_tool(second).version


@pytest.mark.parametrize("value", ["nan", "inf", "-Infinity", "1e400", '"NaN"'])
def test_what_is_no_finite_number_reaches_no_function(value: str) -> None:
    def whole(km: float) -> int:
        return int(km)

    with pytest.raises(ToolError, match="km: Input should be a finite number"):
        function_tool(whole).answer(f"km={value}", ANYTIME)


@dataclasses.dataclass
class Town:
    """As a function may give one back."""

    name: str
    founded: datetime.date


@pytest.mark.parametrize(
    ("result", "said"),
    [
        (Town("Osk", datetime.date(1931, 2, 3)), '{"name": "Osk", "founded": "1931-02-03"}'),
        ({datetime.date(1931, 2, 3): {4}}, '{"1931-02-03": [4]}'),
        (object(), None),
        pytest.param(10**5000, None, id="long"),
    ],
)
def test_days_sets_and_classes_are_answered_as_json(result: object, said: str | None) -> None:
    def give(what: str) -> object:
        """Gives it."""
        assert what
        return result

    given_back = function_tool(give)
    if said is not None:
        assert given_back.answer("it", ANYTIME) == said
    else:
        fault = ToolError if isinstance(result, int) else TypeError
        with pytest.raises(fault):
            given_back.answer("it", ANYTIME)


class Adder:
    """A class whose objects are called."""

    def __call__(self, a: int, b: int = 1) -> int:
        """Adds."""
        return a + b


def add(a: int, b: int) -> int:
    """Adds."""
    return a + b


def test_a_partial_function_and_an_object_that_is_called_are_tools() -> None:
    partly, other = functools.partial(add, b=2), functools.partial(add, b=3)
    assert function_tool(partly).name == "add"
    assert function_tool(partly).answer("a=1", ANYTIME) == "3"
    assert function_tool(partly).version != function_tool(other).version
    assert function_tool(Adder()).name == "Adder"
    assert function_tool(Adder()).answer("a=1", ANYTIME) == "2"


def test_a_parameter_may_be_called_as_pydantic_calls_its_own() -> None:
    def odd(_a: int, model_config: str = "x", schema: int = 0, copy: int = 0) -> str:
        """Tells."""
        return f"{_a} {model_config} {schema} {copy}"

    told = function_tool(odd)
    assert told.answer("_a=1", ANYTIME) == "1 x 0 0"
    assert told.answer('_a=1, model_config="y", schema=2, copy=3', ANYTIME) == "1 y 2 3"
    with pytest.raises(ToolError, match="model_config: Input should be a valid string"):
        told.answer("_a=1, model_config=(1, 2)", ANYTIME)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("timeout_seconds", float("inf")),
        ("timeout_seconds", 1e300),
        ("timeout_seconds", 0.0),
        ("retries", -1),
        ("retries", 10**9),
        ("cost", -5.0),
        ("cost", float("nan")),
        ("most_calls", 0),
    ],
)
def test_limits_that_hold_for_no_call_are_refused_by_name(setting: str, value: float) -> None:
    with pytest.raises(ConfigError, match=f"add: {setting} is at least"):
        function_tool(add, **{setting: value})
    with pytest.raises(ValueError, match=f"{setting} is at least"):
        ToolConfig(**{setting: value})  # pyright: ignore[reportArgumentType]
