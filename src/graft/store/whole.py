"""Files that are written whole or not at all: a reader sees the old bytes or the new ones.

A file is written under a temporary name in its own folder, forced to disk, and renamed. Who is
killed in between leaves a `.NAME.*.partial` behind, which `remove_partial` clears away.
"""

import contextlib
import errno
import json
import os
import re
import uuid
from collections.abc import Generator
from pathlib import Path
from typing import BinaryIO, cast

from safetensors import SafetensorError

from graft.errors import StoreError

PARTIAL = ".partial"
_REASONS = {
    errno.ENOSPC: "the disk is full; free some space and run the same command again",
    errno.EFBIG: "larger than a file may be here (ulimit -f); raise it and run the same command"
    " again",
    errno.EDQUOT: "the disk quota is used up; free some space and run the same command again",
    errno.EACCES: "no permission to write here; choose another folder or change its owner",
    errno.EPERM: "no permission to write here; choose another folder or change its owner",
    errno.EROFS: "the disk is read-only; choose another folder",
}
_NUMBER = re.compile(r"\(os error ([0-9]+)\)")


@contextlib.contextmanager
def whole_file(path: Path) -> Generator[BinaryIO]:
    """A file to write to, which stands at `path` when the block ends without an exception.

    Folders on the way are made. Exceptions of the block pass unchanged and leave no trace.

    Raises:
        StoreError: the file cannot be written; names it, the reason and the remedy.
    """
    partial = path.with_name(f".{path.name}.{uuid.uuid4().hex}{PARTIAL}")
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        file = partial.open("xb")
    try:
        yield file
        with writing(path):
            file.flush()
            os.fsync(file.fileno())
            file.close()
            partial.replace(path)
            _sync_folder(path.parent)
    finally:
        with contextlib.suppress(OSError):  # closing flushes, and a full disk refuses again
            file.close()
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)


@contextlib.contextmanager
def writing(path: Path) -> Generator[None]:
    """Turns the system's refusal to write `path` into a `StoreError` with the remedy."""
    try:
        yield
    except (OSError, SafetensorError) as error:
        raise StoreError(f"{path}: cannot be written: {_reason(error)}") from error


def _reason(error: OSError | SafetensorError) -> str:
    """Why, and what to do; safetensors tells the system's number in its text only."""
    if isinstance(error, OSError):
        return _REASONS.get(error.errno or 0, error.strerror or str(error))
    found = _NUMBER.search(str(error))
    return _REASONS.get(int(found[1]) if found else 0, str(error))


@contextlib.contextmanager
def reading(path: Path) -> Generator[None]:
    """Turns the system's refusal to read `path` into a `StoreError` that names it."""
    try:
        yield
    except OSError as error:
        raise StoreError(f"{path}: cannot be read: {error.strerror or error}") from error


def write_text(path: Path, text: str) -> None:
    """Write `text` as UTF-8, whole or not at all."""
    content = text.encode("utf-8")
    with whole_file(path) as file, writing(path):
        file.write(content)


def write_json(path: Path, value: object) -> None:
    """Write `value` as indented JSON, whole or not at all; equal values give equal bytes."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def append_line(path: Path, value: object) -> None:
    """Append `value` to a diary as a line of JSON, behind a line that was cut on a new one."""
    written = json.dumps(value, ensure_ascii=False).encode() + b"\n"
    with writing(path), path.open("a+b") as file:
        if file.tell():
            file.seek(-1, os.SEEK_END)
            written = b"\n" * (file.read(1) != b"\n") + written
        file.write(written)


def remove_partial(folder: Path) -> None:
    """Clear away the files that killed writers left in `folder`, while nobody writes there."""
    for stale in folder.glob(f".*{PARTIAL}"):
        if not stale.is_dir():  # those are `remove_partial_folders`' to clear
            with writing(stale):
                stale.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    """Force the renaming itself to disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_json(path: Path) -> dict[str, object]:
    """The JSON object in a file that `write_json` wrote.

    Raises:
        StoreError: it is not there, or holds something else.
    """
    try:
        value: object = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise StoreError(f"{path}: cannot be read: {error}; run its stage again") from error
    if not isinstance(value, dict):
        raise StoreError(f"{path}: not a JSON object; run its stage again")
    return cast("dict[str, object]", value)
