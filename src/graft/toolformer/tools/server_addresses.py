"""Where an MCP server is: at a URL, or behind a command that starts it; and what it is given.

Secrets stand in the environment, and an address names their variables (see `signing`).
"""

import os
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from graft.errors import ConfigError
from graft.toolformer.tools.signing import Key, header_keys, split_words

_GIVEN = re.compile(r"(?P<name>[A-Za-z_]\w*)=(?P<variable>\w*)")


@dataclass(frozen=True, slots=True)
class Site:
    """A server's URL, and what signs in there."""

    url: str
    keys: tuple[Key, ...] = ()


@dataclass(frozen=True, slots=True)
class Command:
    """What starts a server, and the variables of the environment that it is given."""

    words: tuple[str, ...]
    keys: tuple[Key, ...] = ()

    def environment(self) -> dict[str, str]:
        """The server's variables, beyond those that every program needs.

        Raises:
            ConfigError: one is not set.
        """
        values = dict[str, str]()
        for one in self.keys:
            if not one.variable:
                raise ConfigError("write NAME=VARIABLE, a variable of the environment")
            values[one.name] = os.environ.get(one.variable, "")
            if not values[one.name]:
                raise ConfigError(f"the environment variable {one.variable} is empty; set it")
        return values


Address = Site | Command


def read_address(address: str, *, keys_needed: bool = True) -> Address:
    """What the address of an MCP server says.

    Args:
        address: as `Server` takes it.
        keys_needed: whether the variables that it names have to be set.

    Raises:
        ConfigError: it is neither a URL nor a command, or a variable is not set.
    """
    try:
        words = shlex.split(address)
    except ValueError as error:
        raise ConfigError(
            f"the MCP server '{address}': neither a URL nor a command that starts it ({error})"
        ) from error
    given, words = _given(words)
    if not words:
        raise ConfigError(
            f"the MCP server '{address}': name its URL, or a command that starts it"
        )
    if words[0].startswith(("http://", "https://")):
        if given:
            raise ConfigError(
                f"the MCP server '{words[0]}': write {given[0].name}={given[0].variable} behind"
                " its URL"
            )
        return _site(words[0], words[1:], keys_needed=keys_needed)
    command = Command(tuple(words), tuple(given))
    if keys_needed:
        try:
            command.environment()
        except ConfigError as error:
            raise ConfigError(f"the MCP server '{address}': {error}") from error
    return command


def _given(words: Sequence[str]) -> tuple[list[Key], list[str]]:
    """The `NAME=VARIABLE` in front of a command, as a shell has them, and the command."""
    keys = list[Key]()
    for word in words:
        if (found := _GIVEN.fullmatch(word)) is None:
            break
        keys.append(Key(found["variable"], found["name"], "environment", "plain"))
    return keys, list(words[len(keys) :])


def _site(url: str, words: Sequence[str], *, keys_needed: bool) -> Site:
    others, variables = split_words(words)
    where = f"the MCP server '{url}'"
    if others:
        raise ConfigError(
            f"{where}: '{others[0]}' stands behind its URL; only what signs in does, as "
            "bearer=VARIABLE"
        )
    return Site(url, tuple(header_keys(variables, where, needed=keys_needed)))
