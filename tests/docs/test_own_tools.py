"""The tutorial is gone through as it stands, in one empty folder."""

import json
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from processes import Graft

PAGE = (Path(__file__).parents[2] / "docs" / "own-tools.md").read_text(encoding="utf-8")
FILES = re.findall(r'```\w+ title="([^"]+)"\n(.*?)```', PAGE, re.DOTALL)
TRANSLATED = re.compile(r"graft tools \w+ mt\b")
INSTALLS = "sudo apt-get"
COMMANDS = [
    command
    for command in re.findall(r"^\$ (.*)$", PAGE, re.MULTILINE)
    if not command.startswith(INSTALLS) and not TRANSLATED.match(command)
]
pytestmark = pytest.mark.timeout(900)  # all of the page is gone through before the first test


def run(
    command: str, folder: Path, background: list[subprocess.Popen[str]], graft: Graft
) -> str:
    program, *rest = shlex.split(command.removesuffix("&"))
    if program == "graft":
        done = graft(*rest, folder=folder)
        assert done.returncode == 0, done.stderr[-2000:]
        return done.stdout
    assert program == "python"
    words = [sys.executable, *rest]
    if command.endswith("&"):
        begun = subprocess.Popen(
            words, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        background.append(begun)
        assert begun.stdout is not None
        return begun.stdout.readline()
    return subprocess.run(
        words, cwd=folder, capture_output=True, text=True, timeout=60, check=True
    ).stdout


@pytest.fixture(scope="module")
def said(
    tmp_path_factory: pytest.TempPathFactory, graft: Graft
) -> Iterator[tuple[Path, dict[str, str]]]:
    folder = tmp_path_factory.mktemp("tutorial")
    for name, text in FILES:
        (folder / name).write_text(text)
    background = list[subprocess.Popen[str]]()
    yield folder, {command: run(command, folder, background, graft) for command in COMMANDS}
    for process in background:
        process.kill()
        process.communicate(timeout=30)


def test_function_and_recipe_are_under_thirty_lines() -> None:
    texts = dict(FILES)
    assert (texts["units.py"] + texts["miles.toml"]).count("\n") < 30


def test_the_model_calls_the_tool_and_is_right_where_the_control_is_not(
    said: tuple[Path, dict[str, str]],
) -> None:
    folder, _ = said
    results = json.loads((folder / "runs/miles/report.json").read_text())["tasks"]["questions"]
    assert results["toolformer"]["accuracy"] > 0.8
    assert results["toolformer"]["call_rate"] > 0.9
    for other in ("base", "control", "disabled"):
        assert results[other]["accuracy"] < 0.2


def test_the_taught_model_writes_what_the_page_says(said: tuple[Path, dict[str, str]]) -> None:
    _, outputs = said
    [told] = [text for command, text in outputs.items() if "toolformer run" in command]
    assert "that is [Miles(km=43) -> 26.7 miles]" in told
    assert "`[Miles(km=43) -> 26.7 miles]`" in PAGE


@pytest.mark.parametrize("place", ["mcp:python server.py", "openapi:http://127.0.0.1:18423"])
def test_tools_of_a_server_and_of_a_service_are_tried(
    said: tuple[Path, dict[str, str]], place: str
) -> None:
    _, outputs = said
    [tried] = [text for one, text in outputs.items() if "tools try" in one and place in one]
    assert tried == "[miles(km=43) -> 26.7 miles]\n"


def test_a_model_is_tried_as_a_tool_and_its_calls_are_shown_as_a_tree(
    said: tuple[Path, dict[str, str]],
) -> None:
    folder, outputs = said
    [tried] = [text for one, text in outputs.items() if "tools try model:walk" in one]
    outer, inner = tried.splitlines()
    assert outer.startswith('[Walk(town="Osk", km=43) -> 26.7]  (')
    assert inner.startswith("└─ [Miles(km=43) -> 26.7 miles]  (")
    assert (folder / "walk.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("run", ["walk"])
def test_calls_of_a_model_are_kept(said: tuple[Path, dict[str, str]], run: str) -> None:
    folder, _ = said
    kept = json.loads((folder / "runs" / run / "keep" / "report.json").read_text())
    assert kept["candidates"]["Walk"] > 20
    assert kept["kept"]["Walk"] > 10


def test_an_index_and_a_server_answer_as_the_page_asks(
    said: tuple[Path, dict[str, str]],
) -> None:
    _, outputs = said
    tried = {
        one.rpartition("try ")[2].partition(" ")[0]: text
        for one, text in outputs.items()
        if "tools try search:" in one or "tools try qa:" in one
    }
    rises = "Osk > It rises near Tovel and flows into the North Sea."
    built = "Lorn > Lorn is a hill near Tovel, with a lighthouse that was built in 1931."
    assert tried == {
        "search:rivers": f'[Search("Osk rises") -> {rises}]\n',
        "search:rivers-fast": f'[Search("Osk rises") -> {rises}]\n',
        "qa:rivers": '[QA("When was Tovel founded?") -> 1840 (Tovel)]\n',
        "search:towns.toml": f'[Search("lighthouse built") -> {built}]\n',
    }
    indexed = [text for one, text in outputs.items() if "tools index" in one]
    assert len(indexed) == 2
    assert all(one.startswith("3 documents, 3 paragraphs\n") for one in indexed)


def test_the_settings_of_any_other_server_are_settings(
    said: tuple[Path, dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    from graft.toolformer.tools.http_search import http_search_tool

    monkeypatch.setenv("SEARCH_TOKEN", "a-secret")
    assert http_search_tool(said[0] / "other.toml").name == "Search"


@pytest.mark.parametrize("run", ["server", "service"])
def test_calls_of_a_server_and_of_a_service_are_kept(
    said: tuple[Path, dict[str, str]], run: str
) -> None:
    folder, _ = said
    kept = json.loads((folder / "runs" / run / "keep" / "report.json").read_text())
    assert kept["candidates"]["miles"] == 60
    assert kept["kept"]["miles"] > 20


@pytest.mark.skipif(shutil.which("apertium") is None, reason="needs Debian's apertium")
def test_the_page_translates_as_it_says(tmp_path: Path, graft: Graft) -> None:
    commands = [
        one for one in re.findall(r"^\$ (.*)$", PAGE, re.MULTILINE) if TRANSLATED.match(one)
    ]
    tried, checked = (run(command, tmp_path, [], graft) for command in commands)
    assert tried == ('[MT("mi hermano vive en la ciudad") -> my brother lives in the city]\n')
    assert "MT: a model could learn it from its examples" in checked


def test_what_is_said_of_composed_functions_is_what_was_recorded() -> None:
    recorded = Path(__file__).parents[2] / "docs" / "results" / "benchmark-functions.json"
    rows = {
        row["case"]: row for row in json.loads(recorded.read_text(encoding="utf-8"))["rows"]
    }
    ways = ("two functions, composed", "one, the same texts", "one, the whole task")
    for budget in (26, 53, 106):
        found = [rows[f"{budget}k tokens: {way}"] for way in ways]
        cells = [f"{row['right']:.1f}% ({row['from']:.1f} to {row['to']:.1f})" for row in found]
        assert f"| {budget},000 | {' | '.join(cells)} |" in PAGE
    for way in ways[1:]:
        for budget in (26, 53):
            assert rows[f"{budget}k tokens: composed over {way}"]["from"] > 0
        assert rows[f"106k tokens: composed over {way}"]["to"] < 0
    assert all(rows[f"106k tokens: {way}"]["right"] > 88 for way in ways)
