"""What a JSON schema says of a tool's arguments.

A schema is a stranger's: it is never fetched from elsewhere, and its regular expressions, which
may take any time, are left to whoever wrote it.
"""

import json
import math
import re
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import cast

import jsonschema
from jsonschema.validators import extend, validator_for
from referencing import Registry
from referencing.exceptions import Unresolvable

from graft.errors import ConfigError, ToolError
from graft.toolformer.call import called_names
from graft.toolformer.tools.arguments import Arguments, Values

MOST_REFERENCES = 10_000
"""That are followed to check one call: few lines of schema can ask for any number of them."""

LONGEST_NUMBER = 1000
"""Characters of a whole number."""

DEEPEST_TYPE = 8
"""References and alternatives within each other that are looked through for a type."""

_Keyword = Callable[[object, object, object, Mapping[str, object]], Iterable[object]]
_INTEGER = re.compile(r"[-+]?[0-9]+")
_NUMBER = re.compile(r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?")
_ANY = frozenset(("string", "number", "integer", "boolean", "null", "array", "object"))
_followed = threading.local()


def schema_arguments(schema: Mapping[str, object], *, openapi_30: bool = False) -> Arguments:
    """What a JSON schema of an object asks for.

    Args:
        schema: of the draft that its `$schema` names, else of JSON Schema 2020-12.
        openapi_30: it is as OpenAPI 3.0 has them.

    Raises:
        ConfigError: it is no schema.
    """
    draft = validator_for(schema, default=jsonschema.Draft202012Validator)
    draft = jsonschema.Draft4Validator if openapi_30 else draft
    kind = cast("type[jsonschema.Draft202012Validator]", _bounded(draft, nullable=openapi_30))
    try:
        # formats are not looked at: the dialect of its regular expressions is not Python's
        kind.check_schema(schema, format_checker=jsonschema.FormatChecker(()))
    except (jsonschema.SchemaError, RecursionError) as error:
        raise ConfigError(f"no JSON schema: {str(error).splitlines()[0][:200]}") from error
    properties = _tables(schema.get("properties"))
    validator = kind(schema, registry=Registry())
    of_schema = _Kinds(schema)
    kinds = {name: of_schema.of(one) for name, one in properties.items()}
    one_text = len(properties) == 1 and next(iter(properties.values())).get("type") == "string"

    def checked(values: Values) -> dict[str, object]:
        taken = {
            name: _as_asked(value, kinds.get(name, _ANY)) for name, value in values.items()
        }
        _followed.references = 0
        try:
            fault = next(validator.iter_errors(cast("dict[str, str]", taken)), None)
        except ToolError:
            raise
        except Unresolvable as error:
            raise ToolError(f"its schema names what is not in it: {error!s:.150}") from None
        except RecursionError:
            raise ToolError("its schema goes in circles") from None
        except Exception as error:  # noqa: BLE001 - whatever a stranger's schema leads to
            raise ToolError(f"its schema cannot be held against this: {error!s:.150}") from None
        if fault is not None:
            raise ToolError(fault.message[:200])
        return taken

    names = called_names(list(properties))
    theirs = {name: one for name, one in zip(names, properties, strict=True) if name != one}
    optional = not schema.get("required")
    return Arguments(tuple(names), one_text, checked, theirs, optional)


def _bounded(draft: type, *, nullable: bool) -> type:
    """A draft without regular expressions, that follows so many references and no more."""
    keywords = cast("Mapping[str, _Keyword]", getattr(draft, "VALIDATORS"))  # noqa: B009
    changed: dict[str, object] = dict.fromkeys(("pattern", "patternProperties"), _left_out)
    for name in ("$ref", "$dynamicRef", "$recursiveRef"):
        if name in keywords:
            changed[name] = _counted(keywords[name])
    if nullable:  # OpenAPI 3.0.3, "Schema Object"
        for name in ("type", "enum"):
            changed[name] = _or_null(keywords[name])
    return cast("type", extend(draft, changed))


def _left_out(*_: object) -> tuple[()]:
    return ()


def _counted(keyword: _Keyword) -> _Keyword:
    def checked(
        validator: object, value: object, instance: object, schema: Mapping[str, object]
    ) -> Iterable[object]:
        _followed.references += 1
        if _followed.references > MOST_REFERENCES:
            raise ToolError(f"its schema leads to more than {MOST_REFERENCES:,} others")
        return keyword(validator, value, instance, schema) or ()

    return checked


def _or_null(keyword: _Keyword) -> _Keyword:
    def checked(
        validator: object, value: object, instance: object, schema: Mapping[str, object]
    ) -> Iterable[object]:
        if instance is None and schema.get("nullable") is True:
            return ()
        return keyword(validator, value, instance, schema) or ()

    return checked


def _tables(properties: object) -> dict[str, Mapping[str, object]]:
    """The properties by their names; one that may be anything has nothing to say."""
    found = cast("Mapping[str, object]", properties or {})
    return {
        name: cast("Mapping[str, object]", one) if isinstance(one, Mapping) else {}
        for name, one in found.items()
    }


class _Kinds:
    """Types that values may have: by a schema, its references and its alternatives."""

    def __init__(self, whole: Mapping[str, object]) -> None:
        self._whole = whole
        self._known = dict[tuple[int, int], frozenset[str]]()  # or few lines would ask for many

    def of(self, schema: object, left: int = DEEPEST_TYPE) -> frozenset[str]:
        if not isinstance(schema, Mapping) or left == 0:
            return _ANY
        place = id(cast("object", schema)), left
        if place not in self._known:
            self._known[place] = self._looked_up(cast("Mapping[str, object]", schema), left - 1)
        return self._known[place]

    def _looked_up(self, schema: Mapping[str, object], left: int) -> frozenset[str]:
        found = _named_kinds(schema.get("type"))
        referred = _referred(schema.get("$ref"), self._whole)
        for one in (referred, *_several(schema.get("allOf"))):
            found &= self.of(one, left)
        for keyword in ("anyOf", "oneOf"):
            if some := _several(schema.get(keyword)):
                found &= frozenset[str]().union(*(self.of(one, left) for one in some))
        return found


def _named_kinds(told: object) -> frozenset[str]:
    named = (
        {told}
        if isinstance(told, str)
        else {one for one in _several(told) if isinstance(one, str)}
    )
    found = _ANY & named or _ANY
    return found | {"integer"} if "number" in found else found


def _referred(reference: object, whole: Mapping[str, object]) -> object:
    """What a reference names in the same schema; nothing of any other."""
    if not isinstance(reference, str) or not reference.startswith("#/"):
        return None
    found: object = whole
    for part in reference[2:].split("/"):
        name = part.replace("~1", "/").replace("~0", "~")
        if not isinstance(found, Mapping):
            return None
        found = found.get(name)
    return found


def _several(told: object) -> list[object]:
    return cast("list[object]", told) if isinstance(told, list) else []


def _as_asked(value: object, kinds: frozenset[str]) -> object:
    """A number that stands for a text as a text, and a text that is a number as one."""
    if isinstance(value, str):
        return value if "string" in kinds else _number(value, kinds)
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if is_number and "string" in kinds and "integer" not in kinds:
        return json.dumps(value)
    return value


def _number(written: str, kinds: frozenset[str]) -> object:
    if "number" in kinds and _NUMBER.fullmatch(written):
        number = float(written)
        return number if math.isfinite(number) else written
    if "integer" in kinds and _INTEGER.fullmatch(written):
        return int(written) if len(written) <= LONGEST_NUMBER else written
    return written
