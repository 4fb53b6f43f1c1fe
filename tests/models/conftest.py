"""Small random models of several architectures, with tokenizers of several conventions."""

import shutil
from pathlib import Path

import pytest

from graft.models.diffusion import DiffusionModel
from graft.models.huggingface import HuggingFaceModel
from small_bases import make_base
from small_models import ARCHITECTURES, TOKENIZERS, make_model


@pytest.fixture(scope="session", params=list(ARCHITECTURES))
def network(request: pytest.FixtureRequest) -> HuggingFaceModel:
    """One model of each architecture."""
    return make_model(request.param, "byte pairs")


@pytest.fixture(scope="session", params=list(TOKENIZERS))
def reader(request: pytest.FixtureRequest) -> HuggingFaceModel:
    """One model with each kind of tokenizer."""
    return make_model("llama", request.param)


@pytest.fixture(scope="module")
def small() -> DiffusionModel:
    """A base of Stable Diffusion 1's kind."""
    return make_base("sd1")


@pytest.fixture(scope="module")
def saved(small: DiffusionModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its folder."""
    folder = tmp_path_factory.mktemp("saved") / "base"
    small.pipeline.save_pretrained(folder)
    return folder


@pytest.fixture
def broken(saved: Path, tmp_path: Path) -> Path:
    """A copy of a whole folder, to take something away from."""
    return Path(shutil.copytree(saved, tmp_path / "base"))
