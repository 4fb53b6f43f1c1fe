"""Names of people and places, made of syllables, and half of them held out."""

import zlib
from collections.abc import Sequence

import numpy as np

from graft.world.story import Half, pick

_FIRST = (
    "Ma Te Lo Ri Sa No El Ka Vi Bo Du He Jo Pe Ta Wi Ya Zo An Or Is Em Fa Gi Lu Mi Na Ro Su Ve"
).split()
_FIRST_END = (
    "ra lin nek va mo dia sha ton bel rik na lo mir tta sel vin ga ren do la sa nor bi ka"
).split()
_LAST = (
    "Bar Cor Dal Ell Far Gren Hal Ing Jar Kel Lan Mor Nor Os Pel Quin Ras Sten Tor Ul Vas Wen "
    "Yor Zan Bren Crow Dun Esk Fen Gal"
).split()
_LAST_END = (
    "man sen ley wick berg ton by ford well ow ing er stad son ard in and ova ek isto"
).split()
_PLACE = (
    "Tol Bran Kes Vel Mar Osk Dren Fal Hol Lim Nar Por Ral Sol Tarn Ur Wex Yar Zel Ash Bel Cal "
    "Dor Eld Fir Gor Hav Ink Lor Mun"
).split()
_PLACE_END = (
    "vik holm burg mouth field aven dale stad ora mere ia by port gate wood hurst ness a on um"
).split()
_LAND_END = "land ovia onia istan aria mark".split()


def held_out(name: str) -> bool:
    """Whether a name belongs to the held half: one in five, for all time."""
    return zlib.crc32(name.encode()) % 5 == 0


def person(rng: np.random.Generator, half: Half) -> str:
    """A full name such as `Mara Ellwick`."""
    return f"{first_name(rng, half)} {_drawn(rng, half, _LAST, _LAST_END)}"


def first_name(rng: np.random.Generator, half: Half) -> str:
    """A given name such as `Mara`."""
    return _drawn(rng, half, _FIRST, _FIRST_END)


def town(rng: np.random.Generator, half: Half) -> str:
    """A town such as `Tolvik`."""
    return _drawn(rng, half, _PLACE, _PLACE_END)


def land(rng: np.random.Generator, half: Half) -> str:
    """A country such as `Brania`."""
    return _drawn(rng, half, _PLACE, _LAND_END)


def strange(rng: np.random.Generator) -> str:
    """A name that is nobody's: syllables of any kind, two or three, and not held out."""
    while True:
        parts = [pick(rng, pick(rng, (_FIRST, _LAST, _PLACE)))]
        if rng.random() < 0.3:
            parts.append(pick(rng, _FIRST_END))
        parts.append(pick(rng, pick(rng, (_FIRST_END, _LAST_END, _PLACE_END))))
        if not held_out(name := "".join(parts)):
            return name


def _drawn(
    rng: np.random.Generator, half: Half, starts: Sequence[str], ends: Sequence[str]
) -> str:
    if half == "strange":
        return strange(rng)
    while True:
        name = pick(rng, starts) + pick(rng, ends)
        if held_out(name) == (half == "held"):
            return name
