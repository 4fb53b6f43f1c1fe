"""Functions that are models, and functions built of them: taught to call."""

import json
import shlex
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from endpoints import Asked, endpoint
from graft.config import fill, to_table
from graft.errors import ConfigError, ToolError
from graft.models.generating import load_local
from graft.toolformer.functions import model_seen_from, open_tools, seen_from
from graft.toolformer.tools.execute import Executor
from graft.toolformer.tools.tool import Context, LateError
from graft.toolformer.tools.toolbox import tools_by_name
from graft.toolformer.tools.tracing import Trace, lines_of
from small_functions import ARGUMENT, opened, traced


def test_a_model_with_tools_stops_at_the_arrow_asks_and_goes_on(functions: Path) -> None:
    tool = opened(functions / "sum.toml")
    assert (tool.name, tool.quoted, tool.timeout_seconds) == ("Sum", True, 30)
    assert tool.answer(ARGUMENT, Context()) == "85"
    assert "asks Calculator" in tool.limits
    assert 'Write a call as "[Sum("text")]"' in tool.prompt.instruction


def test_a_model_without_tools_writes_up_to_a_stop_alone_and_many_at_once(
    write_function: Callable[..., Path],
) -> None:
    tool = opened(
        write_function("sum", "limits.new_tokens = 6", model="", tools="", stop="stop=['a']")
    )
    model = load_local("seedling")
    prompts = ["one", "two"]
    expected = [
        text.strip()
        for text in model.generate([f"Add {p}:" for p in prompts], max_tokens=6, stop=["a"])
    ]
    assert [tool.answer(one, Context()) for one in prompts] == expected
    assert Executor().answer_all(tool, [(one, Context()) for one in prompts]) == expected
    [long, _] = Executor().answer_all(tool, [("x " * 4000, Context()), ("one", Context())])
    assert isinstance(long, ToolError)
    assert "leaves no room" in str(long)


@pytest.mark.parametrize("tools", ["", 'tools = ["calculator"]'])
def test_a_prompt_without_a_word_is_a_call_without_an_answer(
    write_function: Callable[..., Path], tools: str
) -> None:
    path = write_function(
        "sum", "limits.new_tokens = 6", tools=tools, prompt='prompt = "{text}"', examples=""
    )
    tool = opened(path)
    with pytest.raises(ToolError, match="its prompt is empty"):
        tool.answer("", Context())
    [empty, other] = Executor().answer_all(tool, [("", Context()), ("Add", Context())])
    assert "its prompt is empty" in str(empty)
    assert isinstance(other, str)


def test_functions_are_built_of_functions_and_the_trace_is_their_tree(functions: Path) -> None:
    executor = Executor()
    trace = traced(opened(functions / "outer.toml", executor), " ", executor)
    names, call = list[str](), trace
    while call.calls:
        assert call.answer == "85"
        names.append(call.tool)
        [call] = call.calls
    assert [*names, call.tool] == ["Outer", "Count", "Sum", "Calculator"]
    assert (call.argument, call.answer, call.error) == ("47 + 38", "85", None)
    assert fill(Trace, json.loads(json.dumps(to_table(trace)))) == trace
    lines = list(lines_of(trace))
    assert lines[0].startswith('[Outer(" ")') or lines[0].startswith('[Outer("")')
    assert lines[1].startswith('└─ [Count("47 and 38") -> 85]')
    assert lines[3].startswith("      └─ [Calculator(47 + 38) -> 85]")
    assert executor.usage["Calculator"].calls == 1


def test_what_is_remembered_is_told_and_costs_nothing(
    write_function: Callable[..., Path],
) -> None:
    write_function("sum", "cost = 2.0", "dear")
    executor = Executor()
    tool = opened(
        write_function("count", "limits.cost = 2", tools='tools=["model:dear.toml"]'), executor
    )
    fresh = traced(tool, executor=executor).calls[0]
    assert (fresh.remembered, fresh.cost, len(fresh.calls)) == (False, 2, 1)
    known = traced(replace(tool, version="other"), executor=executor).calls[0]
    assert (known.remembered, known.cost, known.calls) == (True, 0, ())
    whole = traced(tool, executor=executor)
    assert (whole.remembered, whole.answer, whole.calls) == (True, "85", ())


def test_a_cycle_of_files_is_refused_by_their_names(functions: Path) -> None:
    for one, other in ("ab", "bc", "ca"):
        (functions / f"{one}.toml").write_text(
            f'name = "{one.upper()}"\ndescription = "x"\nprompt = "{{text}}"\n'
            f'tools = ["model:{other}.toml"]\n'
        )
    with pytest.raises(
        ConfigError, match=r"a cycle of functions: \S*a\.toml -> \S*b\.toml -> "
    ) as told:
        opened(functions / "a.toml")
    assert str(told.value).count("c.toml ->") == 1


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("modell = 'x'", r"unknown setting 'modell' \(did you mean 'model'\?\)"),
        ("limits.second = 3", r"unknown setting 'limits.second' \(did you mean 'seconds'\?\)"),
        ("run.max_new_tokens = 3", "unknown setting 'run.max_new_tokens'"),
        ("cost = 2.0\nlimits.cost = 1", "'cost' 2 is above 'limits.cost' 1"),
        ("limits.depth = 99", "'limits.depth' is from 1 to 16"),
        ("arguments = { km = 'number' }", "setting 'arguments.km'"),
        ("arguments = { km = 'float' }", r"'prompt' asks for \{text\}; there are: \{km\}"),
        ("pattern = '(?P<kn>x)'", "the pattern's group 'kn' is no argument"),
    ],
)
def test_a_setting_that_is_wrong_or_misspelt_is_refused_by_name(
    write_function: Callable[..., Path], more: str, said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        opened(write_function("sum", more))


@pytest.mark.parametrize(
    ("prompt", "said"),
    [
        ("Add {text!r}", "asks for {text}"),
        ("Add {text.__class__} {text}", "asks for {text.__class__}"),
        ("Add {text", "write a brace that is meant as one twice"),
        ("Add it", "has no place for {text}"),
    ],
)
def test_a_prompt_has_places_for_its_arguments_and_for_nothing_else(
    write_function: Callable[..., Path], prompt: str, said: str
) -> None:
    with pytest.raises(ConfigError) as told:
        opened(write_function("sum", prompt=f'prompt = "{prompt}"'))
    assert said in str(told.value)


def test_several_arguments_are_checked_and_written_into_the_prompt(
    write_function: Callable[..., Path],
) -> None:
    more = 'arguments = { first = "int", second = "int" }'
    tool = opened(
        write_function("sum", more, prompt='prompt = "Add {first} and {second}:"', examples="")
    )
    assert not tool.quoted
    assert tool.answer("first=47, second=38", Context()) == "85"
    with pytest.raises(ToolError, match="second"):
        tool.answer('first=47, second="many"', Context())


def test_the_version_changes_with_what_answers_hang_on(
    write_function: Callable[..., Path],
) -> None:
    first = opened(write_function("count")).version
    assert opened(write_function("count")).version == first
    assert opened(write_function("count", "limits.new_tokens = 9")).version != first
    write_function("sum", "limits.new_tokens = 9", "other")
    assert (
        opened(write_function("count", tools='tools = ["model:other.toml"]')).version != first
    )


def test_places_are_seen_from_the_file(functions: Path) -> None:
    folder = Path("some")
    assert seen_from(folder, "model:a.toml") == "model:some/a.toml"
    assert seen_from(folder, "units.py:miles") == "some/units.py:miles"
    for name in ("calculator", "package.module:f", "mcp:python server.py", "mt:http://a.b/"):
        assert seen_from(folder, name) == name
    assert seen_from(folder, "openapi:http://127.0.0.1:1/a.json").startswith("openapi:http:")
    assert seen_from(functions, "openapi:sum.toml host").endswith("sum.toml host")
    assert model_seen_from(functions, "small") == str(functions / "small")
    assert model_seen_from(functions, "seedling") == "seedling"
    (functions / "run" / "train" / "toolformer" / "model").mkdir(parents=True, exist_ok=True)
    assert model_seen_from(functions, "run").endswith("run/train/toolformer/model")


def test_places_of_several_words_are_seen_from_the_file_whatever_its_folder_is_called(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "with space"
    (folder / "small").mkdir(parents=True)
    for name in ("api.json", "server.py", "my index"):
        (folder / name).write_text("")
    expected = {
        "openapi:api.json host": ["openapi:", f"{folder}/api.json", "host"],
        "openapi:away.json host": ["openapi:", "away.json", "host"],
        "mcp:python server.py --all": ["mcp:", "python", f"{folder}/server.py", "--all"],
        "qa:'my index' reader=small tokens=3": [
            "qa:", f"{folder}/my index", f"reader={folder}/small", "tokens=3"
        ],
        "mt:small to=fr": ["mt:", f"{folder}/small", "to=fr"],
    }  # fmt: skip
    for name, words in expected.items():
        kind, _, address = seen_from(folder, name).partition(":")
        assert [f"{kind}:", *shlex.split(address)] == words
    assert seen_from(folder, "search:my index") == f"search:{folder}/my index"
    for name in ("mcp:python 'x", "qa:reader=http://a.b/v1#m", f"mcp:python -c {'x' * 999}"):
        assert seen_from(folder, name) == name


def test_who_opens_no_functions_says_who_does(functions: Path) -> None:
    with pytest.raises(ConfigError, match=r"graft\.toolformer\.functions\.open_tools opens it"):
        tools_by_name([f"model:{functions / 'sum.toml'}"])


def test_search_within_a_function_looks_through_what_its_file_names(
    write_function: Callable[..., Path], functions: Path
) -> None:
    path = write_function("sum", tools='tools = ["search"]')
    with pytest.raises(ConfigError, match=r"own\.toml: the tool 'search' has nothing to look"):
        open_tools([f"model:{path}"], corpus=functions)


def test_an_endpoint_stops_at_the_arrow_too_and_its_tools_are_asked(
    functions: Path, write_function: Callable[..., Path]
) -> None:
    def spoken(prompt: str, _asked: Asked) -> str:
        return load_local(str(functions / "small")).generate([prompt], max_tokens=60)[0]

    with endpoint(spoken) as served:
        model = f'model = "{served.url}/v1#small"'
        trace = traced(opened(write_function("count", model=model)))
        assert (trace.answer, trace.calls[0].tool) == ("85", "Sum")
        assert served.bodies[-1]["prompt"] == 'How many are 47 and 38? [Sum("47 and 38") -> 85]'
        busy = opened(write_function("count", model=f'model = "{served.url}/v1#busy"'))
        with pytest.raises(LateError, match="says 429"):
            busy.answer(ARGUMENT, Context())


@pytest.mark.parametrize("calls", [0, 1, 2])
def test_an_endpoints_model_gets_no_call_and_no_word_more_than_it_may(
    write_function: Callable[..., Path], calls: int
) -> None:
    def spoken(_prompt: str, _asked: Asked) -> str:
        return " one two, [Calculator(1 + 1)"

    with endpoint(spoken) as served:
        path = write_function(
            "sum",
            f"limits.new_tokens = 5\nrun.max_calls = {calls}\nrun.call_tokens = 20",
            model=f'model = "{served.url}/v1#any"',
        )
        trace = traced(opened(path))
        assert [one.tool for one in trace.calls] == ["Calculator"] * min(calls, 1)
        assert trace.answer == ("one two," if calls == 0 else "one two, one two")
        most = [5] if calls == 0 else [25, 2 + 20 * (calls - 1)]
        assert [one["max_tokens"] for one in served.bodies] == most
