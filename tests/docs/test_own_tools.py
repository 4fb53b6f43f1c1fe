"""The tutorial is gone through as it stands, in one empty folder."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = (Path(__file__).parents[2] / "docs" / "own-tools.md").read_text(encoding="utf-8")
FILES = re.findall(r'```\w+ title="([^"]+)"\n(.*?)```', PAGE, re.DOTALL)
COMMANDS = re.findall(r"^\$ (.*)$", PAGE, re.MULTILINE)
GRAFT = [sys.executable, "-c", "from graft.cli import main; main()"]


def run(command: str, folder: Path) -> str:
    program, *rest = shlex.split(command)
    started = {"python": [sys.executable], "graft": GRAFT}[program]
    done = subprocess.run(
        [*started, *rest], cwd=folder, capture_output=True, text=True, timeout=400, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    folder = tmp_path_factory.mktemp("tutorial")
    for name, text in FILES:
        (folder / name).write_text(text)
    return folder, [run(command, folder) for command in COMMANDS]


def test_function_and_recipe_are_under_thirty_lines() -> None:
    texts = dict(FILES)
    assert (texts["units.py"] + texts["miles.toml"]).count("\n") < 30


def test_the_model_calls_the_tool_and_is_right_where_the_control_is_not(
    said: tuple[Path, list[str]],
) -> None:
    folder, _ = said
    results = json.loads((folder / "runs/miles/report.json").read_text())["tasks"]["questions"]
    assert results["toolformer"]["accuracy"] > 0.8
    assert results["toolformer"]["call_rate"] > 0.9
    for other in ("base", "control", "disabled"):
        assert results[other]["accuracy"] < 0.2


def test_the_last_command_says_what_the_page_says(said: tuple[Path, list[str]]) -> None:
    _, [*_, last] = said
    assert "that is [Miles(km=43) -> 26.7 miles]" in last
    assert "`[Miles(km=43) -> 26.7 miles]`" in PAGE
