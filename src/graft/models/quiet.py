"""Other people's progress bars, kept off the terminal: bars belong to the command line."""

import contextlib
from collections.abc import Generator

from transformers.utils import logging


@contextlib.contextmanager
def no_progress_bars() -> Generator[None]:
    """No bar of `transformers` while the block runs."""
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


@contextlib.contextmanager
def no_pipeline_bars() -> Generator[None]:
    """No bar and no advice of `diffusers`, or of `transformers`, while the block runs."""
    from diffusers.utils import logging as diffusers_logging  # seconds to import

    level = diffusers_logging.get_verbosity()
    diffusers_logging.set_verbosity_error()
    diffusers_logging.disable_progress_bar()
    try:
        with no_progress_bars():
            yield
    finally:
        diffusers_logging.set_verbosity(level)
        diffusers_logging.enable_progress_bar()
