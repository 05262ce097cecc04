"""Tables that `fsat watch` prints."""

from __future__ import annotations

from pathlib import Path
from textwrap import shorten
from typing import Any

from rich.markup import escape
from rich.table import Table

from fsat_tasks.cli.next_lines import print_lines
from fsat_tasks.cli.run_tables import terminal, with_detail
from fsat_tasks.quality.wording import PERCENT
from fsat_tasks.runtime.printable import printable, shell_command

__all__ = ["print_after_drift", "print_drift"]

CLASSES = 10
"""Maximum number of classes that are shown. The class whose share changed most comes first."""
FEW = 50
"""Number of rows below which only a large change can be told from chance."""
WIDTH = 70
"""Maximum number of characters of a text that are shown."""
TITLES = {"features": "texts", "scope": "texts from outside", "labels": "class shares"}
"""Test -> name of what the test compares."""


def print_drift(drift: dict[str, Any], traffic: str, path: str, verbose: bool = False) -> None:
    """Print the verdict and the tests. If there is drift, also print the classes whose share changed most, and example texts.

    Args:
        drift: content of drift.json.
        traffic: path of the file whose newest rows were compared.
        path: path of drift.json.
        verbose: whether to print the statistics too.
    """
    console = terminal()
    console.print(f"{drift['task']}:", "[bold red]drift[/]" if drift["drift"] else "[bold green]no drift[/]")
    table = Table("compared", "verdict", "what was seen")
    for test in drift["tests"]:
        seen = with_detail(test["says"], test.get("detail", "") if verbose else "")
        table.add_row(TITLES.get(test["test"], test["test"]), "[red]drift[/]" if test["drift"] else "[green]none[/]", seen)
    console.print(table)
    if drift["drift"] and drift["classes"]:
        moved = Table("class", "before", "now", "95 % interval", title="class shares that moved most", title_justify="left")
        for row in drift["classes"][:CLASSES]:
            interval = f"{100 * row['window_low']:.1f} to {PERCENT.show(row['window_high'])}"
            moved.add_row(escape(row["label"]), PERCENT.show(row["reference"]), PERCENT.show(row["window"]), interval)
        moved.columns[0].overflow = "fold"
        console.print(moved)
    if drift["unlike"]:
        console.print("least like the samples:")
        for row in drift["unlike"]:
            console.print(f"  {shorten(printable(row['text']), WIDTH, placeholder=' ...')}", markup=False, highlight=False)
    if apart := drift["total_variation"]:
        between = f"95 % interval {100 * apart['low']:.1f} to {PERCENT.show(apart['high'])}"
        name = ", the total variation of the class shares" if verbose else ""
        console.print(f"moved:     {PERCENT.show(apart['estimate'])} of the rows to another class ({between}){name}")
    window, reference = drift["window"]["rows"], drift["reference"]
    few = "; these are few, so only a large change can be told from chance" if window < FEW else ""
    console.print(f"window:    {window:,} rows of {traffic}{few}", markup=False)
    console.print(f"reference: {reference['rows']:,} rows: {reference['says']}", markup=False)
    console.print(f"details:   {path}", markup=False)


def print_after_drift(task: str, traffic: str) -> None:
    """Print the commands that take the model to the new texts."""
    review = str(Path("labelled") / Path(traffic).name / "review.csv")
    commands = (
        (shell_command(["fsat", "apply", task, traffic, "--out", "labelled"]), "label them, and put doubtful ones aside"),
        (shell_command(["fsat", "add", task, review]), "once you have filled in its column `label`"),
        (f"fsat run {task}", "tune with the new samples"),
    )
    print_lines("The texts are no longer those that the model was made for. Teach it some of them:", None, commands)
