"""Which language a text is in, and how sure that is; and what others call a language.

A language is named by its ISO 639-1 code, such as `es`; models and engines have codes of their
own (`spa`, `spa_Latn`, `pt-BR`).
"""

import copy
import functools
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

import langcodes
from py3langid.langid import MODEL_FILE, LanguageIdentifier

_ALSO: Mapping[str, tuple[str, ...]] = {
    "hbs": ("hr", "sr", "bs"),
    "sh": ("hr", "sr", "bs"),
    "nb": ("no",),
}
"""Codes that stand for several languages, as the detector names them."""

_HARDLY_DIFFERENT = frozenset({"bs", "hr", "sr"})
"""Their probabilities are added: which of them it is matters to no engine."""


@dataclass(frozen=True, slots=True)
class Guess:
    """The likeliest language of a text among some, and its probability among them."""

    language: str
    confidence: float


class Detector:
    """Tells languages apart, all that py3langid knows or only some.

    Args:
        languages: those considered; else all.
    """

    def __init__(self, languages: Collection[str] = ()) -> None:
        self._identifier = copy.copy(_identifier())
        if languages:
            self._identifier.set_languages(sorted(set(languages) & known_languages()))

    def detect(self, text: str) -> Guess:
        """The likeliest language of `text`."""
        ranked = [(str(one), float(share)) for one, share in self._identifier.rank(text)]
        best, confidence = ranked[0]
        if best in _HARDLY_DIFFERENT:
            confidence = sum(share for one, share in ranked if one in _HARDLY_DIFFERENT)
        return Guess(best, confidence)


@functools.cache
def detector(languages: frozenset[str] = frozenset()) -> Detector:
    """The same, loaded once for each set of languages."""
    return Detector(languages)


@functools.cache
def known_languages() -> frozenset[str]:
    """All that can be told apart."""
    return frozenset(map(str, _identifier().labels))


@functools.cache
def _identifier() -> LanguageIdentifier:
    """The model, read once."""
    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)


def codes_by_language(codes: Iterable[str]) -> dict[str, str]:
    """Somebody's codes by the languages they stand for; of two for one, the likelier script."""
    found = dict[str, str]()
    for code in sorted(codes):
        for language in languages_of(code):
            if language not in found or _is_usual(code, language):
                found[language] = code
    return found


def languages_of(code: str) -> tuple[str, ...]:
    """The languages that a code stands for; none where it is no code."""
    tag = code.replace("_", "-")
    if not langcodes.tag_is_valid(tag):
        return ()
    language = langcodes.Language.get(tag, normalize=False).language or ""
    plain = langcodes.Language.get(langcodes.standardize_tag(tag, macro=True)).language or ""
    return _ALSO.get(language, _ALSO.get(plain, ()) + ((plain,) if plain else ()))


def name_of(language: str) -> str:
    """`en` as it is told a reader."""
    return {"en": "English"}.get(language, f"the language '{language}'")


def _is_usual(code: str, language: str) -> bool:
    """Whether a code names the script that the language is usually written in."""
    asked = langcodes.Language.get(code.replace("_", "-"), normalize=False)
    usual = langcodes.Language.get(language).maximize()
    return asked.script is not None and asked.script == usual.script
