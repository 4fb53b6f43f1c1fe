"""Memory of this process, as Linux counts it."""

from pathlib import Path
from typing import Literal


def resident_mib(which: Literal["VmRSS", "VmHWM"]) -> float:
    """MiB of this program alone, now (VmRSS) or at most (VmHWM).

    What `getrusage` calls the maximum may be that of the parent, before this program began.
    """
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(which)) / 1024
