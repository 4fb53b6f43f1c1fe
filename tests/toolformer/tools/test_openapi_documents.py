"""OpenAPI documents, which strangers write: what is read of them, and what is refused."""

from pathlib import Path

import pytest

from graft.errors import ConfigError, ToolError
from graft.toolformer.tools.operations import Operation, operation_tools
from graft.toolformer.tools.tool import Tool

HEAD = "openapi: 3.0.0\nservers: [{url: 'http://localhost'}]\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("openapi: 3.0.0\npaths: {}\nservers: [{url: 'http://a'}]", "describes no operations"),
        ("swagger: '2.0'", "not of OpenAPI 3"),
        (
            "openapi: 3.0.0\npaths: {/a: {get: {summary: x}}}",
            "does not say where its service is",
        ),
        ("a: &a [1]\nb: *a", "aliases .* are not read"),
        ("{", "not JSON"),
        ("[" * 100_000, "great depth are not read"),
        ("!!python/object/apply:os.system ['true']", "neither JSON nor YAML: could not"),
        ("a: !!timestamp zzz", "neither JSON nor YAML"),
        ("a: !!bool maybe", "neither JSON nor YAML"),
        ("a: !!float ''", "neither JSON nor YAML"),
        (
            f"{HEAD}paths: {{evil: {{get: {{summary: x}}}}}}",
            "its path 'evil' does not begin with /",
        ),
        (f"{HEAD}paths: {{/a: {{$ref: 'b#/c'}}}}", "yaml': its path '/a': b#/c: names what"),
        (
            f"{HEAD}paths: {{/a: {{$ref: '#/paths/~1a'}}}}",
            "yaml': its path '/a': its references go in circles",
        ),
        (
            "openapi: 3.0.0\nservers: [{url: 'http://{x}', variables: {x: {}}}]",
            "the variable 'x' of its server has no default",
        ),
    ],
)
def test_a_document_that_cannot_be_used_is_named(
    tmp_path: Path, text: str, message: str
) -> None:
    path = tmp_path / "service.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message) as caught:
        operation_tools(str(path))
    assert "service.yaml" in str(caught.value)


def operations_of(folder: Path, paths: str, more: str = "") -> dict[str, Tool]:
    """Of a document in YAML."""
    (folder / "service.yaml").write_text(f"{HEAD}paths:\n{paths}{more}")
    return {tool.name: tool for tool in operation_tools(str(folder / "service.yaml"))}


@pytest.mark.parametrize("path", ["@evil.example/x", ".evil.example/x", ":80@evil.example/"])
def test_a_path_that_changes_the_host_is_refused_before_a_secret_is_sent(
    tmp_path: Path, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("THE_SECRET", "s3cret-of-the-test")
    file = tmp_path / "service.yaml"
    security = "components: {securitySchemes: {k: {type: http, scheme: bearer}}}\n"
    file.write_text(f"{HEAD}{security}paths: {{'{path}': {{get: {{summary: x}}}}}}")
    with pytest.raises(ConfigError, match="does not begin with /"):
        operation_tools(f"{file} localhost k=THE_SECRET")
    with pytest.raises(ToolError, match="leads away from the service"):
        Operation("x", "", "GET", "http://localhost", path, ()).request({})


def test_an_operations_own_parameter_goes_before_its_paths(tmp_path: Path) -> None:
    found = operations_of(
        tmp_path,
        """
  /a/{id}:
    parameters: [{name: id, in: path, schema: {type: string}}]
    get:
      operationId: get
      parameters:
      - {name: id, in: path, schema: {type: integer}}
      - {name: id, in: query, schema: {type: boolean}}
      - {name: Content-Length, in: header, schema: {type: string}}
""",
    )
    arguments = found["get"].arguments
    assert arguments is not None
    assert arguments.names == ("id", "id_in_query")
    assert arguments.read("id=7, id_in_query=true") == {"id": 7, "id in query": True}
    with pytest.raises(ToolError, match="'x' is not of type 'integer'"):
        arguments.read('id="x"')


def test_keys_of_yaml_are_texts_whatever_they_look_like(tmp_path: Path) -> None:
    found = operations_of(
        tmp_path,
        """
  /a:
    post:
      operationId: post
      requestBody:
        content:
          application/json:
            schema: {properties: {yes: {type: string}, 404: {type: integer}, 2020-01-01: {}}}
""",
        "components: {responses: {404: {description: x}, NotFound: {description: y}}}\n",
    )
    arguments = found["post"].arguments
    assert arguments is not None
    assert arguments.names == ("yes", "_404", "_2020_01_01")
    assert arguments.read("_404=1") == {"404": 1}


def test_names_that_come_out_the_same_get_numbers_and_what_is_amiss_is_left_out_by_name(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    found = operations_of(
        tmp_path,
        """
  /a: {get: {operationId: a.b}, post: {operationId: a-b}, put: {operationId: "\u2603"}}
  /b: {get: {operationId: bad, parameters: [{name: x, in: query, schema: {type: nope}}]}}
""",
    )
    assert list(found) == ["a_b", "a_b_2", "tool"]
    [told] = caplog.messages
    assert "service.yaml': left out: its operation 'bad': no JSON schema: 'nope'" in told
