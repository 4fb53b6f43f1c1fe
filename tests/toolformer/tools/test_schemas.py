"""Schemas of strangers: checked against, never fetched, and bounded in time."""

import socket
import time

import pytest

from graft.errors import ConfigError, ToolError
from graft.toolformer.tools.schemas import schema_arguments


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
