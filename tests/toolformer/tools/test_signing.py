"""Signing in to services and servers, which are real processes on loopback."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from graft.errors import ConfigError, ToolError
from graft.toolformer.tools.execute import Executor
from graft.toolformer.tools.operations import operation_tools
from graft.toolformer.tools.reaching import Request
from graft.toolformer.tools.servers import server_tools
from graft.toolformer.tools.signing import Key, cut_secrets, header_keys, signed
from graft.toolformer.tools.tool import Context, Tool
from processes import telling_its_port, told_its_port

SECRET = "s3cret-of-the-test"
SERVICE = """
import json, sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

class Service(BaseHTTPRequestHandler):
    def do_GET(self):
        parts = urlsplit(self.path)
        if parts.path == "/openapi.json":
            status, told = 200, open(sys.argv[1]).read()
        elif parts.path == "/closed" and "Authorization" not in self.headers:
            status, told = 401, "who are you?"
        elif parts.path == "/refused":
            status, told = 403, f"not you, {self.headers['Authorization']}"
        else:
            names = ("Authorization", "X-Key")
            told = [parts.query, {one: self.headers[one] for one in names}]
            status, told = 200, json.dumps([len(json.dumps(told)), told])
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(told.encode())

    def log_message(self, *_):
        pass

server = ThreadingHTTPServer(("127.0.0.1", 0), Service)
print(server.server_port, flush=True)
server.serve_forever()
"""
SCHEMES = {
    "token": {"type": "http", "scheme": "Bearer"},
    "person": {"type": "http", "scheme": "basic"},
    "header": {"type": "apiKey", "in": "header", "name": "X-Key"},
    "query": {"type": "apiKey", "in": "query", "name": "key"},
    "crumb": {"type": "apiKey", "in": "cookie", "name": "key"},
    "single": {"$ref": "#/components/securitySchemes/token"},
    "flow": {"type": "oauth2", "flows": {}},
}
SAID = {"name": "said", "in": "query", "schema": {"type": "string"}}
FORGED = {"name": "Authorization", "in": "header", "schema": {"type": "string"}}


def operation(security: list[dict[str, list[str]]] | None) -> dict[str, object]:
    told: dict[str, object] = {"parameters": [SAID, FORGED]}
    return {"get": told if security is None else told | {"security": security}}


DOCUMENT = {
    "openapi": "3.1.0",
    "security": [{"token": []}],
    "paths": {
        "/whole": operation(None),
        "/open": operation([]),
        "/closed": operation([{"person": []}, {"header": [], "query": []}]),
        "/refused": operation([{"flow": []}]),
        "/single": operation([{"single": []}]),
    },
    "components": {"securitySchemes": SCHEMES},
}


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    folder = tmp_path_factory.mktemp("service")
    (folder / "service.py").write_text(SERVICE)
    (folder / "openapi.json").write_text(json.dumps(DOCUMENT))
    files = (str(folder / name) for name in ("service.py", "openapi.json"))
    with telling_its_port(sys.executable, *files) as port:
        yield port


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THE_SECRET", SECRET)
    monkeypatch.setenv("A_PERSON", "ada:lovelace-1815")
    monkeypatch.setenv("ON_TWO_LINES", "a secret\r\nHost: elsewhere")


def tools(port: int, signs: str) -> dict[str, Tool]:
    found = operation_tools(f"http://127.0.0.1:{port}/openapi.json {signs}")
    return {tool.name: tool for tool in found}


def said(tool: Tool, argument: str = "said=hello") -> str:
    try:
        return Executor().answer(tool, argument, Context())
    except ToolError as error:
        return f"{type(error).__name__}: {error}"


def arrived(tool: Tool, argument: str = "said=hello") -> tuple[int, str, dict[str, str | None]]:
    """How long what arrived was, and what the service says of it."""
    length, [query, headers] = json.loads(said(tool, argument))
    return length, query, headers


def test_each_operation_is_signed_as_it_asks(port: int) -> None:
    found = tools(port, "token=THE_SECRET header=THE_SECRET query=THE_SECRET")
    _, query, headers = arrived(found["get_whole"])
    assert (query, headers["X-Key"]) == ("said=hello", None)
    assert headers["Authorization"] == "Bearer ..."
    assert arrived(found["get_open"])[2] == {"Authorization": None, "X-Key": None}
    closed = operation_tools(f"http://127.0.0.1:{port}/openapi.json person=A_PERSON")[2]
    assert arrived(closed)[2]["Authorization"] == "Basic ..."


def test_both_keys_of_an_alternative_are_sent(port: int) -> None:
    _, query, headers = arrived(tools(port, "header=THE_SECRET query=THE_SECRET")["get_open"])
    assert (query, headers["X-Key"]) == ("said=hello", None)
    request = signed(
        Request("GET", "http://example.org", {"key": "forged"}, {"x-key": "forged"}),
        [Key("THE_SECRET", "key", "query", "plain"), Key("THE_SECRET", "X-Key", kind="plain")],
    )
    assert request.query == {"key": SECRET}
    assert request.headers == {"X-Key": SECRET}


def test_what_is_sent_is_the_secret_itself(port: int) -> None:
    """Which the answer, cut as it is, only tells by its length."""
    told = {"Authorization": f"Bearer {SECRET}", "X-Key": None}
    length, _, _ = arrived(tools(port, "token=THE_SECRET")["get_whole"])
    assert length == len(json.dumps(["said=hello", told]))


def test_a_model_cannot_write_the_key_itself(port: int) -> None:
    found = tools(port, "token=THE_SECRET")["get_whole"]
    _, _, headers = arrived(found, "said=hello, Authorization=forged")
    assert headers["Authorization"] == "Bearer ..."


def test_a_scheme_may_refer_to_another_and_a_token_serves_a_flow(port: int) -> None:
    found = tools(port, "single=THE_SECRET flow=THE_SECRET")
    assert arrived(found["get_single"])[2]["Authorization"] == "Bearer ..."
    assert said(found["get_refused"]).endswith("403: not you, Bearer ...")


def test_who_does_not_sign_in_is_told_how(port: int) -> None:
    refused = said(tools(port, "")["get_closed"])
    assert "401: who are you?; to sign in, write person=VARIABLE" in refused


@pytest.mark.parametrize(
    ("signs", "message"),
    [
        ("tokn=THE_SECRET", "no security scheme 'tokn'; there are: token, person"),
        ("token=NOT_THERE", "NOT_THERE is empty; set it"),
        ("token=ON_TWO_LINES", "ON_TWO_LINES holds what no header can"),
        ("token=", "write NAME=VARIABLE"),
        ("crumb=THE_SECRET", "'crumb' is of a kind that is not offered"),
    ],
)
def test_a_key_that_cannot_be_sent_is_named(port: int, signs: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        tools(port, signs)
    assert SECRET not in str(caught.value)
    assert "elsewhere" not in str(caught.value)


def test_a_secret_goes_to_nobody_who_was_not_named(port: int, tmp_path: Path) -> None:
    servers = [{"url": f"http://127.0.0.1:{port}"}]
    path = tmp_path / "service.json"
    path.write_text(json.dumps(DOCUMENT | {"servers": servers}))
    with pytest.raises(ConfigError, match=f"127.0.0.1:{port}, which you did not name"):
        operation_tools(f"{path} token=THE_SECRET")
    whole, *_ = operation_tools(f"{path} 127.0.0.1:{port} token=THE_SECRET")
    assert arrived(whole)[2]["Authorization"] == "Bearer ..."


def test_a_secret_that_is_gone_costs_the_answer(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = tools(port, "token=THE_SECRET")["get_whole"]
    monkeypatch.delenv("THE_SECRET")
    assert said(found).endswith("THE_SECRET is empty; set it to the secret that signs in")


def test_a_short_secret_is_left_in_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHORT", "an")
    assert cut_secrets("a banana", [Key("SHORT")]) == "a banana"
    assert cut_secrets(f"a {SECRET}", [Key("THE_SECRET")]) == "a ..."


CLOSED = """
import sys
import uvicorn
from mcp.server import MCPServer

server = MCPServer("closed")

@server.tool()
def echo(text: str) -> str:
    "Says a text."
    return f"{text}, {arrived[-1]}"

arrived = []

async def app(scope, receive, send):
    if scope["type"] == "http":
        headers = dict(scope["headers"])
        arrived.append(headers.get(b"authorization", b"").decode())
        known = arrived[-1] == "Bearer " + sys.argv[1]
        if not known or headers.get(b"x-team") != b"ada:lovelace-1815":
            await send({"type": "http.response.start", "status": 401, "headers": []})
            await send({"type": "http.response.body", "body": arrived[-1].encode()})
            return
    await inner(scope, receive, send)

inner = server.streamable_http_app()
uvicorn.run(app, port=int(sys.argv[2]), log_level="error")
"""


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    program = tmp_path_factory.mktemp("closed") / "server.py"
    program.write_text(CLOSED)
    with told_its_port(sys.executable, str(program), SECRET) as port:
        yield f"http://127.0.0.1:{port}/mcp"


def test_an_mcp_server_is_signed_in_to(closed: str) -> None:
    [echo] = server_tools(f"{closed} bearer=THE_SECRET X-Team=A_PERSON")
    assert said(echo, "hello") == "hello, Bearer ..."


@pytest.mark.parametrize(
    ("signs", "message"),
    [
        ("", "the server is away"),
        ("bearer=A_PERSON X-Team=A_PERSON", "the server is away"),
        ("bearer=NOT_THERE", "NOT_THERE is empty"),
        ("127.0.0.1:80", "'127.0.0.1:80' stands behind its URL"),
    ],
)
def test_an_mcp_server_that_is_closed_is_told(closed: str, signs: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        server_tools(f"{closed} {signs}")
    assert "lovelace" not in str(caught.value)


def test_keys_of_a_server_are_named_by_header() -> None:
    keys = header_keys({"Bearer": "THE_SECRET", "X-Team": "A_PERSON"}, "here")
    assert [(one.name, one.value()) for one in keys] == [
        ("Authorization", f"Bearer {SECRET}"),
        ("X-Team", "ada:lovelace-1815"),
    ]
