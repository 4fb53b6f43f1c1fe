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
