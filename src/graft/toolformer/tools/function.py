"""Anybody's Python function as a tool.

Its name, docstring and signature are the description; a few texts with calls written in are
the examples of the annotation prompt:

    @tool(examples=['The marathon is 42.2 km, or [miles(km=42.2)] 26.2 miles.'])
    def miles(km: float) -> str:
        "Converts kilometres to miles."
        return f"{km / 1.609344:.1f} miles"
"""

import functools
import hashlib
import inspect
import types
import typing
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Annotated, cast

import pydantic

from graft.errors import ConfigError, ToolError
from graft.toolformer.tools.arguments import Arguments, Values
from graft.toolformer.tools.awaiting import wait_for
from graft.toolformer.tools.described import described_prompt, pattern_rules
from graft.toolformer.tools.results import written
from graft.toolformer.tools.tool import Context, Tool, no_calls

_NAMED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


def tool(
    *,
    examples: Sequence[str] = (),
    pattern: str | None = None,
    **settings: object,
) -> Callable[[Callable[..., object]], Tool]:
    """Make a function a tool; `function_tool` says what may be given."""

    def made(function: Callable[..., object]) -> Tool:
        return function_tool(function, examples=examples, pattern=pattern, **settings)

    return made


def function_tool(
    function: Callable[..., object],
    *,
    examples: Sequence[str] = (),
    pattern: str | None = None,
    **settings: object,
) -> Tool:
    """A tool that calls `function` with the values that stand in a call.

    One parameter of type `str` is written as one text in quotes, everything else by names:
    `[Search("query")]`, `[convert(amount=3, unit="km")]`. A parameter of type `Context` is
    filled by graft, with the text that is asked from and its date. Values are checked against
    the annotations. What is not a string is answered as JSON. `ToolError` says that there is
    no answer; whatever else is raised is a bug and stops the run.

    Args:
        function: sync or async, each parameter with its type.
        examples: texts with calls written in, two to five of them.
        pattern: a regular expression whose groups are named as the arguments; where it is
            found in a text, the rules propose a call behind it.
        settings: others of `Tool`, such as `name`, else the function's, `timeout_seconds`, and
            `version`, else a hash of the function's source, which knows nothing of what the
            function calls.

    Raises:
        ConfigError: the function cannot be a tool, an example or the pattern does not fit it,
            or a setting is unknown.
    """
    name = str(settings.get("name") or _name_of(function))
    parameters, context = _parameters(function, name)
    arguments = arguments_of(_fields(parameters), name)
    description = _first_paragraph(function)

    def answer(argument: str, asked_from: Context) -> str:
        values = arguments.read(argument)
        extra = {} if context is None else {context: asked_from}
        return written(_result(function, {**values, **extra}))

    found = Tool(
        name=name,
        answer=answer,
        prompt=described_prompt(name, description, arguments, examples),
        rules=pattern_rules(name, pattern, arguments) if pattern else no_calls,
        quoted=arguments.text,
        by_text=context is not None,
        version=_hash_of(function),
        description=description,
        arguments=arguments,
    )
    try:
        return replace(found, **cast("dict[str, str]", settings))  # each of its own type
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{name}: {error}") from error


def _result(function: Callable[..., object], values: Mapping[str, object]) -> object:
    result = function(**values)
    if inspect.isawaitable(result):
        return wait_for(cast("Awaitable[object]", result))
    return result


def _parameters(
    function: Callable[..., object], called: str
) -> tuple[dict[str, inspect.Parameter], str | None]:
    """Those that a call fills, and the name of the one that graft fills with the context."""
    try:
        hints = typing.get_type_hints(_written_out(function), include_extras=True)
        signature = inspect.signature(function)
    except (NameError, TypeError, ValueError) as error:
        raise ConfigError(f"{called}: its signature cannot be read: {error}") from error
    filled, context = dict[str, inspect.Parameter](), None
    for name, parameter in signature.parameters.items():
        if parameter.kind not in _NAMED:
            raise ConfigError(f"{called}: '{parameter}' has no name that a call could give it")
        if _is_context(hints.get(name)):
            context = name
        elif name not in hints:
            raise ConfigError(f"{called}: say of which type '{name}' is, as in `{name}: str`")
        else:
            filled[name] = parameter.replace(annotation=hints[name])
    return filled, context


def _is_context(hint: object) -> bool:
    """Whether graft fills it, such as `Context | None`; no call can name one."""
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return Context in typing.get_args(hint)
    return hint is Context


def _name_of(function: Callable[..., object]) -> str:
    inner = function.func if isinstance(function, functools.partial) else function
    return str(getattr(inner, "__name__", type(inner).__name__))


def _written_out(function: Callable[..., object]) -> Callable[..., object]:
    """What was written with `def`: of a partial function or an object that is called."""
    while isinstance(function, functools.partial):
        function = function.func
    return function if inspect.isroutine(function) else type(function).__call__


def _fields(parameters: Mapping[str, inspect.Parameter]) -> dict[str, tuple[object, object]]:
    return {
        name: (one.annotation, ... if one.default is one.empty else one.default)
        for name, one in parameters.items()
    }


def arguments_of(fields: Mapping[str, tuple[object, object]], called: str) -> Arguments:
    """What a tool takes, from the type and the default (or `...`) of each argument.

    Raises:
        ConfigError: values for them cannot be checked.
    """
    named = {  # by names of ours, for pydantic keeps some for itself
        f"argument_{number}": (Annotated[kind, pydantic.Field(alias=name)], default)
        for number, (name, (kind, default)) in enumerate(fields.items())
    }
    try:
        model = pydantic.create_model(  # pyright: ignore[reportCallIssue] - fields by name
            called,
            __config__=pydantic.ConfigDict(
                extra="forbid", coerce_numbers_to_str=True, allow_inf_nan=False
            ),
            **named,  # pyright: ignore[reportArgumentType]
        )
    except (pydantic.PydanticUserError, NameError, TypeError) as error:
        raise ConfigError(f"{called}: its parameters cannot be checked: {error}") from error

    def checked(values: Values) -> dict[str, object]:
        try:
            taken = model.model_validate(dict(values))
        except pydantic.ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            place = ".".join(str(part) for part in first["loc"])
            raise ToolError(f"{place}: {first['msg']}") from None
        return {name: getattr(taken, one) for one, name in zip(named, fields, strict=True)}

    kind, default = next(iter(fields.values()), (None, ...))
    one_text = len(fields) == 1 and kind is str
    return Arguments(tuple(fields), one_text, checked, optional=default is not ...)


def _first_paragraph(function: Callable[..., object]) -> str:
    return (inspect.getdoc(function) or "").split("\n\n")[0]


def _hash_of(function: Callable[..., object]) -> str:
    given = ""
    if isinstance(function, functools.partial):
        given = repr((function.args, sorted(function.keywords.items())))
    inner = _written_out(function)
    try:
        source = inspect.getsource(inner)
    except (OSError, TypeError):
        source = f"{inner.__module__}.{inner.__qualname__}"
    return hashlib.blake2b((source + given).encode(), digest_size=6).hexdigest()
