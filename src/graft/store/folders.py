"""Folders that are written whole or not at all, as `graft.store.whole` does for files."""

import contextlib
import os
import shutil
import uuid
from collections.abc import Generator
from pathlib import Path

from graft.errors import StoreError
from graft.store.whole import PARTIAL, writing


@contextlib.contextmanager
def whole_folder(path: Path) -> Generator[Path]:
    """A folder to fill, which stands at `path` when the block ends without an exception.

    Every file in it is forced to disk first. Exceptions of the block leave no trace.

    Raises:
        StoreError: `path` stands already, or cannot be written.
    """
    if path.exists():
        raise StoreError(f"{path}: stands already; delete it, or choose another folder")
    partial = path.with_name(f".{path.name}.{uuid.uuid4().hex}{PARTIAL}")
    with writing(path):
        partial.mkdir(parents=True)
    try:
        yield partial
        with writing(path):
            for made in sorted(partial.rglob("*")):
                _sync(made)
            _sync(partial)
            partial.rename(path)
            _sync(path.parent)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def remove_folder(path: Path) -> None:
    """Delete a folder so that who is killed in between leaves the whole of it or nothing."""
    doomed = path.with_name(f".{path.name}.{uuid.uuid4().hex}{PARTIAL}")
    with writing(path):
        path.rename(doomed)
        shutil.rmtree(doomed)


def remove_partial_folders(folder: Path) -> None:
    """Clear away what killed writers left in `folder`; call it only while nobody writes."""
    for stale in folder.glob(f".*{PARTIAL}"):
        if stale.is_dir():
            with writing(stale):
                shutil.rmtree(stale)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
