"""The scatter plot and the intervals of predicted numbers. The macros in `templates/report_plots.html.j2` draw the plot."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from fsat_tasks.report.plots import Axis, Frame, axis_over, wilson
from fsat_tasks.targets.target import SET_COVERAGE, Rule

__all__ = ["interval_rows", "scatter_plot"]

POINTS = 600
"""Maximum number of points of the plot."""


def scatter_plot(rows: Sequence[Mapping[str, Any]], rule: Rule) -> dict[str, Any]:
    """Lay out the predicted numbers against the true ones. Both axes have the same range, so that the diagonal is the truth.

    The band has the predictions whose 90 % interval holds the true number. If few samples leave the interval without limits, the
    band has the predictions within the tolerance.
    """
    pairs = [(float(row["label"]), float(row["predicted"])) for row in rows]
    values = [value for pair in pairs for value in pair]
    axis = axis_over(values, least=1e-6 * max(map(abs, values)) or 1.0)
    frame = Frame(axis, axis, height=360, bottom=314, left=52)
    width = rule.set_thresholds[SET_COVERAGE]
    has_interval = math.isfinite(width)
    half = width if has_interval else rule.tolerance
    every = math.ceil(len(rows) / POINTS)
    return {
        "frame": frame,
        "every": every,
        "half": half,
        "band": frame.path(_band(axis, half)) + "Z",
        "band_name": "the 90 % interval" if has_interval else "the tolerance",
        "tolerance": rule.tolerance,
        "rows": len(rows),
        "inside": sum(abs(guess - true) <= half for true, guess in pairs),
        "points": [
            {
                "x": frame.across(true),
                "y": frame.up(guess),
                "right": abs(guess - true) <= rule.tolerance,
                "title": f"line {row['line']}: is {row['label']}, predicted {row['predicted']}",
            }
            for row, (true, guess) in list(zip(rows, pairs, strict=True))[::every]
        ],
    }


def _band(axis: Axis, half: float) -> list[tuple[float, float]]:
    """Return the corners of the band around the diagonal, within the axes. `half` is the distance of its edges from it."""
    low, high = axis.low, axis.high
    up, down = min(low + half, high), max(high - half, low)
    return [(low, low), (low, up), (down, high), (high, high), (high, down), (up, low)]


def interval_rows(metrics: Mapping[str, Any], rule: Rule) -> list[dict[str, Any]]:
    """List stated coverage, half the width, and the share of intervals that hold, with its 95 % interval (Wilson 1927)."""
    rows = metrics["rows"]
    found = []
    for stated, share in metrics["intervals"].items():
        low, high = wilson(share, rows)
        half = rule.set_thresholds[stated]
        found.append(
            {
                "stated": float(stated),
                "half": half if math.isfinite(half) else None,
                "share": share,
                "low": low,
                "high": high,
            }
        )
    return found
