"""MCP servers that list their tools in pages, and calls that are given up; real processes."""

import sys
import time
from pathlib import Path

import pytest

from graft.errors import ConfigError
from graft.toolformer.tools import servers
from graft.toolformer.tools.servers import MOST_TOOLS, Server, server_tools
from graft.toolformer.tools.tool import LateError

SERVER = """
import asyncio, sys
from pathlib import Path

import mcp.types as types
from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server

pages, told = int(sys.argv[1]), Path(sys.argv[2])


def named(number):
    schema = {"type": "object", "properties": {"text": {"type": "string"}}}
    return types.Tool(name=f"tool{number}", input_schema=schema)


async def listed(context, params):
    page = int(params.cursor) if params is not None and params.cursor else 0
    after = str(page + 1) if page + 1 < pages else None
    tools = [] if sys.argv[3:] else [named(2 * page), named(2 * page + 1)]
    return types.ListToolsResult(tools=tools, next_cursor=after)


async def called(context, params):
    if params.arguments["text"] == "wait":
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            told.write_text("given up")
            raise
    content = types.TextContent(type="text", text=f"{params.name} {params.arguments['text']}")
    return types.CallToolResult(content=[content])


async def main():
    server = Server("pages", on_list_tools=listed, on_call_tool=called)
    async with stdio_server() as (reading, writing):
        await server.run(reading, writing, server.create_initialization_options())


asyncio.run(main())
"""


@pytest.fixture
def command(tmp_path: Path) -> str:
    (tmp_path / "server.py").write_text(SERVER)
    return f"{sys.executable} {tmp_path / 'server.py'} {{}} {tmp_path / 'told'}"


def test_tools_of_all_pages_are_there(command: str) -> None:
    tools = server_tools(command.format(3))
    assert [tool.name for tool in tools] == [f"tool{number}" for number in range(6)]


def test_pages_without_an_end_give_as_many_tools_as_are_taken(command: str) -> None:
    server = Server(command.format(10**9))
    assert len(server.offered()) == MOST_TOOLS
    server.close()


def test_empty_pages_without_an_end_are_given_up(
    command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(servers, "CONNECT_SECONDS", 5.0)
    with pytest.raises(ConfigError, match="no answer within 5 s"):
        server_tools(f"{command.format(10**9)} empty")


def test_a_call_that_is_given_up_is_ended_on_the_server_and_others_go_on(
    command: str, tmp_path: Path
) -> None:
    server = Server(command.format(1))
    with pytest.raises(LateError, match="no answer within 1 s"):
        server.call("tool0", {"text": "wait"}, 1.0)
    assert server.call("tool1", {"text": "so"}, 20.0) == "tool1 so"
    for _ in range(200):
        if (tmp_path / "told").is_file():
            break
        time.sleep(0.05)
    assert (tmp_path / "told").read_text() == "given up"
    server.close()
