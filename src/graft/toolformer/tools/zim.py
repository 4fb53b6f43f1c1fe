"""ZIM files, such as Kiwix's of Wikipedia: their pages, streamed by libzim.

libzim is under the GPL-3 and is no part of graft: it is an extra that a user may install.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from graft.errors import DataError
from graft.toolformer.tools.documents import Document, Meter
from graft.toolformer.tools.hypertext import text_of_page
from graft.toolformer.tools.passages import cut

if TYPE_CHECKING:
    from libzim.reader import Archive, Entry

LONGEST_PAGE = 16 << 20
REDIRECT, NO_PAGE = "a redirect", "no page (a picture, a style, ...)"


def read_zim(path: Path, start: int, meter: Meter) -> Iterator[Document]:
    """The pages of a ZIM file as documents, from entry number `start` on.

    Raises:
        DataError: the file is damaged or none, or libzim is missing.
    """
    archive = _opened(path)
    size, entries = path.stat().st_size, archive.all_entry_count
    for number in range(start, entries + 1):
        meter.at = size * number // entries
        try:
            yield _document(number, archive._get_entry_by_id(number - 1))
        except RuntimeError as error:
            raise DataError(
                f"{path}: damaged at entry {number} ({error}); get the whole file again, and"
                " run the same command again"
            ) from error


def _opened(path: Path) -> "Archive":
    try:
        from libzim.reader import Archive
    except ImportError as error:
        raise DataError(
            f"{path}: the package 'libzim' is missing; install it with:"
            " pip install 'graft-models[zim]'"
        ) from error
    try:
        return Archive(path)
    except RuntimeError as error:
        raise DataError(f"{path}: no whole ZIM file ({error}); get it again") from error


def _document(number: int, entry: "Entry") -> Document:
    if entry.is_redirect:
        return Document(number, reason=REDIRECT)
    item = entry.get_item()
    if not item.mimetype.startswith("text/html"):
        return Document(number, reason=NO_PAGE)
    where = f"entry {number} ({entry.path[:80]})"
    if item.size > LONGEST_PAGE:
        reason = f"longer than {LONGEST_PAGE >> 20} MiB"
        return Document(number, reason=reason, broken=True, where=where)
    text = text_of_page(bytes(item.content).decode(errors="replace"))
    return Document(number, cut(entry.title, [text]))
