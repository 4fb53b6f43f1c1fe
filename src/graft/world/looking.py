"""What is to be seen in a picture of the little world, found by looking at its pixels.

A judge of generated pictures that was never taught: it knows the ten colours, how light, shadow
and pattern change them, and the outlines of the eight shapes.

Legend: H and W pixels, C red, green and blue, P pixels in a row, K shades or colours, N shapes
tried, h and w pixels of what they are compared in.
"""

import itertools
import re
from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
from jaxtyping import UInt8
from scipy import ndimage

from graft.world.pictures import COLOURS, SIZE
from graft.world.shapes import SHAPES

Array = np.ndarray

_THING_LIGHT, _GROUND_LIGHT, _SHADOW_LIGHT = (0.82, 1.18), (0.9, 1.1), (0.5, 1.1)
"""How dark and how bright a thing can be, a ground, and a ground with shadows on it."""

_PATTERN_STEPS = np.linspace(0.0, 55.0, 6)
_PATTERN_SIGNS = {"white": (-1.0,), "pink": (1.0, -1.0)}
"""How much a ground's second shade differs, in grey levels; most grounds only get lighter."""

_FRAME = 4
"""Pixels along the border that tell the ground."""

_LEAST_PIXELS, _LEAST_MATCH, _MOST_OFF = 24, 0.68, 55.0
"""What is smaller, fits no shape better, or is further off any colour, is not a thing."""

_MOST_GRAIN = 24.0
"""How far half the pixels may be from their neighbours, in grey levels, before it is noise."""

_TILTS = np.deg2rad(np.linspace(-25.0, 25.0, 11))
_GRID, _REACH = 36, 1.9
"""A template's side in pixels, and its half width in radii of a disc of the shape's area."""

_CUT = 32
"""Pixels along the picture's side where a thing that is cut off is fitted."""

_CUT_TILTS = np.deg2rad(np.array([-12.0, 0.0, 12.0]))
_CUT_RADII = 0.2 * 1.12 ** np.arange(16)  # in half widths of the picture

_TOLD = re.compile(rf"\b({'|'.join(COLOURS)}) ({'|'.join(SHAPES)})\b")
_GROUND_TOLD = re.compile(rf"\bon an? ({'|'.join(COLOURS)})(?: \w+)? background\b")


@dataclass(frozen=True, slots=True)
class Seen:
    """A thing that is seen.

    `x` and `y` are its middle, in half widths from the picture's, and `area` its share of the
    picture; of a thing that is cut off, what is inside counts. `match` is how well the shape
    fits it: the intersection over the union, from 0 to 1.
    """

    shape: str
    colour: str
    x: float
    y: float
    area: float
    match: float


@dataclass(frozen=True, slots=True)
class Sight:
    """The ground's colour, and the things on it, the largest first."""

    ground: str
    things: tuple[Seen, ...]


@dataclass(frozen=True, slots=True)
class Agreement:
    """The shares of the things asked for whose colour, shape, or both in one, are seen.

    Each thing that is seen counts once. `ground` is also true where none is asked for.
    """

    colours: float
    shapes: float
    pairs: float
    ground: bool


def finds(
    pixels_HWC: UInt8[np.ndarray, "H W 3"],
    things: Sequence[tuple[str, str]],
    ground: str | None = None,
) -> Agreement:
    """How much of what was asked for, as pairs of a colour and a shape, is in the picture.

    Raises ValueError if no thing is asked for.
    """
    if not things:
        raise ValueError("no thing is asked for")
    sight = look(pixels_HWC)
    return Agreement(
        colours=_share((colour for colour, _ in things), (one.colour for one in sight.things)),
        shapes=_share((shape for _, shape in things), (one.shape for one in sight.things)),
        pairs=_share(things, ((one.colour, one.shape) for one in sight.things)),
        ground=ground in (None, sight.ground),
    )


def asked_of(caption: str) -> tuple[tuple[tuple[str, str], ...], str | None]:
    """The pairs of a colour and a shape that a caption tells, and the ground if it does."""
    ground = _GROUND_TOLD.search(caption)
    things = tuple((found[1], found[2]) for found in _TOLD.finditer(caption))
    return things, ground[1] if ground else None


def look(pixels_HWC: UInt8[np.ndarray, "H W 3"]) -> Sight:
    """What is to be seen in a picture of any size; it is looked at in 64 by 64 pixels."""
    small_HWC = pixels_HWC
    if pixels_HWC.shape[:2] != (SIZE, SIZE):
        small_HWC = cv2.resize(pixels_HWC, (SIZE, SIZE), interpolation=cv2.INTER_AREA)
    small_HWC = small_HWC.astype(np.float64)
    ground = _ground_of(small_HWC)
    if _grain(small_HWC) > _MOST_GRAIN:
        return Sight(ground, ())
    things = sorted(_things_on(small_HWC, ground), key=lambda one: -one.area)
    return Sight(ground, tuple(one for one in things if one.match >= _LEAST_MATCH))


def _grain(pixels_HWC: Array) -> float:
    """How far the middlemost pixel is from the median of its neighbours."""
    smooth_HWC = cv2.medianBlur(pixels_HWC.astype(np.uint8), 3)
    return float(np.median(np.linalg.norm(pixels_HWC - smooth_HWC, axis=-1)))


def _ground_of(pixels_HWC: Array) -> str:
    """The colour that explains the pixels along the border best."""
    inner_HW = np.zeros(pixels_HWC.shape[:2], dtype=bool)
    inner_HW[_FRAME:-_FRAME, _FRAME:-_FRAME] = True
    border_PC = pixels_HWC[~inner_HW]

    def strangeness(name: str) -> float:
        far_P = _how_far(border_PC, _ground_shades(name), _GROUND_LIGHT)
        return float(np.minimum(far_P, 100.0).mean())  # some of it may be a thing, cut off

    return min(COLOURS, key=strangeness)


def _things_on(pixels_HWC: Array, ground: str) -> Iterator[Seen]:
    """What is not ground, each as the shape that fits it best."""
    shades_KC = _ground_shades(ground)
    to_ground_HW = _how_far(pixels_HWC, shades_KC, _GROUND_LIGHT)
    to_shadow_HW = _how_far(pixels_HWC, shades_KC, _SHADOW_LIGHT)
    for colour, shade_C, near_HW in _cores(pixels_HWC, ground, to_shadow_HW):
        to_thing_HW = _how_far(pixels_HWC, shade_C[None], _THING_LIGHT)
        # A black thing's edge looks like a shadow: it is what makes the better shape.
        covers = [near_HW * _cover(far, to_thing_HW) for far in (to_ground_HW, to_shadow_HW)]
        seen = [_seen(one, colour) for one in covers if one.sum() >= _LEAST_PIXELS]
        if seen:
            yield max(seen, key=lambda one: one.match)


def _seen(mask_HW: Array, colour: str) -> Seen:
    """The thing that a mask shows."""
    match, shape = _fit(mask_HW)
    row, column = _middle(mask_HW)
    x, y = ((place + 0.5) * 2 / SIZE - 1 for place in (column, row))
    return Seen(shape, colour, x, y, float(mask_HW.mean()), match)


def _cores(
    pixels_HWC: Array, ground: str, to_ground_HW: Array
) -> Iterator[tuple[str, Array, Array]]:
    """Each thing's colour, its very shade [C], and the pixels [H, W] on it and around."""
    names = [name for name in COLOURS if name != ground]
    far_KHW = np.stack([_off_colour(pixels_HWC, name) for name in names])
    nearest_HW = far_KHW.argmin(0)
    for part_HW in _parts(far_KHW.min(0) < to_ground_HW):
        for index in _colours_of(nearest_HW, part_HW):
            core_HW = part_HW & (nearest_HW == index)
            shade_C = np.median(pixels_HWC[core_HW], axis=0)
            if _off_colour(shade_C, names[index]) <= _MOST_OFF:
                yield names[index], shade_C, ndimage.binary_dilation(core_HW, iterations=3)


def _parts(mask_HW: Array) -> Iterator[Array]:
    """The connected parts of a mask that are large enough to be a thing."""
    count, labels_HW = cv2.connectedComponents(mask_HW.astype(np.uint8))
    for index in range(1, count):
        part_HW = labels_HW == index
        if part_HW.sum() >= _LEAST_PIXELS:
            yield part_HW


def _colours_of(nearest_HW: Array, part_HW: Array) -> list[int]:
    """The colours of a part, by its deep pixels: those at its edges are mixed."""
    padded_HW = np.pad(part_HW, 1, mode="edge")  # it goes on beyond the picture
    depth_HW = np.asarray(ndimage.distance_transform_edt(padded_HW))[1:-1, 1:-1]
    votes_K = np.bincount(nearest_HW[part_HW], depth_HW[part_HW] ** 2)
    return [int(index) for index in np.flatnonzero(votes_K > votes_K.sum() / 4)]


def _cover(to_ground_HW: Array, to_thing_HW: Array) -> Array:
    """How much of each pixel a thing covers, from 0 to 1."""
    share_HW = to_ground_HW / (to_ground_HW + to_thing_HW + 1e-6)
    return np.clip(2 * share_HW - 0.5, 0, 1)


def _off_colour(pixels: Array, name: str) -> Array:
    """The distance of pixels [..., C] to a colour, in any light."""
    return _how_far(pixels, np.array([COLOURS[name]], dtype=float), _THING_LIGHT)


def _how_far(pixels: Array, shades_KC: Array, light: tuple[float, float]) -> Array:
    """The distance of pixels [..., C] to the nearest of the shades, in the light that suits."""
    flat_PC = pixels.reshape(-1, 3)
    along_PK, length_K = flat_PC @ shades_KC.T, (shades_KC**2).sum(1) + 1e-6
    light_PK = np.clip(along_PK / length_K, *light)
    square_PK = light_PK * (light_PK * length_K - 2 * along_PK)
    square_P = (flat_PC**2).sum(1) + square_PK.min(1)
    return np.sqrt(np.maximum(square_P, 0.0)).reshape(pixels.shape[:-1])


@cache
def _ground_shades(ground: str) -> Array:
    """The shades [K, C] of a ground and its pattern."""
    signs = _PATTERN_SIGNS.get(ground, (1.0,))
    steps_K = np.concatenate([sign * _PATTERN_STEPS for sign in signs])
    return np.clip(np.array(COLOURS[ground]) + steps_K[:, None], 0, 255)


def _fit(mask_HW: Array) -> tuple[float, str]:
    """How well the shape that fits a mask best does, and its name."""
    border_P = np.concatenate([mask_HW[0], mask_HW[-1], mask_HW[:, 0], mask_HW[:, -1]])
    whole, cut_off = _fit_whole(mask_HW), (border_P > 0.5).sum() > 3
    return max(whole, _fit_cut(mask_HW)) if cut_off else whole


def _fit_whole(mask_HW: Array) -> tuple[float, str]:
    """The fit of a whole shape that has the mask's area and middle."""
    row, column = _middle(mask_HW)
    line = np.linspace(-_REACH, _REACH, _GRID) * np.sqrt(mask_HW.sum() / np.pi)
    where = np.meshgrid(line + row, line + column, indexing="ij")
    seen_P = np.asarray(ndimage.map_coordinates(mask_HW, where, order=1)).ravel()
    seen_P = np.clip(4 * seen_P - 1.5, 0, 1)
    names, templates_NP = _templates()
    both_N = np.minimum(templates_NP, seen_P).sum(1)
    match_N = both_N / (templates_NP.sum(1) + seen_P.sum() - both_N)
    best = int(match_N.argmax())
    return float(match_N[best]), names[best]


def _middle(mask_HW: Array) -> tuple[float, float]:
    """The row and the column of a mask's centre of mass."""
    rows_HW, columns_HW = np.indices(mask_HW.shape)
    row, column = np.average(rows_HW, None, mask_HW), np.average(columns_HW, None, mask_HW)
    return float(row), float(column)


@cache
def _templates() -> tuple[tuple[str, ...], Array]:
    """Each shape's name and mask [N, P], at each tilt, as `_fit_whole` lays them."""
    tried = [(name, float(tilt)) for name in SHAPES for tilt in _TILTS]
    return tuple(name for name, _ in tried), np.stack([_template(*one) for one in tried])


def _template(name: str, tilt: float) -> Array:
    x_hw, y_hw = np.meshgrid(*[np.arange(-1.5, 1.5, 0.02)] * 2)
    inside_hw = _distance(name, tilt, x_hw, y_hw) < 0
    radius = np.sqrt(inside_hw.sum() * 0.02**2 / np.pi)
    line = np.linspace(-_REACH, _REACH, _GRID) * radius
    x_hw, y_hw = np.meshgrid(line + x_hw[inside_hw].mean(), line + y_hw[inside_hw].mean())
    edge = 0.15 * radius
    return np.clip(0.5 - _distance(name, tilt, x_hw, y_hw) / edge, 0, 1).ravel()


def _fit_cut(mask_HW: Array) -> tuple[float, str]:
    """The fit of a shape that is partly out of the picture, at least half of it inside.

    It is tried in all places, by way of Fourier, and compared inside the picture only. What
    both cover is their product, so that areas are sums of squares.
    """
    seen_hw, known = cv2.resize(mask_HW, (_CUT, _CUT), interpolation=cv2.INTER_AREA), _cuts()
    area = (seen_hw**2).sum()
    tried = np.flatnonzero((known.area_N > 0.9 * area) & (known.area_N < 2.0 * area))
    if not len(tried):
        return 0.0, ""
    inside_Nhw, both_Nhw = known.inside_Nhw[tried], _slid(seen_hw, known.spectrum_Nhw[tried])
    enough_Nhw = inside_Nhw >= 0.5 * known.area_N[tried, None, None]
    match_Nhw = np.where(enough_Nhw, both_Nhw / (inside_Nhw + area - both_Nhw), 0.0)
    match_N = match_Nhw.max((1, 2))
    best = int(match_N.argmax())
    return float(match_N[best]), known.names[tried[best]]


@dataclass(frozen=True, slots=True)
class _Cuts:
    """Shapes in many tilts and sizes, as `_fit_cut` slides them over a picture."""

    names: tuple[str, ...]
    area_N: Array
    spectrum_Nhw: Array
    inside_Nhw: Array
    """What of the shape's area is inside the picture, with its middle at each pixel."""


@cache
def _cuts() -> _Cuts:
    radii = _CUT_RADII * _CUT / 2
    tried = [
        (name, float(tilt), float(radius))
        for name, tilt, radius in itertools.product(SHAPES, _CUT_TILTS, radii)
    ]
    masks_Nhw = np.stack([_cut_mask(*one) for one in tried])
    inside_Nhw = _slid(np.ones((_CUT, _CUT)), _spectrum(masks_Nhw**2))
    names = tuple(name for name, _, _ in tried)
    return _Cuts(names, (masks_Nhw**2).sum((1, 2)), _spectrum(masks_Nhw), inside_Nhw)


def _cut_mask(name: str, tilt: float, radius: float) -> Array:
    """A shape [h, w] around the first pixel, on a torus of twice the picture's side."""
    line = np.fft.fftfreq(2 * _CUT, radius / (2 * _CUT))  # 0, 1, ... and then ..., -2, -1
    x_hw, y_hw = np.meshgrid(line, line)
    distance_hw = radius * _distance(name, tilt, x_hw, y_hw)
    return np.clip(0.5 - distance_hw, 0, 1).astype(np.float32)


def _spectrum(masks_Nhw: Array) -> Array:
    return np.conj(np.fft.rfft2(masks_Nhw))


def _slid(seen_hw: Array, spectrum_Nhw: Array) -> Array:
    """What a picture shares with each shape [N, h, w], with its middle at each pixel."""
    padded_hw = np.pad(seen_hw.astype(np.float32), (0, _CUT))
    return np.fft.irfft2(np.fft.rfft2(padded_hw) * spectrum_Nhw)


def _distance(name: str, tilt: float, x_hw: Array, y_hw: Array) -> Array:
    turned_x = x_hw * np.cos(tilt) + y_hw * np.sin(tilt)
    turned_y = y_hw * np.cos(tilt) - x_hw * np.sin(tilt)
    return SHAPES[name](turned_x, turned_y)


def _share(asked: Iterable[Hashable], seen: Iterable[Hashable]) -> float:
    wanted = Counter(asked)
    return (wanted & Counter(seen)).total() / wanted.total()
