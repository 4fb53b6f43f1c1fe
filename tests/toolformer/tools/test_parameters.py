"""How values are written into a request: what arrives at a real service on loopback."""

import json
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote

import pytest

from graft.errors import ConfigError, ToolError
from graft.toolformer.tools.execute import Executor
from graft.toolformer.tools.operations import operation_tools
from graft.toolformer.tools.tool import Context, Tool

COLOURS, PARTS = 'color=("blue", "black")', 'color={"R": 100, "G": 200}'


class Service(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        kinds = ", ".join(self.headers.get_all("Content-Type", [])) or None
        told = [self.path, self.headers["color"], kinds, body]
        self.send_response(200)
        kind = "application/hal+json" if "hal" in self.path else "application/json"
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.end_headers()
        self.wfile.write(json.dumps(told, indent=2).encode())

    do_POST = do_GET

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Service) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


def tools_of(
    folder: Path, port: int, paths: Mapping[str, object], more: str = ""
) -> list[Tool]:
    servers = [{"url": f"http://127.0.0.1:{port}"}]
    document = {"openapi": "3.1.0", "servers": servers, "paths": paths}
    (folder / "service.json").write_text(json.dumps(document))
    return operation_tools(f"{folder / 'service.json'} 127.0.0.1:{port} {more}")


def arrived(tool: Tool, argument: str) -> list[str]:
    found = json.loads(Executor().answer(tool, argument, Context()))
    return [unquote(found[0]), *found[1:]]


@pytest.mark.parametrize(
    ("place", "told", "argument", "expected"),
    [
        ("query", {}, COLOURS, "/x?color=blue&color=black"),
        ("query", {"explode": False}, COLOURS, "/x?color=blue,black"),
        ("query", {"style": "form"}, PARTS, "/x?R=100&G=200"),
        ("query", {"explode": False}, PARTS, "/x?color=R,100,G,200"),
        ("query", {"style": "spaceDelimited"}, COLOURS, "/x?color=blue+black"),
        ("query", {"style": "pipeDelimited"}, COLOURS, "/x?color=blue|black"),
        (
            "query",
            {"style": "pipeDelimited", "explode": True},
            COLOURS,
            "/x?color=blue&color=black",
        ),
        (
            "query",
            {"style": "deepObject", "explode": True},
            PARTS,
            "/x?color[R]=100&color[G]=200",
        ),
        (
            "query",
            {"content": {"application/json": {}}},
            PARTS,
            '/x?color={"R":+100,+"G":+200}',
        ),
        ("query", {}, "color=()", "/x"),
        ("query", {}, "color=a", "/x?color=a"),
        ("path", {}, COLOURS, "/x/blue,black"),
        ("path", {"explode": True}, COLOURS, "/x/blue,black"),
        ("path", {}, PARTS, "/x/R,100,G,200"),
        ("path", {"explode": True}, PARTS, "/x/R=100,G=200"),
        ("header", {}, COLOURS, "blue,black"),
        ("header", {"explode": True}, PARTS, "R=100,G=200"),
    ],
)
def test_a_value_is_sent_in_the_style_that_the_document_says(
    tmp_path: Path, port: int, place: str, told: dict[str, object], argument: str, expected: str
) -> None:
    parameter = {"name": "color", "in": place, **told}
    path = "/x/{color}" if place == "path" else "/x"
    [tool] = tools_of(tmp_path, port, {path: {"get": {"parameters": [parameter]}}})
    assert expected in arrived(tool, argument)[:2]


def test_what_stands_between_values_stands_in_none(tmp_path: Path, port: int) -> None:
    parameter = {"name": "a", "in": "query", "explode": False}
    [tool] = tools_of(tmp_path, port, {"/x": {"get": {"parameters": [parameter]}}})
    with pytest.raises(ToolError, match="a: ',' stands between values"):
        arrived(tool, 'a=("x,y")')
    assert arrived(tool, 'a="x,y"')[0] == "/x?a=x,y"


def test_parts_of_an_object_take_no_other_parameters_place(tmp_path: Path, port: int) -> None:
    some = [{"name": "a", "in": "query"}, {"name": "b", "in": "query"}]
    [tool] = tools_of(tmp_path, port, {"/x": {"get": {"parameters": some}}})
    with pytest.raises(ToolError, match="b: twice in the query"):
        arrived(tool, 'a={"b": 1}, b=2')


@pytest.mark.parametrize("kind", ["application/json", "Application/JSON; charset=utf-8"])
@pytest.mark.parametrize("sent", ["{}", ""])
def test_a_required_body_is_sent_even_if_it_is_empty(
    tmp_path: Path, port: int, kind: str, sent: str
) -> None:
    content = {kind: {"schema": {"properties": {"a": {}, "b": {}}}}}
    told = {"requestBody": {"required": bool(sent), "content": content}}
    [tool] = tools_of(tmp_path, port, {"/x": {"post": told}})
    assert arrived(tool, "")[3] == sent
    assert arrived(tool, "a=1")[2:] == [kind, '{"a":1}']


@pytest.mark.parametrize(
    ("kinds", "expected"),
    [
        (["application/merge-patch+json"], "application/merge-patch+json"),
        (["application/xml", "App/Vnd.Api+JSON; v=1"], "App/Vnd.Api+JSON; v=1"),
        (["application/*; q=1"], "application/json"),
        (["application/hal+json", "application/json"], "application/json"),
        (["application/*", "application/hal+json"], "application/hal+json"),
        (["*/*"], "application/json"),
    ],
)
def test_a_body_is_sent_as_what_is_asked_for_where_that_is_written_in_json(
    kinds: list[str], expected: str, tmp_path: Path, port: int
) -> None:
    of_one = {"schema": {"properties": {"a": {"type": "integer"}}}}
    content: dict[str, object] = {kind: {} for kind in kinds} | {kinds[-1]: of_one}
    [tool] = tools_of(tmp_path, port, {"/x": {"post": {"requestBody": {"content": content}}}})
    assert arrived(tool, "a=1")[2:] == [expected, '{"a":1}']


def test_of_several_versions_of_a_kind_the_first_is_sent(tmp_path: Path, port: int) -> None:
    content = {
        f"a/x+json; v={version}": {"schema": {"properties": {name: {}}}}
        for version, name in ((2, "a"), (1, "b"))
    }
    [tool] = tools_of(tmp_path, port, {"/x": {"post": {"requestBody": {"content": content}}}})
    assert arrived(tool, "a=1")[2:] == ["a/x+json; v=2", '{"a":1}']


def test_a_kind_that_a_call_names_is_sent_and_no_other(tmp_path: Path, port: int) -> None:
    of_one = {"schema": {"properties": {"a": {"type": "integer"}}}}
    told = {
        "parameters": [{"name": "content-type", "in": "header", "schema": {"type": "string"}}],
        "requestBody": {"content": {"application/json": of_one}},
    }
    [tool] = tools_of(tmp_path, port, {"/x": {"post": told}})
    [header, _] = tool.arguments.names if tool.arguments else []
    kind = "application/vnd.mine+json"
    assert arrived(tool, f'{header}="{kind}", a=1')[2:] == [kind, '{"a":1}']


def test_an_answer_that_is_written_in_json_is_read_as_json(tmp_path: Path, port: int) -> None:
    paths = {"/hal": {"get": {"summary": "x"}}, "/plain": {"get": {"summary": "x"}}}
    for tool in tools_of(tmp_path, port, paths):
        found = Executor().answer(tool, "", Context())
        assert found.startswith('["/')


FORM = {"application/x-www-form-urlencoded": {"schema": {"properties": {"a": {}}}}}


@pytest.mark.parametrize(
    ("told", "message"),
    [
        ({"requestBody": {"content": FORM}}, "its body is of 'application/x-www-form-urlenc"),
        (
            {"requestBody": {"content": {"a/b+json; x=\r\nCookie: y": FORM}}},
            "its body is of 'a/b+json; x=",
        ),
        ({"in": "cookie", "required": True}, "its parameter 'p' goes into 'cookie'"),
        ({"in": "path", "style": "matrix"}, "its parameter 'p' is of the style 'matrix'"),
        (
            {"in": "query", "required": True, "content": {"text/xml": {}}},
            "its parameter 'p' is of 'text/xml'; only JSON is sent",
        ),
    ],
)
def test_an_operation_that_cannot_be_asked_as_described_is_left_out(
    tmp_path: Path,
    port: int,
    told: dict[str, object],
    message: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    described = told if "requestBody" in told else {"parameters": [{"name": "p", **told}]}
    paths = {"/a": {"get": {"operationId": "a"}}, "/b": {"post": described}}
    assert [one.name for one in tools_of(tmp_path, port, paths)] == ["a"]
    [warned] = caplog.messages
    assert f"left out: its operation 'post_b': {message}" in warned


def test_what_need_not_be_sent_and_cannot_be_is_not_offered(tmp_path: Path, port: int) -> None:
    some = [{"name": "p", "in": "cookie"}, {"name": "q", "in": "query", "style": "matrix"}]
    [tool] = tools_of(tmp_path, port, {"/x": {"get": {"parameters": some}}})
    assert tool.arguments is not None
    assert tool.arguments.names == ()


def test_an_operation_is_asked_at_its_own_server_through_the_same_list(
    tmp_path: Path, port: int
) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Service) as other:
        threading.Thread(target=other.serve_forever, daemon=True).start()
        there = [{"url": f"http://127.0.0.1:{other.server_port}/v2"}]
        nowhere = [{"url": "http://127.0.0.1:1"}]
        paths = {
            "/a": {"servers": there, "get": {"operationId": "a"}},
            "/b": {"servers": nowhere, "get": {"operationId": "b", "servers": there}},
            "/c": {"get": {"operationId": "c"}},
        }
        *own, last = tools_of(tmp_path, port, paths)
        for tool in own:
            with pytest.raises(ToolError, match=f"127.0.0.1:{other.server_port} lies at"):
                arrived(tool, "")
        named = tools_of(tmp_path, port, paths, f"127.0.0.1:{other.server_port}")
        assert [arrived(tool, "")[0] for tool in named] == ["/v2/a", "/v2/b", "/c"]
        other.shutdown()
    assert arrived(last, "")[0] == "/c"


def test_a_secret_goes_to_no_server_of_an_operation_that_was_not_named(
    tmp_path: Path,
    port: int,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("THE_SECRET", "s3cret-of-the-test")
    document = {
        "openapi": "3.1.0",
        "components": {"securitySchemes": {"k": {"type": "http", "scheme": "bearer"}}},
        "security": [{"k": []}],
        "servers": [{"url": f"http://127.0.0.1:{port}"}],
        "paths": {
            "/a": {"get": {"operationId": "a"}},
            "/b": {"servers": [{"url": "http://elsewhere.test"}], "get": {"operationId": "b"}},
        },
    }
    file = tmp_path / "service.json"
    file.write_text(json.dumps(document))
    [one] = operation_tools(f"{file} 127.0.0.1:{port} k=THE_SECRET")
    assert one.name == "a"
    assert "at elsewhere.test:80, which you did not name" in caplog.messages[0]
    del document["servers"]
    file.write_text(json.dumps(document))
    with pytest.raises(ConfigError, match="does not say where its service is"):
        operation_tools(f"{file} k=THE_SECRET")
