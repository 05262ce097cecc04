"""Plot the cells: accuracy against seconds, reliability, and accuracy under label shift.

Each plot has one panel for each data set and number of shots.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.methods import METHODS, TRACKS
from benchmarks.tables import resampled_or_fixed, shift_levels

__all__ = ["write_plots"]

Cells = list[dict[str, Any]]
Draw = Callable[[Any, Cells, str, dict[str, Any]], None]

MARKERS = dict(zip(TRACKS, "osD", strict=True))
LINES = dict(zip(TRACKS, ("-", "--", ":"), strict=True))


def write_plots(cells: Cells, out: Path) -> list[Path]:
    """Write the plots of all cells that did not fail, as PNG files. If all failed, write no file."""
    done = [cell for cell in cells if cell["error"] is None]
    if not done:
        return []
    plots: tuple[tuple[str, str, str, Draw], ...] = (
        ("accuracy_seconds.png", "seconds to train, after the features of frozen methods", "accuracy", _seconds),
        ("reliability.png", "confidence", "accuracy", _reliability),
        ("label_shift.png", "class shares of the query set", "accuracy", _label_shift),
    )
    return [_write(done, out / file, across, up, draw) for file, across, up, draw in plots]


def _write(cells: Cells, path: Path, across: str, up: str, draw: Draw) -> Path:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    panels: dict[tuple[str, int], dict[tuple[str, str], Cells]] = defaultdict(lambda: defaultdict(list))
    for cell in cells:
        spec = cell["spec"]
        panels[spec["set"], spec["shots"]][spec["method"], spec["track"]].append(cell)
    columns = min(4, len(panels))
    rows = -(-len(panels) // columns)
    figure, axes = plt.subplots(rows, columns, figsize=(4.2 * columns + 2.2, 3.6 * rows), squeeze=False, layout="constrained")
    colours = dict(zip(METHODS, plt.get_cmap("tab10")(range(10)), strict=False))
    handles: dict[str, Any] = {}
    for axis, (name, shots) in zip(axes.flat, sorted(panels), strict=False):
        lines = panels[name, shots]
        for method, track in sorted(lines, key=lambda key: (list(METHODS).index(key[0]), TRACKS.index(key[1]))):
            style = {"color": colours[method], "marker": MARKERS[track], "linestyle": LINES[track]}
            draw(axis, resampled_or_fixed(lines[method, track]), f"{method}, {track}", style)
        axis.set_title(f"{name}, {shots} shots", fontsize=10)
        axis.grid(alpha=0.3)
        handles |= {label: handle for handle, label in zip(*axis.get_legend_handles_labels(), strict=True)}
    for axis in list(axes.flat)[len(panels) :]:
        axis.set_visible(False)
    figure.supxlabel(across, fontsize=10)
    figure.supylabel(up, fontsize=10)
    figure.legend(handles.values(), handles.keys(), loc="outside right upper", fontsize=8)
    figure.savefig(path, dpi=110, metadata={"Software": None})
    plt.close(figure)
    return path


def _seconds(axis: Any, cells: Cells, label: str, style: dict[str, Any]) -> None:
    """Draw mean accuracy and seconds over the splits, with the standard deviation of the accuracy."""
    accuracies = [cell["figures"]["accuracy"] for cell in cells]
    seconds = np.mean([cell["figures"]["train_seconds"] for cell in cells])
    axis.errorbar(
        max(seconds, 1e-4), np.mean(accuracies), _sd(accuracies), **{**style, "linestyle": "none"}, capsize=2, label=label
    )
    axis.set_xscale("log")


def _reliability(axis: Any, cells: Cells, label: str, style: dict[str, Any]) -> None:
    """Draw the reliability bins of all splits together. Bins of fewer than 10 rows are left out, because they are too noisy."""
    sums: dict[int, list[float]] = defaultdict(lambda: [0.0, 0.0, 0.0])
    for cell in cells:
        for entry in cell["figures"]["reliability"]:
            total = sums[min(int(entry["confidence"] * 15 + 1e-9), 14)]
            for at, value in enumerate((1.0, entry["confidence"], entry["accuracy"])):
                total[at] += entry["rows"] * value
    points = [(right[1] / right[0], right[2] / right[0]) for _, right in sorted(sums.items()) if right[0] >= 10]
    if points:
        axis.plot(*zip(*points, strict=True), **style, markersize=3, linewidth=1.2, label=label)
    axis.plot([0, 1], [0, 1], color="grey", linewidth=0.8)


def _label_shift(axis: Any, cells: Cells, label: str, style: dict[str, Any]) -> None:
    levels: dict[str, list[float]] = defaultdict(list)
    for cell in cells:
        for level, accuracies in shift_levels(cell).items():
            levels[level] += accuracies
    axis.errorbar(
        list(levels),
        [np.mean(a) for a in levels.values()],
        [_sd(a) for a in levels.values()],
        **style,
        markersize=4,
        linewidth=1.2,
        capsize=2,
        label=label,
    )


def _sd(values: list[float]) -> float:
    return float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
