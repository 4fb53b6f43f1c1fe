import re
from datetime import date
from pathlib import Path

import pytest

from graft.toolformer.call import parse, strip
from graft.toolformer.tools.prompt import render_input, render_prompt
from graft.toolformer.tools.tool import Context, Demonstration, Prompt, Tool
from graft.toolformer.tools.toolbox import tools_by_name

KNOWN = {
    "Elbe": "The mouth of the river Elbe in the North Sea lies at Cuxhaven.",
    "Marie Curie": "Marie Curie was born in Warsaw.",
    "Eiffel Tower": "The Eiffel Tower was finished in 1889.",
}
DEMONSTRATIONS = {"Calculator": 5, "Calendar": 5, "Search": 3, "QA": 3}


@pytest.fixture(scope="module")
def tools(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Tool]:
    folder: Path = tmp_path_factory.mktemp("known")
    for title, text in KNOWN.items():
        (folder / f"{title}.txt").write_text(text)
    return tools_by_name(DEMONSTRATIONS, corpus=folder, index_folder=folder / "index")


def test_a_prompt_has_the_shape_of_the_papers() -> None:
    prompt = Prompt("Add calls.", (Demonstration("a b", "a [T()] b"), Demonstration("c", "c")))
    assert render_prompt(prompt) + render_input("d") == (
        "Add calls.\n"
        "Here are some examples of API calls:\n"
        "\n"
        "Input:\na b\n"
        "Output:\na [T()] b\n"
        "\n"
        "Input:\nc\n"
        "Output:\nc\n"
        "\n"
        "Input:\nd\n"
        "Output:\n"
    )


def test_a_text_stands_in_the_prompt_as_it_stands_alone() -> None:
    """So that it has the same tokens in both places: each is a line of its own."""
    assert render_input("the text").split("\n") == ["Input:", "the text", "Output:", ""]


@pytest.mark.parametrize("name", DEMONSTRATIONS)
def test_every_demonstration_is_its_text_with_calls(tools: dict[str, Tool], name: str) -> None:
    demonstrations = tools[name].prompt.demonstrations
    assert len(demonstrations) == DEMONSTRATIONS[name]
    for shown in demonstrations:
        assert strip(shown.output) == shown.text
        call = parse(shown.output)
        assert call is not None
        assert call.result is None
        assert (call.tool, call.quoted) == (name, tools[name].quoted)


@pytest.mark.parametrize("name", DEMONSTRATIONS)
def test_every_demonstrated_call_is_answered_with_what_follows_it(
    tools: dict[str, Tool], name: str
) -> None:
    context = Context(date(2023, 5, 19))
    for shown in tools[name].prompt.demonstrations:
        call = parse(shown.output)
        assert call is not None
        answer = tools[name].answer(call.argument, context)
        followed_by = re.split(r"[\s%,]+", shown.output.split("] ")[1])
        if name == "Calculator":
            assert answer == followed_by[0].strip("$.")
        elif name == "QA":
            assert answer.startswith(followed_by[0].removeprefix("the") or "North Sea (")
        elif name == "Search":
            assert followed_by[0] in answer
            assert followed_by[1] in answer or followed_by[0] in {"Warsaw", "1889"}
        else:
            assert answer == "Today is Friday, May 19, 2023."


@pytest.mark.parametrize("name", DEMONSTRATIONS)
def test_a_prompt_is_short_enough_for_a_small_model(tools: dict[str, Tool], name: str) -> None:
    assert len(render_prompt(tools[name].prompt).split()) <= 160
