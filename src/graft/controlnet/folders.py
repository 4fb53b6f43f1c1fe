"""The files below a folder of pictures, in the order of their names.

What graft itself put there is none of them: a run may lie beside the pictures that it reads.
"""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import cast

_OF_A_RUN = {"images", "annotator", "seed"}
"""Settings that stand in the recipe of a run, and in that of its pairs."""

_LONGEST_RECIPE = 2**20


@dataclass(frozen=True, slots=True)
class Files:
    """Files by their names, and what else is there and cannot be read, with the reason."""

    files: list[Path]
    unread: dict[Path, str]


def find_files(folder: Path) -> Files:
    """All files below a folder, but for hidden ones, as the Mac leaves them, and for runs.

    Links are followed. One to a folder that holds, or lies in, what is read anyway is told and
    not followed, so no folder is read twice and none without end.
    """
    found, unread, read = dict[str, Path](), dict[Path, str](), _Read(folder)

    def tell(error: OSError) -> None:
        unread[Path(cast("str", error.filename))] = "folder that cannot be read"

    for above, folders, names in os.walk(folder, onerror=tell, followlinks=True):
        inner = [Path(above, name) for name in sorted(folders) if not _is_aside(name)]
        inner = [path for path in inner if not is_run(path)]
        twice = [path for path in inner if path.is_symlink() and not read.add(path)]
        unread |= dict.fromkeys(twice, "link that leads back")
        folders[:] = [path.name for path in inner if path not in unread]
        for path in (Path(above, name) for name in sorted(names) if not _is_aside(name)):
            if path.is_file():
                found[path.relative_to(folder).as_posix()] = path
            elif path.is_symlink():
                unread[path] = "link that leads nowhere"
    return Files([found[name] for name in sorted(found)], unread)


class _Read:
    """The folders that are read with all that is below them, where they really lie."""

    def __init__(self, folder: Path) -> None:
        self._read, self._above = set[Path](), set[Path]()
        self.add(folder)

    def add(self, folder: Path) -> bool:
        """Note a folder; or say no if it holds one of them, or lies in one."""
        real = folder.resolve()
        if real in self._above or not self._read.isdisjoint((real, *real.parents)):
            return False
        self._read.add(real)
        self._above.update(real.parents)
        return True


def is_run(folder: Path) -> bool:
    """Whether a folder is that of a run, begun or finished, or of its pairs."""
    return any(_is_recipe(folder / inner / "recipe.json") for inner in ("", "annotate"))


def _is_aside(name: str) -> bool:
    return name[0] == "." or name == "__MACOSX"


def _is_recipe(path: Path) -> bool:
    """Whether a file holds the settings of a run; strangers call theirs `recipe.json` too."""
    try:
        if not path.is_file():
            return False
        with path.open("rb") as file:
            told: object = json.loads(file.read(_LONGEST_RECIPE))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(told, dict) and set(cast("dict[str, object]", told)) >= _OF_A_RUN
