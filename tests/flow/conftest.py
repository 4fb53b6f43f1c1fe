"""One process in which everything is imported, for all the commands of these tests."""

from collections.abc import Iterator

import pytest

from processes import Commands


@pytest.fixture(scope="session")
def commands(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Commands]:
    commands = Commands(tmp_path_factory.mktemp("said"))
    yield commands
    commands.close()
