"""Tables that `fsat status`, `fsat history` and `fsat diff` print."""

from __future__ import annotations

from collections import Counter
from typing import Any

from rich.markup import escape
from rich.table import Table

from fsat_tasks.cli.run_tables import minute, terminal
from fsat_tasks.quality.wording import FIGURES, PERCENT, Unit
from fsat_tasks.registry.history import Entry, by_hand
from fsat_tasks.registry.signature import signature_problem, signing_key

__all__ = ["print_diff", "print_history", "print_status"]

ROWS = 40
"""Maximum number of rows of a table of changes. The option `--json` shows all rows."""
EFFECTS = ("broken", "relabelled", "fixed", "still wrong")
"""Effects that a changed answer may have. The most interesting effect comes first."""
LETTERS = 80
"""Maximum number of characters of a text that are shown."""
KEY_LETTERS = 8
"""Number of characters of a model's key that are shown. A user can name the model by these characters."""


def print_status(rows: list[dict[str, Any]]) -> None:
    """Print one line for each task: its champion, and its last decision or move."""
    table = Table("task", "champion", "accuracy", "since (UTC)", "last decision")
    for row in rows:
        champion, last = row["champion"], row["last"]
        figures = ("-",) * 3
        if champion:
            figures = (f"v{champion['version']}", PERCENT.show(champion["metrics"]["accuracy"]), minute(champion["time"]))
        table.add_row(escape(row["task"]), *figures, last["action"] if last else "none yet")
    table.columns[0].overflow = "fold"
    terminal().print(table)


def print_history(task: str, entries: list[Entry], champion: int) -> None:
    """Print one line for each entry, the newest last."""
    check = signing_key() is not None
    table = Table("time (UTC)", "version", "action", "accuracy", "model", "who: why", *(["signed"] if check else []))
    for entry in entries:
        version, accuracy = entry["version"], entry["metrics"].get("accuracy")
        table.add_row(
            escape(minute(entry["time"])),
            f"v{version}" if version else "-",
            "[red]hold[/]" if entry["action"] == "hold" else entry["action"],
            "-" if accuracy is None else PERCENT.show(accuracy),
            escape(entry["model"]["key"][:KEY_LETTERS]),
            escape(_one_line(f"{entry['user']}: {entry['reason']}" if by_hand(entry) else entry.get("reason", "the gates"))),
            *(["[red]no[/]" if signature_problem(entry, task) else "yes"] if check else []),
        )
    terminal().print(table)
    terminal().print(f"champion: version {champion}" if champion else "champion: none yet")


def print_diff(changes: dict[str, Any]) -> None:
    """Print the figures of both models, the rows that they label differently, and the changes of the data."""
    names = [_name(changes[side]) for side in ("before", "after")]
    _print_figures(changes["figures"], names)
    _print_changed(changes["changed"], names)
    effects = Counter(row["effect"] for row in changes["changed"])
    by_effect = ", ".join(f"{count} {effect}" for effect, count in sorted(effects.items()))
    by_effect = f" ({by_effect})" if by_effect else ""
    terminal().print(
        f"rows that both were judged on: {changes['compared']}; with another label: {len(changes['changed'])}{by_effect}"
    )
    _print_data(changes["data"])


def _print_figures(figures: dict[str, dict[str, Any]], names: list[str]) -> None:
    table = Table("figure", *names, "change", title="figures (--json has all)", title_justify="left")
    for name, (title, unit) in FIGURES.items():
        if name in figures:
            before, after = figures[name]["before"], figures[name]["after"]
            change = "" if before is None or after is None else f"{100 * (after - before):+.1f} points"
            table.add_row(title, _figure(before, unit), _figure(after, unit), change)
    if evidence := figures.get("evidence"):
        table.add_row("measured on", *(_measured_on(evidence[side], figures["rows"][side]) for side in ("before", "after")), "")
    if weakest := figures.get("weakest_class"):
        table.add_row("weakest class", *(escape(str(weakest[side] or "-")) for side in ("before", "after")), "")
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
            escape(f"{row['before']} ({PERCENT.show(row['probability_before'])})"),
            escape(f"{row['after']} ({PERCENT.show(row['probability_after'])})"),
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
    return f"v{side['version']}" if side["version"] else escape(side["model"]["key"][:KEY_LETTERS])


def _figure(value: Any, unit: Unit) -> str:
    return "-" if value is None else unit.show(value)


def _measured_on(evidence: str | None, rows: int | None) -> str:
    return "-" if rows is None else f"{rows:,} {'query rows' if evidence == 'query' else 'left-out samples'}"


def _one_line(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= LETTERS else line[: LETTERS - 3] + "..."
