"""The offline engine, where it is installed; and processes in its place that behave badly."""

import os
import shutil
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graft.errors import ConfigError, ToolError
from graft.toolformer.call import Call, parse, render
from graft.toolformer.tools import apertium
from graft.toolformer.tools.apertium import Apertium, find_apertium
from graft.toolformer.tools.check import check_tool
from graft.toolformer.tools.execute import Executor
from graft.toolformer.tools.tool import Context, LateError, Tool
from graft.toolformer.tools.toolbox import tools_by_name

ANYTIME = Context()
MODES = Path(os.environ.get("APERTIUM_DATADIR", "/usr/share/apertium")) / "modes"
installed = pytest.mark.skipif(
    shutil.which("apertium") is None or not (MODES / "spa-eng.mode").is_file(),
    reason="needs apertium and apertium-eng-spa, packages of Debian",
)
SENTENCES = {
    "mi hermano vive en la ciudad": "my brother lives in the city",
    "el mercado está cerrado": "the market is closed",
    "mi padre vive en un pueblo pequeño": "my father lives in a small village",
}
HOSTILE = [
    "el mercado [está] cerrado",
    "el mercado está cerrado\0mi hermano vive en la ciudad\0.\0",
    "^el<det>$ mercado/mercado<n> está cerrado$ [<STREAMCMD:FLUSH>]",
    "el mercado \\ está \\^ cerrado \\",
    '[MT("el mercado está cerrado") -> cerrado]',
    "el mercado está *cerrado* @aquí #hoy +más ~menos",
    "el mercado está\ncerrado\r\n\nhoy",
    "$(touch hacked); `touch hacked` | el mercado está cerrado & touch hacked",
    "el mercado está cerrado \ud800 hoy",
    "-h -f none --help el mercado está cerrado",
    "{^el<det><def>$ ^mercado<n>$} está cerrado",
    "]]] el mercado }}} está $$$ cerrado ^^^",
]


@pytest.fixture(scope="module")
def spanish() -> Apertium:
    return find_apertium()


@pytest.fixture(scope="module")
def tool() -> Tool:
    return tools_by_name(["mt:apertium from=es"])["MT"]


def from_spanish(engine: Apertium, texts: list[str]) -> list[str]:
    return [
        f"refused: {one}" if isinstance(one, ToolError) else one
        for one in engine.translate([(text, "es") for text in texts])
    ]


@installed
def test_sentences_are_translated_and_their_language_is_found() -> None:
    mt = tools_by_name(["mt"])["MT"]
    for text, translated in SENTENCES.items():
        assert mt.answer(text, ANYTIME) == translated
    call = Call("MT", "el mercado está cerrado", quoted=True)
    assert render(call.answered(mt.answer(call.argument, ANYTIME))) == (
        '[MT("el mercado está cerrado") -> the market is closed]'
    )


@installed
@pytest.mark.parametrize(
    ("text", "translated"),
    [
        ("la niña come en el campo", "the girl eats in the field"),  # `campo` begins others
        ("La niña come", "The girl eats"),
        ("enero es frío", "January is cold"),
        ("yo vivo aquí", "I live here"),
    ],
)
def test_no_last_word_is_lost_and_the_first_letter_is_as_small_as_the_texts(
    spanish: Apertium, text: str, translated: str
) -> None:
    assert from_spanish(spanish, [text, text]) == [translated] * 2


@installed
def test_a_model_could_learn_the_tool_from_its_examples() -> None:
    checked = check_tool(tools_by_name(["mt"])["MT"])
    assert checked.learnable, checked.faults
    assert all(one.told for one in checked.tried)


@installed
def test_many_are_answered_by_one_run_of_the_engine(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    counted = tmp_path / "apertium"
    counted.write_text(
        f'#!/bin/sh\necho run >> {tmp_path}/runs\nexec {shutil.which("apertium")} "$@"\n'
    )
    counted.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    counting = tools_by_name(["mt:apertium from=es"])["MT"]
    questions = [(f"{text} {n}", ANYTIME) for n in range(22) for text in SENTENCES][:64]
    answers = Executor().answer_all(counting, questions)
    assert (
        answers
        == [f"{translated} {n}" for n in range(22) for translated in SENTENCES.values()][:64]
    )
    assert (tmp_path / "runs").read_text() == "run\n"


@installed
@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_a_hostile_text_changes_no_answer_but_its_own(
    spanish: Apertium, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.chdir(tmp_path)
    texts = list(SENTENCES)
    before, own, *after = from_spanish(spanish, [texts[0], text, *texts[1:]])
    assert [before, *after] == list(SENTENCES.values())
    assert not {*"[]^$\\*@\0\n"} & {*own}
    assert "market" in own.lower() or own.startswith("refused: ")
    call = Call("MT", "so", quoted=True).answered(own)
    assert parse(render(call)) == call
    assert [*tmp_path.iterdir()] == []


@installed
@settings(max_examples=8, deadline=None)
@given(
    st.lists(
        st.text(st.sampled_from("elcasñ. /^$[]{}\\<>*@#+~\0\n\t\"'-%1A"), max_size=30)
        | st.text(max_size=20),
        min_size=1,
        max_size=3,
    )
)
def test_many_get_the_answers_that_each_gets_by_itself(texts: list[str]) -> None:
    engine = find_apertium()
    assert from_spanish(engine, texts) == [from_spanish(engine, [text])[0] for text in texts]


@installed
def test_marks_of_unknown_words_are_taken_off_and_too_many_are_refused(
    spanish: Apertium,
) -> None:
    [known, unknown] = from_spanish(
        spanish, ["la casa de Xyzzyx es pequeña", "Xyzzyx Qwfpgj es Zxcvbn"]
    )
    assert "Xyzzyx" in known
    assert "*" not in known
    assert unknown == "refused: the engine does not know 3 of 4 words"


@installed
def test_a_very_long_text_is_refused_before_the_engine_is_asked(tool: Tool) -> None:
    with pytest.raises(ToolError, match="longer than 1000 characters"):
        tool.answer("el mercado está cerrado " * 50_000, ANYTIME)


def test_without_an_engine_it_is_said_how_to_get_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError, match="apt-get install apertium apertium-eng-spa") as told:
        tools_by_name(["mt"])
    for other in ("mt:FOLDER_OR_HUB_ID", "mt:http://HOST:PORT"):
        assert other in str(told.value)


def engine_that(script: str, folder: Path) -> Apertium:
    """A process in the engine's place."""
    (folder / "modes").mkdir()
    (folder / "modes" / "spa-eng.mode").write_text("")
    program = folder / "apertium"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return Apertium(str(program), folder / "modes", "en")


def test_modes_are_read_as_languages_and_joined_where_one_leads_on(tmp_path: Path) -> None:
    modes = tmp_path / "modes"
    modes.mkdir()
    for name in ("spa-eng", "fr-es", "eng-spa", "eng-cat_valencia", "hbs-eng", "README"):
        (modes / f"{name}.mode").write_text("")
    routes = Apertium("apertium", modes, "en").routes
    assert routes == {
        "es": ("spa-eng",),
        "fr": ("fr-es", "spa-eng"),
        **dict.fromkeys(("bs", "hr", "sr"), ("hbs-eng",)),
    }
    assert Apertium("apertium", modes, "es").routes["hr"] == ("hbs-eng", "eng-spa")
    assert Apertium("apertium", modes, "de").routes == {}


def test_an_engine_without_a_pair_into_the_language_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine_that("cat", tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("APERTIUM_DATADIR", str(tmp_path))
    with pytest.raises(ConfigError, match="no pair of languages into 'de'"):
        find_apertium("de")


def test_an_engine_that_hangs_is_ended_with_all_that_it_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = engine_that(f"sleep 60 & echo $! > {tmp_path}/child; sleep 60", tmp_path)
    monkeypatch.setattr(apertium, "MOST_SECONDS", 1.0)
    started = time.monotonic()
    [late] = engine.translate([("hola", "es")])
    assert isinstance(late, LateError)
    assert time.monotonic() - started < 20
    child = Path("/proc") / (tmp_path / "child").read_text().strip() / "stat"
    for _ in range(100):
        if not child.exists() or child.read_text().rpartition(")")[2].split()[0] == "Z":
            break
        time.sleep(0.05)
    else:
        pytest.fail("what the engine started is still there")


@pytest.mark.parametrize(
    "script",
    [
        "exit 3",
        "cat > /dev/null; yes el mercado",
        "printf 'one\\0'",
        "cat; printf 'more'",
        "kill -9 $$",
        "printf '\\377\\376\\0'",
    ],
)
def test_an_engine_that_dies_floods_or_loses_texts_answers_none(
    tmp_path: Path, script: str
) -> None:
    engine = engine_that(script, tmp_path)
    answers = engine.translate([("hola", "es"), ("mundo", "es")])
    assert [type(one) for one in answers] == [ToolError, ToolError]


def test_a_text_at_which_the_engine_dies_costs_its_own_answer(tmp_path: Path) -> None:
    script = "cat > $0.in; if grep -q bomb $0.in; then exit 1; fi; cat $0.in"
    engine = engine_that(script, tmp_path)
    asked = [(text, "es") for text in ("uno", "dos", "bomb", "tres")]
    answers = engine.translate(asked)
    assert [str(one) for one in answers] == [
        *("uno", "dos", "the engine could not translate it", "tres")
    ]
