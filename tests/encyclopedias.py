"""Small encyclopedias as real files: a MediaWiki dump, and a ZIM file by libzim itself."""

import bz2
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

HEAD = (
    '<mediawiki xmlns="http://www.mediawiki.org/xml/export-0.11/" version="0.11" '
    'xml:lang="en"><siteinfo><sitename>Wikipedia</sitename></siteinfo>\n'
)
OSK = """{{Infobox river|name=Osk|length={{convert|12|km}}}}
'''Osk''' is a [[river]] in [[Tovel Region|the region]].<ref>Smith, ''Rivers''</ref> It is \
{{convert|412|km|mi}} long&nbsp;and flows into the [[North Sea|sea]] ({{IPA|ask}}).{{cn}}
[[File:Osk.jpg|thumb|The [[Osk]] in 1931]]

== History ==
* The first ''bridge'' was built in 1840.
{| class="wikitable"
! a
|-
| b || c
|}
See [https://example.org the site]. <!-- hidden --> <small>Small words</small> and \
{{lang|de|Brücke}}. [[2001: A Space Odyssey]] was not filmed here.

== See also ==
* [[Elbe]]

=== Others ===
Hidden too.

[[Category:Rivers]]
[[de:Osk]]
"""
OSK_TEXT = (
    "Osk is a river in the region. It is 412 km long and flows into the sea . "
    "The first bridge was built in 1840. See the site. Small words and Brücke. "
    "2001: A Space Odyssey was not filmed here."
)


def page(title: str, markup: str, namespace: int = 0, redirect: str = "") -> str:
    """A page of a dump with two revisions, of which the last one counts."""
    told = f'<redirect title="{escape(redirect)}" />' if redirect else ""
    return (
        f"<page><title>{escape(title)}</title><ns>{namespace}</ns><id>7</id>{told}"
        "<revision><id>1</id><text>An old revision.</text></revision>"
        f"<revision><id>2</id><text>{escape(markup)}</text></revision></page>\n"
    )


def write_dump(path: Path, pages: Sequence[str]) -> Path:
    """A dump of these pages, packed where its name says so."""
    whole = (HEAD + "".join(pages) + "</mediawiki>\n").encode()
    path.write_bytes(bz2.compress(whole) if path.suffix == ".bz2" else whole)
    return path


def articles(count: int) -> list[str]:
    """Articles that differ, and redirects and talk between them."""
    made = list[str]()
    for n in range(count):
        made.append(page(f"Town {n}", f"'''Town {n}''' has [[people|{n} people]]. " * 12))
        made.append(page(f"T{n}", "#REDIRECT", redirect=f"Town {n}"))
        made.append(page(f"Talk:Town {n}", "I say so.", namespace=1))
    return made


def write_zim(path: Path, pages: Mapping[str, str]) -> Path:
    """A ZIM file with these pages by title, a style, and a redirect to the first page."""
    from libzim.writer import Creator, Hint, Item, StringProvider

    class Page(Item):
        def __init__(self, title: str, content: str, kind: str) -> None:
            super().__init__()
            self.title, self.content, self.kind = title, content, kind

        def get_path(self) -> str:
            return self.title.lower()

        def get_title(self) -> str:
            return self.title

        def get_mimetype(self) -> str:
            return self.kind

        def get_contentprovider(self) -> StringProvider:
            return StringProvider(self.content)

        def get_hints(self) -> dict[Hint, int]:
            return {Hint.FRONT_ARTICLE: self.kind == "text/html"}

    with Creator(path).config_indexing(False, "eng") as creator:
        first = next(iter(pages)).lower()
        creator.set_mainpath(first)
        creator.add_item(Page("style.css", "p {}", "text/css"))
        for title, content in pages.items():
            creator.add_item(Page(title, content, "text/html"))
        creator.add_redirection("elsewhere", "Elsewhere", first, {Hint.FRONT_ARTICLE: True})
    return path
