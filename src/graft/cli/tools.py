"""`graft tools`: what there is, what it answers, and whether a model could learn it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from graft.toolformer.tools.execute import Executor
    from graft.toolformer.tools.tool import Tool
    from graft.toolformer.workshop import TeachConfig

app = typer.Typer(no_args_is_help=True, help="Look at tools, your own too.")

Search = Annotated[Path | None, typer.Option(help="texts that search and qa look through")]
Today = Annotated[str | None, typer.Option(help="today's date, as 2023-01-30")]
Recipe = Annotated[
    Path | None, typer.Option("--config", help="a recipe, whose [tool.NAME] are applied")
]
Set = Annotated[
    list[str] | None, typer.Option("--set", help="a setting, as tool.miles.retries=1")
]


@app.callback()
def tools() -> None:
    """Look at tools, your own too."""


@app.command("list")
def list_tools(
    names: Annotated[
        list[str] | None, typer.Argument(help="names, or places as units.py:convert")
    ] = None,
    search: Search = None,
    today: Today = None,
    config: Recipe = None,
    settings: Set = None,
) -> None:
    """How each tool is called, which texts it can help, and what it cannot do.

    Example: graft tools list calculator units.py:convert
    """
    from rich.console import Console

    from graft.toolformer.tools.toolbox import NAMES
    from graft.toolformer.tools.tracing import printable

    console = Console(highlight=False)
    shown, missing = (names, {}) if names else _there(NAMES, search)
    for tool in _tools(shown, _Given(search, today, config, settings)).values():
        console.print(tool.name, style="bold")
        for line in (tool.prompt.instruction, tool.helps, tool.limits):
            if line:
                console.print(printable(line), markup=False)
        for example in tool.prompt.demonstrations[:2]:
            console.print(f"  {printable(example.output)}", markup=False)
        console.print(
            f"  version {tool.version}; {tool.timeout_seconds:g} s, answers of"
            f" {tool.max_result_characters} characters at most",
            markup=False,
        )
    for name, remedy in missing.items():
        console.print(f"{name}: {remedy}", markup=False)


@app.command("try", context_settings={"ignore_unknown_options": True})  # -3 + 5 is none
def try_tool(
    name: Annotated[str, typer.Argument(help="a name, or a place as units.py:convert")],
    argument: Annotated[str, typer.Argument(help="what stands between the parentheses")] = "",
    tool: Annotated[
        str | None, typer.Option(help="which one, where the place brings several")
    ] = None,
    search: Search = None,
    today: Today = None,
    config: Recipe = None,
    settings: Set = None,
    trace: Annotated[
        bool, typer.Option("--trace", help="show all calls that it led to, as a tree")
    ] = False,
    trace_picture: Annotated[
        Path | None, typer.Option(help="draw the tree into this file, a PNG")
    ] = None,
) -> None:
    """Ask a tool once.

    Example: graft tools try calculator "(2 + 3) * 4" --trace
    """
    from graft.cli.traces import draw_trace, require_picture
    from graft.errors import ToolError
    from graft.toolformer.call import parse_asked, render
    from graft.toolformer.tools.execute import Executor
    from graft.toolformer.tools.tool import Context
    from graft.toolformer.tools.tracing import Scope, ask_within, lines_of, printable

    require_picture(trace_picture)
    executor, scope = Executor(), Scope()
    given = _Given(search, today, config, settings)
    chosen = _one_of(_tools([name], given, executor), tool)
    written = f'"{argument}"' if chosen.quoted else argument
    call = parse_asked(f"{chosen.name}({written})")
    if call is None:
        typer.echo(
            f"{argument!r} cannot stand in a call: it has brackets or an arrow", err=True
        )
        raise typer.Exit(1)
    refused = None
    try:
        answer = ask_within(scope, executor, chosen, call.argument, Context())
        if not trace:
            typer.echo(printable(render(call.answered(answer))))
    except ToolError as error:
        refused = error
    for asked in scope.calls:
        if trace:
            typer.echo("\n".join(lines_of(asked)))
        if trace_picture is not None:
            draw_trace(asked, trace_picture)
    if refused is not None:
        typer.echo(f"no answer: {printable(str(refused))}", err=True)
        raise typer.Exit(1)


@app.command()
def check(
    names: Annotated[list[str], typer.Argument(help="names, or places as units.py:convert")],
    search: Search = None,
    today: Today = None,
    config: Recipe = None,
    settings: Set = None,
) -> None:
    """Run the examples of tools: could a model learn from them when to call, and what for?

    Example: graft tools check calculator units.py:convert
    """
    from graft.toolformer.call import render
    from graft.toolformer.tools.check import check_tool
    from graft.toolformer.tools.tracing import printable

    well = True
    for tool in _tools(names, _Given(search, today, config, settings)).values():
        checked = check_tool(tool)
        for one in checked.tried:
            told = f"tells {', '.join(one.told)}" if one.told else "what follows is to work out"
            said = f"no answer: {one.error}" if one.error else told
            line = f"{render(one.call)}  {said}  ({1000 * one.seconds:.1f} ms)"
            typer.echo(printable(line))
        for fault in checked.faults:
            typer.echo(printable(f"{tool.name}: {fault}"))
        well &= checked.learnable
        verdict = "a model could learn it from its examples" if checked.learnable else "mend it"
        typer.echo(f"{tool.name}: {verdict}")
    if not well:
        raise typer.Exit(1)


@app.command()
def ledger(
    file: Annotated[Path, typer.Argument(help="a file of answers (answers.file)")],
) -> None:
    """What calls came to: how many, remembered, without answer, seconds and cost.

    Example: graft tools ledger answers.sqlite
    """
    from rich.console import Console
    from rich.table import Table

    from graft.errors import StoreError
    from graft.toolformer.tools.answers import Answers

    if not file.is_file():
        raise StoreError(f"{file}: no such file; name the answers.file of a run")
    table = Table("tool", "calls", "remembered", "refused", "late", "bugs", "seconds", "cost")
    for one in Answers(file, to_read=True).spent():
        counts = (one.calls, one.remembered, one.refusals, one.late, one.bugs)
        table.add_row(one.tool, *map(str, counts), f"{one.seconds:.2f}", f"{one.cost:g}")
    Console().print(table)


@app.command()
def index(
    sources: Annotated[list[Path], typer.Argument(help="files and folders of texts")],
    out: Annotated[Path, typer.Option(help="folder of the index, new or begun")],
    workers: Annotated[int, typer.Option(help="processes that read the markup of dumps")] = 1,
    engine: Annotated[
        Literal["sqlite", "tantivy"],
        typer.Option(help="what finds words: tantivy is an extra, for millions of paragraphs"),
    ] = "sqlite",
) -> None:
    """Make texts searchable: your own, a Wikipedia dump, a ZIM file. Goes on where it was.

    Example: graft tools index enwiki-latest-pages-articles.xml.bz2 --out wiki --workers 8
    """
    from graft.cli.progress import show
    from graft.toolformer.tools.indexing import index_texts, read_indexed

    show(index_texts(sources, out, workers, engine))
    told = read_indexed(out)
    typer.echo(f"{told.documents:,} documents, {told.paragraphs:,} paragraphs")
    for reason, count in sorted(told.left_out.items(), key=lambda one: -one[1]):
        typer.echo(f"left out: {count:,} {reason} (first: {told.first_left_out[reason]})")
    typer.echo(f"search them with --search {out}, or as the tools search:{out} and qa:{out}")


def _one_of(tools: dict[str, Tool], name: str | None) -> Tool:
    from graft.errors import ConfigError

    if name is None and len(tools) == 1:
        return next(iter(tools.values()))
    if name not in tools:
        missing = "several tools" if name is None else f"no tool '{name}'"
        raise ConfigError(f"{missing}; name one with --tool: {', '.join(tools)}")
    return tools[name]


def _there(names: Sequence[str], search: Path | None) -> tuple[list[str], dict[str, str]]:
    """Of these tools those that can be used here, and what the others need."""
    from graft.errors import ConfigError
    from graft.toolformer.tools.toolbox import OVER_TEXTS, tools_by_name

    there, missing = list[str](), dict[str, str]()
    for name in names:
        try:
            if name in OVER_TEXTS and search is None:
                raise ConfigError("name what it looks through (--search TEXTS)")
            tools_by_name([name], corpus=search)
            there.append(name)
        except ConfigError as error:
            missing[name] = str(error)
    return there, missing


@dataclass(frozen=True, slots=True)
class _Given:
    """What the options say of the tools that are opened."""

    search: Path | None
    today: str | None
    config: Path | None
    settings: list[str] | None


def _tools(
    names: list[str], given: _Given, executor: Executor | None = None
) -> dict[str, Tool]:
    from graft.cli.toolformer import day
    from graft.toolformer.functions import open_tools
    from graft.toolformer.tools.described import ToolConfig, configured
    from graft.toolformer.tools.toolbox import require_settings_of_tools

    config = _recipe(names, given)
    search, today = given.search, day(given.today)
    if config is not None:
        search, today = search or config.search, today or config.today
    found = open_tools(names, corpus=search, today=today, executor=executor)
    if config is None:
        return found
    if given.config is None:  # a recipe may have other tools beside these
        require_settings_of_tools(found, [f"tool.{name}" for name in config.tool])
    return {
        name: configured(tool, config.tool.get(name, ToolConfig()))
        for name, tool in found.items()
    }


def _recipe(names: list[str], given: _Given) -> TeachConfig | None:
    """The recipe that the tools are set by; of whichever corpus, for none is read."""
    from graft.cli.overrides import as_overrides
    from graft.config import load
    from graft.toolformer.tools.loading import is_place
    from graft.toolformer.workshop import TeachConfig

    if given.config is None and not given.settings:
        return None
    named = names if given.config is None or any(map(is_place, names)) else None
    overrides = [*as_overrides(corpus=".", tools=named), *(given.settings or [])]
    return load(TeachConfig, given.config, overrides)
