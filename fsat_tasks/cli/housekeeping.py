"""The verb `fsat gc`, for housekeeping. It only parses its options, calls `housekeep` and prints the result."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from fsat_tasks.cli.common import AsJson, open_store
from fsat_tasks.cli.json_output import print_json
from fsat_tasks.runtime.progress import show_work

verbs = typer.Typer()


@verbs.command()
def gc(
    keep_days: Annotated[
        int, typer.Option(min=0, max=36_500, help="Keep what was used within so many days. 0: keep only what is needed now.")
    ] = 7,
    keep_versions: Annotated[
        int | None, typer.Option(min=1, help="Keep only so many newest versions of each task, and the champion. Default: all.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print what would be removed, and remove nothing.")] = False,
    as_json: AsJson = False,
) -> None:
    """Remove artefacts that neither the registry nor a run needs. Held models are needed for 30 days."""
    from fsat_tasks.housekeeping.sweep import housekeep

    with show_work("look through the store"):
        report = housekeep(open_store(), keep_days, dry_run, keep_versions)
    if as_json:
        print_json(report)
        return
    _print(report)


def _print(report: dict[str, Any]) -> None:
    for run in report["runs"]:
        typer.echo(f"running: process {run['pid']} on {run['host']}, since {run['since']}")
    for why, found in sorted(report["kept"].items()):
        typer.echo(f"kept:    {found['count']:>6} {_megabytes(found['bytes'])}  {why}")
    for what, found in sorted(report["removed"].items()):
        typer.echo(f"removed: {found['count']:>6} {_megabytes(found['bytes'])}  {what}")
    if report["merged"]["into"]:
        typer.echo(f"merged:  {report['merged']['segments']} segments of rows into {report['merged']['into']}")
    done = "Dry run: nothing was changed. This would free" if report["dry_run"] else "Freed"
    typer.echo(f"{done} {_megabytes(report['bytes']).strip()}.")


def _megabytes(size: int) -> str:
    return f"{size / 1e6:>10,.1f} MB"
