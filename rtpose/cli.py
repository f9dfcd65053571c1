"""The command line: gathers the commands and turns what goes wrong into one line."""

from __future__ import annotations

import logging
import signal
from importlib.metadata import version
from typing import Annotated

import typer
from rich.logging import RichHandler

from rtpose.commands.bench import bench
from rtpose.commands.cache import cache
from rtpose.commands.compile import compile
from rtpose.commands.demo import demo
from rtpose.commands.doctor import doctor
from rtpose.commands.export import export
from rtpose.commands.image import image
from rtpose.commands.terminal import console, run_in_one_line
from rtpose.commands.video import video
from rtpose.commands.webcam import webcam

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Human pose from videos, cameras and pictures: who is where, and how, in real time.",
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"rtpose {version('rtpose')}")
        raise typer.Exit


@app.callback()
def root(
    show_version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_show_version, is_eager=True, help="Show the version and exit."
        ),
    ] = False,
    verbose: Annotated[bool, typer.Option("--verbose", help="Say what is chosen and why.")] = False,
) -> None:
    """Set up what all commands share."""
    handler = RichHandler(console=console, show_path=False, show_time=False, show_level=False)
    level = logging.INFO if verbose else logging.WARNING
    logging.basicConfig(level=logging.WARNING, format="%(message)s", handlers=[handler])
    logging.getLogger("rtpose").setLevel(level)
    # building takes minutes, in which nobody should wonder whether anything happens
    logging.getLogger("rtpose.engines").setLevel(logging.INFO)


app.command()(video)
app.command()(webcam)
app.command()(image)
app.command()(demo)
app.command()(bench)
app.command()(doctor)
app.command()(export)
app.command()(compile)
app.command()(cache)


def main() -> None:
    """Run the command line; bad input ends in one line and exit code 2."""
    # a polite request to end shall remove what is half made as Ctrl-C does
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    run_in_one_line(app, "use a smaller --model or --detect-size, or --device cpu")
