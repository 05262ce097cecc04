"""The command `fsat`, with its verbs and its error handling. A verb only parses arguments, calls a function and prints."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import Annotated, Any, NoReturn, cast

import typer
from typer.exceptions import TyperException

from fsat_tasks import __version__
from fsat_tasks.cli import airflow, doctor, housekeeping, places, registry, snapshots, steps, strings, tasks, traffic
from fsat_tasks.cli.json_output import asks_for_json, print_json_error, verb_of
from fsat_tasks.cli.plain_command import PlainCommand
from fsat_tasks.cli.streams import drop_output, fill_closed_streams, guarded_output, require_output, say_error
from fsat_tasks.cli.verb_group import VerbGroup
from fsat_tasks.errors import FsatError, InputError, OutputError, facts
from fsat_tasks.runtime import logs

log = logging.getLogger(__name__)

app = typer.Typer(
    cls=VerbGroup,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Few-shot adaptive tuning: make a text classifier from a handful of labelled samples, and publish it only if it "
    "passes its gates.",
    epilog="Exit codes: 0 done; 1 a fault in fsat or the machine; 2 bad input, nothing was written; "
    "3 the model was held; 4 drift; 130 stopped with Ctrl-C. Folders: FSAT_DATA has the tasks (default ./data), FSAT_STORE the "
    "artefacts (default ./.fsat).",
)

EXIT_STOPPED = 130
"""Exit code after Ctrl-C."""
GOES_ON = ("run", "validate", "extract", "tune", "evaluate", "export", "publish", "apply", "watch", "snapshot", "checkout")
"""Verbs that keep what they have finished, so that the same command goes on from there."""

for room in (steps, tasks, traffic, registry, places, housekeeping, snapshots, strings, doctor):
    for verb in room.verbs.registered_commands:
        verb.cls = PlainCommand
    app.add_typer(room.verbs)
for verb in airflow.verbs.registered_commands:
    verb.cls = PlainCommand
app.add_typer(airflow.verbs, name="airflow")


def _show_version(asked: bool) -> None:
    if asked:
        typer.echo(f"fsat {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Options of the command itself."""


def main() -> None:
    """Run the command. An expected error is one line on standard error, and with `--json` also an object on standard output."""
    json_lines = False
    try:
        fill_closed_streams()
        json_lines = logs.configure()
        require_output()
        with guarded_output():
            sys.exit(_run())
    except FsatError as error:
        if isinstance(error, OutputError):
            drop_output()
        _end(str(error), error.exit_code, json_lines)
    except KeyboardInterrupt:
        _end(_stopped(), EXIT_STOPPED, json_lines)


def _run() -> int | None:
    """Run the verb and return its exit code. With `--json`, an error is printed as an object before it is raised."""
    say = print_json_error if asks_for_json(sys.argv[1:]) else lambda _, __: None
    try:
        code: int | None = app(prog_name="fsat", standalone_mode=False)
        if code == EXIT_STOPPED:
            raise KeyboardInterrupt
    except TyperException as error:  # the words of the command line are not those of a verb
        say(facts(error) | {"kind": "UsageError", "message": error.format_message()}, error.exit_code)
        cast(Any, error).show()  # with the usage line
        return error.exit_code
    except KeyboardInterrupt:
        say({"kind": "Stopped", "message": _stopped()}, EXIT_STOPPED)
        raise
    except Exception as error:
        named = _named(error)
        if not isinstance(named, OutputError):
            say(facts(named), getattr(named, "exit_code", 1))
        raise named from named.__cause__
    return code


def _stopped() -> str:
    """Say that Ctrl-C has stopped the verb, and that it goes on if it does."""
    return "stopped. The same command goes on from where it stopped." if verb_of(sys.argv[1:]) in GOES_ON else "stopped."


def _named(error: Exception) -> Exception:
    """Return the error; if its cause is that the working folder was removed, return an error that says so."""
    if isinstance(error, FileNotFoundError):
        try:
            Path.cwd()
        except FileNotFoundError:
            fix = "Go to a folder that exists, or give absolute paths."
            return InputError("working folder", "a folder that exists", "one that was removed", fix)
    return error


def _end(message: str, exit_code: int, json_lines: bool) -> NoReturn:
    if json_lines:
        log.error("%s", message)
    else:
        say_error(f"fsat: {message}", "red")
    sys.exit(exit_code)
