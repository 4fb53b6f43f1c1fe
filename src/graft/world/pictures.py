"""Pictures with captions: things of a shape and a colour on a ground, drawn from a seed.

Edges are more or less soft, things are shaded, lie on patterns and throw shadows, and a fine
grain covers all, so that an edge detector has something to do.

Every ninth pair of a shape and a colour is held out: the seedling never saw one while it grew.

Legend: H and W pixels, C red, green and blue.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

import numpy as np
from numpy.random import Generator

from graft.world.shapes import SHAPES

SIZE = 64
"""Pixels along a side, unless asked otherwise."""

COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (212, 38, 38),
    "orange": (243, 134, 22),
    "yellow": (250, 220, 50),
    "green": (44, 150, 60),
    "turquoise": (60, 205, 200),
    "blue": (40, 72, 200),
    "purple": (128, 48, 168),
    "pink": (247, 150, 196),
    "white": (244, 244, 240),
    "black": (26, 26, 30),
}
PATTERNS = ("plain", "striped", "dotted", "checked")
T = TypeVar("T")
Half = Literal["read", "held"]

_ROWS = {"top": -0.45, "": 0.0, "bottom": 0.45}
_COLUMNS = {"left": -0.45, "": 0.0, "right": 0.45}
PLACES: dict[str, tuple[float, float]] = {
    (
        f"at the {row} {column}".replace("  ", " ").strip()
        if row or column
        else "in the middle"
    ): (
        x,
        y,
    )
    for (row, y), (column, x) in itertools.product(_ROWS.items(), _COLUMNS.items())
}
"""Where things lie, as offsets from the middle in half widths of the picture."""

_SIZES = {"small": (0.27, 0.33), "": (0.4, 0.48), "large": (0.6, 0.7)}
_LAYOUTS = (
    ("at the left", "at the right"),
    ("at the top", "at the bottom"),
    ("at the top left", "at the bottom right"),
    ("at the top right", "at the bottom left"),
    ("at the top left", "at the top right", "at the bottom"),
    ("at the top", "at the bottom left", "at the bottom right"),
)


@dataclass(frozen=True, slots=True)
class Thing:
    """One thing in a picture; lengths are in half widths of the picture."""

    shape: str
    colour: str
    size: str
    place: str
    x: float
    y: float
    radius: float


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture, its caption, and what is to be seen in it."""

    caption: str
    pixels_HWC: np.ndarray
    things: tuple[Thing, ...]
    ground: str
    pattern: str


def is_held_out(shape: str, colour: str) -> bool:
    """Whether a pair is kept for the questions."""
    return (list(SHAPES).index(shape) * len(COLOURS) + list(COLOURS).index(colour)) % 9 == 4


def draw_picture(
    rng: Generator, half: Half = "read", *, size: int = SIZE, placed: bool | None = None
) -> Picture:
    """A picture with one to three things, the first of them of the half that is asked for.

    Args:
        rng: draws everything.
        half: of the pairs of a shape and a colour.
        size: pixels along a side.
        placed: whether the caption tells where things are; else that is drawn too.
    """
    ground = _pick(rng, list(COLOURS))
    pattern = "plain" if rng.random() < 0.7 else _pick(rng, PATTERNS[1:])
    things = _draw_things(rng, ground, half)
    pixels_HWC = paint(rng, things, ground, pattern, size)
    caption = _caption(rng, things, ground, pattern, placed=placed)
    return Picture(caption, pixels_HWC, things, ground, pattern)


def draw_jumble(rng: Generator, *, size: int = SIZE) -> np.ndarray:
    """Pixels [H, W, C] of many things of any colour: for the autoencoder."""
    canvas_HWC = np.ones((size, size, 3)) * rng.uniform(0, 255, 3)
    for _ in range(int(rng.integers(3, 14))):
        colour_C, radius = rng.uniform(0, 255, 3), rng.uniform(0.06, 0.6)
        x, y = rng.uniform(-0.9, 0.9, 2)
        canvas_HWC = _lay(rng, canvas_HWC, _pick(rng, list(SHAPES)), colour_C, (x, y, radius))
    return _grained(rng, canvas_HWC)


def paint(
    rng: Generator, things: tuple[Thing, ...], ground: str, pattern: str, size: int = SIZE
) -> np.ndarray:
    """The pixels [H, W, C] of things on a ground; how they are shaded is drawn from `rng`."""
    canvas_HWC = _ground(rng, _shade(rng, ground), pattern, size)
    for thing in things:
        where = (thing.x, thing.y, thing.radius)
        if rng.random() < 0.2:
            shadow = (thing.x + 0.06, thing.y + 0.08, thing.radius)
            dark_HWC = canvas_HWC * 0.6
            canvas_HWC = _lay(rng, canvas_HWC, thing.shape, dark_HWC, shadow, soft=4.0)
        colour_C = _shade(rng, thing.colour)
        canvas_HWC = _lay(rng, canvas_HWC, thing.shape, colour_C, where)
    return _grained(rng, canvas_HWC)


def _draw_things(rng: Generator, ground: str, half: Half) -> tuple[Thing, ...]:
    luck = float(rng.random())
    if luck < 0.7:
        size = "small" if luck < 0.14 else "large" if luck > 0.56 else ""
        middle = size == "large" or rng.random() < 0.3
        places = ("in the middle",) if middle else (_pick(rng, list(PLACES)),)
    else:
        places = _pick(rng, _LAYOUTS[:4] if luck < 0.9 else _LAYOUTS[4:])
        size = "small" if rng.random() < 0.3 else ""
    things: list[Thing] = []
    for place in places:
        wanted = half if not things else "read"
        taken = {ground, *(thing.colour for thing in things)}
        things.append(_draw_thing(rng, wanted, taken, place, size))
    return tuple(things)


def _draw_thing(rng: Generator, half: Half, taken: set[str], place: str, size: str) -> Thing:
    while True:
        shape, colour = _pick(rng, list(SHAPES)), _pick(rng, list(COLOURS))
        if colour not in taken and is_held_out(shape, colour) == (half == "held"):
            break
    (low, high), (x, y) = _SIZES[size], PLACES[place]
    loose = 0.06
    return Thing(
        shape,
        colour,
        size,
        place,
        x + float(rng.uniform(-loose, loose)),
        y + float(rng.uniform(-loose, loose)),
        float(rng.uniform(low, high)),
    )


def _caption(
    rng: Generator, things: tuple[Thing, ...], ground: str, pattern: str, *, placed: bool | None
) -> str:
    """What is to be seen; places and ground are left out now and then."""
    drawn = bool(rng.random() < (0.7 if len(things) == 1 else 0.85))
    told = [_told(thing, placed=drawn if placed is None else placed) for thing in things]
    caption = told[0] if len(told) == 1 else ", ".join(told[:-1]) + " and " + told[-1]
    if rng.random() < 0.92:
        how = "" if pattern == "plain" else f"{pattern} "
        article = "an" if ground == "orange" else "a"
        caption += f" on {article} {ground} {how}background"
    return caption


def _told(thing: Thing, *, placed: bool) -> str:
    words = f"{thing.size} {thing.colour} {thing.shape}".strip()
    article = "an" if words.startswith("orange") else "a"
    return f"{article} {words} {thing.place}" if placed else f"{article} {words}"


def _shade(rng: Generator, colour: str) -> np.ndarray:
    """The colour [C], never twice quite the same."""
    return np.clip(np.array(COLOURS[colour]) + rng.normal(0, 6, 3), 0, 255)


def _ground(rng: Generator, colour_C: np.ndarray, pattern: str, size: int) -> np.ndarray:
    x_HW, y_HW = _grid(size)
    light = 1.0 if colour_C.mean() < 200 else -1.0
    other_C = np.clip(colour_C + light * rng.uniform(28, 55), 0, 255)
    mixed_HW = _pattern(rng, pattern, x_HW, y_HW, size)[..., None]
    canvas_HWC = colour_C * (1 - mixed_HW) + other_C * mixed_HW
    return canvas_HWC * _slope(rng, x_HW, y_HW, 0.08)[..., None]


def _pattern(
    rng: Generator, pattern: str, x_HW: np.ndarray, y_HW: np.ndarray, size: int
) -> np.ndarray:
    """Where the second shade of the ground lies, from 0 to 1."""
    angle, count = rng.uniform(0, np.pi), rng.uniform(3.0, 5.0)
    start = rng.uniform(0, 2 * np.pi, 2)
    if pattern == "plain":
        return np.zeros_like(x_HW)
    if pattern == "striped":
        along_HW = x_HW * np.cos(angle) + y_HW * np.sin(angle)
        wave_HW = np.sin(count * np.pi * along_HW + start[0])
    else:
        across_HW = np.sin(count * np.pi * x_HW + start[0])
        down_HW = np.sin(count * np.pi * y_HW + start[1])
        wave_HW = across_HW * down_HW if pattern == "checked" else across_HW + down_HW - 1.0
    return np.clip(0.5 + wave_HW * size / (2 * np.pi * count), 0, 1)


def _lay(
    rng: Generator,
    canvas_HWC: np.ndarray,
    shape: str,
    colour: np.ndarray,
    where: tuple[float, float, float],
    *,
    soft: float | None = None,
) -> np.ndarray:
    """The canvas with one thing on it, its edge `soft` pixels wide."""
    (x, y, radius), tilt = where, float(rng.normal(0, 0.12))
    size = canvas_HWC.shape[0]
    x_HW, y_HW = _grid(size)
    x_HW, y_HW = (x_HW - x) / radius, (y_HW - y) / radius
    turned_x = x_HW * np.cos(tilt) + y_HW * np.sin(tilt)
    turned_y = y_HW * np.cos(tilt) - x_HW * np.sin(tilt)
    distance_HW = SHAPES[shape](turned_x, turned_y) * radius * size / 2
    width = soft if soft is not None else float(rng.uniform(0.8, 2.2)) * size / SIZE
    cover_HWC = np.clip(0.5 - distance_HW / width, 0, 1)[..., None]
    shading_HWC = _slope(rng, turned_x, turned_y, 0.14)[..., None]
    return canvas_HWC * (1 - cover_HWC) + colour * shading_HWC * cover_HWC


def _slope(rng: Generator, x_HW: np.ndarray, y_HW: np.ndarray, strength: float) -> np.ndarray:
    """Light that falls from one side."""
    angle, amount = rng.uniform(0, 2 * np.pi), rng.uniform(0, strength)
    return 1 + amount * np.clip(x_HW * np.cos(angle) + y_HW * np.sin(angle), -1, 1)


def _grained(rng: Generator, canvas_HWC: np.ndarray) -> np.ndarray:
    grain_HWC = rng.normal(0, rng.uniform(0.5, 3.0), canvas_HWC.shape)
    return np.clip(np.rint(canvas_HWC + grain_HWC), 0, 255).astype(np.uint8)


def _grid(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates x and y of the pixels' middles, from -1 to 1."""
    line = (np.arange(size) + 0.5) * 2 / size - 1
    x_HW, y_HW = np.meshgrid(line, line)
    return x_HW, y_HW


def _pick(rng: Generator, things: Sequence[T]) -> T:
    return things[int(rng.integers(len(things)))]
