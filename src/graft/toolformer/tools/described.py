"""A tool out of its description: a name, what it does, its arguments, and examples.

From these the annotation prompt is written, in the shape of the tools that graft brings.
"""

import hashlib
import json
import logging
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from graft.errors import ConfigError, ToolError
from graft.toolformer.call import Call, Json, calls_in, parse_arguments
from graft.toolformer.call import strip as without_calls
from graft.toolformer.tools.arguments import Arguments, Values
from graft.toolformer.tools.tool import Context, Demonstration, Prompt, Tool, require_bounds

MAX_POSITIONS = 20
"""Places of one text in front of which a pattern proposes."""
LONGEST_DESCRIPTION = 400
"""Characters of a description that go into a prompt."""
THEIR_SECONDS = 30.0
"""A server or a service has so long to answer, unless `ToolConfig` says otherwise."""
LONGEST_NAME = 64
"""Characters of a name in calls."""
LONGEST_TEXT = 20_000
"""A pattern is sought in so many characters of a text."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class ToolConfig:
    """Settings of one tool; what is not given stays as the tool has it."""

    examples: tuple[str, ...] | None = None  # texts with calls written in, for the prompt
    pattern: str | None = None  # where the rules propose a call, and with which arguments
    timeout_seconds: float | None = None
    max_result_characters: int | None = None
    most_at_once: int | None = None
    most_calls: int | None = None
    retries: int | None = None
    cost: float | None = None

    def __post_init__(self) -> None:
        """Refuse what no call could be made with."""
        require_bounds(self)


def configured(tool: Tool, settings: ToolConfig) -> Tool:
    """The tool with settings of a recipe.

    Raises:
        ConfigError: examples or a pattern do not fit the tool, or it takes none.
    """
    given = {
        name: value
        for name, value in vars(settings).items()
        if value is not None and name not in ("examples", "pattern")
    }
    if (settings.examples or settings.pattern) and tool.arguments is None:
        raise ConfigError(f"{tool.name}: brings its own examples and rules")
    if tool.arguments is not None and settings.examples:
        given["prompt"] = described_prompt(
            tool.name, tool.description, tool.arguments, settings.examples
        )
    if tool.arguments is not None and settings.pattern:
        given["rules"] = pattern_rules(tool.name, settings.pattern, tool.arguments)
    return replace(tool, **given)


def distinct_names(theirs: Sequence[str]) -> list[str]:
    """What tools that others name are called in calls: what cannot stand in one becomes `_`.

    Names that would be the same get numbers, the later ones.
    """
    taken = list[str]()
    for one in theirs:
        name = re.sub(r"\W+", "_", one).strip("_")[:LONGEST_NAME]
        name = name if name[:1].isalpha() and name[:1].isascii() else f"tool_{name}".strip("_")
        called, number = name, 2
        while called in taken:
            called, number = f"{name}_{number}", number + 1
        taken.append(called)
    return taken


def usable_tools(makers: Sequence[Callable[[], Tool]], told: str) -> list[Tool]:
    """The tools that can be made of those that somebody offers; of the others a warning.

    Args:
        makers: make one each; `ConfigError` where it cannot be.
        told: who offers them.

    Raises:
        ConfigError: none can.
    """
    found, faults = list[Tool](), list[str]()
    for make in makers:
        try:
            found.append(make())
        except ConfigError as error:
            faults.append(str(error))
    if not found:
        raise ConfigError(f"{told}: {faults[0] if faults else 'offers no tools'}")
    for fault in faults:
        _log.warning("%s: left out: %s", told, fault)
    return found


def described_tool(
    name: str,
    description: str,
    arguments: Arguments,
    answer: Callable[[Mapping[str, object]], str],
    told: object,
) -> Tool:
    """A tool that somebody else describes, such as a server; with no examples yet.

    Args:
        name: as it stands in a call (see `distinct_names`).
        description: what it does.
        arguments: what it takes.
        answer: what it answers to checked values.
        told: all that they tell of it, as JSON can hold it: another version if that changes.
    """
    written = json.dumps(told, default=str, sort_keys=True)
    return Tool(
        name=name,
        answer=lambda argument, _context: answer(arguments.read(argument)),
        prompt=described_prompt(name, description, arguments, ()),
        quoted=arguments.text,
        version=hashlib.blake2b(written.encode(), digest_size=6).hexdigest(),
        description=description,
        arguments=arguments,
        timeout_seconds=THEIR_SECONDS,
    )


def described_prompt(
    tool: str, description: str, arguments: Arguments, examples: Sequence[str]
) -> Prompt:
    """The annotation prompt of a tool from texts that have calls of it written in.

    Raises:
        ConfigError: an example holds no call of this tool, or one that it cannot take; or no
            call can be written with the tool's name.
    """
    if not re.fullmatch(r"[A-Za-z]\w*", tool):
        raise ConfigError(
            f"the tool's name {tool!r} cannot be written in a call; take letters, digits and _"
        )
    told = " ".join(description.split())[:LONGEST_DESCRIPTION]
    if told and told[-1] not in ".!?":
        told += "."
    form = arguments.form(tool)
    return Prompt(
        f"Your task is to add calls of the tool {tool} to a text. {told} A call helps to write "
        f'what follows. Write a call as "{form}".',
        tuple(_demonstration(tool, one, arguments) for one in examples),
    )


def _demonstration(tool: str, example: str, arguments: Arguments) -> Demonstration:
    form, calls = arguments.form(tool), [call for call, _ in calls_in(example)]
    for call in calls:
        if call.tool != tool or call.quoted != arguments.text:
            raise ConfigError(f"{tool}: in the example {example!r} write calls as {form}")
        try:
            arguments.read(call.argument)
        except ToolError as error:
            raise ConfigError(f"{tool}: in the example {example!r}: {error}") from error
    if not calls:
        raise ConfigError(f"{tool}: the example {example!r} holds no call {form}")
    return Demonstration(without_calls(example), example)


def pattern_rules(
    tool: str, pattern: str, arguments: Arguments
) -> Callable[[str, Context], list[tuple[int, Call]]]:
    """Proposals of a call behind each place where `pattern` is found in a text.

    Its groups are named as the tool's arguments. A place whose values the tool cannot take is
    passed over; the first one is told in a warning, if no place was taken before.

    Raises:
        ConfigError: the pattern cannot be read, or its groups are not arguments.
    """
    sought = _sought(tool, pattern, arguments)
    judged = set[bool]()

    def rules(text: str, _context: Context) -> list[tuple[int, Call]]:
        found = list[tuple[int, Call]]()
        for place in sought.finditer(text[:LONGEST_TEXT]):
            call = _call(place.groupdict())
            at = place.end()
            if call is not None and text[at : at + 1] == " ":
                found.append((at, call))
        return found[:MAX_POSITIONS]

    def _call(groups: Mapping[str, str | None]) -> Call | None:
        found = {name: one for name in arguments.names if (one := groups.get(name)) is not None}
        values = arguments.sent(found)
        try:
            taken = arguments.checked(values)
            judged.add(True)
            call = Call(tool, arguments.written(_plain(values, taken)), quoted=arguments.text)
        except (ToolError, ValueError) as error:
            if not judged:
                _log.warning(
                    "%s: its pattern found %.80r, which the tool does not take: %.200r; "
                    "such places are passed over",
                    *(tool, found, str(error)),
                )
            judged.add(False)
            return None
        return call

    return rules


def _sought(tool: str, pattern: str, arguments: Arguments) -> re.Pattern[str]:
    try:
        sought = re.compile(pattern)
    except re.error as error:
        raise ConfigError(f"{tool}: the pattern {pattern!r}: {error}") from error
    if unknown := set(sought.groupindex) - set(arguments.names):
        raise ConfigError(
            f"{tool}: the pattern's group '{min(unknown)}' is no argument; there are: "
            f"{', '.join(arguments.names)}"
        )
    return sought


def _plain(values: Values, taken: Mapping[str, object]) -> dict[str, Json]:
    """The values as they stand in the text, numbers as numbers: 12, and not "12" or 12.0."""
    plain = dict[str, Json]()
    for name, found in values.items():
        value = taken.get(name)
        if isinstance(value, bool | int | float):
            [plain[name]] = parse_arguments(str(found), [name]).values()
        else:
            plain[name] = found
    return plain
