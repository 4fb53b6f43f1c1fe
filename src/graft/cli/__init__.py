"""The command line: input and output around the stages, and no logic of its own."""

import errno
import os
import sys
from typing import NoReturn

THREADS = {
    "OMP_WAIT_POLICY": "PASSIVE",  # small models on few cores would only wait
    "TOKENIZERS_PARALLELISM": "false",
    "TRANSFORMERS_VERBOSITY": "error",  # it advises to install torchvision, which nothing needs
}


def main() -> None:
    """Run the command line; every deliberate error is one line, without a traceback.

    Its notes, such as the call that was being answered, stand on that line too.

    Ctrl-C ends it with status 130, and says that the work can go on.
    """
    for name, value in THREADS.items():  # before torch is imported
        os.environ.setdefault(name, value)
    try:
        _run()
    except KeyboardInterrupt:  # while the commands are imported
        _stop("\ngraft: stopped; the same command goes on from here", 130)
    except SystemExit as end:
        if end.code == 130:  # typer's word for Ctrl-C
            _stop("\ngraft: stopped; the same command goes on from here", 130)
        raise


def _run() -> None:
    from graft.cli.app import app
    from graft.errors import GraftError

    try:
        app(standalone_mode=True)
    except GraftError as error:
        _stop("; ".join([f"graft: {error}", *getattr(error, "__notes__", ())]), 1)
    except OSError as error:
        if error.errno not in {errno.ENOSPC, errno.EDQUOT}:
            raise
        place = error.filename or "what is printed"
        remedy = "free some space and run the same command again"
        _stop(f"graft: {place}: the disk is full; {remedy}", 1)


def _stop(said: str, status: int) -> NoReturn:
    print(said, file=sys.stderr)
    raise SystemExit(status) from None
