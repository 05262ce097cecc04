"""The verb watch. It only parses, calls and prints."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from fsat_tasks.cli.common import open_store

verbs = typer.Typer()

EXIT_DRIFT = 4


@verbs.command()
def watch(
    task: Annotated[str, typer.Argument(help="Name of a task folder.", show_default=False)],
    file: Annotated[
        Path | None, typer.Argument(help="File of new texts. Default: the newest of watch.traffic.", show_default=False)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for machines.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", help="Also print the statistics behind each sentence.")] = False,
) -> None:
    """Tell whether new texts have drifted. Exit code 4 if so."""
    from fsat_tasks.errors import InputError
    from fsat_tasks.tasks.files import newest_file
    from fsat_tasks.tasks.task import load_task
    from fsat_tasks.traffic.watch import watch_traffic

    if file is not None and not file.is_file():
        raise InputError("file", "a file", f"{str(file)!r}, which is not there")
    loaded = load_task(task)
    traffic = file or newest_file(loaded)
    watched = watch_traffic(loaded, open_store(), traffic)
    drift = watched.json("drift.json")
    if as_json:
        typer.echo(json.dumps({**watched.reference(), "path": str(watched.path), "traffic": str(traffic), **drift}, indent=2))
    else:
        from fsat_tasks.cli.drift_tables import print_drift

        print_drift(drift, str(traffic), str(watched.path / "drift.json"), verbose)
    if drift["drift"]:
        sys.exit(EXIT_DRIFT)
