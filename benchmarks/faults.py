"""Are the pairs that would spoil training found, and how many good ones are suspected?

Known faults are put into a folder of pictures and conditions, as files; it is read, annotated
and judged as a run does it. All faults at once, each in its own tenth of the pictures, and
beside that conditions that were mixed up among some of the pictures, or among all.
"""

import io
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from stopwatch import arguments, publish

from graft.controlnet.annotate import annotate
from graft.controlnet.annotators.annotator import Annotator, annotate_picture
from graft.controlnet.annotators.kit import annotator_by_name
from graft.controlnet.keep import KeepConfig, choose, examine, short_reason
from graft.controlnet.pictures import PictureReader, fit_picture
from graft.world.pictures import draw_picture

QUESTION = (
    "faults: of 100 pairs with a fault how many are named, and of 100 without one how many are"
    " said to have it"
)
MIXED = "condition fits another picture better"
OTHERS: dict[str, dict[str, float | int]] = {
    "canny": {"low": 40.0, "high": 90.0, "blur": 1.5},
    "softedge": {"blur": 1 / 40, "contrast": 100.0, "levels": 256},
    "scribble": {"blur": 1 / 100, "contrast": 0.01},
    "lineart": {"blur": 1 / 64, "contrast": 0.02, "sharpness": 10.0},
    "tile": {"factor": 4},
    "palette": {"cells": 16},
    "greyscale": {},
}
"""What another tool would have drawn with."""


@dataclass(frozen=True, slots=True)
class Files:
    """The files of one pair."""

    picture: Path
    caption: Path
    condition: Path


def as_jpeg(image: Image.Image) -> bytes:
    """The file of a JPEG of the usual quality."""
    file = io.BytesIO()
    image.convert("RGB").save(file, "JPEG", quality=80)
    return file.getvalue()


def cut(path: Path) -> None:
    """Only the first half of a file."""
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def again(pair: Files) -> None:
    """The same pair under another name, its picture once through JPEG."""
    for path in (pair.caption, pair.condition):
        path.with_stem(f"{path.stem}z").write_bytes(path.read_bytes())
    copy = pair.picture.with_stem(f"{pair.picture.stem}z")
    with Image.open(pair.picture) as image:
        copy.with_suffix(".jpg").write_bytes(as_jpeg(image))


def changed(path: Path, change: Callable[[Image.Image], Image.Image]) -> None:
    """A picture in place of another."""
    with Image.open(path) as image:
        change(image.convert("RGB")).save(path)


def labelled_as_jpeg(pair: Files) -> None:
    """A condition as a JPEG."""
    with Image.open(pair.condition) as image:
        pair.condition.with_suffix(".jpg").write_bytes(as_jpeg(image))
    pair.condition.unlink()


def swapped(image: Image.Image) -> Image.Image:
    """Red for blue."""
    return Image.fromarray(np.ascontiguousarray(np.array(image)[..., ::-1]))


FAULTS: dict[str, Callable[[Files], None]] = {
    "near-duplicate": again,
    "condition of another shape": lambda pair: changed(
        pair.condition, lambda image: image.resize((image.width, image.height * 3 // 4))
    ),
    "condition of another size": lambda pair: changed(
        pair.condition, lambda image: image.resize((image.width // 2, image.height // 2))
    ),
    "greyscale": lambda pair: changed(pair.picture, lambda image: image.convert("L")),
    "jpeg condition": labelled_as_jpeg,
    "no caption": lambda pair: pair.caption.unlink(),
    "truncated": lambda pair: cut(pair.picture),
    "condition truncated": lambda pair: cut(pair.condition),
    "empty condition": lambda pair: changed(
        pair.condition, lambda image: Image.new("RGB", image.size)
    ),
    "red and blue swapped": lambda pair: changed(pair.condition, swapped),
}


def world(count: int, size: int = 128) -> Iterator[np.ndarray]:
    """Pictures of the little world."""
    for number in range(count):
        yield draw_picture(np.random.default_rng((7, number)), size=size).pixels_HWC


def folder_of(path: Path, count: int, size: int = 128) -> Iterator[np.ndarray]:
    """Of large pictures six parts each, of small ones the whole, as squares."""
    made = 0
    for one in PictureReader(path):
        for part_HWC in parts(one.pixels_HWC, size):
            if made == count:
                return
            made += 1
            yield part_HWC


def parts(pixels_HWC: np.ndarray, size: int) -> Iterator[np.ndarray]:
    """Six squares of a large picture, or the middle of a small one."""
    height, width = pixels_HWC.shape[:2]
    side = min(height, width) // 2
    if side < size:
        yield fit_picture(pixels_HWC, size)
        return
    for top in (0, height - side):
        for left in (0, (width - side) // 2, width - side):
            yield fit_picture(pixels_HWC[top : top + side, left : left + side], size)


def write(
    folder: Path, pictures: Sequence[np.ndarray], annotator: Annotator, *, foreign: bool
) -> list[Files]:
    """Pictures with captions, and conditions under their names in a folder of their own."""
    rng, written = np.random.default_rng(0), list[Files]()
    for name in ("pictures", "conditions"):
        (folder / name).mkdir()
    for number, pixels_HWC in enumerate(pictures):
        name = f"{number:04d}.png"
        pair = Files(
            folder / "pictures" / name,
            folder / "pictures" / f"{number:04d}.txt",
            folder / "conditions" / name,
        )
        condition = annotate_picture(annotator, pixels_HWC, rng)
        condition_HWC = condition.pixels_HWC
        if foreign:
            told = {**condition.parameters, **OTHERS[annotator.name]}
            condition_HWC = annotator.draw(pixels_HWC, told)
        Image.fromarray(pixels_HWC).save(pair.picture)
        Image.fromarray(condition_HWC).save(pair.condition)
        pair.caption.write_text(f"picture {number}")
        written.append(pair)
    return written


def named(folder: Path, annotator: Annotator, size: int) -> dict[str, set[str]]:
    """By fault, the stems of the pairs that it is told of."""
    reader = PictureReader(folder / "pictures", conditions=folder / "conditions")
    pairs = annotate(reader, annotator, size, lambda _name: np.random.default_rng(0))
    settings = KeepConfig(most_misfits=1)
    kept = choose(examine(pairs, settings), settings)
    told = {reason: set(places) for reason, places in reader.places.items()}
    for name, verdict in kept.verdicts.items():
        told.setdefault(short_reason(verdict), set()).add(name)
    for fault, names in kept.faults.items():
        told.setdefault(fault, set()).update(names)
    return {fault: {Path(name).stem for name in names} for fault, names in told.items()}


def mix(pairs: Sequence[Files]) -> None:
    """Each has the condition of the one before it."""
    contents = [pair.condition.read_bytes() for pair in pairs]
    for pair, content in zip(pairs, [contents[-1], *contents[:-1]], strict=True):
        pair.condition.write_bytes(content)


@dataclass(frozen=True, slots=True)
class Case:
    """Pictures, and who draws their conditions: graft, or a tool that draws otherwise."""

    name: str
    pictures: Sequence[np.ndarray]
    annotator: Annotator
    foreign: bool

    def judged(self, spoil: Callable[[list[Files]], None]) -> dict[str, set[str]]:
        """By fault, who is told to have it, once the files have been spoiled."""
        with tempfile.TemporaryDirectory() as folder:
            spoil(write(Path(folder), self.pictures, self.annotator, foreign=self.foreign))
            return named(Path(folder), self.annotator, self.pictures[0].shape[0])

    def row(
        self, fault: str, there: set[str], found: set[str], clean: dict[str, set[str]]
    ) -> dict[str, object]:
        """What was found of a fault that was put `there`; pairs no good before do not count."""
        there = {name for name in there if name.rstrip("z") in clean[""]}
        drawn = ", drawn otherwise" if self.foreign else ""
        return {
            "case": f"{self.name}, {self.annotator.name}{drawn}",
            "fault": fault,
            "pairs with it": len(there),
            "named, of 100": 100 * len(found & there) / max(1, len(there)),
            "of 100 clean": 100 * len(clean.get(fault, set())) / len(self.pictures),
        }


def measure(case: Case) -> Iterator[dict[str, object]]:
    """A row for each fault, all at once in one folder; then for each share of mixed pairs."""
    clean = case.judged(lambda _pairs: None)
    order = np.random.default_rng(1).permutation(len(case.pictures)).tolist()
    if not case.foreign:
        yield from measure_all(case, order, clean)
    for part in (0.02, 0.1, 0.5, 1.0):
        some = order[: max(2, round(part * len(order)))]
        found = case.judged(lambda pairs, some=some: mix([pairs[n] for n in some]))
        there = {f"{n:04d}" for n in some}
        row = case.row(MIXED, there, found.get(MIXED, set()), clean)
        beside = len(found.get(MIXED, set()) - there)
        others = max(1, len(order) - len(some))
        told = {"fault": f"{MIXED}, {part:.0%}", "of 100 beside": 100 * beside / others}
        yield {**row, **told}


def measure_all(
    case: Case, order: list[int], clean: dict[str, set[str]]
) -> Iterator[dict[str, object]]:
    """A row for each fault, put into a part of the pictures of its own."""
    wanted = [name for name in FAULTS if _can_have(case.annotator, name)]
    share = len(order) // (len(wanted) + 1)
    chosen = {name: order[at * share : (at + 1) * share] for at, name in enumerate(wanted)}

    def spoil(pairs: list[Files]) -> None:
        for name, numbers in chosen.items():
            for number in numbers:
                FAULTS[name](pairs[number])

    found = case.judged(spoil)
    for name, numbers in chosen.items():
        ending = "z" if name == "near-duplicate" else ""
        there = {f"{number:04d}{ending}" for number in numbers}
        yield case.row(name, there, found.get(name, set()), clean)


def _can_have(annotator: Annotator, fault: str) -> bool:
    coloured = annotator.name in {"palette", "tile"}
    return fault != "red and blue swapped" or coloured


def main() -> None:
    """The little world, and every folder that was asked for."""
    parser = arguments(QUESTION)
    parser.add_argument("--folders", nargs="*", type=Path, default=[], help="of pictures")
    parser.add_argument("--kinds", nargs="+", default=list(OTHERS), choices=OTHERS)
    parser.add_argument("--pictures", type=int, default=300)
    given = parser.parse_args()
    sets = {"world": list(world(given.pictures))}
    sets |= {path.name: list(folder_of(path, given.pictures)) for path in given.folders}
    rows = [
        row
        for case, pictures in sets.items()
        for kind in given.kinds
        for foreign in (False, True)
        for row in measure(Case(case, pictures, annotator_by_name(kind), foreign))
    ]
    publish("faults", QUESTION, rows, given.record)


if __name__ == "__main__":
    main()
