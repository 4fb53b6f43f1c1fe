"""`graft tools` says what is so, and its exit status too."""

import json
import shutil
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from graft.cli import main
from graft.cli.app import app
from graft.cli.toolformer import read_names
from graft.cli.traces import draw_trace
from graft.toolformer.tools.answers import Answers
from graft.toolformer.tools.calculator import calculator_tool
from graft.toolformer.tools.execute import Executor
from graft.toolformer.tools.tool import Context
from graft.toolformer.tools.tracing import Trace
from graft.toolformer.workshop import as_one_name

UNITS = """
from graft.toolformer.tools.function import tool

@tool(name="Miles", examples=["It is 10 km, [Miles(km=10)] 6 miles."])
def miles(km: float) -> str:
    "Converts kilometres."
    return f"{km / 1.609344:.0f} miles"
"""


def said(*words: str, status: int = 0) -> str:
    found = CliRunner().invoke(app, ["tools", *words])
    assert found.exit_code == status, found.output
    return " ".join(found.output.split())


@pytest.fixture
def units(tmp_path: Path) -> str:
    (tmp_path / "units.py").write_text(UNITS)
    return f"{tmp_path / 'units.py'}:miles"


def test_tools_are_listed_with_their_form_and_limits(units: str) -> None:
    every = said("list")
    assert "[Calculator(expression)]" in every
    assert "no powers" in every
    assert "search: name what it looks through" in every
    there = "Into English" if shutil.which("apertium") else "apt-get install apertium"
    assert there in every
    own = said("list", units)
    assert (
        'Converts kilometres. A call helps to write what follows. Write a call as "[Miles(km)]"'
        in own
    )
    assert "Calculator" not in own


def test_a_tool_is_tried(units: str) -> None:
    assert said("try", "calculator", "(2 + 3) * 4") == "[Calculator((2 + 3) * 4) -> 20]"
    assert said("try", units, "km=10") == "[Miles(km=10) -> 6 miles]"
    assert said("try", "calendar", "--today", "2024-02-29").endswith(
        "Thursday, February 29, 2024.]"
    )
    assert "no argument 'kn'" in said("try", units, "kn=10", status=1)
    assert "cannot stand in a call" in said("try", "calculator", "[1]", status=1)


def test_what_a_check_shows_moves_no_cursor(tmp_path: Path) -> None:
    (tmp_path / "odd.py").write_text(
        "from graft.errors import ToolError\n"
        "from graft.toolformer.tools.function import tool\n\n"
        "@tool(name='Odd', examples=['Say [Odd(\"a\")] a.', 'Say [Odd(\"b\")] b.'])\n"
        "def odd(text: str) -> str:\n"
        "    if text == 'b':\n"
        "        raise ToolError('\\x1b]0;mine\\x07')\n"
        "    return f'\\x1b[31m{text}'\n"
    )
    shown = said("check", f"{tmp_path / 'odd.py'}:odd", status=1)
    assert not {"\x1b", "\x07"} & set(shown)
    assert shown.count("\ufffd") == 5


def test_where_a_place_brings_several_one_is_named(tmp_path: Path) -> None:
    document = {"openapi": "3.1.0", "servers": [{"url": "http://127.0.0.1:1"}]}
    paths = {f"/{name}": {"get": {"operationId": name}} for name in ("one", "two")}
    (tmp_path / "api.json").write_text(json.dumps({**document, "paths": paths}))
    place = f"openapi:{tmp_path / 'api.json'}"
    for words in ((place,), (place, "--tool", "three")):
        found = CliRunner().invoke(app, ["tools", "try", *words])
        assert "name one with --tool: one, two" in str(found.exception)
    assert "not public" in said("try", place, "--tool", "two", status=1)


def test_a_search_is_tried_over_the_texts_that_are_named(tmp_path: Path) -> None:
    (tmp_path / "osk.txt").write_text("The Osk is a river.")
    found = said("try", "search", "river", "--search", str(tmp_path))
    assert "of Chinese, Japanese or Thai hardly any" in said(
        "list", "search", "--search", str(tmp_path)
    )
    assert found == '[Search("river") -> osk > The Osk is a river.]'


def test_examples_are_checked(units: str) -> None:
    assert said("check", "calculator", "calendar").count("a model could learn it") == 2
    found = said("check", units, status=1)
    assert "[Miles(km=10) -> 6 miles] tells 6, miles" in found
    assert found.endswith(
        "Miles: 1 examples; give at least 2, texts with calls written in Miles: mend it"
    )


def test_the_ledger_is_summed_up(tmp_path: Path) -> None:
    path = tmp_path / "answers.sqlite"
    answers = Answers(path)
    executor = Executor(answers)
    for argument in ("1 + 1", "1 + 1", "2 + 2"):
        executor.answer(calculator_tool(), argument, Context())
    answers.close()
    assert "Calculator │ 3 │ 1 │ 0 │ 0 │ 0 │" in said("ledger", str(path))


def test_questions_are_tried_and_checked_over_texts(tmp_path: Path) -> None:
    (tmp_path / "Marie Curie.txt").write_text("Marie Curie was born in Warsaw in 1867.")
    (tmp_path / "Eiffel Tower.txt").write_text("The Eiffel Tower was finished in 1889.")
    (tmp_path / "Elbe.txt").write_text("The river Elbe flows into the North Sea.")
    over = ("--search", str(tmp_path))
    assert said("try", "qa", "Where was Marie Curie born?", *over) == (
        '[QA("Where was Marie Curie born?") -> Warsaw (Marie Curie)]'
    )
    assert "QA: a model could learn it" in said("check", "qa", *over)
    assert "qa: name what it looks through" in said("list")


def test_what_a_call_led_to_is_shown_and_drawn_as_a_tree(units: str, tmp_path: Path) -> None:
    (tmp_path / "say.toml").write_text(
        'name = "Say"\ndescription = "Goes on."\nprompt = "The river {text}"\n'
        f'tools = ["{Path(units).name}"]\nlimits.new_tokens = 8\n'
    )
    picture = tmp_path / "trace.png"
    place = f"model:{tmp_path / 'say.toml'}"
    shown = said("try", place, "Osk $x_", "--trace", "--trace-picture", str(picture))
    assert shown.startswith('[Say("Osk $x_") -> ')
    assert " ms)" in shown
    assert picture.read_bytes().startswith(b"\x89PNG")
    refused = said("try", units, "kn=10", "--trace", status=1)
    assert refused.startswith("[Miles(kn=10)] no answer: no argument 'kn'")
    assert "asks Miles" in said("list", place)


def test_a_tree_is_drawn_whatever_it_holds_and_however_large(tmp_path: Path) -> None:
    leaf = Trace("Tool", '"$\\frac[ 漢 \U0001f600"', None, "x" * 200, 1.0, 0.0, False)
    trace = Trace("All", "", "y", None, 500.0, 2.0, True, (leaf,) * 300)
    draw_trace(trace, tmp_path / "all.png")
    assert 10_000 < (tmp_path / "all.png").stat().st_size < 2_000_000


def test_an_error_in_a_tool_names_the_call_it_was_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bad.py").write_text(
        "from graft.errors import DataError\n"
        "def find(text: str) -> str:\n"
        "    'Finds.'\n"
        "    raise DataError('towns.csv: is damaged')\n"
    )
    words = ["graft", "tools", "try", f"{tmp_path / 'bad.py'}:find", "Osk"]
    monkeypatch.setattr(sys, "argv", words)
    with pytest.raises(SystemExit):
        main()
    told = "graft: towns.csv: is damaged; while find was asked 'Osk'\n"
    assert capsys.readouterr().err == told


def test_a_recipes_settings_of_tools_are_listed_tried_and_checked(tmp_path: Path) -> None:
    (tmp_path / "units.py").write_text(
        "def miles(km: float) -> str:\n"
        "    'Converts kilometres.'\n"
        "    return f'{km / 1.609344:.1f} miles'\n"
    )
    place = f"{tmp_path / 'units.py'}:miles"
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(
        f'tools = ["calculator", "{place}"]\n[tool.miles]\nmax_result_characters = 5\n'
        "examples = ['It is 12 km, [miles(km=12)] 7.5 miles.',"
        " 'It is 30 km, [miles(km=30)] 18.6 miles.']\n"
    )
    by = ("--config", str(recipe))
    assert "miles: 0 examples" in said("check", place, status=1)
    assert "miles: a model could learn it" in said("check", place, *by)
    assert "answers of 5 characters at most" in said("list", place, *by)
    assert said("try", place, "km=12", *by) == "[miles(km=12) -> 7.5 m]"
    shorter = "tool.miles.max_result_characters=3"
    assert said("try", place, "km=12", "--set", shorter) == "[miles(km=12) -> 7.5]"
    assert said("try", "calculator", "2 + 3", *by) == "[Calculator(2 + 3) -> 5]"
    found = CliRunner().invoke(app, ["tools", "check", place, "--set", "tool.mils.retries=1"])
    assert "unknown setting 'tool.mils' (did you mean 'miles'?)" in str(found.exception)


def test_an_argument_may_begin_with_a_minus() -> None:
    assert said("try", "calculator", "-3 + 5") == "[Calculator(-3 + 5) -> 2]"
    assert said("try", "calculator", "-3", "--trace").startswith("[Calculator(-3) -> -3]")


def test_a_place_with_a_comma_stands_in_double_quotes_among_tools() -> None:
    place = 'mcp:python server.py --name "a,b"'
    names = ["calculator", place, "units.py:miles"]
    assert read_names(",".join(map(as_one_name, names))) == names
    assert read_names('calculator, "mcp:python m.py --dirs a,b"') == [
        "calculator",
        "mcp:python m.py --dirs a,b",
    ]
    assert read_names("") == []
    assert read_names(None) is None


@pytest.mark.parametrize("name", ["nowhere/trace.png", "trace.xyz"])
def test_a_picture_that_cannot_be_put_is_refused_before_anything_is_asked(
    tmp_path: Path, name: str
) -> None:
    words = ["tools", "try", "calculator", "1", "--trace-picture", str(tmp_path / name)]
    found = CliRunner().invoke(app, words)
    assert name in str(found.exception)
    assert "->" not in found.output
    assert list(tmp_path.iterdir()) == []
