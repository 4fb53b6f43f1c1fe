"""MediaWiki's markup as plain text: what a reader sees as prose, without the rest.

mwparserfromhell reads the markup. Left out are references, tables, pictures, most templates
and the sections at an article's end that hold only sources.
"""

import re
from collections.abc import Iterator

import mwparserfromhell
from mwparserfromhell.nodes import (
    ExternalLink,
    Heading,
    HTMLEntity,
    Tag,
    Template,
    Text,
    Wikilink,
)
from mwparserfromhell.nodes.extras import Parameter
from mwparserfromhell.parser import ParserError
from mwparserfromhell.wikicode import Wikicode

_NO_PROSE = frozenset(
    "ref references table gallery math chem timeline score syntaxhighlight source pre imagemap "
    "graph mapframe templatestyles style script".split()
)
_SOURCES = frozenset(
    ("references", "external links", "see also", "further reading", "notes", "bibliography")
)
_SHOWN = {
    "lang": (1,), "convert": (0, 1), "cvt": (0, 1), "nowrap": (0,), "small": (0,), "abbr": (0,),
    "circa": (0,),
}  # fmt: skip
"""Templates that stand for words of the text, and which of their parameters these are."""
_ASIDES = frozenset(
    "file image media category datei bild kategorie fichier catégorie archivo imagen "
    "categoría ficheiro arquivo categoria immagine bestand categorie plik kategoria".split()
)
"""Namespaces of pictures and categories, in some languages."""
_LANGUAGE = re.compile(r"[a-z]{2,3}(?:-[a-z]+)?")
_DEEPEST = 30
_MOST_OPEN = 1000
"""Brackets, or tags, that nothing closes: each costs a pass over what follows."""
_TAG = re.compile(r"<[a-z]", re.IGNORECASE)
_ASIDE = re.compile(r"\([\s,;:]*\)")
_SPACES = re.compile(r"[ \t\xa0]+")
_LINES = re.compile(r"\s*\n\s*")


class MarkupError(ValueError):
    """The markup cannot be read."""


def plain_text(markup: str) -> str:
    """The prose of an article.

    Raises:
        MarkupError: the markup cannot be read.
    """
    tags = len(_TAG.findall(markup)) - markup.count("</") - markup.count("/>")
    unclosed = (markup.count(one) - markup.count(end) for one, end in ("[]", "{}"))
    if max(tags, *unclosed) > _MOST_OPEN:
        raise MarkupError("more is opened than closed")
    try:
        parsed = mwparserfromhell.parse(markup, skip_style_tags=True)
        whole = "".join(_prose(parsed, 0))
    except (ParserError, RecursionError) as error:
        raise MarkupError(str(error)) from error
    whole = _ASIDE.sub("", whole.replace("'''", "").replace("''", ""))
    return _LINES.sub("\n", _SPACES.sub(" ", whole)).strip()


def _prose(code: Wikicode | None, depth: int) -> Iterator[str]:
    if code is None or depth > _DEEPEST:
        return
    hidden = 0  # the level of the heading of sources that it stands under
    for node in code.nodes:
        if isinstance(node, Heading):
            if hidden == 0 or node.level <= hidden:
                name = str(node.title).strip().lower()
                hidden = node.level if name in _SOURCES else 0
            yield "\n"
        elif not hidden:
            yield from _of_node(node, depth + 1)


def _of_node(node: object, depth: int) -> Iterator[str]:
    match node:
        case Text():
            yield str(node.value)
        case Wikilink():
            yield from _of_link(node, depth)
        case ExternalLink():
            yield from _prose(node.title, depth)
        case Tag():
            yield from _of_tag(node, depth)
        case HTMLEntity():
            yield _character(node)
        case Template():
            yield from _of_template(node, depth)
        case _:  # comments, arguments of templates
            return


def _of_link(link: Wikilink, depth: int) -> Iterator[str]:
    """What is shown of a link; pictures, categories and other languages are not."""
    target = str(link.title)
    space = target.partition(":")[0].strip().lower() if ":" in target else ""
    if space in _ASIDES or _LANGUAGE.fullmatch(space):
        return
    if link.text is not None:
        yield from _prose(link.text, depth)
    else:
        yield target.removeprefix(":")


def _of_tag(tag: Tag, depth: int) -> Iterator[str]:
    name = str(tag.tag).strip().lower()
    if name in ("br", "li", "dd", "dt", "hr", "p", "div"):
        yield "\n" if name != "br" else " "
    if name not in _NO_PROSE:
        yield from _prose(tag.contents, depth)


def _of_template(template: Template, depth: int) -> Iterator[str]:
    name = str(template.name).strip().lower()
    given = [one for one in template.params if not one.showkey]
    for place in _SHOWN.get(name, ()):
        if place < len(given):
            yield from _parameter(given[place], depth)
            yield " " if len(_SHOWN[name]) > 1 and place == 0 else ""


def _parameter(given: Parameter, depth: int) -> Iterator[str]:
    yield from (part.strip() for part in _prose(given.value, depth))


def _character(entity: HTMLEntity) -> str:
    try:
        return entity.normalize() or ""
    except (ValueError, OverflowError):
        return ""
