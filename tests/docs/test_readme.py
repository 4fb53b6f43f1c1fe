"""Every command and example of the README and the references is run in one empty folder."""

import importlib
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from processes import Graft

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = README + "".join(
    path.read_text(encoding="utf-8")
    for path in sorted((ROOT / "docs").glob("*.md"))
    if path.name != "own-tools.md"  # it has a test of its own
)
BLOCKS = re.findall(r"```(console|python)\n(.*?)```", PAGES, re.DOTALL)
COMMANDS = [
    line.removeprefix("$ ")
    for kind, block in BLOCKS
    if kind == "console"
    for line in block.splitlines()
    if line.startswith("$ ")
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a reader would try things out."""
    return tmp_path_factory.mktemp("reader")


def run(arguments: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        arguments, cwd=folder, capture_output=True, text=True, timeout=300, check=False
    )


def test_the_readme_has_commands_and_an_example() -> None:
    assert len([c for c in COMMANDS if c.startswith("graft ")]) >= 5
    assert [kind for kind, _ in BLOCKS].count("python") >= 2


@pytest.mark.parametrize("command", [c for c in COMMANDS if c.startswith("graft ")])
def test_a_command_of_the_readme_works(command: str, folder: Path, graft: Graft) -> None:
    done = graft(*shlex.split(command)[1:], folder=folder)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.strip()


@pytest.mark.parametrize("example", [block for kind, block in BLOCKS if kind == "python"])
def test_an_example_in_python_works(example: str, folder: Path) -> None:
    done = run([sys.executable, "-c", example], folder)
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.parametrize("command", [c for c in COMMANDS if c.startswith("make ")])
def test_a_target_of_the_readme_stands_in_the_makefile(command: str) -> None:
    done = run(["make", "-n", command.split()[1]], ROOT)
    assert done.returncode == 0, done.stderr
    assert {"make demo": "graft demo", "make test": "pytest"}[command] in done.stdout


def test_every_link_of_the_documents_leads_somewhere() -> None:
    for page in [ROOT / "README.md", *ROOT.glob("docs/**/*.md"), ROOT / "dev" / "log.md"]:
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
            if not target.startswith("http"):
                assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_a_result_page_says_what_its_json_says(monkeypatch: pytest.MonkeyPatch) -> None:
    from graft.cli import record, studies
    from graft.store.whole import read_json

    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    stopwatch = importlib.import_module("stopwatch")
    pages = {"benchmark": stopwatch.page, "study": studies.page}
    for path in (ROOT / "docs" / "results").glob("*.json"):
        kind, _, name = path.stem.partition("-")
        page, named = (pages[kind], name) if kind in pages else (record.page, path.stem)
        written = path.with_suffix(".md").read_text(encoding="utf-8")
        assert written == page(named, read_json(path)), path
