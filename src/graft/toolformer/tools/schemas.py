"""What a JSON schema says of a tool's arguments; it is never fetched from elsewhere."""

import contextlib
import json
from collections.abc import Mapping
from typing import cast

import jsonschema
from referencing import Registry
from referencing.exceptions import Unresolvable

from graft.errors import ToolError
from graft.toolformer.tools.arguments import Arguments, Values


def schema_arguments(schema: Mapping[str, object]) -> Arguments:
    """What a JSON schema of an object asks for."""
    properties = cast("Mapping[str, Mapping[str, object]]", schema.get("properties") or {})
    validator = jsonschema.Draft202012Validator(schema, registry=Registry())
    one_text = len(properties) == 1 and next(iter(properties.values())).get("type") == "string"

    def checked(values: Values) -> dict[str, object]:
        taken = {name: _as_asked(value, properties.get(name)) for name, value in values.items()}
        try:
            fault = next(validator.iter_errors(cast("dict[str, str]", taken)), None)
        except Unresolvable as error:
            raise ToolError(f"its schema names what is not in it: {error}") from None
        if fault is not None:
            raise ToolError(fault.message[:200])
        return taken

    return Arguments(tuple(properties), one_text, checked)


def _as_asked(value: object, schema: Mapping[str, object] | None) -> object:
    """A number that stands for a text as a text, and a text that is a number as one."""
    kind = (schema or {}).get("type")
    if kind == "string" and isinstance(value, int | float) and not isinstance(value, bool):
        return json.dumps(value)
    if kind in ("number", "integer") and isinstance(value, str):
        with contextlib.suppress(ValueError):
            return int(value) if kind == "integer" else float(value)
    return value
