"""Sign in to a service, with secrets that stand in the environment and nowhere else.

A place names the variable, never the secret: so neither recipes nor reports, caches or errors
hold it. It is sent to the host that the user named, and cut out of what comes back.
"""

import base64
import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import cast

from graft.errors import ConfigError, ToolError
from graft.toolformer.tools.reaching import Request, authority_of

LEAST_CUT = 6
"""A shorter secret may be part of any word, and is not cut out of an answer."""
BEARER = "bearer"

Table = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Key:
    """A secret of the environment, and how a server wants it."""

    variable: str
    name: str = "Authorization"
    """Of the header or query parameter."""
    place: str = "header"
    kind: str = BEARER
    """`bearer`, `basic` (the variable holds `user:password`), or `plain`."""

    def secret(self) -> str:
        """What the variable holds.

        Raises:
            ConfigError: nothing, or what no header can hold.
        """
        value = os.environ.get(self.variable, "")
        if not value:
            raise ConfigError(
                f"the environment variable {self.variable} is empty; set it to the secret that "
                "signs in"
            )
        if not (value.isascii() and value.isprintable()):
            raise ConfigError(
                f"the environment variable {self.variable} holds what no header can: only "
                "printable ASCII, in one line"
            )
        return value

    def value(self) -> str:
        """What is sent.

        Raises:
            ConfigError: as `secret`.
        """
        match self.kind:
            case "bearer":
                return f"Bearer {self.secret()}"
            case "basic":
                return "Basic " + base64.b64encode(self.secret().encode()).decode()
            case _:
                return self.secret()


def split_words(words: Iterable[str]) -> tuple[list[str], dict[str, str]]:
    """What stands behind an address: hosts, and `NAME=VARIABLE` for secrets."""
    hosts, variables = list[str](), dict[str, str]()
    for word in words:
        name, equals, variable = word.partition("=")
        if equals:
            variables[name] = variable
        else:
            hosts.append(word)
    return hosts, variables


def header_keys(variables: Mapping[str, str], where: str, *, needed: bool = True) -> list[Key]:
    """Keys of a server without a document: `bearer=VARIABLE`, `basic=VARIABLE`, or a header's.

    Where they are not `needed`, as nothing is sent, the variables need not be set.

    Raises:
        ConfigError: a name or variable is missing, or a variable is not set.
    """
    keys = [
        Key(variable, kind=name.lower())
        if name.lower() in (BEARER, "basic")
        else Key(variable, name, kind="plain")
        for name, variable in variables.items()
    ]
    return _there(keys, where, needed=needed)


def document_keys(
    variables: Mapping[str, str], schemes: Table, where: str, *, needed: bool = True
) -> dict[str, Key]:
    """The key for each security scheme of an OpenAPI document that is named.

    `needed` is as in `header_keys`.

    Raises:
        ConfigError: the document has no such scheme, it is of a kind that is not offered, or a
            variable is not set.
    """
    found = dict[str, Key]()
    for name, variable in variables.items():
        if name not in schemes:
            known = ", ".join(map(str, schemes)) or "none"
            raise ConfigError(
                f"{where}: has no security scheme '{name}'; there are: {known} "
                "(SCHEME=VARIABLE names a variable of the environment)"
            )
        found[name] = _key(variable, schemes[name], f"{where}: its security scheme '{name}'")
    _there(found.values(), where, needed=needed)
    return found


def wanted_keys(requirements: object, keys: Mapping[str, Key]) -> list[Key]:
    """The keys that an operation is sent: those of the first alternative that has all of its.

    Args:
        requirements: OpenAPI's `security`: alternatives, each a table of schemes.
        keys: by the names of their schemes.
    """
    for one in cast("list[object]", requirements) if isinstance(requirements, list) else []:
        names = list(cast("Table", one)) if isinstance(one, dict) else []
        if names and all(name in keys for name in names):
            return [keys[name] for name in names]
    return []


def signed(request: Request, keys: Sequence[Key]) -> Request:
    """The request with its keys; what a model wrote never stands in their place.

    Raises:
        ToolError: a variable is not set any more.
    """
    try:
        values = [(one, one.value()) for one in keys]
    except ConfigError as error:
        raise ToolError(str(error)) from error
    names = {one.name.lower() for one in keys if one.place == "header"}
    headers = {name: one for name, one in request.headers.items() if name.lower() not in names}
    query = dict(request.query)
    for key, value in values:
        (headers if key.place == "header" else query)[key.name] = value
    return replace(request, headers=headers, query=query)


def cut_secrets(text: str, keys: Sequence[Key]) -> str:
    """What came back, without the secrets that it may echo."""
    for key in keys:
        secret = os.environ.get(key.variable, "")
        sent = base64.b64encode(secret.encode()).decode()
        for one in (secret, sent):
            if len(secret) >= LEAST_CUT:
                text = text.replace(one, "...")
    return text


def require_named(url: str, allowed: Collection[str], where: str) -> None:
    """Raise ConfigError where a secret would go to a host that the user did not name."""
    try:
        authority = authority_of(url)
    except ToolError as error:
        raise ConfigError(f"{where}: {error}") from error
    host = authority.rpartition(":")[0]
    if authority not in allowed and host not in allowed:
        raise ConfigError(
            f"{where}: its service is at {authority}, which you did not name, and a secret is "
            f"sent to nobody else; write {authority} behind the document if it is to have it"
        )


def _key(variable: str, scheme: object, where: str) -> Key:
    told = cast("Table", scheme) if isinstance(scheme, dict) else {}
    kind, name, place = told.get("type"), told.get("name"), told.get("in")
    if kind == "apiKey" and isinstance(name, str) and place in ("header", "query"):
        return Key(variable, name, str(place), "plain")
    way = BEARER if kind in ("oauth2", "openIdConnect") else str(told.get("scheme")).lower()
    if kind in ("http", "oauth2", "openIdConnect") and way in (BEARER, "basic"):
        return Key(variable, kind=way)
    raise ConfigError(
        f"{where} is of a kind that is not offered; there are: apiKey in header or query, http "
        "bearer and basic, and a token that you have for oauth2 and openIdConnect"
    )


def _there(keys: Iterable[Key], where: str, *, needed: bool) -> list[Key]:
    """The keys, each of which can be sent now."""
    for key in (found := list(keys)):
        if not key.variable or not key.name:
            raise ConfigError(f"{where}: write NAME=VARIABLE, a variable of the environment")
        try:
            if needed:
                key.secret()
        except ConfigError as error:
            raise ConfigError(f"{where}: {error}") from error
    return found
