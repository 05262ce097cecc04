"""What `fsat watch` shows on the terminal."""

from __future__ import annotations

from typing import Any

from rich.markup import escape
from rich.table import Table

from fsat_tasks.cli.run_tables import terminal

__all__ = ["print_drift"]

CLASSES = 10
"""Classes that are shown: those that moved most."""


def print_drift(drift: dict[str, Any], traffic: str, path: str) -> None:
    """The tests, the classes that moved most where there is drift, and the verdict."""
    console = terminal()
    table = Table("test", "verdict", "p", "p, family", "what was seen", title=f"{drift['task']}: drift", title_justify="left")
    for test in drift["tests"]:
        verdict = "[red]drift[/]" if test["drift"] else "[green]none[/]"
        table.add_row(test["test"], verdict, f"{test['p_value']:.3g}", f"{test['adjusted_p_value']:.3g}", escape(test["says"]))
    console.print(table)
    if drift["drift"] and drift["classes"]:
        moved = Table("class", "before", "now", "interval", title="class shares that moved most", title_justify="left")
        for row in drift["classes"][:CLASSES]:
            interval = f"{row['window_low']:.1%} to {row['window_high']:.1%}"
            moved.add_row(escape(row["label"]), f"{row['reference']:.1%}", f"{row['window']:.1%}", interval)
        console.print(moved)
    if apart := drift["total_variation"]:
        distance = f"{apart['estimate']:.2f} ({apart['low']:.2f} to {apart['high']:.2f})"
        console.print(f"total variation of the class shares: {distance}")
    window, reference = drift["window"]["rows"], drift["reference"]
    console.print(f"window:    {window} rows of {traffic}", markup=False)
    console.print(f"reference: {reference['rows']} rows: {reference['says']}", markup=False)
    console.print("verdict: ", "[bold red]drift[/]" if drift["drift"] else "[bold green]no drift[/]")
    console.print(f"details:   {path}", markup=False)
