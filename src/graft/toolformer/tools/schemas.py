"""What a JSON schema says of a tool's arguments.

A schema is a stranger's: it is never fetched from elsewhere, and its regular expressions, which
may take any time, are left to whoever wrote it.
"""

import contextlib
import json
from collections.abc import Mapping
from typing import cast

import jsonschema
from jsonschema.validators import extend
from referencing import Registry
from referencing.exceptions import Unresolvable

from graft.errors import ConfigError, ToolError
from graft.toolformer.tools.arguments import Arguments, Values


def _left_out(*_: object) -> tuple[()]:
    return ()


_LEFT_OUT = dict.fromkeys(("pattern", "patternProperties"), _left_out)
_TODAY = extend(jsonschema.Draft202012Validator, _LEFT_OUT)
_OPENAPI_30 = extend(jsonschema.Draft4Validator, _LEFT_OUT)


def schema_arguments(schema: Mapping[str, object], *, openapi_30: bool = False) -> Arguments:
    """What a JSON schema of an object asks for.

    Args:
        schema: of JSON Schema 2020-12.
        openapi_30: it is as OpenAPI 3.0 has them.

    Raises:
        ConfigError: it is no schema.
    """
    kind = _OPENAPI_30 if openapi_30 else _TODAY
    try:
        kind.check_schema(schema)
    except (jsonschema.SchemaError, RecursionError) as error:
        raise ConfigError(f"no JSON schema: {str(error).splitlines()[0]}") from error
    properties = _tables(schema.get("properties"))
    validator = kind(schema, registry=Registry())
    one_text = len(properties) == 1 and next(iter(properties.values())).get("type") == "string"

    def checked(values: Values) -> dict[str, object]:
        taken = {name: _as_asked(value, properties.get(name)) for name, value in values.items()}
        try:
            fault = next(validator.iter_errors(cast("dict[str, str]", taken)), None)
        except Unresolvable as error:
            raise ToolError(f"its schema names what is not in it: {error}") from None
        except RecursionError:
            raise ToolError("its schema goes in circles") from None
        if fault is not None:
            raise ToolError(fault.message[:200])
        return taken

    return Arguments(tuple(properties), one_text, checked)


def _tables(properties: object) -> dict[str, Mapping[str, object]]:
    """The properties by their names; one that may be anything has nothing to say."""
    found = cast("Mapping[str, object]", properties or {})
    return {
        name: cast("Mapping[str, object]", one) if isinstance(one, Mapping) else {}
        for name, one in found.items()
    }


def _as_asked(value: object, schema: Mapping[str, object] | None) -> object:
    """A number that stands for a text as a text, and a text that is a number as one."""
    kind = (schema or {}).get("type")
    if kind == "string" and isinstance(value, int | float) and not isinstance(value, bool):
        return json.dumps(value)
    if kind in ("number", "integer") and isinstance(value, str):
        with contextlib.suppress(ValueError):
            return int(value) if kind == "integer" else float(value)
    return value
