"""Shapes as distances: how far a point lies outside of each, negative inside.

The formulas for the triangle, the star, the heart and the cross are those of Inigo Quilez's
"2D distance functions" (iquilezles.org), written for arrays. A shape fills the unit circle,
more or less.

Legend: H and W pixels, x and y coordinates from the shape's middle, y downwards.
"""

from collections.abc import Callable

import numpy as np

Array = np.ndarray
Distance = Callable[[Array, Array], Array]


def circle(x_HW: Array, y_HW: Array) -> Array:
    """A disc."""
    return np.hypot(x_HW, y_HW) - 0.9


def ring(x_HW: Array, y_HW: Array) -> Array:
    """A disc with a hole of half its width."""
    return np.abs(np.hypot(x_HW, y_HW) - 0.72) - 0.22


def square(x_HW: Array, y_HW: Array) -> Array:
    """A square."""
    return _box(x_HW, y_HW, 0.8, 0.8)


def diamond(x_HW: Array, y_HW: Array) -> Array:
    """A square on its tip, higher than wide."""
    return (np.abs(x_HW) / 0.7 + np.abs(y_HW) / 1.1 - 1.0) * 0.59


def cross(x_HW: Array, y_HW: Array) -> Array:
    """An upright cross of two bars."""
    return np.minimum(_box(x_HW, y_HW, 0.95, 0.3), _box(x_HW, y_HW, 0.3, 0.95))


def triangle(x_HW: Array, y_HW: Array) -> Array:
    """A triangle that stands on its side."""
    k, r = np.sqrt(3.0), 0.95
    x, y = np.abs(x_HW) - r, -y_HW + 0.25 + r / k
    outside = x + k * y > 0
    turned_x, turned_y = (x - k * y) / 2, (-k * x - y) / 2
    x, y = np.where(outside, turned_x, x), np.where(outside, turned_y, y)
    x = x - np.clip(x, -2 * r, 0.0)
    return -np.hypot(x, y) * np.sign(y)


def star(x_HW: Array, y_HW: Array) -> Array:
    """A star with five tips."""
    inner, r = 0.45, 1.05
    k1, k2 = (0.809016994375, -0.587785252292), (-0.809016994375, -0.587785252292)
    x, y = np.abs(x_HW), -y_HW
    for kx, ky in (k1, k2):
        along = 2.0 * np.maximum(kx * x + ky * y, 0.0)
        x, y = x - along * kx, y - along * ky
    x, y = np.abs(x), y - r
    bx, by = inner * -k1[1], inner * k1[0] - 1.0
    along = np.clip((x * bx + y * by) / (bx * bx + by * by), 0.0, r)
    return np.hypot(x - bx * along, y - by * along) * np.sign(y * bx - x * by)


def heart(x_HW: Array, y_HW: Array) -> Array:
    """A heart with its tip down."""
    x, y = np.abs(x_HW) / 1.6, -y_HW / 1.6 + 0.55
    upper = np.hypot(x - 0.25, y - 0.75) - np.sqrt(2.0) / 4.0
    half = 0.5 * np.maximum(x + y, 0.0)
    lower = np.sqrt(np.minimum(x**2 + (y - 1.0) ** 2, (x - half) ** 2 + (y - half) ** 2))
    return 1.6 * np.where(x + y > 1.0, upper, lower * np.sign(x - y))


SHAPES: dict[str, Distance] = {
    "circle": circle,
    "square": square,
    "triangle": triangle,
    "star": star,
    "heart": heart,
    "ring": ring,
    "cross": cross,
    "diamond": diamond,
}


def _box(x_HW: Array, y_HW: Array, width: float, height: float) -> Array:
    x, y = np.abs(x_HW) - width, np.abs(y_HW) - height
    return np.hypot(np.maximum(x, 0), np.maximum(y, 0)) + np.minimum(np.maximum(x, y), 0)
