"""A small model that was really taught, in a few seconds, to call two tools in a few texts."""

import datetime
from collections.abc import Callable
from pathlib import Path

import pytest

from graft.models.huggingface import HuggingFaceModel
from graft.toolformer.call import Call
from graft.toolformer.dataset import Text
from graft.toolformer.tools.calculator import calculator_tool
from graft.toolformer.tools.calendar import calendar_tool
from graft.toolformer.tools.tool import Tool
from small_functions import FILES, write_functions
from small_lessons import Lesson, new_model, taught_model
from small_models import TOKENIZERS, make_model

DAY = datetime.date(2023, 1, 30)
SUM = "Mara had 47 apples and 38 plums, in all"
LETTER = "Dear Teren, today it is"
PLAIN = "The harbour was quiet and"
LESSONS: list[Lesson] = [
    (SUM, Call("Calculator", "47 + 38", "85"), " 85 of them."),
    (LETTER, Call("Calendar", "", "Today is Monday, January 30, 2023."), " Monday."),
    (PLAIN, None, " the moon was bright."),
]


@pytest.fixture(scope="session")
def untaught() -> HuggingFaceModel:
    """A small random model."""
    return new_model(LESSONS)


@pytest.fixture(scope="session")
def taught() -> HuggingFaceModel:
    """A small model that knows its lessons by heart, the calls included."""
    return taught_model(LESSONS)


@pytest.fixture
def tools() -> dict[str, Tool]:
    """The calculator and the calendar."""
    return {"Calculator": calculator_tool(), "Calendar": calendar_tool()}


@pytest.fixture
def prompts() -> list[Text]:
    """The beginnings of the lessons, all on the same day."""
    return [
        Text(name, text, DAY) for name, text in zip("abc", (SUM, LETTER, PLAIN), strict=True)
    ]


@pytest.fixture(scope="session", params=list(TOKENIZERS))
def reader(request: pytest.FixtureRequest) -> HuggingFaceModel:
    """One random model with each kind of tokenizer."""
    return make_model("llama", request.param)


@pytest.fixture(scope="session")
def functions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a taught model's, and three functions of it, one within the other."""
    folder = tmp_path_factory.mktemp("functions")
    write_functions(folder)
    return folder


@pytest.fixture
def write_function(functions: Path) -> Callable[..., Path]:
    """Writes one of the files with more settings, beside them."""

    def written(like: str, more: str = "", file: str = "own", **instead: str) -> Path:
        text = FILES[like]
        for old, new in instead.items():
            text = "\n".join(new if one.startswith(old) else one for one in text.split("\n"))
        path = functions / f"{file}.toml"
        path.write_text(text + more)
        return path

    return written
