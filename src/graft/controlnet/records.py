"""How pairs lie in Parquet: pictures as PNG, in the columns that Hugging Face users expect.

`write_shard(path, map(PAIR.to_row, pairs), PAIR.schema)` writes pairs,
`map(PAIR.from_row, read_shard(path))` reads them, and what is read equals what was written.

Legend: H and W pixels, 3 for red, green and blue.
"""

import io
import json
from typing import cast

import numpy as np
import pyarrow as pa
from jaxtyping import UInt8
from PIL import Image

from graft.controlnet.condition import Condition, Value
from graft.controlnet.dataset import Pair
from graft.errors import DataError
from graft.store.shards import Format, Row

_COMPRESSION = 1
"""Of zlib's levels the fastest; on photographs the others make hardly less of it."""


def encode_png(pixels_HWC: UInt8[np.ndarray, "H W 3"]) -> bytes:
    """A picture as a PNG; equal pictures give equal bytes."""
    content = io.BytesIO()
    Image.fromarray(pixels_HWC).save(content, "PNG", compress_level=_COMPRESSION)
    return content.getvalue()


def read_png(content: bytes) -> UInt8[np.ndarray, "H W 3"]:
    """The picture in a PNG that `encode_png` wrote.

    Raises:
        DataError: it is damaged, or no PNG of red, green and blue.
    """
    try:
        with Image.open(io.BytesIO(content), formats=["PNG"]) as image:
            pixels_HWC = np.array(image)
    except (OSError, SyntaxError, ValueError) as error:
        raise DataError(f"a picture of a pair is damaged ({error}); annotate anew") from error
    if pixels_HWC.ndim != 3 or pixels_HWC.shape[2] != 3:
        raise DataError(f"a picture of a pair is no RGB but {image.mode}; annotate anew")
    return pixels_HWC


def _pair_row(pair: Pair) -> Row:
    return {
        "id": pair.id,
        "image": encode_png(pair.pixels_HWC),
        "conditioning_image": encode_png(pair.condition.pixels_HWC),
        "text": pair.caption,
        "kind": pair.condition.kind,
        "parameters": _json(pair),
        "brought": pair.condition.brought,
        "faults": list(pair.faults),
    }


def _json(pair: Pair) -> str:
    parameters = dict(pair.condition.parameters)
    try:
        return json.dumps(parameters, sort_keys=True, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise DataError(
            f"pair {pair.id}: JSON cannot hold the parameters of its condition, {parameters}:"
            f" {error}"
        ) from error


def _pair(row: Row) -> Pair:
    condition = Condition(
        cast("str", row["kind"]),
        read_png(cast("bytes", row["conditioning_image"])),
        cast("dict[str, Value]", json.loads(cast("str", row["parameters"]))),
        cast("bool", row["brought"]),
    )
    return Pair(
        cast("str", row["id"]),
        read_png(cast("bytes", row["image"])),
        cast("str", row["text"]),
        condition,
        tuple(cast("list[str]", row["faults"])),
    )


PAIR = Format(
    "pairs of a picture and its condition",
    pa.schema(
        [
            pa.field("id", pa.string(), nullable=False),
            pa.field("image", pa.binary(), nullable=False),
            pa.field("conditioning_image", pa.binary(), nullable=False),
            pa.field("text", pa.string(), nullable=False),
            pa.field("kind", pa.string(), nullable=False),
            pa.field("parameters", pa.string(), nullable=False),
            pa.field("brought", pa.bool_(), nullable=False),
            pa.field("faults", pa.list_(pa.string()), nullable=False),
        ]
    ),
    _pair_row,
    _pair,
)
