"""Schemas of strangers: checked against, never fetched, and bounded in time."""

import contextlib
import socket
import time

import pytest

from graft.errors import ConfigError, ToolError
from graft.toolformer.call import Call
from graft.toolformer.tools.described import pattern_rules
from graft.toolformer.tools.schemas import schema_arguments
from graft.toolformer.tools.tool import Context


def test_a_schema_is_never_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "socket", lambda *_: pytest.fail("went into the network"))
    schema = {"properties": {"a": {"$ref": "http://127.0.0.1:9/schema"}, "b": {}}}
    arguments = schema_arguments(schema)
    with pytest.raises(ToolError, match="names what is not in it"):
        arguments.read("a=1")


def test_a_strangers_regular_expression_costs_no_time() -> None:
    schema = {"properties": {"a": {"type": "string", "pattern": "(a+)+$"}}}
    started = time.monotonic()
    assert schema_arguments(schema).read("a" * 60 + "!") == {"a": "a" * 60 + "!"}
    assert time.monotonic() - started < 5


@pytest.mark.parametrize(
    "schema",
    [
        {"properties": {"a": {"type": "strng"}}},
        {"properties": []},
        {"required": "a"},
        {"properties": {"a": {"minimum": "1"}}},
    ],
)
def test_what_is_no_schema_is_refused(schema: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="no JSON schema"):
        schema_arguments(schema)


def test_what_goes_in_circles_has_no_answer() -> None:
    schema = {"properties": {"a": {"$ref": "#/$defs/a"}}, "$defs": {"a": {"$ref": "#/$defs/a"}}}
    arguments = schema_arguments(schema)
    with pytest.raises(ToolError, match="goes in circles"):
        arguments.read("a=1")


def test_a_foreign_name_is_a_bare_word_in_calls_and_itself_where_it_is_sent() -> None:
    foreign = {"filter[name]": {"type": "string"}, "max-results": {"type": "integer"}}
    arguments = schema_arguments({"properties": foreign})
    assert arguments.form("find") == "[find(filter_name, max_results)]"
    sent = {"filter[name]": "cats", "max-results": 3}
    for written in ("filter_name=cats, max_results=3", 'cats, "max-results"=3'):
        assert arguments.read(written) == sent
    assert arguments.written(sent) == 'filter_name="cats", max_results=3'
    rules = pattern_rules("find", r"(?P<max_results>\d+) (?P<filter_name>\w+)s", arguments)
    assert rules("In 12 towns there are", Context()) == [
        (11, Call("find", 'filter_name="town", max_results=12'))
    ]


def test_one_foreign_name_of_a_text_is_sent_as_it_is() -> None:
    arguments = schema_arguments({"properties": {"a-b": {"type": "string"}}})
    assert arguments.form("find") == '[find("a_b")]'
    assert arguments.read("x") == {"a-b": "x"}
    assert arguments.written({"a-b": "x"}) == "x"


NOTHING = {"type": "null"}


@pytest.mark.parametrize(
    ("kind", "written", "taken"),
    [
        ({"anyOf": [{"type": "number"}, NOTHING]}, '"2.5"', 2.5),
        ({"oneOf": [NOTHING, {"$ref": "#/$defs/whole"}]}, '"12"', 12),
        ({"type": ["integer", "null"]}, '"12"', 12),
        ({"$ref": "#/$defs/whole"}, '"12"', 12),
        ({"allOf": [{"$ref": "#/$defs/whole"}, {"minimum": 1}]}, '"12"', 12),
        ({"anyOf": [{"type": "string"}, NOTHING]}, "5", "5"),
        ({"type": ["string", "null"]}, "null", None),
        ({"type": ["string", "number"]}, '"5"', "5"),
        ({"type": ["string", "number"]}, "5", 5),
        ({"anyOf": [{"type": "number"}, {"minLength": 1}]}, '"5"', "5"),
    ],
)
def test_a_value_is_taken_as_any_of_its_types_asks(
    kind: dict[str, object], written: str, taken: object
) -> None:
    whole = {"properties": {"a": kind, "b": {}}, "$defs": {"whole": {"type": "integer"}}}
    assert schema_arguments(whole).read(f"a={written}") == {"a": taken}


def test_types_of_many_alternatives_are_found_in_time() -> None:
    some = {f"d{at}": {"anyOf": [{"$ref": f"#/$defs/d{at + 1}"}] * 50} for at in range(7)}
    whole = {"properties": {"a": {"$ref": "#/$defs/d0"}}, "$defs": some | {"d7": {}}}
    assert schema_arguments(whole).names == ("a",)


def test_a_pattern_fills_an_argument_that_may_be_left_out(
    caplog: pytest.LogCaptureFixture,
) -> None:
    number = {"anyOf": [{"type": "number"}, NOTHING], "default": None}
    arguments = schema_arguments({"properties": {"km": number}})
    rules = pattern_rules("miles", r"(?P<km>[0-9.x]+) km", arguments)
    assert rules("Or 12 km it is.", Context()) == [(8, Call("miles", "km=12"))]
    assert rules("Or 1x km it is.", Context()) == []
    assert not caplog.messages
    rules = pattern_rules("miles", r"(?P<km>[0-9.x]+) km", arguments)
    assert [rules("Or 1x km or 2x km it is.", Context()) for _ in "ab"] == [[], []]
    [told] = caplog.messages
    assert told.startswith(
        "miles: its pattern found {'km': '1x'}, which the tool does not take"
    )


def test_a_property_may_be_anything() -> None:
    assert schema_arguments({"properties": {"a": True}}).read("a=(1, 2)") == {"a": [1, 2]}
    assert schema_arguments({}).read("") == {}


def test_the_bounds_of_openapi_30_are_read_as_such() -> None:
    schema = {"properties": {"a": {"minimum": 3, "exclusiveMinimum": True}, "b": {}}}
    old = schema_arguments(schema, openapi_30=True)
    assert old.read("a=4") == {"a": 4}
    with pytest.raises(ToolError, match="3 is less than or equal to the minimum"):
        old.read("a=3")
    with pytest.raises(ConfigError, match="no JSON schema"):
        schema_arguments(schema)


def test_half_of_a_character_goes_nowhere() -> None:
    arguments = schema_arguments({"properties": {"a": {}, "b": {}}})
    with pytest.raises(ToolError, match="half of a character"):
        arguments.read('a="\\ud800"')
    assert arguments.read('a="\\ud83d\\ude00"') == {"a": "\U0001f600"}


BROKEN: dict[str, object] = {
    "a list": [1],
    "unknown": {"type": "nope"},
    "minimum": {"minimum": "z"},
    "required": {"required": 5},
    "enum": {"enum": 5},
    "zero": {"multipleOf": 0},
    "properties": {"properties": [1]},
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_a_reference_leads_to_may_be_broken_and_costs_the_answer_alone(name: str) -> None:
    arguments = schema_arguments({"properties": {"a": {"$ref": "#/x"}}, "x": BROKEN[name]})
    for value in ("1", "text", "(1, 2)", '{"a": 1}', "null"):
        with contextlib.suppress(ToolError):
            arguments.read(f"a={value}")


@pytest.mark.parametrize(
    "schema",
    [
        {"$id": "http://[", "properties": {"a": {"$ref": "y#/z"}}},
        {"properties": {"a": {"$ref": "#/required/x"}}, "required": ["a"]},
        {"properties": {"a": {"$ref": "#/%E0%A4%A/x"}}},
    ],
)
def test_references_that_cannot_be_read_cost_the_answer_alone(
    schema: dict[str, object],
) -> None:
    with pytest.raises(ToolError, match="its schema"):
        schema_arguments(schema).read("a=1")


def test_few_lines_that_lead_to_very_many_others_cost_little_time() -> None:
    levels = {f"l{n}": {"allOf": [{"$ref": f"#/$defs/l{n + 1}"}] * 2} for n in range(40)}
    schema = {"properties": {"a": {"$ref": "#/$defs/l0"}}, "$defs": {**levels, "l40": {}}}
    arguments, started = schema_arguments(schema), time.monotonic()
    for _ in range(2):
        with pytest.raises(ToolError, match="leads to more than 10,000 others"):
            arguments.read("a=1")
    assert time.monotonic() - started < 20


@pytest.mark.parametrize("kind", ["number", "integer"])
@pytest.mark.parametrize(
    "value", ["nan", "inf", "-Infinity", "1e400", "1_000", "\uff11", '"NaN"']
)
def test_what_is_no_finite_number_is_none(kind: str, value: str) -> None:
    arguments = schema_arguments({"properties": {"a": {"type": kind, "minimum": 0}}})
    with pytest.raises(ToolError, match="is not of type"):
        arguments.read(f"a={value}")


def test_a_number_of_any_length_is_checked_or_has_no_answer() -> None:
    arguments = schema_arguments({"properties": {"a": {"type": "number", "multipleOf": 0.01}}})
    assert arguments.read('a="-2.50"') == {"a": -2.5}
    for value in ("9" * 400, "9" * 5000, f'"{"9" * 5000}"'):
        with pytest.raises(ToolError):
            arguments.read(f"a={value}")


@pytest.mark.parametrize("pattern", [r"^\p{L}+$", r"^(?<year>\d{4})$", "["])
def test_the_dialect_of_a_regular_expression_is_no_matter(pattern: str) -> None:
    schema = {"properties": {"a": {"type": "string", "pattern": pattern}}}
    assert schema_arguments(schema).read("x") == {"a": "x"}


def test_the_draft_that_a_schema_names_is_held_to() -> None:
    pair = {"type": "array", "items": [{"type": "integer"}, {"type": "string"}]}
    seven = "http://json-schema.org/draft-07/schema#"
    arguments = schema_arguments({"$schema": seven, "properties": {"a": pair}})
    assert arguments.read('a=(1, "x")') == {"a": [1, "x"]}
    with pytest.raises(ToolError, match="is not of type 'integer'"):
        arguments.read('a=("x", "x")')
    with pytest.raises(ConfigError, match="no JSON schema"):
        schema_arguments({"properties": {"a": pair}})


def test_what_may_be_null_in_openapi_30_may() -> None:
    one = {"type": "string", "enum": ["x"], "nullable": True}
    arguments = schema_arguments({"properties": {"a": one, "b": {}}}, openapi_30=True)
    assert arguments.read("a=null") == {"a": None}
    with pytest.raises(ToolError, match="is not one of"):
        arguments.read('a="y"')


@pytest.mark.parametrize(("required", "taken"), [(["q"], {"q": ""}), ([], {})])
def test_an_empty_text_is_left_out_where_it_may_be(
    required: list[str], taken: dict[str, str]
) -> None:
    """Whoever offers the tool then takes its own default."""
    schema = {"properties": {"q": {"type": "string", "default": "all"}}, "required": required}
    assert schema_arguments(schema).read("") == taken
    assert schema_arguments(schema).read("x") == {"q": "x"}
    assert schema_arguments(schema).written({}) == ""
