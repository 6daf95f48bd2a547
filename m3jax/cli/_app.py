"""The command line, `m3jax COMMAND`: one function for each command.

Everything heavy is imported inside the commands, so that `--help` answers at once.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import sys
from collections.abc import Callable
from typing import Annotated, Any

import typer

from .._errors import M3Error
from .._progress import in_quiet
from .._version import __version__
from ._interrupts import INTERRUPTED, Interrupted, watching
from ._streams import flush_output, give_up_output, prepare_streams, say, write_line
from .commands import (
    calculator_command,
    compare_command,
    diagnose_command,
    fit_command,
    map_command,
    next_command,
    optimize_command,
    pilot_command,
    predict_command,
    run_command,
    share_command,
    split_command,
    worth_command,
)
from .first_steps import (
    design_command,
    doctor_command,
    example_command,
    init_command,
    laws_command,
    plan_command,
)

# Newer versions of typer carry their own click: take the exceptions from typer itself.
_UsageError: Any = typer.BadParameter.__base__

ANYWHERE = ("--debug", "--quiet", "-q")  # flags that may stand before or after the command

app = typer.Typer(
    name="m3jax",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help=(
        "From a table of small training runs to the best recipe for a low-resource language: model"
        " size, epochs, target-language ratio, and whether to concentrate the target language in a"
        " final stage.\n\nStart with: m3jax example && m3jax run quickstart.toml"
    ),
)


def main() -> None:
    """Entry point: bad input ends with one line on standard error and exit code 2."""
    given = sys.argv[1:]
    debug, quiet = "--debug" in given, not {"--quiet", "-q"}.isdisjoint(given)
    typed = [argument for argument in given if argument not in ANYWHERE]
    prepare_streams()
    # A short life, and hardly any cycles: to look for them took a twentieth of the time, and 0.2 s
    # at the very end.
    gc.set_threshold(100_000, 50, 1000)
    atexit.register(gc.freeze)
    with watching() as interrupted, in_quiet(quiet):
        _run(typed, debug, interrupted)


def _run(typed: list[str], debug: bool, interrupted: Callable[[], str]) -> None:
    """Run a command line; `interrupted` says what Ctrl-C left."""
    try:
        # The code is what newer versions of typer make of Ctrl-C.
        if app(typed, prog_name="m3jax", standalone_mode=False) == INTERRUPTED:
            _fail(interrupted(), INTERRUPTED)
        flush_output()
    except M3Error as error:
        if debug:
            raise
        _fail(str(error))
    except Interrupted as error:
        _fail(f"interrupted: {error}", INTERRUPTED)
    except _UsageError as error:
        # Called without a command: typer raises the help text as an error.
        if type(error).__name__ == "NoArgsIsHelpError":
            write_line(error.format_message())
            sys.exit(2)
        _fail(error.format_message())
    except (typer.Abort, KeyboardInterrupt):
        _fail(interrupted(), INTERRUPTED)
    except MemoryError:
        if debug:
            raise
        _fail("not enough memory for this: fewer draws, starts, budgets or languages take less")
    except OSError as error:
        if debug:
            raise
        give_up_output()
        _fail(f"{error.filename or 'standard output'}: {error.strerror or error}")


def _fail(message: str, code: int = 2) -> None:
    # One line, whatever a parser or an array put into the message.
    with contextlib.suppress(OSError):  # where that goes nowhere either, the exit code tells
        say(f"m3jax: error: {' '.join(message.split())}", error=True)
    sys.exit(code)


def _version(value: bool) -> None:
    if value:
        say(f"m3jax {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Results and errors only; anywhere on the line.")
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show the traceback of errors; anywhere on the line.")
    ] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    pass


app.command("run")(run_command)
app.command("plan")(plan_command)
app.command("design")(design_command)
app.command("fit")(fit_command)
app.command("predict")(predict_command)
app.command("diagnose")(diagnose_command)
app.command("compare")(compare_command)
app.command("optimize")(optimize_command)
app.command("worth")(worth_command)
app.command("calculator")(calculator_command)
app.command("map")(map_command)
app.command("split")(split_command)
app.command("share")(share_command)
app.command("next")(next_command)
app.command("pilot")(pilot_command)
app.command("laws")(laws_command)
app.command("example")(example_command)
app.command("init")(init_command)
app.command("doctor")(doctor_command)
