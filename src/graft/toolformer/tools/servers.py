"""Every tool of an MCP server, over standard input and output or HTTP, by the official SDK.

A server's descriptions and answers are data: they are cut, checked against its schemas, and
never run. One connection is kept for all calls; where it breaks, or gives no sign of life after
an answer that was late, the next call connects anew. Whose call it broke under cannot be told,
so each of them is asked once more, alone.
"""

import asyncio
import contextlib
import functools
import json
import logging
import threading
import time
import weakref
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import Future
from typing import TypeVar

import mcp
import mcp.types
import pydantic
from mcp.client.streamable_http import streamable_http_client

from graft.errors import ConfigError, ToolError
from graft.toolformer.tools.asking import seconds_left
from graft.toolformer.tools.described import described_tool, distinct_names, usable_tools
from graft.toolformer.tools.foreign_errors import standard_error
from graft.toolformer.tools.offers import ASKED_ANEW, Offers
from graft.toolformer.tools.reaching import web_client
from graft.toolformer.tools.schemas import schema_arguments
from graft.toolformer.tools.server_addresses import Address, Site, read_address
from graft.toolformer.tools.signing import cut_secrets
from graft.toolformer.tools.tool import LateError, Tool, own_kind

CONNECT_SECONDS = 30.0
END_SECONDS = 5.0
SIGN_SECONDS = 5.0
"""A server that was late has so long to show that it is there."""
LONGEST_SECONDS = 600.0
"""A call whose end nobody has set is given up after this."""
MOST_TOOLS = 500

logging.getLogger("mcp").addHandler(logging.NullHandler())
"""What a server does amiss the SDK logs, with tracebacks: to be read by who asks for it."""
_T = TypeVar("_T")
_Work = Callable[[mcp.Client], Coroutine[object, object, _T]]


def server_tools(address: str, offers: Offers = ASKED_ANEW) -> list[Tool]:
    """The tools of the MCP server at `address`: a URL, or a command that starts one.

    They have no examples of their own: `ToolConfig.examples` gives them some.

    Args:
        address: as of `Server`.
        offers: who says what it offers.

    Raises:
        ConfigError: the server cannot be reached, or offers no tools.
    """
    server, told = Server(address, keys_needed=offers.asks), f"the MCP server '{address}'"
    offered = _tools_in(offers.offered(f"mcp:{address}", lambda: _offer_of(server)), told)
    names = distinct_names([one.name for one in offered])
    return usable_tools(
        [
            functools.partial(_tool, server, one, name)
            for name, one in zip(names, offered, strict=True)
        ],
        told,
    )


_TOOLS = pydantic.TypeAdapter(list[mcp.types.Tool])


def _offer_of(server: "Server") -> str:
    try:
        found = _TOOLS.dump_json(server.offered(), by_alias=True, exclude_none=True)
    except ToolError as error:
        raise ConfigError(f"the MCP server '{server.address}': {error}") from error
    return found.decode()


def _tools_in(offer: str, told: str) -> list[mcp.types.Tool]:
    try:
        return _TOOLS.validate_json(offer)
    except pydantic.ValidationError as error:  # another version's, or another program's
        raise ConfigError(
            f"{told}: what is kept of its tools cannot be read: record it again"
        ) from error


class Server:
    """An MCP server that is asked by several threads; connected when it is needed.

    Args:
        address: a URL, or a command that starts the server. Behind a URL, what signs in:
            `bearer=VARIABLE`, `basic=VARIABLE` or `HEADER=VARIABLE`, of the environment; in
            front of a command `NAME=VARIABLE`, for the environment that it is given.
        keys_needed: whether these variables have to be set.

    Raises:
        ConfigError: it is neither, or a variable is not set.
    """

    def __init__(self, address: str, *, keys_needed: bool = True) -> None:
        self.address = address
        self._where = read_address(address, keys_needed=keys_needed)
        self._lock = threading.Lock()
        self._lines: list[_Line] = []
        self._again = _Again(self._where)
        weakref.finalize(self, _close_all, self._lines)

    def offered(self) -> list[mcp.types.Tool]:
        """What the server offers, at most `MOST_TOOLS`.

        Raises:
            LateError: it cannot be reached.
        """
        return self._line().wait(_offered, CONNECT_SECONDS)

    def call(
        self, name: str, values: Mapping[str, object], seconds: float | None = None
    ) -> str:
        """What a tool answers, within so many seconds, or while anybody waits for the call.

        It is asked a second time, alone, where the connection broke under it.

        Raises:
            ToolError: it has no answer; a `LateError` if not in time, or the server is away.
        """

        async def asked(client: mcp.Client) -> mcp.types.CallToolResult:
            return await client.call_tool(name, dict(values))

        keys = self._where.keys
        try:
            line = self._line()
            left = seconds_left(LONGEST_SECONDS) if seconds is None else seconds
            ends = time.monotonic() + left
            try:
                found = line.wait(asked, left)
            except _BrokenError:
                found = self._again.wait(asked, ends)
            return cut_secrets(_text_of(found), keys)
        except LateError as error:
            raise LateError(cut_secrets(str(error), keys)) from None
        except ToolError as error:
            raise own_kind(error)(cut_secrets(str(error), keys)) from None

    def close(self) -> None:
        """End the connection, and the server if it was started here."""
        with self._lock:
            _close_all(self._lines)

    def _line(self) -> "_Line":
        with self._lock:
            if self._lines and not self._lines[-1].is_there():
                _close_all(self._lines)
            if not self._lines:
                self._lines.append(_Line(self._where))
            return self._lines[-1]


class _BrokenError(LateError):
    """The connection ended under a call, this one's fault or another's."""


class _Again:
    """Asks what a connection broke under, one after the other, on a connection of their own."""

    def __init__(self, where: Address) -> None:
        self._where = where
        self._turn, self._lock = threading.Lock(), threading.Lock()
        self._waiting = 0
        self._line: _Line | None = None

    def wait(self, work: _Work[_T], ends: float) -> _T:
        """As `_Line.wait`, till then."""
        with self._lock:
            self._waiting += 1
        try:
            return self._alone(work, ends)
        finally:
            with self._lock:
                self._waiting -= 1
                if not self._waiting:
                    self._hang_up()

    def _alone(self, work: _Work[_T], ends: float) -> _T:
        if not self._turn.acquire(timeout=max(0.0, ends - time.monotonic())):
            raise LateError("the server is away: no time was left to ask it again")
        try:
            if self._line is not None and not self._line.is_there():
                self._hang_up()
            if self._line is None:
                self._line = _Line(self._where)
            return self._line.wait(work, max(0.0, ends - time.monotonic()))
        finally:
            self._turn.release()

    def _hang_up(self) -> None:
        if self._line is not None:
            self._line.end()
            self._line = None


class _Line:
    """One connection, which a thread with an event loop of its own keeps."""

    def __init__(self, where: Address) -> None:
        self.broken = self.late = False
        self._loop = asyncio.new_event_loop()
        self._end = asyncio.Event()
        self._client: Future[mcp.Client] = Future()
        self._thread = threading.Thread(
            target=self._keep, args=(where,), name="MCP server", daemon=True
        )
        self._thread.start()
        weakref.finalize(self, self.close)  # at the program's end, till when the thread has it

    def wait(self, work: _Work[_T], seconds: float) -> _T:
        """What `work` comes to.

        Raises:
            ToolError: the server refuses; a `LateError` if not in time, or it is away.
            _BrokenError: it was connected, and is no more.
        """
        try:
            client = self._client.result(CONNECT_SECONDS)
        except TimeoutError:
            self.broken = True
            raise LateError(f"not connected within {CONNECT_SECONDS:g} s") from None
        except Exception as error:
            raise LateError(f"the server is away: {error!s:.200}") from error
        try:
            asked = asyncio.run_coroutine_threadsafe(work(client), self._loop)
        except RuntimeError as ended:
            raise _BrokenError("the server is away: the connection has ended") from ended
        try:
            return asked.result(seconds)
        except TimeoutError:
            self.late = True
            asked.cancel()
            raise LateError(f"no answer within {seconds:.3g} s") from None
        except mcp.MCPError as error:
            if self._thread.is_alive() and not _is_closed(error):
                raise ToolError(f"the server says: {error!s:.200}") from None
            self.broken = True
            raise _BrokenError(f"the server is away: {error!s:.200}") from None
        except Exception as error:  # whatever the SDK raises at what a server sends
            self.broken = True
            told = f"{_innermost(error)!s:.200}" or "the connection has ended"
            raise _BrokenError(f"the server is away: {told}") from error

    def is_there(self) -> bool:
        """Whether the server can be asked; one that was late is asked for a sign of life."""
        if self.late and not self.broken:
            try:
                self.wait(_sign_of_life, SIGN_SECONDS)
            except LateError:
                self.broken = True
            except ToolError:
                pass  # to refuse is a sign of life too
            self.late = self.broken
        return not self.broken

    def end(self) -> None:
        """End the connection, and the server if it was started here, without waiting."""
        self.broken = True
        with contextlib.suppress(RuntimeError):  # the loop has ended already
            self._loop.call_soon_threadsafe(self._end.set)

    def close(self) -> None:
        """End the connection, and the server if it was started here."""
        self.end()
        self._thread.join(END_SECONDS)

    def _keep(self, where: Address) -> None:
        try:
            self._loop.run_until_complete(self._hold(where))
        except BaseException as error:  # noqa: BLE001 - not swallowed: carried to who waits
            if not self._client.done():
                self._client.set_exception(_innermost(error))
        finally:
            self.broken = True
            self._loop.close()

    async def _hold(self, where: Address) -> None:
        async with contextlib.AsyncExitStack() as stack:
            if isinstance(where, Site):
                headers = {one.name: one.value() for one in where.keys}
                waits = {"connect_seconds": CONNECT_SECONDS, "read_seconds": LONGEST_SECONDS}
                web = await stack.enter_async_context(web_client(headers, **waits))
                server = streamable_http_client(where.url, http_client=web)
            else:
                command, *rest = where.words
                started = mcp.StdioServerParameters(
                    command=command,
                    args=rest,
                    env=where.environment(),
                    encoding_error_handler="replace",
                )
                errors = stack.enter_context(standard_error())
                server = mcp.stdio_client(started, errlog=errors)
            client = await stack.enter_async_context(mcp.Client(server))
            self._client.set_result(client)
            await self._end.wait()


async def _sign_of_life(client: mcp.Client) -> None:
    await client.list_tools()


async def _offered(client: mcp.Client) -> list[mcp.types.Tool]:
    found, cursor = list[mcp.types.Tool](), None
    while len(found) < MOST_TOOLS:
        page = await client.list_tools(cursor=cursor)
        found += page.tools
        cursor = page.next_cursor
        if not cursor:
            break
    return found[:MOST_TOOLS]


def _tool(server: Server, offered: mcp.types.Tool, name: str) -> Tool:
    description = offered.description or offered.title or ""
    try:
        arguments = schema_arguments(offered.input_schema)
    except ConfigError as error:
        raise ConfigError(f"its tool '{offered.name[:80]}': {error}") from error
    return described_tool(
        name,
        description,
        arguments,
        lambda values: server.call(offered.name, values),
        [server.address, offered.name, description, offered.input_schema],
    )


def _text_of(result: mcp.types.CallToolResult) -> str:
    """The texts of a result, or what it has in JSON; pictures and the like are left out.

    Raises:
        ToolError: the result says that it is an error.
    """
    parts = [one.text for one in result.content if isinstance(one, mcp.types.TextContent)]
    text = " ".join(parts)
    if result.is_error:
        raise ToolError(text[:200] or "the server says that it went wrong")
    if not parts and result.structured_content is not None:
        return json.dumps(result.structured_content, ensure_ascii=False)
    if not parts and result.content:
        raise ToolError(f"the server sent no text, but {result.content[0].type}")
    return text


def _is_closed(error: mcp.MCPError) -> bool:
    """As the SDK says it; a server may say anything else under the same number."""
    return error.code == mcp.types.CONNECTION_CLOSED and str(error) == "Connection closed"


def _innermost(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _close_all(lines: "list[_Line]") -> None:
    while lines:
        lines.pop().close()
