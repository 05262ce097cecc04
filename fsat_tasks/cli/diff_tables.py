"""Output of `fsat diff`: the verdict, the answers that changed, the changes of the data, and the figures last."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from rich.markup import escape
from rich.table import Table

from fsat_tasks.cli.run_tables import one_line, terminal
from fsat_tasks.quality.wording import FIGURES, PERCENT, Unit, plural
from fsat_tasks.registry.next_steps import KEY_LETTERS

__all__ = ["print_diff"]

ROWS = 40
"""Maximum number of rows of a table of changes. The option `--json` shows all rows."""
EFFECTS = ("broken", "relabelled", "fixed", "still wrong")
"""Effects that a changed answer may have. The most interesting effect comes first."""
COLOURS = {"fixed": "green", "broken": "red"}
CHANGES = {"relabelled": "relabelled", "went": "removed", "came": "added"}
"""Change of a row of the data -> its word. The most interesting change comes first."""
SPLITS = {"samples": "sample", "query": "query row", "out_of_scope": "out-of-scope text", "unlabelled": "unlabelled text"}
"""Split -> the word for one of its rows."""


def print_diff(changes: Mapping[str, Any]) -> None:
    """Print what a person wants to know of two models, the most important first."""
    names = [f"{'v' if changes[side]['version'] else ''}{_name(changes[side])}" for side in ("before", "after")]
    terminal().print(_verdict(changes), markup=False, soft_wrap=False)
    terminal().print(f"data: {_say_data(changes['data'])}", markup=False, soft_wrap=False)
    for key, values in changes["settings"].items():
        setting = f"{key} {_setting(values['before'])} -> {_setting(values['after'])}"
        terminal().print(f"settings: {setting}", markup=False, soft_wrap=False)
    _print_changed(changes["changed"], names)
    _print_data(changes["data"])
    _print_figures(changes["figures"], names)


def _verdict(changes: Mapping[str, Any]) -> str:
    """Say in a sentence how the answers differ."""
    old, new = (f"{'version' if changes[side]['version'] else 'model'} {_name(changes[side])}" for side in ("before", "after"))
    compared, changed, targets = changes["compared"], changes["changed"], changes["targets"]
    if changes["before"]["model"] == changes["after"]["model"]:
        return f"Both are {new}."
    if targets[0] != targets[1]:
        return f"The answers of {old} and {new} are of different kinds, {' and '.join(targets)}, so none is comparable."
    if not compared:
        return f"No row was judged with both {old} and {new}."
    if not changed:
        return f"To all {plural(compared, 'row')} on which both were judged, {new} gives the same answers as {old}."
    effects = Counter(row["effect"] for row in changed)
    counts = ", ".join(f"{effects[effect]} {effect}" for effect in EFFECTS if effects[effect])
    return f"To {len(changed)} of {plural(compared, 'row')}, {new} gives another answer than {old}: {counts}."


def _print_changed(rows: Sequence[Mapping[str, Any]], names: Sequence[str]) -> None:
    if not rows:
        return
    old, new = names
    table = Table("effect", "line", "text, label, answers", title="answers that changed", title_justify="left")
    for row in sorted(rows, key=lambda row: EFFECTS.index(row["effect"]))[:ROWS]:
        before, after = (f"{row[side]} ({PERCENT.show(row[f'probability_{side}'])})" for side in ("before", "after"))
        answers = f"{_moved(row['label_before'], row['label'])}; {old} said {before}, {new} said {after}"
        effect = f"[{COLOURS.get(row['effect'], 'default')}]{row['effect']}[/]"
        table.add_row(effect, str(row["line"]), _two_lines(row["text"], answers))
    _print(table, len(rows))


def _say_data(data: Mapping[str, Mapping[str, Any]]) -> str:
    """Say how many rows of each split were relabelled, removed or added."""
    counts = [
        f"{plural(count, SPLITS[split])} {word}"
        for split, changes in data.items()
        for change, word in CHANGES.items()
        if (count := _count(changes.get(change, 0)))
    ]
    return ", ".join(counts) or "the same"


def _print_data(data: Mapping[str, Mapping[str, Any]]) -> None:
    rows = [
        (SPLITS[split], word, row)
        for change, word in CHANGES.items()
        for split, changes in data.items()
        if isinstance(found := changes.get(change), list)
        for row in found
    ]
    if not rows:
        return
    table = Table("change", "text, label", title="data", title_justify="left")
    for noun, word, row in rows[:ROWS]:
        label = _moved(row["before"], row["after"]) if word == "relabelled" else row["label"] or "-"
        table.add_row(f"{noun} {word}", _two_lines(row["text"], label))
    _print(table, len(rows))


def _print_figures(figures: Mapping[str, Mapping[str, Any]], names: Sequence[str]) -> None:
    table = Table("figure", *names, "change", title="figures", title_justify="left")
    for column in table.columns[1:]:
        column.overflow = "fold"
    for name, (title, unit) in FIGURES.items():
        if name in figures:
            before, after = figures[name]["before"], figures[name]["after"]
            change = "" if before is None or after is None else unit.change(before, after)
            table.add_row(title, _figure(before, unit), _figure(after, unit), change)
    if evidence := figures.get("evidence"):
        table.add_row("measured on", *(_measured_on(evidence[side], figures["rows"][side]) for side in ("before", "after")), "")
    if weakest := figures.get("weakest_class"):
        table.add_row("weakest class", *(escape(str(weakest[side] or "-")) for side in ("before", "after")), "")
    terminal().print(table)


def _print(table: Table, rows: int) -> None:
    for column in table.columns:
        column.overflow = "fold"
    terminal().print(table)
    if rows > ROWS:
        terminal().print(f"and {rows - ROWS} more: --json has all")


def _two_lines(text: str, below: str) -> str:
    return f"{escape(one_line(text))}\n[dim]{escape(below)}[/]"


def _name(side: Mapping[str, Any]) -> str:
    return str(side["version"]) if side["version"] else str(side["model"]["key"][:KEY_LETTERS])


def _moved(before: str, after: str) -> str:
    return after if before == after else f"{before} -> {after}"


def _count(found: Sequence[Any] | int) -> int:
    return found if isinstance(found, int) else len(found)


def _figure(value: Any, unit: Unit) -> str:
    return "-" if value is None else unit.show(value)


def _setting(value: Any) -> str:
    """Return a value as task.yaml has it, in one line."""
    return (
        f"{value:g}" if isinstance(value, float) else value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    )


def _measured_on(evidence: str | None, rows: int | None) -> str:
    return "-" if rows is None else f"{rows:,} {'query rows' if evidence == 'query' else 'left-out samples'}"
