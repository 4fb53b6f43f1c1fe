"""Processes in which everything is imported, for all the commands of these tests."""

from collections.abc import Iterator

import pytest

from processes import Commands

BOTH = ("graft.cli.app", "graft.cli.tables")
TOOLFORMER = (*BOTH, "graft.toolformer.teach", "transformers.models.llama")
CONTROLNET = (
    *(*BOTH, "graft.cli.plots", "graft.controlnet.teach", "matplotlib.figure"),
    *("matplotlib.backends.backend_agg", "diffusers.schedulers.scheduling_ddim"),
    "diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion",
)


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
