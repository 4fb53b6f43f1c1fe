"""Operations of an HTTP service, which is a real process on loopback."""

import json
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs

import pytest

from graft.errors import ConfigError, ToolError
from graft.toolformer.tools import reaching
from graft.toolformer.tools.execute import Executor
from graft.toolformer.tools.operations import Operation, Parameter, operation_tools
from graft.toolformer.tools.reaching import Request, authority_of, reach
from graft.toolformer.tools.tool import Context, LateError, Tool
from graft.toolformer.tools.toolbox import tools_by_name
from processes import telling_its_port

SERVICE = """
import json, sys, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

class Service(BaseHTTPRequestHandler):
    def answer(self, text, kind="application/json", status=200, **headers):
        content = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def do_GET(self):
        parts = urlsplit(self.path)
        if parts.path == "/openapi.json":
            return self.answer(open(sys.argv[1]).read())
        if parts.path.startswith("/v1/miles/"):
            km = float(parts.path.rpartition("/")[2])
            digits = int(parse_qs(parts.query).get("digits", ["1"])[0])
            return self.answer(json.dumps(f"{km / 1.609344:.{digits}f} miles"))
        if parts.path == "/v1/slow":
            time.sleep(20)
        if parts.path == "/v1/flood":
            return self.answer("x" * 5_000_000, "text/plain")
        if parts.path == "/v1/endless":
            self.answer("x", "text/plain")
            while True:
                self.wfile.write(b"x" * 65536)
        if parts.path == "/v1/elsewhere":
            return self.answer("", status=302, Location="http://127.0.0.1:1/secret")
        if parts.path == "/v1/broken":
            return self.answer("trace", status=500)
        if parts.path == "/v1/echo":
            told = {name.lower(): self.headers[name] for name in ("X-Unit", "Host")}
            return self.answer(json.dumps([parts.query, told]))
        self.answer("no such thing", "text/plain", 404)

    def do_POST(self):
        length = int(self.headers["Content-Length"])
        self.answer(json.dumps({"got": json.loads(self.rfile.read(length))}))

    def handle(self):
        try:
            super().handle()
        except ConnectionError:
            pass

    def log_message(self, *_):
        pass

server = ThreadingHTTPServer(("127.0.0.1", 0), Service)
print(server.server_port, flush=True)
server.serve_forever()
"""
NUMBER, TEXT = {"type": "number"}, {"type": "string"}
DIGITS = {"name": "digits", "in": "query", "schema": {"type": "integer"}}
DOCUMENT = {
    "openapi": "3.1.0",
    "servers": [{"url": "/{version}", "variables": {"version": {"default": "v1"}}}],
    "paths": {
        "/miles/{km}": {
            "parameters": [{"$ref": "#/components/parameters/Km"}],
            "get": {
                "operationId": "miles",
                "summary": "Converts kilometres to miles.",
                "parameters": [
                    {"name": "digits", "in": "query", "schema": {"type": "integer"}}
                ],
            },
        },
        "/orders": {
            "post": {
                "operationId": "place-order",
                "requestBody": {
                    "content": {
                        "application/json": {"schema": {"$ref": "#/components/schemas/Order"}}
                    }
                },
            }
        },
        "/echo": {
            "get": {
                "parameters": [
                    {"name": "q", "in": "query", "schema": TEXT},
                    {"name": "X-Unit", "in": "header", "schema": TEXT},
                    {"name": "HOST", "in": "header", "schema": TEXT},
                    {"name": "several", "in": "query", "schema": {"type": "array"}},
                    {"name": "crumb", "in": "cookie", "schema": TEXT},
                ]
            }
        },
        **{f"/{one}": {"get": {"operationId": one}} for one in ("slow", "flood")},
        **{f"/{one}": {"get": {"operationId": one}} for one in ("elsewhere", "broken", "gone")},
    },
    "components": {
        "parameters": {"Km": {"name": "km", "in": "path", "schema": NUMBER}},
        "schemas": {
            "Order": {
                "type": "object",
                "required": ["items"],
                "properties": {
                    "items": {"type": "array", "items": {"$ref": "#/components/schemas/Item"}}
                },
            },
            "Item": {"type": "object", "properties": {"name": TEXT}, "required": ["name"]},
        },
    },
}


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    folder = tmp_path_factory.mktemp("service")
    (folder / "service.py").write_text(SERVICE)
    (folder / "openapi.json").write_text(json.dumps(DOCUMENT))
    files = (str(folder / name) for name in ("service.py", "openapi.json"))
    with telling_its_port(sys.executable, *files) as port:
        yield port


@pytest.fixture(scope="module")
def tools(port: int) -> dict[str, Tool]:
    return tools_by_name([f"openapi:http://127.0.0.1:{port}/openapi.json"])


def said(tool: Tool, argument: str) -> str:
    try:
        return Executor().answer(tool, argument, Context())
    except ToolError as error:
        return f"{type(error).__name__}: {error}"


def test_every_operation_of_a_service_is_a_tool(tools: dict[str, Tool]) -> None:
    assert list(tools) == [
        *("miles", "place_order", "get_echo", "slow", "flood", "elsewhere", "broken", "gone")
    ]
    assert "Converts kilometres to miles." in tools["miles"].prompt.instruction
    assert '"[miles(km, digits)]"' in tools["miles"].prompt.instruction


@pytest.mark.parametrize(
    ("name", "argument", "expected"),
    [
        ("miles", "km=10", "6.2 miles"),
        ("miles", "10, 3", "6.214 miles"),
        ("miles", "", "ToolError: 'km' is a required property"),
        ("miles", "km=ten", "ToolError: 'ten' is not of type 'number'"),
        ("place_order", 'items=({"name": "pen"})', '{"got": {"items": [{"name": "pen"}]}}'),
        ("place_order", "", "ToolError: 'items' is a required property"),
        ("place_order", 'items=({"nam": "pen"})', "ToolError: 'name' is a required property"),
        ("gone", "", "ToolError: the service says 404: no such thing"),
        ("broken", "", "LateError: the service says 500"),
        ("elsewhere", "", "ToolError: the service says 302"),
        ("flood", "", "x" * 300),
    ],
)
def test_a_call_is_checked_asked_and_answered(
    tools: dict[str, Tool], name: str, argument: str, expected: str
) -> None:
    assert said(tools[name], argument).startswith(expected)


def test_values_stay_values_wherever_they_go(tools: dict[str, Tool], port: int) -> None:
    asked = 'q="a&b=c#d /?", "X-Unit"="km", HOST="evil"'
    query, headers = json.loads(said(tools["get_echo"], asked))
    assert parse_qs(query) == {"q": ["a&b=c#d /?"]}
    assert headers == {"x-unit": "km", "host": f"127.0.0.1:{port}"}
    query, _ = json.loads(said(tools["get_echo"], 'several=("a&b", 2)'))
    assert parse_qs(query) == {"several": ["a&b", "2"]}


@pytest.mark.parametrize(
    ("argument", "expected"),
    [
        ('"X-Unit"="a\\nHost: evil"', "ToolError: not to be sent"),
        ('"X-Unit"="grün"', "ToolError: not to be sent"),
        ('q="\\ud800"', "ToolError: half of a character"),
        ('crumb="a"', "ToolError: no argument 'crumb'"),
    ],
)
def test_what_cannot_be_sent_is_refused(
    tools: dict[str, Tool], argument: str, expected: str
) -> None:
    assert said(tools["get_echo"], argument).startswith(expected)


def test_a_value_is_one_part_of_a_path_and_no_way_out_of_it() -> None:
    km = Parameter("km", "path", {}, required=True, argument="km")
    operation = Operation("miles", "", "GET", "http://a/v1/", "/miles/{km}", (km,))
    assert operation.request({"km": "../x?y"}).url == "http://a/v1/miles/..%2Fx%3Fy"
    for way in ("..", ".", ""):
        with pytest.raises(ToolError, match="no part of a path"):
            operation.request({"km": way})


def test_a_slow_service_costs_its_own_answer(
    tools: dict[str, Tool], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reaching, "READ_SECONDS", 0.5)
    started = time.monotonic()
    assert said(tools["slow"], "").startswith("LateError: 127.0.0.1: ")
    assert time.monotonic() - started < 5
    assert said(tools["miles"], "10") == "6.2 miles"


@pytest.mark.parametrize(
    "host",
    [
        *("127.0.0.1", "localhost", "10.0.0.1", "192.168.1.1", "169.254.169.254", "0.0.0.0"),
        *("[::1]", "[::ffff:127.0.0.1]", "[fe80::1]", "2130706433", "224.0.0.1"),
    ],
)
def test_private_addresses_are_refused_unless_allowed(host: str) -> None:
    with pytest.raises(ToolError, match=r"not public|no such host"):
        reach(Request("GET", f"http://{host}:9/"))


def test_a_host_is_allowed_by_name_with_its_port_or_without(port: int) -> None:
    url = f"http://localhost:{port}/v1/miles/10"
    assert reach(Request("GET", url), ["localhost"]).text == '"6.2 miles"'
    assert reach(Request("GET", url), [authority_of(url)]).status == 200
    with pytest.raises(ToolError, match="not public"):
        reach(Request("GET", url), ["localhost:1", "127.0.0.1"])
    with pytest.raises(ToolError, match="only http and https"):
        reach(Request("GET", "file:///etc/passwd"))
    with pytest.raises(LateError, match="localhost"):
        reach(Request("GET", "http://localhost:1/"), ["localhost"])


def test_no_more_is_read_than_a_limit(port: int) -> None:
    url = f"http://127.0.0.1:{port}/v1/endless"
    assert len(reach(Request("GET", url), ["127.0.0.1"]).text) == reaching.MOST_BYTES


def test_the_address_that_was_checked_is_the_one_that_is_connected_to(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest, asked = socket.getaddrinfo, list[str]()

    def once(host: str, *given: object, **more: object) -> object:
        asked.append(host)
        if host != "service.test":
            return honest(host, *given, **more)
        assert asked.count(host) == 1  # the next answer would be another address
        return honest("127.0.0.1", *given, **more)

    monkeypatch.setattr(socket, "getaddrinfo", once)
    found = reach(Request("GET", f"http://service.test:{port}/v1/echo"), ["service.test"])
    assert json.loads(found.text)[1]["host"] == f"service.test:{port}"


def test_no_proxy_is_asked(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    url = f"http://127.0.0.1:{port}/v1/miles/10"
    assert reach(Request("GET", url), ["127.0.0.1"]).text == '"6.2 miles"'


def test_a_document_in_a_file_names_its_service_and_who_may_be_reached(
    tmp_path: Path, port: int
) -> None:
    path = tmp_path / "service.yaml"
    service = {**DOCUMENT, "servers": [{"url": f"http://127.0.0.1:{port}/v1"}]}
    path.write_text(json.dumps(service))
    [miles, *_] = operation_tools(str(path))
    assert said(miles, "10").startswith("ToolError: 127.0.0.1:")
    [miles, *_] = operation_tools(f"{path} 127.0.0.1:{port}")
    assert said(miles, "10") == "6.2 miles"


def test_a_yaml_document_is_read(tmp_path: Path) -> None:
    path = tmp_path / "service.yaml"
    path.write_text(
        "openapi: 3.0.0\nservers: [{url: 'https://example.org'}]\n"
        "paths: {/a: {get: {operationId: 1st}}}"
    )
    [tool] = operation_tools(str(path))
    assert tool.name == "tool_1st"
    with pytest.raises(ConfigError, match="No such file"):
        operation_tools(str(tmp_path / "nothing.json"))
    path.write_text(path.read_text().replace("operationId: 1st", "parameters: [{$ref: x}]"))
    for wrong in ("http://[", ""):
        with pytest.raises(ConfigError, match="OpenAPI document"):
            operation_tools(wrong)
    with pytest.raises(ConfigError, match="names what is no part of the document"):
        operation_tools(str(path))


@pytest.mark.parametrize("encoding", ["idna", "punycode", "undefined", "zip", "nonsense"])
def test_an_answer_in_an_encoding_that_cannot_be_read_is_read_as_far_as_it_can(
    encoding: str,
) -> None:
    server = """
import http.server, sys
class Service(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; charset=" + sys.argv[1])
        self.end_headers()
        self.wfile.write("gr\u00fcn".encode())
    def log_message(self, *_):
        pass
server = http.server.HTTPServer(("127.0.0.1", 0), Service)
print(server.server_port, flush=True)
server.serve_forever()
"""
    with telling_its_port(sys.executable, "-c", server, encoding) as port:
        assert (
            reach(Request("GET", f"http://127.0.0.1:{port}/"), ["127.0.0.1"]).text
            == "gr\u00fcn"
        )
