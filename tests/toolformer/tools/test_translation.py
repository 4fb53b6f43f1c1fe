"""The translation tool, whoever translates: languages, the prefilter, the rules, settings."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graft.errors import ConfigError, ToolError
from graft.toolformer.call import parse, render
from graft.toolformer.tools.execute import Executor
from graft.toolformer.tools.languages import codes_by_language, detector, languages_of
from graft.toolformer.tools.tool import Context
from graft.toolformer.tools.translation import TranslationConfig, translation_tool
from graft.toolformer.tools.translators import translation_tools

ANYTIME = Context()
SPANISH = "mi hermano vive en la ciudad"


class Spelling:
    """A translator that writes each text backwards, and its language in front."""

    version = "spelling 1"
    languages = frozenset({"es", "eu", "mk"})

    def __init__(self) -> None:
        self.asked: list[int] = []

    def translate(self, asked: Sequence[tuple[str, str]]) -> list[str | ToolError]:
        self.asked.append(len(asked))
        return [f"{language} {text[::-1]}" for text, language in asked]


tool = translation_tool(Spelling())


@pytest.mark.parametrize(
    ("argument", "language"),
    [(SPANISH, "es"), ("etxea handia da", "eu"), ("кучето спие во куќата", "mk")],
)
def test_the_language_of_an_argument_is_found(argument: str, language: str) -> None:
    assert tool.answer(argument, ANYTIME) == f"{language} {argument[::-1]}"


@pytest.mark.parametrize(
    ("argument", "reason"),
    [
        ("My brother lives in the city and is well.", "it is in English already"),
        ("zzz", "its language is not clear: .* with a confidence of 0.[0-9]+, and 0.9 is"),
        ("", "no words"),
        (" 12 + 7% ", "no words"),
        ("hola " * 400, "longer than 1000 characters"),
    ],
)
def test_what_cannot_be_translated_is_refused_with_the_reason(
    argument: str, reason: str
) -> None:
    strict = translation_tool(Spelling(), TranslationConfig(confidence=0.9))
    with pytest.raises(ToolError, match=reason):
        strict.answer(argument, ANYTIME)


def test_many_are_put_to_the_translator_at_once_and_keep_their_places() -> None:
    spelling = Spelling()
    many = translation_tool(spelling)
    arguments = [f"{SPANISH} {n}" if n % 4 else "My brother is well." for n in range(64)]
    answers = Executor().answer_all(many, [(one, ANYTIME) for one in arguments])
    for argument, answer in zip(arguments, answers, strict=True):
        said = argument.startswith("mi")
        assert (answer == f"es {argument[::-1]}") if said else isinstance(answer, ToolError)
    assert spelling.asked == [48]


@given(st.lists(st.text(max_size=30) | st.just(SPANISH), max_size=6))
def test_many_are_answered_as_one_by_one(arguments: list[str]) -> None:
    def shown(answers: Sequence[str | ToolError]) -> list[str]:
        return [f"{type(one).__name__} {one}" for one in answers]

    assert tool.answer_many is not None
    together = tool.answer_many([(one, ANYTIME) for one in arguments])
    assert shown(together) == [
        shown(tool.answer_many([(one, ANYTIME)]))[0] for one in arguments
    ]


def test_another_target_is_another_version() -> None:
    other = translation_tool(Spelling(), TranslationConfig(to="eu"))
    assert other.version != tool.version
    with pytest.raises(ToolError, match="it is in the language 'eu' already"):
        other.answer("etxea handia da", ANYTIME)


ENGLISH = "The old man went down to the river and sat there for a while. "
QUOTE = "Nos vemos mañana por la tarde en la plaza del pueblo, dijo el alcalde a todos. "


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        (f"{ENGLISH * 2}{QUOTE * 2}{ENGLISH * 2}", True),
        (f'{ENGLISH}He said "{SPANISH}" and left.', True),
        (ENGLISH * 4, False),
        (QUOTE * 4, False),
        (f"{ENGLISH * 3}{QUOTE * 3}", False),
        (f"{QUOTE * 3}{ENGLISH * 3}", False),
        (f"{ENGLISH * 2}{'12 34 + 56 % ' * 10}{ENGLISH * 2}", False),
        ("", False),
    ],
)
def test_a_text_with_another_language_between_its_own_is_seen(text: str, *, seen: bool) -> None:
    assert tool.sees(text, ANYTIME) is seen


@pytest.mark.parametrize(
    "text",
    [
        f'The man said "{SPANISH}", which means| my brother lives in the city.',
        f'The man said "{SPANISH}", that is,| my brother lives in the city.',
        f"The man said “{SPANISH}”| (my brother lives in the city).",
        f'The man said "{SPANISH}"| — my brother lives in the city.',
        f"The man said « {SPANISH} » meaning| my brother lives in the city.",
        f'The man said "{SPANISH}"| to the whole town.',
    ],
)
def test_a_call_is_proposed_before_what_foreign_words_mean(text: str) -> None:
    before, after = text.split("|")
    [(at, call)] = tool.rules(before + after, ANYTIME)
    assert ((before + after)[:at], call.argument, call.quoted) == (before, SPANISH, True)
    assert parse(render(call)) == call


@pytest.mark.parametrize(
    "text",
    [
        'The man said "my brother lives in the city", which means that he has a brother.',
        f"El hombre dijo “{SPANISH}” y se fue a la ciudad con su hermano.",
        'The sign says "12 345", which means twelve thousand.',
    ],
)
def test_nothing_is_proposed_for_words_that_are_not_foreign(text: str) -> None:
    assert tool.rules(text, ANYTIME) == []


@given(st.text(st.sampled_from('la casa “”"«»*()[]->, means\n'), max_size=80))
def test_whatever_is_proposed_can_be_written_and_stands_before_a_space(text: str) -> None:
    for at, call in tool.rules(f"The man lives in the house and said {text}", ANYTIME):
        assert f"The man lives in the house and said {text}"[at] == " "
        assert parse(render(call)) == call


@pytest.mark.parametrize(
    ("code", "languages"),
    [
        ("spa", ("es",)),
        ("spa_Latn", ("es",)),
        ("pt-BR", ("pt",)),
        ("zh-Hans", ("zh",)),
        ("arb_Arab", ("ar",)),
        ("nob", ("no", "nb")),
        ("hbs", ("hr", "sr", "bs")),
        ("no language", ()),
    ],
)
def test_codes_are_read_as_languages(code: str, languages: tuple[str, ...]) -> None:
    assert languages_of(code) == languages


def test_of_two_codes_the_one_in_the_usual_script_is_taken() -> None:
    assert codes_by_language(["srp_Latn", "srp_Cyrl", "kas_Deva", "kas_Arab"]) == {
        "sr": "srp_Cyrl",
        "ks": "kas_Arab",
    }


def test_fewer_languages_are_told_apart_with_more_confidence() -> None:
    few, many = detector(frozenset({"es", "en"})), detector()
    assert few.detect("casa blanca").language == "es"
    assert few.detect(SPANISH).confidence > many.detect(SPANISH).confidence


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("apertium into=fr", "'into=fr' is no setting; there are to=LANGUAGE"),
        ("apertium to=klingon", "'klingon' is no language"),
        ("apertium confidence=much", "could not convert"),
        ("apertium confidence=2", "lies between 0 and 1"),
        ('apertium "to', "No closing quotation"),
        ("", "the translator ''"),
    ],
)
def test_what_is_no_setting_is_named(address: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        translation_tools(address)
