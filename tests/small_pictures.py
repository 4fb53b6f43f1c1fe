"""Small pictures in files, and reading them."""

import io
from pathlib import Path

from PIL import Image

from graft.controlnet.dataset import Captioned
from graft.controlnet.pictures import PictureReader

RED, GREEN, BLUE, WHITE = (200, 10, 10), (10, 200, 10), (10, 10, 200), (255, 255, 255)


def plain(colour: tuple[int, int, int] = RED, size: tuple[int, int] = (32, 24)) -> Image.Image:
    return Image.new("RGB", size, colour)


def save(path: Path, image: Image.Image | None = None, **options: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    (image or plain()).save(path, **options)
    return path


def content(image: Image.Image, kind: str = "PNG") -> bytes:
    file = io.BytesIO()
    image.save(file, kind)
    return file.getvalue()


def only(source: Path) -> Captioned:
    (one,) = PictureReader(source)
    return one


def call_at_length(pictures: Path) -> None:
    """A gallery's pictures under names as crawlers write them, alike for 160 letters."""
    long, listed = "as-the-page-calls-it" * 8, pictures / "metadata.jsonl"
    for path in pictures.glob("*.png"):
        path.rename(pictures / f"{long}{path.name}")
    listed.write_text(listed.read_text().replace('"file_name": "', f'"file_name": "{long}'))
