"""Translation by a model of a folder or hub id."""

from collections.abc import Sequence

from graft.errors import ConfigError, ToolError
from graft.models.translators import load_translator
from graft.toolformer.tools.languages import codes_by_language


class TranslatingModel:
    """A model that translates, loaded once.

    Args:
        place: a folder of `transformers` or CTranslate2, or a hub id.
        to: the language translated into.

    Raises:
        ModelError: the model cannot be read.
        ConfigError: it does not translate into `to`.
    """

    def __init__(self, place: str, to: str) -> None:
        self._model = load_translator(place)
        sources, targets = (
            codes_by_language(codes) for codes in (self._model.sources, self._model.targets)
        )
        if to not in targets:
            raise ConfigError(
                f"the model '{place}' does not translate into '{to}'; there are: "
                f"{', '.join(sorted(targets)) or 'none'}"
            )
        self._sources, self._to = sources, targets[to]
        self.languages = frozenset(sources) - {to}
        self.version = f"{place} {self._model.fingerprint}"

    def translate(self, asked: Sequence[tuple[str, str]]) -> list[str | ToolError]:
        """Each text, given with its language, in the other language."""
        coded = [(text, self._sources[language]) for text, language in asked]
        return [*self._model.translate(coded, self._to)]
