"""What a file says of a function that is a model: `model:FILE.toml`.

Its name, what it does, what it takes, its prompt, its model, and the tools that the model is
given. Here it is read and held to; `graft.toolformer.functions` makes a tool of it.
"""

import json
import re
import string
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from graft.config import load
from graft.toolformer.tools.arguments import Arguments
from graft.toolformer.tools.function import arguments_of
from graft.toolformer.tools.tracing import Limits

TYPES: dict[str, type] = {"str": str, "int": int, "float": float, "bool": bool}
_NAME = re.compile(r"[A-Za-z]\w*")


@dataclass(frozen=True, kw_only=True)
class DecodingConfig:
    """How a model with tools calls them; what is not given is as its card says."""

    top_k: int | None = None
    least_probability: float | None = None
    max_calls: int | None = None  # in one text
    call_tokens: int | None = None


@dataclass(frozen=True, kw_only=True)
class FunctionConfig:
    """A model as a tool."""

    name: str  # as it stands in calls
    description: str  # what it does
    prompt: str  # what its model reads, each {argument} filled in
    model: str = "seedling"  # or a run's or a model's folder, a hub id, an endpoint
    arguments: Mapping[str, Literal["str", "int", "float", "bool"]] = field(
        default_factory=lambda: {"text": "str"}
    )
    tools: tuple[str, ...] = ()  # that its model is given; files as seen from this one
    search: Path | None = None  # what search and qa among them look through
    helps: str = ""  # which texts it can help
    examples: tuple[str, ...] = ()  # texts with calls of it written in
    pattern: str | None = None  # where the rules propose a call, and with which arguments
    stop: tuple[str, ...] = ("\n",)  # its answer ends before the first of these
    max_result_characters: int = 300
    most_calls: int = 4  # of it at the same time
    cost: float = 0.0
    limits: Limits = field(default_factory=Limits)
    run: DecodingConfig = field(default_factory=DecodingConfig)

    def __post_init__(self) -> None:
        """Refuse what no call could be made with, and a prompt that does not fit."""
        if not self.arguments:
            raise ValueError("'arguments' names none; leave it out for one text")
        for name in self.arguments:
            if not _NAME.fullmatch(name):
                raise ValueError(f"the argument {name!r}: take letters, digits and _")
        if min(self.max_result_characters, self.most_calls) < 1 or not self.cost >= 0:
            raise ValueError(
                "'max_result_characters' and 'most_calls' begin at 1, and 'cost' at 0"
            )
        if self.limits.cost is not None and self.cost > self.limits.cost:
            raise ValueError(
                f"'cost' {self.cost:g} is above 'limits.cost' {self.limits.cost:g}, so no call"
                " would be answered; raise the limit"
            )
        if not all(self.stop):
            raise ValueError("'stop' holds an empty text")
        _require_slots(self.prompt, self.arguments)

    @property
    def takes(self) -> Arguments:
        """What a call of it holds."""
        return arguments_of(
            {name: (TYPES[kind], ...) for name, kind in self.arguments.items()}, self.name
        )

    def filled(self, values: Mapping[str, object]) -> str:
        """The prompt with an argument in each of its places."""
        return "".join(
            before + ("" if slot is None else _told(values[slot]))
            for before, slot, _, _ in string.Formatter().parse(self.prompt)
        )


def read_function(path: Path) -> FunctionConfig:
    """The function that a file declares.

    Raises:
        ConfigError: it cannot be read, or a setting is wrong, missing or misspelt.
    """
    return load(FunctionConfig, path)


def _require_slots(prompt: str, names: Mapping[str, object]) -> None:
    try:
        found = list(string.Formatter().parse(prompt))
    except ValueError as error:
        raise ValueError(
            f"'prompt': {error}; write a brace that is meant as one twice"
        ) from None
    slots = list[str]()
    for _, slot, form, turned in found:
        if slot is not None:
            slots.append(slot)
            if form or turned or slot not in names:
                there = ", ".join(f"{{{name}}}" for name in names)
                raise ValueError(f"'prompt' asks for {{{slot}}}; there are: {there}")
    if unused := [name for name in names if name not in slots]:
        raise ValueError(f"'prompt' has no place for {{{unused[0]}}}")


def _told(value: object) -> str:
    """As one would write it: 43 for 43.0."""
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False).removesuffix(".0")
