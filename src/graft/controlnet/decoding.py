"""A picture file of any kind as 8-bit red, green and blue, or the reason why it is none.

The files are whatever people bring: damaged, huge, mislabelled or made to do harm. So the size
is read from the header before anything is decoded, and only formats that are pictures and
nothing else are opened.

Legend: H and W pixels, 3 for red, green and blue, 4 with alpha.
"""

import contextlib
import io
import struct
import warnings
import zlib
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageOps

Content = Path | bytes
"""A picture file, or what stands in one."""

_FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "TIFF", "BMP", "DIB", "PPM", "AVIF", "JPEG2000")
_DEEP = ("I", "I;16", "I;16L", "I;16B", "I;16N", "F")
_DAMAGE = (  # what Pillow's decoders are known to raise on damaged files
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    LookupError,
    EOFError,
    RuntimeError,
    ArithmeticError,
    struct.error,
    zlib.error,
)


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What is not read: too much, or too little to learn from."""

    most_pixels: int = 100_000_000
    most_bytes: int = 256 * 2**20
    least_side: int = 16


@dataclass(frozen=True, slots=True)
class Decoded:
    """A picture, what was wrong with its file and could be borne, and the file's format."""

    pixels_HWC: UInt8[np.ndarray, "H W 3"]
    faults: tuple[str, ...]
    format: str


@dataclass(frozen=True, slots=True)
class Refused:
    """Why there is no picture."""

    reason: str


def decode_picture(
    content: Content, limits: Limits, *, ground: tuple[int, int, int] = (255, 255, 255)
) -> Decoded | Refused:
    """The first frame of a picture file, turned as EXIF says, on `ground` where transparent.

    More than 8 bits are scaled to 8. Whatever the file's name ends with, its content counts.
    """
    size = content.stat().st_size if isinstance(content, Path) else len(content)
    if size > limits.most_bytes:
        return Refused("too many bytes")
    try:
        with _opened(content) as image:
            return _flaw(image, limits) or _decode(image, ground)
    except Image.DecompressionBombError:
        return Refused("too many pixels")
    except _DAMAGE as error:
        cut = isinstance(error, EOFError) or "truncated" in str(error).lower()
        return Refused("truncated" if cut else "unreadable")


@contextlib.contextmanager
def _opened(content: Content) -> Generator[Image.Image]:
    """The file with its header read. What Pillow warns of is told by a fault, or not at all."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        file = io.BytesIO(content) if isinstance(content, bytes) else content
        with Image.open(file, formats=_FORMATS) as image:
            yield image


def _flaw(image: Image.Image, limits: Limits) -> Refused | None:
    width, height = image.size
    if width * height > limits.most_pixels:
        return Refused("too many pixels")
    return Refused("too small") if min(width, height) < limits.least_side else None


def _decode(image: Image.Image, ground: tuple[int, int, int]) -> Decoded:
    name, faults = image.format or "", list[str]()
    # a phone's photograph brings a preview as its second frame
    if name != "MPO" and getattr(image, "n_frames", 1) > 1:
        faults.append("first of several frames")
        image.seek(0)
    image.load()
    turned = ImageOps.exif_transpose(image)
    faults += _faults_of_mode(turned)
    if turned.mode in _DEEP:
        turned = _eight_bits(turned)
    if turned.has_transparency_data:
        turned, transparent = _laid_on(turned, ground)
        faults += ["transparent"] if transparent else []
    pixels_HWC = np.array(turned.convert("RGB"))
    return Decoded(pixels_HWC, tuple(faults), "JPEG" if name == "MPO" else name)


def _faults_of_mode(image: Image.Image) -> list[str]:
    if image.mode in _DEEP:
        return ["greyscale", "more than 8 bits"]
    if image.mode in {"1", "L", "LA", "La"}:
        return ["greyscale"]
    return ["CMYK"] if image.mode == "CMYK" else []


def _eight_bits(image: Image.Image) -> Image.Image:
    """Grey of 16 bits, or of 8 that lie in 16; numbers with a point are from 0 to 1.

    What does not fit these ranges is stretched from its least to its greatest value; where
    these are the same, the picture is flat and black.
    """
    grey_HW = np.asarray(image, dtype=np.float64)
    if not np.isfinite(grey_HW).all():
        raise ValueError("a pixel is no number")
    whole = 255.0 if grey_HW.max() <= 255 else 65535.0
    low, high = 0.0, 1.0 if image.mode == "F" else whole
    if grey_HW.min() < low or grey_HW.max() > high:
        low, high = float(grey_HW.min()), float(grey_HW.max())
    scaled_HW = np.rint((grey_HW - low) * (255.0 / ((high - low) or 1.0)))
    return Image.fromarray(scaled_HW.astype(np.uint8))


def _laid_on(image: Image.Image, ground: tuple[int, int, int]) -> tuple[Image.Image, bool]:
    """The picture on a ground, and whether the ground is seen anywhere."""
    clear = image.convert("RGBA")
    low, _ = clear.getchannel("A").getextrema()
    under = Image.new("RGBA", clear.size, (*ground, 255))
    return Image.alpha_composite(under, clear), low != 255
