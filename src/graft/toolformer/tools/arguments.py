"""What a tool takes, and how that stands in a call."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from graft.errors import ToolError
from graft.toolformer.call import Json, parse_arguments, render_arguments

Values = Mapping[str, Json]


@dataclass(frozen=True, slots=True)
class Arguments:
    """What a tool takes: one text, or several values by their names.

    Args:
        names: as they stand in calls, in their order; the one name where `text` is true.
        text: the argument is one text and is written in quotes.
        checked: gives the values as the tool takes them; raises `ToolError` for others.
        theirs: what the tool calls those names that it calls otherwise.
        optional: the one text has a default, which stands for an empty one.
    """

    names: tuple[str, ...]
    text: bool
    checked: Callable[[Values], Mapping[str, object]]
    theirs: Mapping[str, str] = field(default_factory=dict[str, str])
    optional: bool = False

    def read(self, argument: str) -> Mapping[str, object]:
        """The values that stand between a call's parentheses.

        Raises:
            ToolError: they cannot be read, or are not what the tool takes.
        """
        try:
            values = self._values(argument)
            json.dumps(values, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            raise ToolError("half of a character") from None
        except ValueError as error:
            raise ToolError(str(error)) from None
        return self.checked(self.sent(values))

    def _values(self, argument: str) -> Values:
        if self.text:
            return {} if self.optional and not argument else {self.names[0]: argument}
        return parse_arguments(argument, self.names, self._called)

    def sent(self, values: Values) -> Values:
        """The values by the names that the tool has for them."""
        return {self.theirs.get(name, name): value for name, value in values.items()}

    def written(self, values: Values) -> str:
        """The values, by the tool's names, as they stand between a call's parentheses."""
        called = {self._called.get(name, name): value for name, value in values.items()}
        return str(called.get(self.names[0], "")) if self.text else render_arguments(called)

    @property
    def _called(self) -> dict[str, str]:
        return {theirs: name for name, theirs in self.theirs.items()}

    def form(self, tool: str) -> str:
        """How a call looks: `[Search("query")]`, `[convert(amount, unit)]`."""
        inside = f'"{self.names[0]}"' if self.text else ", ".join(self.names)
        return f"[{tool}({inside})]"
