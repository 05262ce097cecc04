"""Tables of the registry on the terminal."""

from __future__ import annotations

from collections import Counter
from typing import Any

from rich.markup import escape
from rich.table import Table

from fsat_tasks.cli.run_tables import terminal
from fsat_tasks.registry.history import Entry, by_hand
from fsat_tasks.registry.signature import signature_problem, signing_key

__all__ = ["print_diff", "print_history"]

ROWS = 40
"""Rows of a table that has no end of them; `--json` has all."""
EFFECTS = ("broken", "relabelled", "fixed", "still wrong")
"""In the order of what a person wants to see first."""
LETTERS = 80
"""Of a text."""


def print_history(task: str, entries: list[Entry], champion: int) -> None:
    """One line an entry, the newest last."""
    check = signing_key() is not None
    table = Table("time", "version", "action", "accuracy", "model", "who: why", *(["signed"] if check else []))
    for entry in entries:
        version, accuracy = entry["version"], entry["metrics"].get("accuracy")
        table.add_row(
            escape(entry["time"]),
            f"v{version}" if version else "-",
            "[red]hold[/]" if entry["action"] == "hold" else entry["action"],
            "-" if accuracy is None else f"{accuracy:.3f}",
            escape(entry["model"]["key"][:12]),
            escape(_one_line(f"{entry['user']}: {entry['reason']}" if by_hand(entry) else entry.get("reason", "the gates"))),
            *(["[red]no[/]" if signature_problem(entry, task) else "yes"] if check else []),
        )
    terminal().print(table)
    terminal().print(f"champion: version {champion}" if champion else "champion: none yet")


def print_diff(changes: dict[str, Any]) -> None:
    """Figures side by side, rows with another label, and rows of the data that came, went or were relabelled."""
    names = [_name(changes[side]) for side in ("before", "after")]
    _print_figures(changes["figures"], names)
    _print_changed(changes["changed"], names)
    effects = Counter(row["effect"] for row in changes["changed"])
    said = ", ".join(f"{count} {effect}" for effect, count in sorted(effects.items()))
    said = f" ({said})" if said else ""
    terminal().print(f"rows that both were judged on: {changes['compared']}; with another label: {len(changes['changed'])}{said}")
    _print_data(changes["data"])


def _print_figures(figures: dict[str, dict[str, Any]], names: list[str]) -> None:
    table = Table("figure", *names, "difference", title="figures", title_justify="left")
    for name, sides in figures.items():
        before, after = sides["before"], sides["after"]
        numbers = all(isinstance(value, int | float) for value in (before, after))
        table.add_row(escape(name), _figure(before), _figure(after), f"{after - before:+.4g}" if numbers else "")
    terminal().print(table)


def _print_changed(rows: list[dict[str, Any]], names: list[str]) -> None:
    if not rows:
        return
    table = Table("line", "text", "truth", *names, "effect", title="rows with another label", title_justify="left")
    colours = {"fixed": "green", "broken": "red"}
    for row in sorted(rows, key=lambda row: EFFECTS.index(row["effect"]))[:ROWS]:
        table.add_row(
            str(row["line"]),
            escape(_one_line(row["text"])),
            escape(row["label"]),
            escape(f"{row['before']} ({row['probability_before']:.2f})"),
            escape(f"{row['after']} ({row['probability_after']:.2f})"),
            f"[{colours[row['effect']]}]{row['effect']}[/]" if row["effect"] in colours else row["effect"],
        )
    terminal().print(table)
    _print_rest(len(rows))


def _print_data(data: dict[str, dict[str, Any]]) -> None:
    if not data:
        terminal().print("data: the same")
        return
    rows = [
        (split, what, row)
        for split, whats in data.items()
        for what, found in whats.items()
        if isinstance(found, list)
        for row in found
    ]
    if rows:
        table = Table("split", "row", "text", "label", title="data", title_justify="left")
        for split, what, row in rows[:ROWS]:
            label = f"{row['before']} -> {row['after']}" if what == "relabelled" else row["label"] or "-"
            table.add_row(split, what, escape(_one_line(row["text"])), escape(label))
        terminal().print(table)
        _print_rest(len(rows))
    for split, whats in data.items():
        counts = {what: len(found) if isinstance(found, list) else found for what, found in whats.items()}
        if any(counts.values()):
            terminal().print(f"{split}: " + ", ".join(f"{count} {what}" for what, count in counts.items() if count))


def _print_rest(rows: int) -> None:
    if rows > ROWS:
        terminal().print(f"and {rows - ROWS} more: --json has all")


def _name(side: dict[str, Any]) -> str:
    return f"v{side['version']}" if side["version"] else escape(side["model"]["key"][:12])


def _figure(value: Any) -> str:
    return "-" if value is None else f"{value:.4g}" if isinstance(value, float) else escape(str(value))


def _one_line(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= LETTERS else line[: LETTERS - 3] + "..."
