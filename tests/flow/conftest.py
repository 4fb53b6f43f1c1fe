"""What the tests of whole flows stand on."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest


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
