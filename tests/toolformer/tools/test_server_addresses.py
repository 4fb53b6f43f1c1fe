"""Where an MCP server is, and what of the environment it is given: a real process is asked."""

import sys
import time
from pathlib import Path

import pytest

from graft.errors import ConfigError
from graft.toolformer.tools.execute import Executor
from graft.toolformer.tools.server_addresses import Command, Site, read_address
from graft.toolformer.tools.servers import server_tools
from graft.toolformer.tools.signing import Key
from graft.toolformer.tools.tool import Context, Tool
from small_servers import SERVER


@pytest.fixture
def program(tmp_path: Path) -> Path:
    (tmp_path / "server.py").write_text(SERVER)
    return tmp_path / "server.py"


@pytest.fixture
def told(program: Path, monkeypatch: pytest.MonkeyPatch) -> Tool:
    monkeypatch.setenv("OUR_TOKEN", "let-us-in")
    monkeypatch.setenv("PAGES", "9")
    address = f"THEIR_TOKEN=OUR_TOKEN PAGES=PAGES {sys.executable} {program}"
    [tool] = server_tools(address)
    return tool


def said(tool: Tool, argument: str) -> str:
    return Executor().answer(tool, argument, Context())


def test_a_server_is_given_the_variables_that_are_named_and_no_others(told: Tool) -> None:
    assert said(told, "PAGES") == "PAGES is 9"
    assert said(told, "OUR_TOKEN") == "OUR_TOKEN is not set"
    assert said(told, "THEIR_TOKEN") == "THEIR_TOKEN is ..."  # it came, and is cut out


def test_what_a_server_says_at_its_standard_error_moves_no_cursor(
    program: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    server_tools(f"{sys.executable} {program}")
    seen = ""
    for _ in range(500):
        if seen := seen + capfd.readouterr().err:
            break
        time.sleep(0.01)
    assert seen == "\ufffd[31mbegun      at \ufffdonce\n"


@pytest.mark.parametrize(
    ("argument", "answer"), [("nothing", ""), ("table", '{"result": 3}'), ("A", "A is not set")]
)
def test_an_empty_text_is_an_answer_and_only_without_one_the_structure_is(
    told: Tool, argument: str, answer: str
) -> None:
    assert said(told, argument) == answer


def test_an_address_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OUR_TOKEN", "let-us-in")
    assert read_address("A=OUR_TOKEN python 'a b.py' X=Y") == Command(
        ("python", "a b.py", "X=Y"), (Key("OUR_TOKEN", "A", "environment", "plain"),)
    )
    assert read_address("https://a.org/mcp bearer=OUR_TOKEN") == Site(
        "https://a.org/mcp", (Key("OUR_TOKEN"),)
    )


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("", "name its URL, or a command"),
        ("A=OUR_TOKEN", "name its URL, or a command"),
        ("A=NOT_SET python a.py", "variable NOT_SET is empty; set it"),
        ("A= python a.py", "'A= python a.py': write NAME=VARIABLE"),
        ("bearer=OUR_TOKEN https://a.org", "write bearer=OUR_TOKEN behind its URL"),
        ("https://a.org extra", "'extra' stands behind its URL"),
    ],
)
def test_an_address_that_is_none_is_told(
    address: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OUR_TOKEN", "let-us-in")
    monkeypatch.delenv("NOT_SET", raising=False)
    with pytest.raises(ConfigError, match=message):
        read_address(address)


def test_without_need_no_variable_has_to_be_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOT_SET", raising=False)
    assert read_address("A=NOT_SET python", keys_needed=False).keys[0].variable == "NOT_SET"
    assert read_address("https://a.org A=NOT_SET", keys_needed=False).keys[0].name == "A"
