"""Small random models of several architectures, with tokenizers of several conventions."""

import pytest

from graft.models.huggingface import HuggingFaceModel
from small_models import ARCHITECTURES, TOKENIZERS, make_model


@pytest.fixture(scope="session", params=list(ARCHITECTURES))
def network(request: pytest.FixtureRequest) -> HuggingFaceModel:
    """One model of each architecture."""
    return make_model(request.param, "byte pairs")


@pytest.fixture(scope="session", params=list(TOKENIZERS))
def reader(request: pytest.FixtureRequest) -> HuggingFaceModel:
    """One model with each kind of tokenizer."""
    return make_model("llama", request.param)
