"""A page in HTML as plain text: its paragraphs, without menus, tables and references."""

from html.parser import HTMLParser

_HIDDEN = frozenset(
    "script style table nav header footer figure noscript template sup math svg form button "
    "select textarea iframe object audio video head".split()
)
_BLOCKS = frozenset(
    "p div li ul ol dl dd dt br h1 h2 h3 h4 h5 h6 section article blockquote pre hr details "
    "summary main aside".split()
)
_VOID = frozenset(
    "area base br col embed hr img input link meta param source track wbr".split()
)


def text_of_page(page: str) -> str:
    """What a reader would read on a page, a line for each paragraph."""
    parser = _Reader()
    parser.feed(page)
    parser.close()
    lines = ("".join(parser.parts)).split("\n")
    return "\n".join(one for line in lines if (one := " ".join(line.split())))


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts = list[str]()
        self._hidden, self._depth = "", 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        del attrs
        if self._hidden:
            self._depth += tag == self._hidden
        elif tag in _HIDDEN and tag not in _VOID:
            self._hidden, self._depth = tag, 1
        elif tag in _BLOCKS:
            self.parts.append("\n")

    def handle_endtag(self, tag: str) -> None:
        if self._hidden:
            self._depth -= tag == self._hidden
            self._hidden = self._hidden if self._depth else ""
        elif tag in _BLOCKS:
            self.parts.append("\n")

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self.parts.append(data.replace("\n", " "))
