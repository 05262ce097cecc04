"""Summarise the figures of many cells, and write the summary as Markdown."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import numpy as np

from benchmarks.methods import METHODS, TRACKS

__all__ = ["FIGURES", "markdown", "resampled_or_fixed", "shift_levels", "summarise"]

Cells = list[dict[str, Any]]

FIGURES = (
    "accuracy",
    "macro_f1",
    "log_loss",
    "ece",
    "oos_auroc",
    "oos_fpr95",
    "train_seconds",
    "extract_seconds",
    "peak_megabytes",
)
HEADINGS = ("accuracy %", "macro-F1 %", "log-loss", "ECE %", "OOS AUROC %", "OOS FPR95 %", "train s", "extract s", "peak MB")
SCALES = {"accuracy": 100, "macro_f1": 100, "ece": 100, "oos_auroc": 100, "oos_fpr95": 100}
DIGITS = {"log_loss": 3, "peak_megabytes": 0, "train_seconds": 2}


def summarise(cells: Cells) -> list[dict[str, Any]]:
    """Make one entry for each data set, number of shots, track and method.

    An entry has the figures of the fixed split, and the mean and the standard deviation of the resampled splits. The standard
    deviation is that of a sample (n - 1). It is left out if there is only one resampled split.
    """
    groups: dict[tuple[str, int, str, str], Cells] = defaultdict(list)
    for cell in cells:
        spec = cell["spec"]
        groups[spec["set"], spec["shots"], spec["track"], spec["method"]].append(cell)
    order = sorted(groups, key=lambda key: (key[0], key[1], TRACKS.index(key[2]), list(METHODS).index(key[3])))
    return [_entry(key, groups[key]) for key in order]


def _entry(key: tuple[str, int, str, str], cells: Cells) -> dict[str, Any]:
    done = [cell for cell in cells if cell["error"] is None]
    fixed = [cell["figures"] for cell in done if cell["spec"]["split"] == "fixed"]
    resampled = [cell["figures"] for cell in done if cell["spec"]["split"] != "fixed"]
    judged = resampled_or_fixed(done)
    return {
        **dict(zip(("set", "shots", "track", "method"), key, strict=True)),
        "failed": len(cells) - len(done),
        "fixed": {name: fixed[0].get(name) for name in FIGURES} if fixed else None,
        "resamples": len(resampled),
        "resampled": {name: _mean_sd(f.get(name) for f in resampled) for name in FIGURES} if resampled else None,
        "label_shift": {
            level: _mean_sd(value for cell in judged for value in shift_levels(cell)[level]) for level in _levels(judged)
        },
        "cut": _cut(done),
    }


def resampled_or_fixed(cells: Cells) -> Cells:
    """Return the cells of the resampled splits. If there are none, return those of the fixed split. The two are not averaged."""
    return [cell for cell in cells if cell["spec"]["split"] != "fixed"] or cells


def shift_levels(cell: dict[str, Any]) -> dict[str, list[float]]:
    """Return a cell's accuracies without label shift, and for each Dirichlet concentration of the shifted query sets."""
    levels: dict[str, list[float]] = {"as it is": [cell["figures"]["accuracy"]]}
    for shift in cell["figures"]["label_shift"]:
        levels.setdefault(f"Dirichlet {shift['concentration']:g}", []).append(shift["accuracy"])
    return levels


def _levels(cells: Cells) -> list[str]:
    return list(shift_levels(cells[0])) if cells else []


def _cut(cells: Cells) -> dict[str, int] | None:
    """Return the steps that a method took and the steps of a full epoch, or None if the epoch was not shortened."""
    for cell in cells:
        details = cell["figures"]["details"]
        if details.get("steps_of_an_epoch", 0) > details.get("steps", 0):
            return {"steps": details["steps"], "steps_of_an_epoch": details["steps_of_an_epoch"]}
    return None


def _mean_sd(values: Iterable[float | None]) -> dict[str, float | None] | None:
    there = [value for value in values if value is not None]
    if not there:
        return None
    return {"mean": float(np.mean(there)), "sd": float(np.std(there, ddof=1)) if len(there) > 1 else None}


def markdown(summary: list[dict[str, Any]], cells: Cells, about: dict[str, Any]) -> str:
    """Return the complete results page."""
    lines = [
        "# Results",
        "",
        "Written by `python -m benchmarks.run`; [README.md](../README.md) says what is measured and how to read it.",
        "",
        _machine_line(about),
        "",
    ]
    for name in dict.fromkeys(entry["set"] for entry in summary):
        lines += [f"## {name}", ""]
        for track in TRACKS:
            entries = [entry for entry in summary if entry["set"] == name and entry["track"] == track]
            if entries:
                lines += [f"### {name}, {track}", "", *_figures_table(entries), "", *_shift_table(entries), ""]
    lines += _notes(summary) + _failures(cells)
    return "\n".join(lines).rstrip() + "\n"


def _machine_line(about: dict[str, Any]) -> str:
    machine = about["machine"]
    versions = ", ".join(f"{name} {number}" for name, number in machine["versions"].items())
    return (
        f"{machine['cpu']}, {machine['cores']} cores, {machine['ram_gb']} GB; Python {machine['python']}, {versions}; "
        f"encoder {', '.join(about['encoders'])}; commit {', '.join(about['commits'])}; threads {', '.join(about['threads'])}; "
        f"load average before a cell {about['load_average']['median']:.1f} (median), {about['load_average']['max']:.1f} (most)."
    )


def _figures_table(entries: list[dict[str, Any]]) -> list[str]:
    """Return the table of figures. A column without any figure is left out."""
    shown = [name for name in FIGURES if any(_has(entry, name) for entry in entries)]
    headings = [HEADINGS[FIGURES.index(name)] for name in shown]
    lines = [_row("shots", "method", "split", *headings), _row(*["---:", "---", "---"], *["---:"] * len(shown))]
    for entry in entries:
        method = entry["method"] + (" (cut)" if entry["cut"] else "")
        if entry["fixed"]:
            lines.append(_row(entry["shots"], method, "fixed", *(_number(name, entry["fixed"][name]) for name in shown)))
        if entry["resampled"]:
            cells = [_spread(name, entry["resampled"][name]) for name in shown]
            lines.append(_row(entry["shots"], method, f"{entry['resamples']} resamples", *cells))
        if entry["failed"]:
            lines.append(_row(entry["shots"], method, f"{entry['failed']} failed", *["failed"] * len(shown)))
    return lines


def _shift_table(entries: list[dict[str, Any]]) -> list[str]:
    levels = list(dict.fromkeys(level for entry in entries for level in entry["label_shift"]))
    if not levels:
        return []
    lines = [
        "Accuracy %, by the class shares of the query set:",
        "",
        _row("shots", "method", *levels),
        _row("---:", "---", *["---:"] * len(levels)),
    ]
    for entry in entries:
        if entry["label_shift"]:
            lines.append(_row(entry["shots"], entry["method"], *(_spread("accuracy", entry["label_shift"][at]) for at in levels)))
    return lines


def _notes(summary: list[dict[str, Any]]) -> list[str]:
    cut = [
        f"- {entry['method']} on {entry['set']}, {entry['shots']} shots: {entry['cut']['steps']} steps of the"
        f" {entry['cut']['steps_of_an_epoch']} that its default epoch has."
        for entry in summary
        if entry["cut"]
    ]
    return ["## Cut short", "", "Time and figures of these are not those of the method's defaults.", "", *cut, ""] if cut else []


def _failures(cells: Cells) -> list[str]:
    lines = []
    for cell in cells:
        if cell["error"] is not None:
            spec = cell["spec"]
            words = " ".join(cell["error"].split())[-200:].replace("|", "\\|").replace("`", "'")
            lines.append(
                f"- {spec['method']} on {spec['set']}, {spec['shots']} shots, {spec['split']}, {spec['track']}: `{words}`"
            )
    return ["## Failed", "", *lines, ""] if lines else []


def _has(entry: dict[str, Any], name: str) -> bool:
    return any(entry[part] and entry[part][name] is not None for part in ("fixed", "resampled"))


def _number(name: str, value: float | None) -> str:
    return "" if value is None else f"{SCALES.get(name, 1) * value:.{DIGITS.get(name, 1)}f}"


def _spread(name: str, value: dict[str, float | None] | None) -> str:
    if value is None:
        return ""
    return _number(name, value["mean"]) + (f" ± {_number(name, value['sd'])}" if value["sd"] is not None else "")


def _row(*cells: object) -> str:
    return "| " + " | ".join(map(str, cells)) + " |"
