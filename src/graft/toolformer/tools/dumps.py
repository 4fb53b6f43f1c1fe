"""Wikipedia dumps, and those of any MediaWiki: the articles of `.xml` and `.xml.bz2`, streamed.

The format is https://www.mediawiki.org/wiki/Help:Export. Redirects and pages of other
namespaces, such as talk and templates, are left out.
"""

import bz2
import contextlib
import importlib
import multiprocessing
import os
import threading
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import IO, cast
from xml.etree import ElementTree

from graft.errors import DataError
from graft.toolformer.tools.documents import Document, Meter, refusal_told
from graft.toolformer.tools.passages import cut

LONGEST_PAGE = 4 << 20
"""Characters of markup; MediaWiki's own limit is 2 MiB."""
REDIRECT, NO_ARTICLE = "a redirect", "no article (talk, template, ...)"

_PAGES_AT_ONCE = 16


@dataclass(frozen=True, slots=True)
class Page:
    """An article as it stands in the dump."""

    number: int
    title: str
    markup: str


def read_dump(path: Path, start: int, meter: Meter, workers: int) -> Iterator[Document]:
    """The articles of a dump as documents, from page number `start` on.

    Raises:
        DataError: the dump is damaged or none, or mwparserfromhell is missing.
    """
    try:
        importlib.import_module("graft.toolformer.tools.wikitext")  # told before it begins
    except ImportError as error:
        raise DataError(
            f"{path}: the package '{error.name}' is missing; install it with:"
            " pip install 'graft-models[wikipedia]'"
        ) from error
    pages = _pages(path, start, meter)
    if workers == 1:
        return map(document_of, pages)
    return _side_by_side(pages, workers)


def document_of(page: Page | Document) -> Document:
    """An article's markup as passages; what is left out stays so."""
    from graft.toolformer.tools.wikitext import MarkupError, plain_text

    if isinstance(page, Document):
        return page
    where = f"page {page.number} ({page.title[:80]})"
    if len(page.markup) > LONGEST_PAGE:
        reason = f"longer than {LONGEST_PAGE >> 20} MiB"
        return Document(page.number, reason=reason, broken=True, where=where)
    try:
        found = list(cut(page.title, [plain_text(page.markup)]))
    except MarkupError:
        reason = "markup that cannot be read"
        return Document(page.number, reason=reason, broken=True, where=where)
    return Document(page.number, found)


def _side_by_side(pages: Iterable[Page | Document], workers: int) -> Iterator[Document]:
    """In the same order, by so many processes, with a bounded number of pages on the way."""
    spawn = multiprocessing.get_context("spawn")
    waiting = deque[Future[list[Document]]]()
    with ProcessPoolExecutor(workers, spawn, _end_with_parent) as pool:
        try:
            remaining = iter(pages)
            while some := tuple(islice(remaining, _PAGES_AT_ONCE)):
                waiting.append(pool.submit(_documents_of, some))
                if len(waiting) > 4 * workers:
                    yield from waiting.popleft().result()
            yield from chain.from_iterable(one.result() for one in waiting)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _documents_of(pages: tuple[Page | Document, ...]) -> list[Document]:
    return [document_of(page) for page in pages]


def _end_with_parent() -> None:
    """A worker whose parent is killed is not left behind."""
    parent = multiprocessing.parent_process()

    def wait() -> None:
        if parent is not None:
            parent.join()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def _pages(path: Path, start: int, meter: Meter) -> Iterator[Page | Document]:
    number = 0
    with refusal_told(path), path.open("rb") as raw:
        try:
            for number, page in enumerate(_elements(path, raw), start=1):
                meter.at = raw.tell()
                if number >= start:
                    yield _read(number, page)
        except (ElementTree.ParseError, EOFError, ValueError) as broken:
            raise _damaged(path, number, broken) from None
        except OSError as broken:
            if broken.errno is None:  # bz2 says so of what it cannot read
                raise _damaged(path, number, broken) from None
            raise


def _damaged(path: Path, number: int, why: Exception) -> DataError:
    return DataError(
        f"{path}: damaged behind page {number} ({why}); get the whole file again, compare its"
        " checksum, and run the same command again"
    )


def _elements(path: Path, raw: IO[bytes]) -> Iterator[ElementTree.Element]:
    """The `page` elements one by one; nothing of those before is kept."""
    with _unpacked(path, raw) as file:
        root = None
        for event, element in ElementTree.iterparse(file, ("start", "end")):
            if root is None:
                root = element
                if _name(root) != "mediawiki":
                    raise DataError(f"{path}: no MediaWiki dump: its root is <{_name(root)}>")
            elif event == "end" and _name(element) == "page":
                yield element
                root.clear()
            elif event == "end" and _name(element) == "revision":
                _keep_text_only(element)


@contextlib.contextmanager
def _unpacked(path: Path, raw: IO[bytes]) -> Generator[IO[bytes]]:
    if path.suffix.lower() != ".bz2":
        yield raw
        return
    with bz2.BZ2File(raw) as file:
        yield cast("IO[bytes]", file)


def _keep_text_only(revision: ElementTree.Element) -> None:
    """A page may have thousands of revisions; the last one counts."""
    for child in list(revision):
        if _name(child) != "text":
            revision.remove(child)


def _read(number: int, page: ElementTree.Element) -> Page | Document:
    told = {_name(child): child for child in page}
    if "redirect" in told:
        return Document(number, reason=REDIRECT)
    namespace = told.get("ns")
    if namespace is not None and (namespace.text or "0").strip() != "0":
        return Document(number, reason=NO_ARTICLE)
    title = (told["title"].text or "").strip() if "title" in told else ""
    text = next((one.text for one in told.get("revision", ()) if _name(one) == "text"), None)
    if not title:
        reason = "a page without a title"
        return Document(number, reason=reason, broken=True, where=f"page {number}")
    return Page(number, title, text or "")


def _name(element: ElementTree.Element) -> str:
    return element.tag.rpartition("}")[2]
