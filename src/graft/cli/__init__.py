"""The command line: input and output around the stages, and no logic of its own."""

import errno
import os
import sys

THREADS = {
    "OMP_WAIT_POLICY": "PASSIVE",  # small models on few cores would only wait
    "TOKENIZERS_PARALLELISM": "false",
    "TRANSFORMERS_VERBOSITY": "error",  # it advises to install torchvision, which nothing needs
}


def main() -> None:
    """Run the command line; every deliberate error is one line, without a traceback."""
    for name, value in THREADS.items():  # before torch is imported
        os.environ.setdefault(name, value)
    from graft.cli.app import app
    from graft.errors import GraftError

    try:
        app(standalone_mode=True)
    except GraftError as error:
        print(f"graft: {error}", file=sys.stderr)
        raise SystemExit(1) from None
    except OSError as error:
        if error.errno not in {errno.ENOSPC, errno.EDQUOT}:
            raise
        place = error.filename or "what is printed"
        print(
            f"graft: {place}: the disk is full; free some space and run the same command again",
            file=sys.stderr,
        )
        raise SystemExit(1) from None
