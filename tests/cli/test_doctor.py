import sys
import tomllib
from pathlib import Path

import pytest
import torch
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from rich.console import Console

from graft.cli.doctor import NEEDED_FOR, Finding, examine, judge, render, seedling

PYPROJECT = Path(__file__).parents[2] / "pyproject.toml"


@pytest.fixture(scope="module")
def findings() -> dict[str, Finding]:
    return {finding.name: finding for finding in examine()}


def test_every_requirement_is_examined_and_has_a_purpose(
    findings: dict[str, Finding],
) -> None:
    project = tomllib.loads(PYPROJECT.read_text())["project"]
    groups = [project["dependencies"], *project["optional-dependencies"].values()]
    names = {canonicalize_name(Requirement(line).name) for group in groups for line in group}
    assert set(NEEDED_FOR) == names
    assert names <= set(findings)


def test_the_device_and_the_machine_are_told(findings: dict[str, Finding]) -> None:
    assert findings["device"].found.split(":")[0] in {"cuda", "mps", "cpu"}
    assert findings["threads"].found == f"{torch.get_num_threads()} taken by torch"
    assert int(findings["cores"].found) >= 1
    assert findings["disk"].found.endswith("GiB")
    assert findings["HF_HUB_OFFLINE"].found == "1"
    assert findings["torch"].state == "ok"
    assert findings["datasets"].state in {"ok", "note"}


def test_a_missing_torch_is_reported_and_not_stumbled_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    device = next(finding for finding in examine() if finding.name == "device")
    assert device.state == "missing"
    assert device.remedy == 'pip install "graft-models"'


def test_whatever_is_missing_has_a_purpose_and_a_remedy(findings: dict[str, Finding]) -> None:
    wrong = [finding for finding in findings.values() if finding.state == "missing"]
    assert all(finding.needed_for and finding.remedy for finding in wrong)


def test_an_absent_requirement_is_missing_and_its_remedy_a_command() -> None:
    assert judge(Requirement("torch>=2.6"), None) == Finding(
        "torch", "missing", "not installed", "every model", 'pip install "graft-models"'
    )


def test_an_absent_extra_is_only_a_note() -> None:
    assert judge(Requirement("datasets>=5.2"), None, "hub") == Finding(
        "datasets",
        "note",
        "not installed",
        "corpora by hub id",
        'pip install "graft-models[hub]"',
    )


@pytest.mark.parametrize(
    ("version", "state"),
    [("5.15.9", "missing"), ("5.16.0", "ok"), ("5.99", "ok"), ("6.0", "missing")],
)
def test_a_version_outside_the_bounds_is_missing(version: str, state: str) -> None:
    finding = judge(Requirement("transformers>=5.16,<6"), version)
    assert finding.state == state
    assert finding.found.startswith(version)


def test_a_local_build_counts_as_its_version() -> None:
    assert judge(Requirement("torch>=2.6"), "2.13.0+cpu").state == "ok"


def test_missing_weights_can_be_grown(tmp_path: Path) -> None:
    weights = tmp_path / "model.safetensors"
    finding = seedling("language", weights, "graft demo")
    assert (finding.state, finding.remedy) == ("missing", "graft seedling grow language")
    weights.write_bytes(bytes(3 * 2**20))
    assert seedling("language", weights, "graft demo") == Finding(
        "seedling language", "ok", "3.0 MiB", "graft demo"
    )


def test_the_table_shows_every_finding_as_it_is_written() -> None:
    remedy = 'pip install "graft-models[hub]"'
    table = render([Finding("datasets", "note", "not installed", "corpora", remedy)])
    console = Console(width=120)
    with console.capture() as capture:
        console.print(table)
    written = capture.get()
    for text in ("note", "datasets", "not installed", "corpora", remedy):
        assert text in written
