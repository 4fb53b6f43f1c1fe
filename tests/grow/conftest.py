"""A seedling so small that it grows in seconds."""

import pytest
from transformers import PreTrainedTokenizerFast

from graft.grow.language import GrowConfig, new_tokenizer

TINY = GrowConfig(
    width=32,
    layers=2,
    heads=2,
    inner=48,
    vocabulary=700,
    steps=4,
    again_steps=2,
    rows=2,
    tokenizer_lessons=240,
    checkpoint_every=2,
)


@pytest.fixture(scope="session")
def tiny() -> GrowConfig:
    """A recipe of six steps."""
    return TINY


@pytest.fixture(scope="session")
def tokenizer() -> PreTrainedTokenizerFast:
    """Its tokenizer."""
    return new_tokenizer(TINY)
