"""Translation by a server that speaks LibreTranslate's form (https://docs.libretranslate.com).

Its answers are data: bounded in size and time, checked for their shape, and never run.
"""

import json
import os
from collections.abc import Sequence
from typing import cast

from graft.errors import ConfigError, ToolError
from graft.toolformer.tools.languages import codes_by_language
from graft.toolformer.tools.offers import ASKED_ANEW, Offers
from graft.toolformer.tools.reaching import Request, authority_of, reach
from graft.toolformer.tools.signing import Key, cut_secrets
from graft.toolformer.tools.tool import LateError, own_kind

KEY_VARIABLE = "GRAFT_LIBRETRANSLATE_KEY"


class LibreTranslate:
    """A server that translates.

    Args:
        url: where it stands; a key, if it asks for one, lies in `GRAFT_LIBRETRANSLATE_KEY`.
        to: the language translated into.
        offers: who says which languages it has.

    Raises:
        ConfigError: it cannot be reached, or does not translate into `to`.
    """

    def __init__(self, url: str, to: str, offers: Offers = ASKED_ANEW) -> None:
        self._url = url.rstrip("/")
        try:
            self._allowed = [authority_of(url)]
        except ToolError as error:
            raise ConfigError(f"the translation server '{url}': {error}") from error
        told = offers.offered(f"mt:{self._url}", self._offered)
        codes = codes_by_language(_codes_in(cast("object", json.loads(told))))
        if to not in codes:
            raise ConfigError(
                f"the translation server '{url}' does not translate into '{to}'; there are: "
                f"{', '.join(sorted(codes)) or 'none'}"
            )
        self._to, self._codes = codes[to], codes
        self.languages = frozenset(codes) - {to}
        self.version = f"libretranslate {self._url}"

    def translate(self, asked: Sequence[tuple[str, str]]) -> list[str | ToolError]:
        """Each text, given with its language, in the other language; or why not."""
        found = dict[int, str | ToolError]()
        for language in dict.fromkeys(language for _, language in asked):
            own = [place for place, one in enumerate(asked) if one[1] == language]
            texts = [asked[place][0] for place in own]
            found |= zip(own, self._translated(texts, language), strict=True)
        return [found[place] for place in range(len(asked))]

    def _translated(self, texts: Sequence[str], language: str) -> list[str | ToolError]:
        wanted: dict[str, object] = {
            "q": [*texts],
            "source": self._codes[language],
            "target": self._to,
            "format": "text",
        }
        if key := os.environ.get(KEY_VARIABLE):
            wanted["api_key"] = key
        try:
            answer = self._asked("POST", "/translate", wanted)
        except ToolError as error:
            return [own_kind(error)(str(error)) for _ in texts]
        said = answer.get("translatedText") if isinstance(answer, dict) else None
        if not isinstance(said, list) or len(said) != len(texts):
            return [ToolError("the server sent no translations") for _ in texts]
        return [
            cut_secrets(one, [Key(KEY_VARIABLE)])
            if isinstance(one, str)
            else ToolError("the server sent no text")
            for one in cast("list[object]", said)
        ]

    def _offered(self) -> str:
        try:
            return json.dumps(self._asked("GET", "/languages", None))
        except ToolError as error:
            raise ConfigError(
                f"the translation server '{self._url}': {error}; is it running, and at this"
                " address?"
            ) from error

    def _asked(self, method: str, path: str, wanted: object | None) -> object:
        response = reach(Request(method, f"{self._url}{path}", json=wanted), self._allowed)
        if response.status >= 500:
            raise LateError(f"the server says {response.status}")
        if response.status >= 300:
            told = cut_secrets(response.text, [Key(KEY_VARIABLE)])[:200]
            raise ToolError(f"the server says {response.status}: {told}")
        try:
            return cast("object", json.loads(response.text))
        except (ValueError, RecursionError):
            raise ToolError("the server sent no JSON, or too much of it") from None


def _codes_in(told: object) -> list[str]:
    rows = cast("list[object]", told) if isinstance(told, list) else []
    codes = [cast("dict[str, object]", one).get("code") for one in rows if _is_table(one)]
    return [code for code in codes if isinstance(code, str)]


def _is_table(one: object) -> bool:
    return isinstance(one, dict)
