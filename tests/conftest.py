"""What must stand before torch is imported: few threads, no network, no window."""

import os
from collections.abc import Iterator

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["MPLBACKEND"] = "agg"

import hypothesis
import pytest

from processes import CONTROLNET, TOOLFORMER, Commands, Graft

hypothesis.settings.register_profile("house", deadline=None, database=None, derandomize=True)
hypothesis.settings.load_profile("house")


@pytest.fixture(scope="session")
def commands(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Commands]:
    """Processes in which everything is imported, for all the commands of these tests."""
    commands = Commands(tmp_path_factory.mktemp("said"), [*TOOLFORMER, *CONTROLNET])
    yield commands
    commands.close()


@pytest.fixture(scope="session")
def graft(commands: Commands) -> Graft:
    """Runs a command with these words, in `folder`, as a process of its own."""
    return commands.call
