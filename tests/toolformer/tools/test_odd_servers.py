"""MCP servers that are odd and not hostile: real processes, spoken to by the official SDK."""

import sys
from pathlib import Path

import pytest

from graft.errors import ConfigError, ToolError
from graft.toolformer.tools.execute import Executor
from graft.toolformer.tools.servers import server_tools
from graft.toolformer.tools.tool import Context, Tool

SERVER = r"""
import json, sys

SEVEN = "http://json-schema.org/draft-07/schema#"
PAIR = {"type": "array", "items": [{"type": "integer"}, {"type": "string"}]}
TEXT = {"type": "object", "properties": {"a": {"type": "string", "pattern": r"^\p{L}+$"}}}
TOOLS = {
    "a.b": TEXT, "a-b": TEXT, "\u2603": TEXT, "x" * 1000: TEXT,
    "pair": {"$schema": SEVEN, "type": "object", "properties": {"p": PAIR}},
    "broken": {"type": "object", "properties": {"a": {"type": "nope"}}},
}
ONE = {"only": TOOLS["broken"]}
ANSWERS = {
    "picture": {"content": [{"type": "image", "data": "aGk=", "mimeType": "image/png"}]},
    "nothing": {"content": []},
}

def answer(method, given):
    if method == "initialize":
        return {"protocolVersion": given["protocolVersion"], "capabilities": {"tools": {}},
                "serverInfo": {"name": "odd", "version": "1"}}
    if method == "tools/list":
        offered = ONE if "one" in sys.argv else TOOLS
        return {"tools": [{"name": n, "inputSchema": s} for n, s in offered.items()]}
    said = given["arguments"].get("a", "")
    told = json.dumps([given["name"], given["arguments"]])
    return ANSWERS.get(said, {"content": [{"type": "text", "text": told}]})

print("Server is starting ...\n{broken", flush=True)
for line in sys.stdin:
    asked = json.loads(line)
    if "id" not in asked:
        continue
    told = {"jsonrpc": "2.0", "id": asked["id"]}
    if asked["method"] == "tools/call" and asked["params"]["arguments"].get("a") == "long":
        told["error"] = {"code": -32000, "message": "no " * 300_000}
    elif asked["method"] not in ("initialize", "tools/list", "tools/call"):
        told["error"] = {"code": -32601, "message": "no such method"}
    else:
        told["result"] = answer(asked["method"], asked.get("params", {}))
    print(json.dumps(told), flush=True)
"""


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("odd") / "server.py"
    path.write_text(SERVER)
    return path


@pytest.fixture
def tools(program: Path) -> dict[str, Tool]:
    return {one.name: one for one in server_tools(f"{sys.executable} {program}")}


def said(tool: Tool, argument: str) -> str:
    return Executor().answer(tool, argument, Context())


def test_every_tool_has_a_name_of_its_own_and_one_that_is_amiss_is_left_out(
    program: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    tools = {one.name: one for one in server_tools(f"{sys.executable} {program}")}
    assert list(tools) == ["a_b", "a_b_2", "tool", "x" * 64, "pair"]
    assert said(tools["a_b"], "x") == '["a.b", {"a": "x"}]'
    assert said(tools["a_b_2"], "x") == '["a-b", {"a": "x"}]'
    assert said(tools["pair"], 'p=(1, "x")') == '["pair", {"p": [1, "x"]}]'
    assert any(
        "left out: its tool 'broken': no JSON schema: 'nope'" in m for m in caplog.messages
    )
    assert "Traceback" not in capfd.readouterr().err


def test_a_server_of_which_no_tool_can_be_used_is_named(program: Path) -> None:
    with pytest.raises(ConfigError, match=r"the MCP server '.* one': its tool 'only': no JSON"):
        server_tools(f"{sys.executable} {program} one")


def test_an_answer_without_a_text_is_none_and_an_error_is_cut(tools: dict[str, Tool]) -> None:
    with pytest.raises(ToolError, match="the server sent no text, but image"):
        said(tools["a_b"], "picture")
    assert said(tools["a_b"], "nothing") == ""
    with pytest.raises(ToolError, match="the server says: no no no") as caught:
        said(tools["a_b"], "long")
    assert len(str(caught.value)) < 300
