"""The verbs for published versions in the repository: snapshot and checkout."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Annotated

import typer

from fsat_tasks.cli.common import AsJson

verbs = typer.Typer()


@verbs.command()
def snapshot(
    task: Annotated[str, typer.Argument(help="Name of a task folder.", show_default=False)], as_json: AsJson = False
) -> None:
    """Keep the champion in the repository with DVC."""
    from fsat_tasks.snapshots.snapshot import take_snapshot

    done = take_snapshot(task)
    if as_json:
        typer.echo(json.dumps(done, indent=2))
        return
    where = "no default remote: only in DVC's cache here" if done["remote"] is None else f"pushed to remote {done['remote']}"
    typer.echo(f"version {done['version']} of {task}: {done['path']}{'' if done['built'] else ', unchanged'}; {where}")
    if done["commit"]:
        files = shlex.join(done["commit"])
        message = shlex.quote(f"{task}: version {done['version']}")
        typer.echo(f"Commit it, in {done['repository']}: git add {files} && git commit -m {message}")


@verbs.command()
def checkout(
    task: Annotated[str, typer.Argument(help="Name of a task.", show_default=False)],
    version: Annotated[int, typer.Argument(help="Number of a published version.", min=1, show_default=False)],
    out: Annotated[Path | None, typer.Option(help="Also copy the version into this folder.", show_default=False)] = None,
    as_json: AsJson = False,
) -> None:
    """Restore a published version from DVC's cache or remote."""
    from fsat_tasks.snapshots.checkout import restore_version

    done = restore_version(task, version, out)
    if as_json:
        typer.echo(json.dumps(done, indent=2))
        return
    typer.echo(f"version {version} of {task}: {done['out'] or done['path']}; every file is as published")
    typer.echo(f"model {done['model']['key'][:16]}: {'put back into' if done['restored'] else 'already in'} the store")
    typer.echo(f"champion in this store: version {done['champion']}")
