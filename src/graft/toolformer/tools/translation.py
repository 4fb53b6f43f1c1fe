"""Translation into one language, by whatever engine is there (`translators`).

Schick et al. 2023, Section 3: NLLB with 600M parameters, always into English; the language of
the argument is detected.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from graft.errors import ToolError
from graft.toolformer.tools.foreign import foreign_rules, sees_foreign
from graft.toolformer.tools.languages import detector, name_of
from graft.toolformer.tools.tool import Context, Demonstration, Prompt, Question, Tool

NAME = "MT"
LONGEST_CHARACTERS = 1000
LEAST_CONFIDENCE = 0.3

PROMPT = Prompt(
    "Your task is to add calls of a machine translation system to a text. A call translates "
    "into English and helps to write what the foreign words mean. Write a call as "
    '"[MT("text")]", where "text" is what to translate, in its own language.',
    (
        Demonstration(
            'The letter begins with "mi padre vive en un pueblo pequeño", that is, my father '
            "lives in a small village.",
            'The letter begins with "mi padre vive en un pueblo pequeño", that is, [MT("mi '
            'padre vive en un pueblo pequeño")] my father lives in a small village.',
        ),
        Demonstration(
            'The old man said "mi hermano vive en la ciudad", which means "my brother lives in '
            'the city", and went on.',
            'The old man said "mi hermano vive en la ciudad", which means [MT("mi hermano vive '
            'en la ciudad")] "my brother lives in the city", and went on.',
        ),
        Demonstration(
            'On the door was written "el mercado está cerrado" (the market is closed) in red.',
            'On the door was written "el mercado está cerrado" [MT("el mercado está cerrado")]'
            " (the market is closed) in red.",
        ),
    ),
)


@runtime_checkable
class Translator(Protocol):
    """What translates into one language."""

    version: str
    """Changes whenever the same text may be translated otherwise."""
    languages: frozenset[str]
    """Those that it translates from, by their ISO 639-1 codes."""

    def translate(self, asked: Sequence[tuple[str, str]]) -> Sequence[str | ToolError]:
        """Each text, given with its language, in the other language; or why not.

        Raises:
            ToolError: none has an answer.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class TranslationConfig:
    """Into which language is translated, and from which.

    Args:
        to: ISO 639-1.
        sources: the languages that are expected; else all that the engine knows. Fewer are
            told apart better, above all in a few words.
        confidence: how sure the language of an argument must be.
    """

    to: str = "en"
    sources: frozenset[str] = frozenset()
    confidence: float = LEAST_CONFIDENCE


def translation_tool(
    translator: Translator,
    settings: TranslationConfig | None = None,
    *,
    name: str = NAME,
    timeout_seconds: float = 10.0,
) -> Tool:
    """Translation as a tool: `MT("la casa blanca")` is answered by `the white house`."""
    settings = settings or TranslationConfig()
    sources = (settings.sources & translator.languages) or translator.languages
    sources -= {settings.to}

    def answer_many(questions: Sequence[Question]) -> list[str | ToolError]:
        read = [_read(argument, sources, settings) for argument, _ in questions]
        asked = [one for one in read if not isinstance(one, ToolError)]
        said = iter(translator.translate(asked) if asked else ())
        return [one if isinstance(one, ToolError) else _or_nothing(next(said)) for one in read]

    def answer(argument: str, context: Context) -> str:
        [said] = answer_many([(argument, context)])
        if isinstance(said, ToolError):
            raise said
        return said

    return Tool(
        name=name,
        answer=answer,
        answer_many=answer_many,
        prompt=PROMPT,
        sees=lambda text, _context: sees_foreign(text, sources, settings.to),
        rules=lambda text, _context: foreign_rules(text, sources, settings.to, name),
        quoted=True,
        copies=True,
        version=f"1 {translator.version} {settings.to} {'+'.join(sorted(sources))}"
        f" {settings.confidence:g}",
        timeout_seconds=timeout_seconds,
        most_calls=4,
        helps="Texts with a stretch of another language between text in the language that is"
        " translated into (Appendix A).",
        limits=f"Into {name_of(settings.to)}, from {', '.join(sorted(sources))}; at most"
        f" {LONGEST_CHARACTERS} characters. The language of a word or two is often not clear.",
    )


def _read(
    argument: str, sources: frozenset[str], settings: TranslationConfig
) -> tuple[str, str] | ToolError:
    """The text of an argument with its language; or why it cannot be translated."""
    text = argument.strip()
    if not any(letter.isalpha() for letter in text):
        return ToolError("there are no words to translate")
    if len(text) > LONGEST_CHARACTERS:
        return ToolError(f"longer than {LONGEST_CHARACTERS} characters")
    guess = detector(sources | {settings.to}).detect(text)
    if guess.confidence < settings.confidence:
        return ToolError(
            f"its language is not clear: '{guess.language}' with a confidence of "
            f"{guess.confidence:.2f}, and {settings.confidence:g} is asked for"
        )
    if guess.language == settings.to:
        return ToolError(f"it is in {name_of(settings.to)} already")
    return text, guess.language


def _or_nothing(said: str | ToolError) -> str | ToolError:
    if isinstance(said, str) and not said.strip():
        return ToolError("the translation is empty")
    return said
