from pathlib import Path

import pytest

from graft.controlnet.train import Progress
from small_trainings import Setting


@pytest.fixture(scope="module")
def setting(tmp_path_factory: pytest.TempPathFactory) -> Setting:
    return Setting(tmp_path_factory.mktemp("setting"))


@pytest.fixture(scope="module")
def trained(
    setting: Setting, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, list[Progress]]:
    folder = tmp_path_factory.mktemp("trained")
    return folder, setting.train(folder)
