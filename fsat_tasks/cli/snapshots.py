"""The verbs for published versions in the repository: snapshot and checkout."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fsat_tasks.cli.common import AnyTaskName, AsJson, TaskName, check_out
from fsat_tasks.cli.json_output import print_json
from fsat_tasks.runtime.printable import shell_command
from fsat_tasks.runtime.progress import show_work

verbs = typer.Typer()


@verbs.command()
def snapshot(task: TaskName, as_json: AsJson = False) -> None:
    """Keep the champion in the repository with DVC."""
    from fsat_tasks.snapshots.snapshot import take_snapshot

    with show_work(f"keep the champion of {task}"):
        done = take_snapshot(task)
    if as_json:
        print_json(done)
        return
    where = "no default remote: only in DVC's cache here" if done["remote"] is None else f"pushed to remote {done['remote']}"
    typer.echo(f"version {done['version']} of {task}: {done['path']}{'' if done['built'] else ', unchanged'}; {where}")
    if done["commit"]:
        files = shell_command(done["commit"])
        message = shell_command([f"{task}: version {done['version']}"])
        typer.echo(f"Commit it, in {done['repository']}: git add {files} && git commit -m {message}")


@verbs.command()
def checkout(
    task: AnyTaskName,
    version: Annotated[
        int | None, typer.Argument(help="Number of a published version. fsat history lists them.", min=1, show_default=False)
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Also copy the version into this folder.", callback=check_out, show_default=False)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Restore a published version from DVC's cache or remote."""
    from fsat_tasks.errors import InputError
    from fsat_tasks.snapshots.checkout import restore_version

    if version is None:
        raise InputError("VERSION", "the number of a published version", "none", f"To see all of them: fsat history {task}")
    with show_work(f"restore version {version} of {task}"):
        done = restore_version(task, version, out)
    if as_json:
        print_json(done)
        return
    typer.echo(f"version {version} of {task}: {done['out'] or done['path']}; every file is as published")
    typer.echo(f"model {done['model']['key'][:16]}: {'put back into' if done['restored'] else 'already in'} the store")
    typer.echo(f"champion in this store: version {done['champion']}")
