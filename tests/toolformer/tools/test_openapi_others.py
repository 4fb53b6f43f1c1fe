"""OpenAPI documents that refer to others, in files and served by a real process."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from graft.errors import ConfigError, StoreError, ToolError
from graft.toolformer.tools import openapi_documents
from graft.toolformer.tools.answers import Answers
from graft.toolformer.tools.openapi_documents import read_document, table
from graft.toolformer.tools.operations import operation_tools
from graft.toolformer.tools.tool import Tool
from processes import telling_its_port

SERVED = """
import functools, sys
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass

handler = functools.partial(Quiet, directory=sys.argv[1])
server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
print(server.server_port, flush=True)
server.serve_forever()
"""
FILES = {
    "api/service.yaml": """
openapi: 3.0.0
servers: [{url: "http://localhost/v1"}]
paths:
  /roads/{id}: {$ref: "paths/roads.yaml#/~1roads~1%7Bid%7D"}
  /here: {get: {operationId: here, parameters: [{$ref: "#/components/parameters/At"}]}}
components:
  parameters: {At: {$ref: "shared/parameters.json#/At"}}
  schemas: {Km: {type: number}}
""",
    "api/paths/roads.yaml": """
/roads/{id}:
  parameters: [{$ref: ../shared/parameters.json#/Id}]
  put:
    operationId: put
    requestBody:
      required: true
      content: {application/json: {schema: {$ref: "#/Road"}}}
Road:
  type: object
  required: [name]
  properties:
    name: {type: string}
    ends: {type: array, items: {$ref: ../shared/town.yaml}}
    back: {$ref: "../service.yaml#/components/schemas/Km"}
""",
    "api/shared/parameters.json": json.dumps(
        {
            "Id": {"name": "id", "in": "path", "schema": {"type": "integer"}},
            "At": {"name": "at", "in": "query", "schema": {"$ref": "#/Kind"}},
            "Kind": {"type": "number"},
        }
    ),
    "api/shared/town.yaml": """
type: object
required: [town]
properties:
  town: {type: string}
  roads: {type: array, items: {$ref: ../paths/roads.yaml#/Road}}
""",
}


def write(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder / "api" / "service.yaml"


@pytest.fixture
def served(tmp_path: Path) -> Iterator[str]:
    (tmp_path / "served.py").write_text(SERVED)
    with telling_its_port(sys.executable, str(tmp_path / "served.py"), str(tmp_path)) as port:
        yield f"http://127.0.0.1:{port}"


def by_name(tools: list[Tool]) -> dict[str, Tool]:
    return {tool.name: tool for tool in tools}


def read(tool: Tool, argument: str) -> object:
    assert tool.arguments is not None
    try:
        return tool.arguments.read(argument)
    except ToolError as error:
        return str(error)


@pytest.mark.parametrize("place", ["file", "url"])
def test_what_a_document_refers_to_is_a_part_of_it(
    tmp_path: Path, served: str, place: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = write(tmp_path, FILES)
    where = str(path) if place == "file" else f"{served}/api/service.yaml"
    found = by_name(operation_tools(f"{where} localhost"))
    assert list(found) == ["put", "here"]
    assert read(found["here"], "at=2.5") == {"at": 2.5}
    assert "not of type 'number'" in str(read(found["here"], 'at="x"'))
    put = found["put"]
    nested = 'id=7, name="A1", ends=({"town": "Osk", "roads": ({"name": "B2"})}), back=3'
    assert read(put, nested) == {
        "id": 7,
        "name": "A1",
        "ends": [{"town": "Osk", "roads": [{"name": "B2"}]}],
        "back": 3,
    }
    assert "'town' is a required property" in str(read(put, 'id=7, name="A", ends=({})'))
    wrong = 'id=7, name="A", ends=({"town": "Osk", "roads": ({})})'
    assert "'name' is a required property" in str(read(put, wrong))
    assert "not of type 'number'" in str(read(put, 'id=7, name="A", back="x"'))
    assert caplog.messages == []


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("../secret.yaml#/x", "lies outside of the folder"),
        ("%2e%2e/secret.yaml", "lies outside of the folder"),
        ("/etc/hostname", "lies outside of the folder"),
        ("link.yaml", "lies outside of the folder"),
        ("file:///etc/hostname", "lies outside of the folder"),
        ("http://127.0.0.1:9/x.yaml", "lies outside of the folder"),
        ("nowhere.yaml#/x", "No such file"),
        ("a%00b.yaml", "null byte"),
        ("shared", "Is a directory"),
        ("bomb.yaml", "aliases"),
        ("list.yaml", "no table of names"),
    ],
)
def test_what_needs_a_document_that_is_not_read_is_left_out_and_the_others_are_not(
    tmp_path: Path, reference: str, message: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = write(
        tmp_path,
        {
            **FILES,
            "secret.yaml": "x: {name: at, in: query}",
            "api/bomb.yaml": "a: &a [1]\nb: *a",
            "api/list.yaml": "[1, 2]",
        },
    )
    (path.parent / "link.yaml").symlink_to(tmp_path / "secret.yaml")
    path.write_text(path.read_text().replace("shared/parameters.json#/At", reference))
    assert list(by_name(operation_tools(str(path)))) == ["put"]
    told, left_out = caplog.messages
    assert f"{path} refers to '{reference.partition('#')[0]}': " in told
    assert message in told
    assert "left out: its operation 'here'" in left_out
    assert f"{reference}: names what is no part of the document" in left_out


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("http://localhost:9/x.yaml", "lies at another host"),
        ("//evil.example/x.yaml", "lies at another host"),
        ("http://[", ""),
        ("nowhere.yaml", "the service says 404"),
    ],
)
def test_a_document_of_a_host_refers_to_no_other_host(
    tmp_path: Path,
    served: str,
    reference: str,
    message: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    path = write(tmp_path, FILES)
    path.write_text(path.read_text().replace("shared/parameters.json#/At", reference))
    tools = operation_tools(f"{served}/api/service.yaml localhost")
    assert list(by_name(tools)) == ["put"]
    assert f"refers to '{reference}': " in caplog.messages[0]
    assert message in caplog.messages[0]


def test_a_path_that_is_described_nowhere_leaves_the_others(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = write(tmp_path, {**FILES, "api/paths/roads.yaml": ""})
    assert list(by_name(operation_tools(str(path)))) == ["here"]
    told, left_out = caplog.messages
    assert "paths/roads.yaml': no table of names and values; what needs it is" in told
    assert f"'{path}': left out: its path '/roads/{{id}}': paths/roads.yaml#" in left_out


def test_no_more_documents_are_read_than_a_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    paths = "\n".join(f"  /{one}: {{$ref: 'p{one}.yaml'}}" for one in range(4))
    head = "openapi: 3.0.0\nservers: [{url: 'http://localhost'}]\npaths:\n"
    item = "get: {operationId: %s, summary: x}\n"
    files = {f"api/p{one}.yaml": item % f"get{one}" for one in range(4)}
    path = write(tmp_path, {"api/service.yaml": head + paths, **files})
    assert len(operation_tools(str(path))) == 4
    fit = len(head + paths) + 2 * len(item % "get0")
    for name, most, taken in (("MOST_DOCUMENTS", 3, 3), ("MOST_BYTES", fit, 2)):
        caplog.clear()
        with monkeypatch.context() as patched:
            patched.setattr(openapi_documents, name, most)
            patched.setattr(openapi_documents, "MOST_WARNINGS", 1)
            document = read_document(str(path), [])
        [told] = caplog.messages
        assert "more than" in told
        assert len(table(table(document["components"])["x-documents"])) == taken


def test_a_replay_reads_the_documents_that_were_kept(tmp_path: Path, served: str) -> None:
    path = write(tmp_path, FILES)
    path.write_text(f"{path.read_text()}  responses: {{Gone: {{$ref: gone.yaml}}}}\n")
    where = f"{served}/api/service.yaml localhost"
    recorded = operation_tools(where, Answers(tmp_path / "a.sqlite", "record"))
    for file in path.parent.rglob("*.*"):
        file.unlink()
    with pytest.raises(ConfigError, match="404"):
        operation_tools(where)
    again = operation_tools(where, Answers(tmp_path / "a.sqlite", "replay"))
    assert [one.version for one in again] == [one.version for one in recorded]
    other = where.replace("service.yaml", "other.yaml")
    with pytest.raises(StoreError):
        operation_tools(other, Answers(tmp_path / "a.sqlite", "replay"))
