"""The command line: a command is a file of this folder, with a function of the file's name; nothing lists them.

The function's docstring is the command's help, its arguments are the command's. What commands share begins with an
underscore. Files import what is heavy inside their functions, so that ``unskip --help`` answers without torch.
"""

from __future__ import annotations

import contextlib
import gc
import os
import sys
import warnings
from collections.abc import Collection
from importlib import metadata
from typing import Annotated, Any

import typer

from unskip.cli._ending import ExitCode, ended, say
from unskip.cli._limits import with_limits
from unskip.cli._sentences import Command
from unskip.errors import UnskipError
from unskip.listing import FunctionListing

__all__ = ["COMMANDS", "app", "main"]

_UsageError: Any = typer.BadParameter.__mro__[1]  # what Typer raises for a command line that it cannot parse


_COMPLETE = "_UNSKIP_COMPLETE"  # what the script of --show-completion sets

COMMANDS: FunctionListing[None] = FunctionListing(__name__, "command")


def app(words: Collection[str] | None = None) -> typer.Typer:
    """All commands as one program.

    Where the ``words`` of a command line are given, commands that none of them names have their help alone: putting
    together the options of all takes longer than most commands.
    """
    program = typer.Typer(
        name="unskip",
        help="Train with shortcuts, deploy without: remove the shortcuts of a residual CNN, keep its accuracy by "
        "distillation, export it, and measure what was gained.\n\nStart with `unskip inspect resnet50`, then "
        "`unskip run demo`. Wrong input ends with exit code 2 and a sentence that says what to change.",
        rich_markup_mode="markdown",
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    program.callback()(_before_any)
    for name, function in COMMANDS.items():
        typed = name.replace("_", "-")
        whole = words is None or typed in words
        program.command(typed, cls=Command)(with_limits(function) if whole else _listed(function))
    return program


def _listed(command: Any) -> Any:
    """A command as the list of all of them shows it: without its options."""

    def listed() -> None: ...

    listed.__doc__ = command.__doc__
    return listed


def _show_version(asked: bool) -> None:
    if asked:
        typer.echo(f"unskip {metadata.version('unskip')}")
        raise typer.Exit


def _before_any(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None:
    pass


def _print_warning(message: Warning | str, *where: Any, **more: Any) -> None:
    """A warning as one sentence, without the place in the code that Python shows."""
    say(f"warning: {message}")


def _carry_out(arguments: list[str]) -> int:
    """Parse and call; the exit code. Typer's own way would take any `SystemExit` for the end of the command."""
    if _COMPLETE in os.environ:  # a shell asks
        program = typer.main.get_command(app())
        with contextlib.suppress(SystemExit):
            program.main(prog_name="unskip", complete_var=_COMPLETE)
        return ExitCode.DONE
    program = typer.main.get_command(app(arguments))
    with warnings.catch_warnings():
        warnings.showwarning = _print_warning
        try:
            with _begun(program, arguments) as context:
                program.invoke(context)
        except typer.Exit as stop:
            return stop.exit_code
        except _UsageError as error:
            context_ = getattr(error, "ctx", None)
            asked = context_.command_path if context_ else "unskip"
            raise UnskipError(f"{error.format_message().rstrip('.')}; see `{asked} --help`") from error
    return ExitCode.DONE


def _begun(program: Any, arguments: list[str]) -> Any:
    """The program's options parsed, the command's not yet. Those of completion end the program here."""
    try:
        return program.make_context("unskip", arguments or ["--help"])
    except SystemExit as stop:
        if stop.code:  # Rich ends so where nobody reads
            raise
        raise typer.Exit from stop


def _let_threads_wait_briefly() -> None:
    """Have OpenMP's threads, which torch has yet to start, give up the core where they wait for one another.

    They turn in a circle 300,000 times by default, milliseconds at a time. Where other programs use the cores, that is
    what most of a training's time goes by, and where none does, a thirtieth of it is enough.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "10000")


def main() -> None:
    """Run the command line; whatever happens ends with an exit code and at most one sentence on stderr."""
    _let_threads_wait_briefly()
    gc.set_threshold(50_000)  # imports make so many objects and no garbage: looking for some took a fifth of `inspect`
    command = sys.argv[1] if sys.argv[1:2] in (["run"], ["study"]) else None
    saved = f"; the same `unskip {command}` goes on from what was saved" if command else ""
    sys.exit(ended(lambda: _carry_out(sys.argv[1:]), saved=saved))
