"""The command `fsat`, with its verbs and its error handling. A verb only parses arguments, calls a function and prints."""

from __future__ import annotations

import logging
import sys

import typer

from fsat_tasks.cli import airflow, housekeeping, registry, snapshots, steps, strings, tasks, traffic
from fsat_tasks.errors import FsatError
from fsat_tasks.runtime import logs

log = logging.getLogger(__name__)

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Few-shot adaptive tuning: make a text classifier from a handful of labelled samples, and publish it only if it "
    "passes its gates.",
    epilog="Exit codes: 0 done; 1 a fault in fsat or the machine; 2 bad input, nothing was written; "
    "3 the model was held; 4 drift. Folders: FSAT_DATA has the tasks (default ./data), FSAT_STORE the artefacts "
    "(default ./.fsat).",
)

for room in (steps, tasks, traffic, registry, housekeeping, snapshots, strings):
    app.add_typer(room.verbs)
app.add_typer(airflow.verbs, name="airflow")


def main() -> None:
    """Run the command. If an expected error occurs, print the error as one line, and exit with the error's exit code."""
    json_lines = False
    try:
        json_lines = logs.configure()
        app(prog_name="fsat")
    except FsatError as error:
        if json_lines:
            log.error("%s", error)
        else:
            typer.secho(f"fsat: {error}", err=True, fg=None if not sys.stderr.isatty() else "red")
        sys.exit(error.exit_code)
