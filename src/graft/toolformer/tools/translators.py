"""Who translates: `mt`, and what may stand behind `mt:`.

mt                              the offline engine that is installed here (Apertium)
mt:apertium to=fr from=es+ca    the same with settings
mt:facebook/nllb-200-distilled-600M        a model, by folder or hub id
mt:http://127.0.0.1:5000        a server that speaks LibreTranslate's form
"""

import re
import shlex
from collections.abc import Mapping, Sequence

from graft.errors import ConfigError
from graft.toolformer.tools.apertium import PROGRAM, find_apertium
from graft.toolformer.tools.languages import known_languages, languages_of
from graft.toolformer.tools.offers import ASKED_ANEW, Offers
from graft.toolformer.tools.tool import Tool
from graft.toolformer.tools.translation import (
    LEAST_CONFIDENCE,
    TranslationConfig,
    Translator,
    translation_tool,
)

GROWN_UP_SECONDS = 30.0
"""A model or a server has so long for each answer, unless `ToolConfig` says otherwise."""

_SETTING = re.compile(r"(?P<name>to|from|confidence)=(?P<value>\S+)")


def translation_tools(address: str = PROGRAM, offers: Offers = ASKED_ANEW) -> list[Tool]:
    """The translation tool that `address` names.

    Args:
        address: `apertium`, a URL, or a folder or hub id of a model; behind it, with spaces
            between, `to=LANGUAGE`, `from=LANGUAGE+LANGUAGE`, `confidence=NUMBER`.
        offers: who says which languages a server has.

    Raises:
        ConfigError: there is no such engine, or a setting is not one.
        ModelError: the model cannot be read.
    """
    try:
        where, *given = shlex.split(address) or [""]
    except ValueError as error:  # quotes that do not close
        raise ConfigError(f"the translator '{address}': {error}") from error
    if not where:
        raise ConfigError(
            f"the translator '': name {PROGRAM}, a URL, or the folder or hub id of a model"
        )
    settings = _settings(given, address)
    translator = _translator(where, settings.to, offers)
    if unknown := settings.sources - translator.languages:
        raise ConfigError(
            f"the translator '{address}': not from '{min(unknown)}' into '{settings.to}';"
            f" there are: {', '.join(sorted(translator.languages))}"
        )
    if where == PROGRAM:
        return [translation_tool(translator, settings)]
    return [translation_tool(translator, settings, timeout_seconds=GROWN_UP_SECONDS)]


def _translator(where: str, to: str, offers: Offers) -> Translator:
    if where == PROGRAM:
        return find_apertium(to)
    if where.startswith(("http://", "https://")):
        from graft.toolformer.tools.libretranslate import LibreTranslate

        return LibreTranslate(where, to, offers)
    from graft.toolformer.tools.translating_models import TranslatingModel

    return TranslatingModel(where, to)


def _settings(given: Sequence[str], address: str) -> TranslationConfig:
    said = dict[str, str]()
    for one in given:
        found = _SETTING.fullmatch(one)
        if found is None:
            raise ConfigError(
                f"the translator '{address}': '{one}' is no setting; there are to=LANGUAGE, "
                "from=LANGUAGE+LANGUAGE, confidence=NUMBER"
            )
        said[found["name"]] = found["value"]
    try:
        return TranslationConfig(
            to=_language(said.get("to", "en")),
            sources=frozenset(map(_language, _listed(said))),
            confidence=_share(said.get("confidence")),
        )
    except ValueError as error:
        raise ConfigError(f"the translator '{address}': {error}") from error


def _listed(said: Mapping[str, str]) -> list[str]:
    return said["from"].split("+") if "from" in said else []


def _language(code: str) -> str:
    languages = set(languages_of(code)) & known_languages()
    if code in languages:
        return code
    if len(languages) != 1:
        raise ValueError(f"'{code}' is no language that can be told; name it as in `es`")
    return languages.pop()


def _share(written: str | None) -> float:
    if written is None:
        return LEAST_CONFIDENCE
    share = float(written)
    if not 0 <= share <= 1:
        raise ValueError(f"confidence lies between 0 and 1, not at {written}")
    return share
