"""A run's folder: the resolved recipe, one folder per stage, and what each stage came to.

    recipe.json              the settings the run was begun with
    STAGE/...                what the stage made
    STAGE/log.jsonl          how it went, line by line; the only place for times
    STAGE/manifest.json      written last: the summary, and the SHA-256 of what the stage made

Two equal runs have equal files, but for the diaries `log.jsonl` and `seconds.json`.
"""

import contextlib
import fcntl
import hashlib
import json
import os
from collections.abc import Generator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import cast

from graft.errors import StoreError
from graft.store.whole import (
    PARTIAL,
    append_line,
    read_json,
    reading,
    remove_partial,
    write_json,
    write_text,
    writing,
)

__all__ = [
    "DIARIES",
    "Run",
    "held",
    "refuse_another",
    "told_differences",
    "write_json",
    "write_text",
]

DIARIES = ("log.jsonl", "seconds.json")
"""Files that may differ between two equal runs; a manifest leaves them out."""

_MANIFEST = "manifest.json"
_RECIPE = "recipe.json"


def refuse_another(root: Path, asked: Mapping[str, object], names: Sequence[str]) -> None:
    """Leave a begun run and its recipe as they are where another one is asked for there.

    Args:
        root: the run's folder; one without a begun `annotate` has not begun.
        asked: the settings that are asked for.
        names: those of them that may not change.

    Raises:
        StoreError: one differs, or the recipe is gone.
    """
    with reading(root):
        if not (root / "annotate" / _RECIPE).is_file():
            return
    path = root / _RECIPE
    if not path.is_file():
        raise StoreError(
            f"{path}: is missing, and the run in {root} has begun; put it back, or choose"
            " another --out"
        )
    try:
        begun = read_json(path)
    except StoreError as error:
        raise StoreError(
            f"{path}: is damaged; put back what was there, or choose another --out"
        ) from error
    for name in names:
        if begun.get(name) != asked[name]:
            raise StoreError(
                f"{root}: was begun with {name} = {begun.get(name)!r}, not {asked[name]!r}; "
                "choose another --out"
            )


@contextlib.contextmanager
def held(folder: Path) -> Generator[None]:
    """One process at a time works in `folder`; what killed writers left there is cleared away.

    Raises:
        StoreError: another process holds it, or it cannot be written.
    """
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    lock = _lock(folder)
    try:
        remove_partial(folder)
        yield
    finally:
        os.close(lock)


class Run:
    """One run, held by one process at a time: `with Run.open(folder, recipe) as run: ...`."""

    def __init__(self, root: Path, lock: int) -> None:
        self.root = root
        self._lock = lock

    @classmethod
    def open(cls, root: Path, recipe: Mapping[str, object]) -> "Run":
        """Begin the run in `root`, or continue it if it was begun with the same recipe.

        Raises:
            StoreError: another process holds the run; it was begun with another recipe; or
                the folder holds something else.
        """
        with writing(root):
            root.mkdir(parents=True, exist_ok=True)
        run = cls(root, _lock(root))
        try:
            _begin_or_continue(root, recipe)
        except BaseException:
            run.close()
            raise
        return run

    def close(self) -> None:
        """Let other processes have the run. Closing twice does nothing."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def __enter__(self) -> "Run":
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def folder(self, stage: str) -> Path:
        """The folder of `stage`, made where it is missing."""
        folder = self.root / stage
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
        return folder

    def finish(
        self, stage: str, summary: Mapping[str, object], after: Sequence[str] = ()
    ) -> None:
        """Declare `stage` finished: everything it made is on disk, and `summary` says what.

        `after` names the stages whose output it read; their manifests become its lineage.
        """
        folder = self.folder(stage)
        remove_partial(folder)
        manifest = {
            "stage": stage,
            "summary": dict(summary),
            "after": {name: _digest(self.root / name / _MANIFEST) for name in after},
            "files": {str(path.relative_to(folder)): _digest(path) for path in _made(folder)},
        }
        write_json(folder / _MANIFEST, manifest)

    def finished(self, stage: str) -> dict[str, object] | None:
        """The summary of `stage` if it is finished, else None.

        Raises:
            StoreError: what the stage made, or what it was made from, has changed since.
        """
        path = self.root / stage / _MANIFEST
        if not path.exists():
            return None
        manifest = _read(path)
        files = cast("dict[str, str]", manifest["files"])
        for name, digest in files.items():
            _check(path.parent / name, digest, remedy=path.parent)
        for name, digest in cast("dict[str, str]", manifest["after"]).items():
            _check(self.root / name / _MANIFEST, digest, remedy=path.parent)
        return cast("dict[str, object]", manifest["summary"])

    def log(self, stage: str, line: Mapping[str, object]) -> None:
        """Append one line to the diary of `stage`."""
        append_line(self.folder(stage) / "log.jsonl", dict(line))


def _lock(root: Path) -> int:
    """An exclusive hold on `root`, which ends with its descriptor or its process."""
    path = root / ".lock"
    with writing(path):
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise StoreError(
            f"{root}: another process is working on this run; wait for it, or choose another"
            " --out"
        ) from error
    return descriptor


def _begin_or_continue(root: Path, recipe: Mapping[str, object]) -> None:
    path = root / _RECIPE
    wanted = cast("dict[str, object]", json.loads(json.dumps(dict(recipe))))
    if path.exists():
        _refuse_differing(root, _read(path), wanted)
        return
    strangers = sorted(other.name for other in root.iterdir() if not other.name.startswith("."))
    if strangers:
        raise StoreError(
            f"{root}: holds other files ({', '.join(strangers[:3])}) and no run; choose"
            " another --out"
        )
    remove_partial(root)
    write_json(path, wanted)


def _refuse_differing(
    root: Path, begun: Mapping[str, object], wanted: Mapping[str, object]
) -> None:
    """Raise if the run was begun with other settings; names the first three."""
    if told := told_differences(begun, wanted):
        raise StoreError(
            f"{root}: was begun with other settings: {told}; take the same settings, or choose"
            " another --out"
        )


def told_differences(begun: Mapping[str, object], wanted: Mapping[str, object]) -> str:
    """How settings differ, the first three by name; empty where they do not."""
    before, now = dict(_flat(begun)), dict(_flat(wanted))
    names = [name for name in {**before, **now} if before.get(name) != now.get(name)]
    told = [f"{name} was {_told(before, name)}, is {_told(now, name)}" for name in names[:3]]
    more = f", and {len(names) - 3} more" if len(names) > 3 else ""
    return "; ".join(told) + more


def _told(settings: Mapping[str, object], name: str) -> str:
    return json.dumps(settings[name], ensure_ascii=False) if name in settings else "not set"


def _flat(settings: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, object]]:
    for name, value in settings.items():
        if isinstance(value, dict) and value:
            yield from _flat(cast("dict[str, object]", value), f"{prefix}{name}.")
        else:
            yield prefix + name, value


def _read(path: Path) -> dict[str, object]:
    try:
        value: object = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise StoreError(
            f"{path}: cannot be read ({error}); delete {path.parent} and run the same command"
            " again"
        ) from error
    return cast("dict[str, object]", value)


def _made(folder: Path) -> Iterator[Path]:
    """What a manifest vouches for, in the order of names."""
    for path in sorted(folder.rglob("*")):
        aside = path.name in DIARIES or path.name.endswith(PARTIAL)
        if path.is_file() and not aside and path != folder / _MANIFEST:
            yield path


def _digest(path: Path) -> str:
    """The SHA-256 of a file whose bytes are forced to disk."""
    try:
        with path.open("rb") as file:
            os.fsync(file.fileno())
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise StoreError(f"{path}: cannot be read: {error.strerror}") from error


def _check(path: Path, digest: str, remedy: Path) -> None:
    if not path.exists() or _digest(path) != digest:
        state = "has changed" if path.exists() else "is missing"
        raise StoreError(
            f"{path}: {state} since its stage was finished; delete {remedy} and run the same"
            " command again, which makes it anew"
        )
