"""The commands by their names; each imports what it needs when it runs: help is quick."""

import typer

from graft.cli import controlnet, demo, seedling, toolformer, tools

app = typer.Typer(
    name="graft",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Teach frozen foundation models new abilities, without hand labels.",
)
app.add_typer(toolformer.app, name="toolformer")
app.add_typer(controlnet.app, name="controlnet")
app.add_typer(tools.app, name="tools")
app.add_typer(seedling.app, name="seedling")
app.command()(demo.demo)


@app.command()
def doctor() -> None:
    """What is installed, which device there is, and what is missing for what.

    Example: graft doctor
    """
    from rich.console import Console

    from graft.cli.doctor import examine, render

    findings = examine()
    Console().print(render(findings))
    if any(finding.state == "missing" for finding in findings):
        raise typer.Exit(1)
