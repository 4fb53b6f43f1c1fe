"""Find the pairs that would spoil training, and name what is wrong with each.

ControlNet 1.1's lessons: greyscale pictures that stand in a set again and again, JPEG's traces
and wrong captions hurt. Looking and choosing are two steps: what was seen of a pair is a small
record, so that the thresholds can be swept afterwards without the pictures.

Legend: H and W pixels, C red, green and blue, K cells of a coarse grid.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from graft.controlnet.annotators.kit import NAMES, annotator_by_name
from graft.controlnet.dataset import Pair
from graft.controlnet.duplicates import DuplicateConfig, Signature, find_duplicates, sign
from graft.controlnet.legibility import Look, find_misfits, look_at
from graft.controlnet.sheet import draw_sheet
from graft.store.whole import whole_file, writing

LINES = frozenset({"canny", "softedge", "scribble", "lineart"})
"""Kinds that are bright lines on black; of all others, any picture may be right."""

_PARTLY = frozenset({"threshold", "inpaint"})
"""Kinds that another tool draws otherwise: at another level, with holes elsewhere."""

_COLOURED = frozenset({"palette", "tile"})
_FEWEST = 20
"""Of fewer pairs, nothing is said about all of them."""


@dataclass(frozen=True, kw_only=True)
class KeepConfig:
    """Settings of `keep`; shares are from 0 to 1."""

    drop_duplicates: bool = True
    drop_uncaptioned: bool = False  # without a caption the hint is read by itself
    drop_jpeg: bool = False  # conditions with JPEG's traces
    drop_misfits: bool = True  # conditions that fit another picture better
    most_misfits: float = 0.5  # share of them above which the whole set is told, and none goes
    least_lit: float = 0.001  # share of a line condition's pixels
    most_lit: float = 0.5  # as well; Canny's finest lines leave every second pixel dark
    least_contrast: float = 2.0  # levels of deviation in any other condition
    most_white: float = 0.98  # share of its pixels
    warn_share: float = 0.1  # of the pairs with one fault: told for the whole set
    duplicates: DuplicateConfig = field(default_factory=DuplicateConfig)

    def __post_init__(self) -> None:
        shares = ("least_lit", "most_lit", "most_white", "warn_share", "most_misfits")
        for name in shares:
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is a share from 0 to 1")


@dataclass(frozen=True, slots=True, eq=False)
class Examined:
    """What was seen of a pair, without its pixels: about 2.5 kB."""

    id: str
    kind: str
    size: tuple[int, int]
    condition_size: tuple[int, int]
    caption: bytes
    """A digest of the caption; empty where there is none."""
    faults: tuple[str, ...]
    signature: Signature
    look: Look


@dataclass(frozen=True, slots=True)
class Kept:
    """What was chosen, why not the others, and what is to be said of the whole set."""

    ids: tuple[str, ...]
    verdicts: Mapping[str, str]
    """Of each pair in order: nothing if it is kept, or the reason why not."""
    faults: Mapping[str, tuple[str, ...]]
    """By fault, the ids of kept pairs that have it."""
    warnings: tuple[str, ...]

    def examples(self, most: int = 6) -> dict[str, tuple[str, ...]]:
        """By reason, the ids of the first pairs; before a near-duplicate, its original."""
        shown: dict[str, list[str]] = {"kept": list(self.ids[:most])} if self.ids else {}
        for name, verdict in self.verdicts.items():
            ids = shown.setdefault(short_reason(verdict), []) if verdict else []
            if verdict and len(ids) < most:
                original = verdict.removeprefix(_DUPLICATE)
                ids += [original, name] if original != verdict else [name]
        return {reason: tuple(ids[:most]) for reason, ids in shown.items()}


_DUPLICATE = "near-duplicate of "
_FITS = "condition fits better to "
_MISFIT = "condition fits another picture better"


def short_reason(verdict: str) -> str:
    """A verdict without the id that it names."""
    if verdict.startswith(_FITS):
        return _MISFIT
    return "near-duplicate" if verdict.startswith(_DUPLICATE) else verdict


def examine(
    pairs: Iterable[Pair],
    settings: KeepConfig,  # noqa: ARG001  # all of them are for the choice, made again for free
) -> Iterator[Examined]:
    """What is seen of each pair, in order."""
    for pair in pairs:
        pixels_HWC, condition_HWC = pair.pixels_HWC, pair.condition.pixels_HWC
        caption = pair.caption.strip().lower().encode(errors="replace")
        yield Examined(
            id=pair.id,
            kind=pair.condition.kind,
            size=(pixels_HWC.shape[0], pixels_HWC.shape[1]),
            condition_size=(condition_HWC.shape[0], condition_HWC.shape[1]),
            caption=hashlib.blake2b(caption, digest_size=8).digest() if caption else b"",
            faults=pair.faults,
            signature=sign(pixels_HWC),
            look=look_at(
                pixels_HWC, condition_HWC, _drawn(pair), lines=pair.condition.kind in LINES
            ),
        )


def _drawn(pair: Pair) -> UInt8[np.ndarray, "H W 3"] | None:
    """What a condition that was brought should be like, drawn of its picture; else none."""
    kind = pair.condition.kind
    if not pair.condition.brought or kind in _PARTLY or kind not in NAMES:
        return None
    return annotator_by_name(kind).draw(pair.pixels_HWC, pair.condition.parameters)


def choose(examined: Iterable[Examined], settings: KeepConfig) -> Kept:
    """Each pair kept, or dropped for the first reason that there is; no model, no pictures.

    Of near-duplicates the first that is good stays. Faults that training can bear are counted,
    and told as a warning where many pairs have them.
    """
    seen = list(examined)
    inverted, size = _are_inverted(seen), _usual_size(seen)
    reasons = [_flaw(one, settings, size, inverted=inverted) for one in seen]
    misfits = _misfits(seen, reasons, inverted=inverted)
    if settings.drop_misfits and len(misfits) <= settings.most_misfits * len(seen):
        for index, better in misfits.items():
            reasons[index] = f"{_FITS}{seen[better].id}"
    wrong = {seen[index].id for index in misfits}
    if settings.drop_duplicates:
        good = [index for index, reason in enumerate(reasons) if not reason]
        signatures = [seen[index].signature for index in good]
        for copy, first in find_duplicates(signatures, settings.duplicates).items():
            reasons[good[copy]] = f"{_DUPLICATE}{seen[good[first]].id}"
    kept = [one for one, reason in zip(seen, reasons, strict=True) if not reason]
    faults: dict[str, list[str]] = defaultdict(list)
    for one in kept:
        for fault in [*_faults(one), *([_MISFIT] if one.id in wrong else [])]:
            faults[fault].append(one.id)
    return Kept(
        tuple(one.id for one in kept),
        {one.id: reason for one, reason in zip(seen, reasons, strict=True)},
        {fault: tuple(faults[fault]) for fault in sorted(faults)},
        (
            *_warnings(seen, kept, reasons, settings, inverted=inverted),
            *_mixed_up(len(misfits), seen, settings),
        ),
    )


def _misfits(
    seen: Sequence[Examined], reasons: Sequence[str], *, inverted: bool
) -> dict[int, int]:
    """Of each good pair whose condition fits another one's picture better, that pair."""
    good = [index for index, reason in enumerate(reasons) if not reason]
    found = find_misfits([seen[index].look for index in good], inverted=inverted)
    return {good[index]: good[better] for index, better in found.items()}


def describe(
    examined: Sequence[Examined], kept: Kept, settings: KeepConfig
) -> dict[str, object]:
    """What a reader wants to know of a choice, as JSON: counts, reasons, ids, warnings."""
    dropped = {name: verdict for name, verdict in kept.verdicts.items() if verdict}
    reasons = Counter(short_reason(verdict) for verdict in dropped.values())
    return {
        "pairs": len(examined),
        "kept": len(kept.ids),
        "dropped": dict(sorted(reasons.items())),
        "faults": {fault: len(ids) for fault, ids in kept.faults.items()},
        "warnings": list(kept.warnings),
        "first": {reason: _first(dropped, reason) for reason in sorted(reasons)},
        "first_with_fault": {fault: list(ids[:10]) for fault, ids in kept.faults.items()},
        "warn_share": settings.warn_share,
    }


def contact_sheet(examples: Mapping[str, Sequence[Pair]], path: Path) -> None:
    """Write a PNG with a row for each reason: pictures beside their conditions."""
    content = draw_sheet(examples)
    with whole_file(path) as file, writing(path):
        file.write(content)


def _first(dropped: Mapping[str, str], reason: str, most: int = 10) -> dict[str, str]:
    """Verdicts of the first pairs that were dropped for a reason."""
    found = (pair for pair in dropped.items() if short_reason(pair[1]) == reason)
    return dict(islice(found, most))


def _flaw(one: Examined, settings: KeepConfig, size: tuple[int, int], *, inverted: bool) -> str:
    """Why a pair is dropped by itself, or nothing."""
    if one.size != one.condition_size or "condition of another shape" in one.faults:
        return "condition of another shape"
    if one.size != size:
        return "other size"
    if flaw := _illegible(one, settings, inverted=inverted):
        return flaw
    if settings.drop_uncaptioned and not one.caption:
        return "no caption"
    return "jpeg condition" if settings.drop_jpeg and _is_jpeg(one) else ""


def _illegible(one: Examined, settings: KeepConfig, *, inverted: bool) -> str:
    """Whether a condition says nothing."""
    look = one.look
    if one.kind not in LINES:
        if look.contrast < settings.least_contrast:
            return "empty condition"
        return "saturated condition" if look.white > settings.most_white else ""
    faint, bright = (look.dark, look.pitch) if inverted else (look.lit, look.bright)
    if faint < settings.least_lit:
        return "empty condition"
    return "saturated condition" if bright > settings.most_lit else ""


def _faults(one: Examined) -> list[str]:
    """What is wrong with a pair and can be borne."""
    found = {
        "no caption": not one.caption,
        "greyscale": one.look.greyscale,
        "jpeg condition": _is_jpeg(one),
        "red and blue swapped": one.kind in _COLOURED and one.look.swapped,
    }
    named = [fault for fault, is_so in found.items() if is_so]
    return [*named, *(fault for fault in one.faults if fault not in found)]


def _is_jpeg(one: Examined) -> bool:
    return "jpeg condition" in one.faults or (one.kind in LINES and one.look.jpeg)


def _usual_size(seen: Sequence[Examined]) -> tuple[int, int]:
    sizes = Counter(one.size for one in seen)
    return max(sizes, key=lambda size: sizes[size], default=(0, 0))


def _are_inverted(seen: Sequence[Examined]) -> bool:
    """Whether most line conditions are mostly white: dark lines on a bright ground."""
    lines = [one.look.bright > 0.5 for one in seen if one.kind in LINES]
    return sum(lines) * 2 > len(lines)


def _warnings(
    seen: Sequence[Examined],
    kept: Sequence[Examined],
    reasons: Sequence[str],
    settings: KeepConfig,
    *,
    inverted: bool,
) -> Iterator[str]:
    """What is to be said of the whole set."""
    if inverted:
        yield (
            "the conditions are dark lines on white; controls are taught with white on black,"
            " and users will draw so: invert them"
        )
    copies = sum(reason.startswith(_DUPLICATE) for reason in reasons)
    if _is_told(copies, seen, settings):
        yield f"{_percent(copies, seen)} of the pairs are near-duplicates"
    for saying, test in _SAYINGS.items():
        count = sum(map(test, kept))
        if _is_told(count, kept, settings):
            yield saying.format(_percent(count, kept))
    if len(kept) >= _FEWEST and kept[0].caption and len({one.caption for one in kept}) == 1:
        yield "the captions are all the same; training without words says as much"


_SAYINGS: dict[str, Callable[[Examined], bool]] = {
    "{} of the pictures are greyscale; the control will draw without colours": (
        lambda one: "greyscale" in _faults(one)
    ),
    "{} of the pictures have no caption; the control will follow words less": (
        lambda one: not one.caption
    ),
    "{} of the conditions bear traces of JPEG; bring PNG files": _is_jpeg,
    "{} of the conditions have red and blue swapped, as OpenCV writes them": (
        lambda one: "red and blue swapped" in _faults(one)
    ),
}


def _is_told(count: int, pairs: Sequence[Examined], settings: KeepConfig) -> bool:
    return count > 0 and count >= settings.warn_share * len(pairs)


def _percent(count: int, pairs: Sequence[Examined]) -> str:
    return f"{100 * count / len(pairs):.0f}%"


def _mixed_up(count: int, seen: Sequence[Examined], settings: KeepConfig) -> Iterator[str]:
    if len(seen) >= _FEWEST and _is_told(count, seen, settings):
        yield (
            f"the conditions do not fit their pictures: {_percent(count, seen)} of them fit"
            " another one better; were they mixed up?"
        )
