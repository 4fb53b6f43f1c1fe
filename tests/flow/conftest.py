"""Processes in which everything is imported, for all the commands of these tests."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from processes import CONTROLNET, TOOLFORMER, Commands


@pytest.fixture(scope="session")
def commands(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Commands]:
    commands = Commands(tmp_path_factory.mktemp("said"), TOOLFORMER)
    yield commands
    commands.close()


@pytest.fixture(scope="session")
def control_commands(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Commands]:
    commands = Commands(tmp_path_factory.mktemp("said"), CONTROLNET)
    yield commands
    commands.close()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of its own, at first of one page."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = shutil.which("mount")
    tried = mount and subprocess.run(
        [mount, "-t", "tmpfs", "-o", "size=4k", "tmpfs", str(disk)],
        capture_output=True,
        check=False,
    )
    if not tried or tried.returncode:
        pytest.skip("only root can mount a disk to fill")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)
