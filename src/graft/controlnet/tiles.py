"""A large picture as many small ones: square tiles that lie side by side and cover it.

A tile is called by its picture, its row and its column, `01.png#0,2`. Tiles of one picture are
alike, so whoever divides pairs asks `picture_of` and leaves them together.

Legend: H and W pixels, h and w those of a condition, S pixels along each side of a tile.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace

from graft.controlnet.dataset import Captioned
from graft.controlnet.pictures import Box, cut_picture

_MARK = "#"


def cut_tiles(pictures: Iterable[Captioned], tiles: int, size: int) -> Iterator[Captioned]:
    """The tiles of each picture, row by row, `size` pixels along a side.

    A condition that came with a picture is cut in the same places, whatever its size. Caption
    and faults are the picture's.
    """
    for one in pictures:
        height, width = one.pixels_HWC.shape[:2]
        for (row, column), box in place_tiles(height, width, tiles, size).items():
            condition_HWC = one.condition_HWC
            if condition_HWC is not None:
                high, wide = condition_HWC.shape[:2]
                moved = _scaled(box, wide / width, high / height)
                condition_HWC = cut_picture(condition_HWC, moved, size)
            yield replace(
                one,
                id=f"{one.id}{_MARK}{row},{column}",
                pixels_HWC=cut_picture(one.pixels_HWC, box, size),
                condition_HWC=condition_HWC,
            )


def place_tiles(height: int, width: int, tiles: int, size: int) -> dict[tuple[int, int], Box]:
    """The box of each tile by its row and column: `tiles` of them along the shorter side.

    There are fewer if a tile would else be smaller than `size`, for nothing is to be enlarged
    that need not be; of a picture which is smaller itself there is one. Along the longer side
    are as many as fit. They do not overlap; what is left over lies evenly before, between and
    behind them, and is less than a tile.
    """
    short = min(height, width)
    along = max(1, min(tiles, short // size))
    side = short // along
    tops, lefts = (
        _starts(length, along if length == short else length // side, side)
        for length in (height, width)
    )
    return {
        (row, column): (left, top, left + side, top + side)
        for row, top in enumerate(tops)
        for column, left in enumerate(lefts)
    }


def picture_of(tile: str) -> str:
    """The id of the picture that a tile was cut from."""
    return tile.rpartition(_MARK)[0]


def _starts(length: int, count: int, side: int) -> list[int]:
    left = length - count * side
    return [at * side + left * (at + 1) // (count + 1) for at in range(count)]


def _scaled(box: Box, along: float, down: float) -> Box:
    left, top, right, bottom = box
    return left * along, top * down, right * along, bottom * down
