"""Where a folder's pictures lie, with their captions and conditions, in a fixed order.

Nothing is decoded here. What cannot be used is told with its reason; a damaged list is an
error, for nobody knows what is missing from it.
"""

import contextlib
import csv
import json
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path, PurePosixPath
from typing import cast

import pyarrow as pa
import pyarrow.parquet as pq

from graft.controlnet.decoding import Content
from graft.controlnet.folders import find_files, is_run
from graft.errors import DataError

LISTS = ("metadata.jsonl", "metadata.csv", "prompt.json")
"""Lists of a folder's pictures, by `datasets` and by Fill50K; the first one there counts."""

SUFFIXES = (
    *(".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".gif", ".bmp", ".tif", ".tiff"),
    *(".ppm", ".pgm", ".pbm", ".pnm", ".avif", ".jp2"),
)

_PICTURE = ("file_name", "image", "image_file_name", "target")
_CONDITION = ("conditioning_image", "conditioning_image_file_name")
_CAPTION = ("text", "caption", "prompt", "name")
_DRAWN = ("kind", "brought", "parameters")
"""Beside a condition in a run's own pairs: who drew it, if nobody brought it."""

_LONGEST_LINE = 2**20
_LONGEST_CAPTION = 2**16
_ROWS_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class Found:
    """A picture that is listed or lies there, or the reason why it is not read.

    `name` is what it is called, `place` where that stands; `caption` is None without one.
    `faults` names what can be borne.
    """

    place: str
    name: str = ""
    picture: Content = b""
    caption: str | None = None
    condition: Content | None = None
    reason: str = ""
    faults: tuple[str, ...] = ()


def find_pictures(
    source: Path, conditions: Path | None = None, kind: str | None = None
) -> Iterator[Found]:
    """The pictures of a folder, or of a list or a Parquet file, in a stable order.

    `conditions` is a folder of conditions with the names of the pictures, whatever their
    suffix. Runs that lie in a folder are left out: what graft made is not read as pictures.
    Of a run's own pairs, where they are named, the conditions that were drawn are taken if they
    are of the `kind` that is asked for.

    Raises:
        DataError: there is no such thing, or it is a run's folder; later, a damaged list.
    """
    if not source.exists():
        raise DataError(f"{source}: no such file or folder; name a folder of pictures")
    if source.is_dir() and is_run(source):
        raise DataError(
            f"{source}: is the folder of a run, as its recipe.json tells; name a folder of"
            " pictures, or for the run's own pairs its annotate/shards"
        )
    if conditions is not None and not conditions.is_dir():
        raise DataError(f"{conditions}: no such folder; name a folder of conditions")
    root = source if source.is_dir() else source.parent
    found = _all(root, conditions, kind) if source.is_dir() else _listed(source, root, kind)
    return found if conditions is None else _with_conditions(found, root, conditions)


def _all(root: Path, conditions: Path | None, kind: str | None) -> Iterator[Found]:
    """The pictures of a folder's lists, or else all of them; at last what was left unread."""
    there = find_files(root)
    files = [path for path in there.files if not _is_in(path, conditions)]
    left = {path: why for path, why in there.unread.items() if not _is_in(path, conditions)}
    pictures = _pictures(files)
    if lists := _lists(files):
        left |= dict.fromkeys(pictures, "not in the list")
        found = chain.from_iterable(_listed(path, root, kind) for path in lists)
    else:
        found = _bare(pictures, root)
    for one in found:
        for content in (one.picture, one.condition):
            if isinstance(content, Path):
                left.pop(content, None)
        yield one
    for path, reason in left.items():
        yield Found(_told(path, root), picture=path, reason=reason)


def _lists(files: Sequence[Path]) -> list[Path]:
    """The lists among files, one for each folder; or else the Parquet files."""
    named = {
        path.parent: path for name in reversed(LISTS) for path in files if path.name == name
    }
    tables = [path for path in files if path.suffix.lower() == ".parquet"]
    return [path for path in files if named.get(path.parent) == path] or tables


def _pictures(files: Iterable[Path]) -> list[Path]:
    return [path for path in files if path.suffix.lower() in SUFFIXES]


def _is_in(path: Path, folder: Path | None) -> bool:
    """Whether a path lies in a folder, however both are called; a link lies where it is."""
    if folder is None:
        return False
    real = folder.resolve()
    return path.parent.resolve().is_relative_to(real) or path.resolve() == real


def _bare(pictures: Iterable[Path], root: Path) -> Iterator[Found]:
    """Pictures with a text of the same name beside each, or none."""
    for path in pictures:
        name, text = _told(path, root), path.with_suffix(".txt")
        if not text.is_file():
            yield Found(name, name, path)
        elif (caption := _whole_caption(text)) is None:
            yield Found(name, name, path, faults=("unreadable caption",))
        else:
            yield Found(name, name, path, caption)


def _whole_caption(path: Path) -> str | None:
    """A caption from a file; none where it is no text, or too long to be one."""
    try:
        if path.stat().st_size > _LONGEST_CAPTION:
            return None
        return path.read_bytes().decode("utf-8-sig").strip()
    except (OSError, UnicodeDecodeError):
        return None


def _listed(path: Path, root: Path, kind: str | None) -> Iterator[Found]:
    place = _told(path, root)
    with _damage_told(path):
        match path.suffix.lower():
            case ".parquet":
                yield from _parquet(path, place, kind)
            case ".csv":
                yield from _csv(path, place)
            case ".jsonl" | ".json":
                yield from _json_lines(path, place)
            case _:
                raise DataError(
                    f"{path}: no list of pictures; name a folder, or a .jsonl, .json, .csv or"
                    " .parquet file"
                )


@contextlib.contextmanager
def _damage_told(path: Path) -> Generator[None]:
    try:
        yield
    except (OSError, pa.ArrowException, csv.Error, UnicodeDecodeError) as error:
        raise DataError(
            f"{path}: damaged, cut short, not UTF-8 or not readable ({error}); fetch the file"
            " again, or move it out of the folder"
        ) from error


def _csv(path: Path, place: str) -> Iterator[Found]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = csv.DictReader(file)
        _require_picture(path, rows.fieldnames or ())
        for row in rows:
            yield _found(path.parent, row, f"{place}:{rows.line_num}")


def _json_lines(path: Path, place: str) -> Iterator[Found]:
    with path.open("rb") as file:
        number = 0
        while line := file.readline(_LONGEST_LINE + 1):
            number += 1
            at = f"{place}:{number}"
            if len(line) > _LONGEST_LINE:
                while line and not line.endswith(b"\n"):
                    line = file.readline(_LONGEST_LINE)
                yield Found(at, reason="line too long")
            elif line.strip():
                yield _json_found(path.parent, line, at)


def _json_found(folder: Path, line: bytes, place: str) -> Found:
    try:
        record: object = json.loads(line.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        return Found(place, reason="not JSON")
    if not isinstance(record, dict):
        return Found(place, reason="not a record")
    return _found(folder, cast("dict[str, object]", record), place)


def _parquet(path: Path, place: str, kind: str | None) -> Iterator[Found]:
    wanted = ("id", *_PICTURE, *_CONDITION, *_CAPTION, "source", *_DRAWN)
    with pq.ParquetFile(path) as file:
        names = file.schema_arrow.names
        _require_picture(path, names)
        columns = [name for name in wanted if name in names]
        number = 0
        for batch in file.iter_batches(batch_size=_ROWS_AT_ONCE, columns=columns):
            for row in batch.to_pylist():
                number += 1
                if kind is not None and _is_drawn_otherwise(row, kind):
                    del row[_CONDITION[0]]
                yield _found(path.parent, row, f"{place}:{number}")


def _is_drawn_otherwise(row: Mapping[str, object], kind: str) -> bool:
    """Whether a run drew the condition of a pair, and another one is asked for."""
    own = row.keys() >= {*_DRAWN, _CONDITION[0]}
    return own and row["brought"] is False and row["kind"] != kind


def _require_picture(path: Path, names: Iterable[str]) -> None:
    if not set(_PICTURE) & set(names):
        raise DataError(
            f"{path}: no column {' or '.join(_PICTURE)} among {', '.join(names)}; rename one"
        )


def _found(folder: Path, row: Mapping[str, object], place: str) -> Found:
    """The picture of a row. Fill50K calls the picture `target`, the condition `source`."""
    key = next((key for key in _PICTURE if row.get(key)), "")
    keys = (*_CONDITION, "source") if key == "target" else _CONDITION
    picture, reason = _fetch(folder, row.get(key), "picture")
    condition = None
    if wanted := [row[key] for key in keys if key in row]:
        condition, why = _fetch(folder, next(filter(None, wanted), None), "condition")
        reason = reason or why
    name = _name(row.get("id")) or _name(row.get(key)) or place
    return Found(place, name, picture, _caption(row), condition, reason)


def _fetch(folder: Path, value: object, what: str) -> tuple[Content, str]:
    """The bytes in a row, or the file that it names, which lies in the list's folder.

    With them the reason why they cannot be used, or none.
    """
    if isinstance(value, dict):  # as `datasets` writes pictures
        held = cast("dict[str, object]", value)
        value = held.get("bytes") or held.get("path")
    if isinstance(value, bytes) and value:
        return value, ""
    if not isinstance(value, str) or not value.strip():
        return b"", f"without {what}"
    # links are followed: in the hub's cache every file is one
    name = PurePosixPath(value.replace("\\", "/"))
    if name.is_absolute() or ".." in name.parts:
        return b"", f"{what} outside of the folder"
    try:
        there = (folder / name).is_file()
    except (OSError, ValueError):  # too long, or no name of a file
        there = False
    return folder / name, "" if there else f"{what} not there"


def _name(value: object) -> str:
    if isinstance(value, dict):
        value = cast("dict[str, object]", value).get("path")
    match value:
        case str(written) if written.strip() and written.isprintable():
            return written
        case int(number) if not isinstance(number, bool):
            return str(number)
        case _:
            return ""


def _caption(row: Mapping[str, object]) -> str | None:
    """What the picture shows; the first one of several."""
    for key in _CAPTION:
        value = row.get(key)
        if isinstance(value, list) and value:
            value = cast("list[object]", value)[0]
        if isinstance(value, str):
            return value.encode(errors="replace").decode().strip()
    return None


def _with_conditions(found: Iterator[Found], root: Path, conditions: Path) -> Iterator[Found]:
    """The pictures with the conditions of their names; at last, the conditions left over."""
    there, brought = dict[str, Path](), find_files(conditions)
    for path in _pictures(brought.files):
        there.setdefault(_stem(path, conditions), path)
    left = dict(there)
    for one in found:
        stem = _stem(one.picture if isinstance(one.picture, Path) else Path(one.name), root)
        left.pop(stem, None)
        if one.reason:
            yield one
        elif stem in there:
            yield replace(one, condition=there[stem])
        else:
            yield replace(one, reason="without condition")
    for path in left.values():
        yield Found(_told(path, conditions), reason="condition without picture")
    for path, reason in brought.unread.items():
        yield Found(_told(path, conditions), reason=reason)


def _stem(path: Path, root: Path) -> str:
    inner = path.relative_to(root) if path.is_relative_to(root) else path
    return inner.with_suffix("").as_posix() if inner.name else ""


def _told(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix().encode(errors="backslashreplace").decode()
