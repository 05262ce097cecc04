"""Tables that `fsat status` and `fsat history` print."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.markup import escape
from rich.table import Table

from fsat_tasks.cli.run_tables import minute, one_line, terminal
from fsat_tasks.quality.wording import headline
from fsat_tasks.registry.history import Entry, by_hand
from fsat_tasks.registry.next_steps import KEY_LETTERS
from fsat_tasks.registry.signature import signature_problem, signing_key

__all__ = ["print_history", "print_status"]


def print_status(rows: Sequence[Mapping[str, Any]], reasons: bool = False) -> None:
    """Print for each task its champion and its last run.

    Args:
        reasons: whether to print also why the last model was held, and the commands that come next.
    """
    from fsat_tasks.cli.next_lines import print_lines

    table = Table("task", "champion", "quality", "since (UTC)", "last run (UTC)")
    for row in rows:
        champion = row["champion"]
        figures = ("-",) * 3
        if champion:
            figures = (f"v{champion['version']}", headline(champion["metrics"]), champion["time"][:10])
        table.add_row(escape(row["task"]), *figures, _last_run(row))
    for column in table.columns[1:4]:
        column.no_wrap = True
    for column in (table.columns[0], table.columns[4]):
        column.overflow = "fold"
    terminal().print(table)
    for row in rows if reasons else ():
        for gate, reason in ((row["last_run"] or {}).get("held_by") or {}).items():
            terminal().print(f"{gate}: {reason}", markup=False, soft_wrap=False)
        if row["says"]:
            print_lines(row["says"], row["hint"], [(step["command"], step["for"]) for step in row["next"]])


def _last_run(row: Mapping[str, Any]) -> str:
    if "problem" in row:
        return "cannot be read"
    run = row["last_run"]
    if run is None:
        return "none yet"
    why = ", ".join(run["held_by"]) or run.get("reason", "")
    return escape(f"{minute(run['time'])} {run['action']}{f': {why}' if why else ''}")


def print_history(task: str, entries: Sequence[Entry]) -> None:
    """Print one row for each entry, the newest last."""
    check = signing_key() is not None
    table = Table("time (UTC)", "model", "action", "quality", "who: why", *(["signed"] if check else []))
    for entry in entries:
        version, metrics = entry["version"], entry["metrics"]
        table.add_row(
            escape(minute(entry["time"])),
            f"{f'v{version}' if version else '-':<3} {escape(entry['model']['key'][:KEY_LETTERS])}",
            "[red]hold[/]" if entry["action"] == "hold" else entry["action"],
            headline(metrics) if metrics else "-",
            escape(one_line(f"{entry['user']}: {entry['reason']}" if by_hand(entry) else entry.get("reason", "the gates"))),
            *(["[red]no[/]" if signature_problem(entry, task) else "yes"] if check else []),
        )
    for column in table.columns[:4]:
        column.no_wrap = True
    table.columns[4].overflow = "fold"
    terminal().print(table)
