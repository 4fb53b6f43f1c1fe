"""Commands as processes of their own, which can be killed."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path


def start(arguments: Sequence[str], folder: Path | None = None) -> subprocess.Popen[str]:
    """A command on one thread, in `folder`."""
    one_thread = {**os.environ, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
    return subprocess.Popen(
        arguments,
        cwd=folder,
        env=one_thread,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(process: subprocess.Popen[str]) -> str:
    """Wait until it ends well; what it said."""
    said, _ = process.communicate(timeout=240)
    assert process.returncode == 0, said
    return said


def kill_when(process: subprocess.Popen[str], reached: Callable[[], bool]) -> None:
    """Kill without warning as soon as something is reached."""
    try:
        while process.poll() is None and not reached():
            time.sleep(0.005)
    finally:
        process.send_signal(signal.SIGKILL)
        said, _ = process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL, said
