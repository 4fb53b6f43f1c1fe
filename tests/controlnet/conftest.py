from pathlib import Path

import pytest

from graft.controlnet.train import Progress
from graft.controlnet.workshop import Workshop
from small_runs import TaughtRun
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


@pytest.fixture(scope="session")
def taught_run(tmp_path_factory: pytest.TempPathFactory) -> TaughtRun:
    return TaughtRun(tmp_path_factory.mktemp("taught"))


@pytest.fixture
def taught(taught_run: TaughtRun, tmp_path: Path) -> Workshop:
    """A taught run that may be spoilt."""
    return taught_run.copied(tmp_path / "run")
