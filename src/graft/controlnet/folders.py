"""The files below a folder of pictures, in the order of their names.

What graft itself put there is none of them: a run may lie beside the pictures that it reads.
"""

import json
import os
from pathlib import Path
from typing import cast

_OF_A_RUN = {"images", "annotator", "seed"}
"""Settings that stand in the recipe of a run, and in that of its pairs."""

_LONGEST_RECIPE = 2**20


def list_files(folder: Path) -> list[Path]:
    """All files below a folder, but for hidden ones, as the Mac leaves them, and for runs."""
    found = dict[str, Path]()
    for above, folders, names in os.walk(folder):
        folders[:] = [
            name for name in folders if not _is_aside(name) and not is_run(Path(above, name))
        ]
        for path in (Path(above, name) for name in names if not _is_aside(name)):
            if path.is_file():
                found[path.relative_to(folder).as_posix()] = path
    return [found[name] for name in sorted(found)]


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
