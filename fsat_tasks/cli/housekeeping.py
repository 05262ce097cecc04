"""The verb `fsat gc`, for housekeeping. It only parses its options, calls `housekeep` and prints the result."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from fsat_tasks.cli.common import open_store

verbs = typer.Typer()


@verbs.command()
def gc(
    keep_days: Annotated[
        int, typer.Option(min=0, max=36_500, help="Keep what was used within so many days. 0: keep only what is needed now.")
    ] = 7,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print what would be removed, and remove nothing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for machines.")] = False,
) -> None:
    """Remove artefacts that no model of a history and no run needs."""
    from fsat_tasks.housekeeping.sweep import housekeep

    report = housekeep(open_store(), keep_days, dry_run)
    if as_json:
        typer.echo(json.dumps(report, indent=2))
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
