"""Tools by where they stand in Python."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from graft.cli.app import app
from graft.errors import ConfigError
from graft.toolformer.tools.loading import is_place, load_tool
from graft.toolformer.tools.tool import Context
from graft.toolformer.tools.toolbox import require_settings_of_tools, tools_by_name

UNITS = """
from graft.toolformer.tools.function import tool

with open("loaded", "a") as file:
    file.write("x")

@tool(examples=["It is [Miles(km=10.0)] 6 miles."], name="Miles")
def miles(km: float) -> str:
    return f"{km / 1.609344:.0f} miles"

def shout(text: str) -> str:
    return text.upper()

number = 3
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "units.py").write_text(UNITS)
    (tmp_path / "broken.py").write_text("import nowhere_to_be_found")
    (tmp_path / "reading.py").write_text('print("so")\nopen("table.csv")')
    (tmp_path / "leaving.py").write_text("raise SystemExit(3)")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_tool_and_a_function_are_found_in_a_file_that_is_run_once(here: Path) -> None:
    tools = tools_by_name(["units.py:miles", "calculator", "units.py:shout"])
    assert list(tools) == ["Miles", "Calculator", "shout"]
    assert tools["Miles"].answer("km=10", Context()) == "6 miles"
    assert tools["shout"].answer("so", Context()) == "SO"
    assert (tools["Miles"].place, tools["Calculator"].place) == ("units.py:miles", None)
    assert (here / "loaded").read_text() == "x"


def test_a_function_is_found_in_a_module() -> None:
    assert load_tool("graft.toolformer.call:strip").answer("A [B(1)] c", Context()) == "A c"
    with pytest.raises(ConfigError, match="say of which type 'text' is"):
        load_tool("textwrap:dedent")


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("nowhere.py:miles", "no such file: nowhere.py"),
        ("units.py:meters", "units.py has nothing of that name"),
        ("units.py:number", "units.py has a int, no tool"),
        ("broken.py:miles", "broken.py, line 1, cannot be run: ModuleNotFoundError: No module"),
        (
            "reading.py:miles",
            "reading.py, line 2, cannot be run: FileNotFoundError",
        ),
        ("leaving.py:miles", "leaving.py, line 1, cannot be run: SystemExit: 3"),
        ("no_such_module:miles", "no_such_module cannot be run: ModuleNotFoundError"),
        (":miles", "cannot be run"),
    ],
)
def test_what_cannot_be_loaded_is_told_with_its_place(place: str, message: str) -> None:
    assert is_place(place)
    with pytest.raises(ConfigError, match=message) as caught:
        load_tool(place)
    assert f"the tool '{place}'" in str(caught.value)


@pytest.mark.usefixtures("here")
def test_two_tools_of_one_name_are_refused() -> None:
    with pytest.raises(ConfigError, match="two tools are called 'Miles'"):
        tools_by_name(["units.py:miles", "./units.py:miles"])


@pytest.mark.usefixtures("here")
def test_settings_may_be_of_any_tool_that_there_is() -> None:
    tools = tools_by_name(["units.py:miles"])
    require_settings_of_tools(tools, ["keep.tools.Miles", "keep.tools.Calculator"])
    with pytest.raises(ConfigError, match=r"'keep.tools.Mile' .did you mean 'Miles'"):
        require_settings_of_tools(tools, ["keep.tools.Mile"])


def test_what_strangers_write_moves_no_cursor(tmp_path: Path) -> None:
    (tmp_path / "odd.py").write_text(
        "def odd(text: str) -> str:\n"
        '    "Says \\x1b]0;mine\\x07 it."\n'
        '    return f"\\x1b[31m{text}"\n'
    )
    for command in (["list", f"{tmp_path}/odd.py:odd"], ["try", f"{tmp_path}/odd.py:odd", "x"]):
        found = CliRunner().invoke(app, ["tools", *command])
        assert found.exit_code == 0, found.output
        assert not {"\x1b", "\x07"} & set(found.output)
        assert "\ufffd" in found.output
