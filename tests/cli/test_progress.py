import contextlib
import os
import signal
from collections.abc import Iterator

import pytest

from graft.cli.progress import show
from graft.scale.progress import Progress


def test_a_ctrl_c_that_a_library_swallows_stops_at_the_next_step() -> None:
    done: list[int] = []

    def stage() -> Iterator[Progress]:
        for step in range(1, 4):
            if step == 2:
                with contextlib.suppress(KeyboardInterrupt):  # as a library's callback does
                    os.kill(os.getpid(), signal.SIGINT)
            done.append(step)
            yield Progress("annotate", step, 3, "shards")

    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        show(stage())
    assert done == [1, 2]
    assert signal.getsignal(signal.SIGINT) is before
