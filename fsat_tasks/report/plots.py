"""Axes, intervals and curves of the report's plots. The macros in `templates/report_plots.html.j2` draw the plots as SVG."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["Axis", "Frame", "axis_over", "calibration_plot", "coverage_plot", "share_axis", "wilson"]

CURVE_POINTS = 200
COVERAGES = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5)
"""Coverages that the coverage table shows, as shares of the rows."""
STEADY = 0.2
"""Minimum coverage at which an interval sets the scale of the coverage curve."""
DOT_ROWS = 10
"""Minimum number of rows of a dot of the reliability diagram."""


@dataclass(frozen=True)
class Axis:
    """A range of values with ticks at round numbers."""

    low: float
    high: float
    ticks: tuple[float, ...]

    def at(self, value: float) -> float:
        """Return the place of a value on the axis, from 0 to 1. A value outside the range is placed at the nearer end."""
        return min(max((value - self.low) / (self.high - self.low), 0.0), 1.0)

    def percent(self, value: float) -> float:
        """Return the place of a value in per cent of a table cell's width. A dot at either end of the axis fits in the cell."""
        return round(5.0 + 90.0 * self.at(value), 2)


def axis_over(values: Iterable[float], least: float = 0.02) -> Axis:
    """Find an axis that contains all the values. It begins and ends at round numbers and has about four steps.

    If the values lie closer together than `least`, the steps are those of a range of `least`.
    """
    values = list(values)
    low, high = min(values), max(values)
    step = _round_step(max(high - low, least) / 4)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    ticks = tuple(round(i * step, 10) for i in range(first, max(last, first + 2) + 1))
    return Axis(ticks[0], ticks[-1], ticks)


def share_axis(values: Iterable[float]) -> Axis:
    """Find an axis for shares, as `axis_over` does, but within 0 and 1."""
    shares = [min(max(value, 0.0), 1.0) for value in values]
    axis = axis_over([*shares, min(*shares, 0.98)])
    # the last tick that is kept is 1 if any tick is dropped, because 1 is a multiple of every step
    ticks = tuple(tick for tick in axis.ticks if tick <= 1.0)
    return Axis(ticks[0], ticks[-1], ticks)


def _round_step(step: float) -> float:
    """Round up to 1, 2, 2.5 or 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(step))
    return next(factor * power for factor in (1.0, 2.0, 2.5, 5.0, 10.0) if factor * power >= step * (1 - 1e-9))


@dataclass(frozen=True)
class Frame:
    """Frame of a plot with two axes. Lengths are in units of the plot's SVG."""

    x: Axis
    y: Axis
    width: int = 360
    height: int = 270
    left: int = 46
    right: int = 348
    top: int = 10
    bottom: int = 224

    def across(self, value: float) -> float:
        return round(self.left + (self.right - self.left) * self.x.at(value), 1)

    def up(self, value: float) -> float:
        return round(self.bottom - (self.bottom - self.top) * self.y.at(value), 1)

    def path(self, points: Sequence[tuple[float, float]]) -> str:
        return "M" + "L".join(f"{self.across(x)} {self.up(y)}" for x, y in points)


def calibration_plot(bins: Sequence[dict[str, float]]) -> dict[str, Any]:
    """Lay out the reliability diagram. Each dot gets the 95 % interval of its accuracy.

    Neighbouring bins are joined until each has at least 10 rows, because the accuracy of fewer rows says nothing.
    """
    joined = _joined(bins)
    rows = sum(one["rows"] for one in joined)
    points = []
    for one in joined:
        low, high = wilson(one["accuracy"], one["rows"])
        points.append({**one, "low": low, "high": high, "radius": round(2.5 + 11.0 * math.sqrt(one["rows"] / rows), 1)})
    shares = Axis(0.0, 1.0, (0.0, 0.25, 0.5, 0.75, 1.0))
    return {"frame": Frame(shares, shares), "points": points}


def _joined(bins: Sequence[dict[str, float]]) -> list[dict[str, float]]:
    """Join neighbouring bins from the surest one down, until each has DOT_ROWS rows. The last one takes what is left."""
    found: list[dict[str, float]] = []
    for one in sorted(bins, key=lambda one: -one["confidence"]):
        if found and found[-1]["rows"] < DOT_ROWS:
            found[-1] = _join(found[-1], one)
        else:
            found.append(one)
    if len(found) > 1 and found[-1]["rows"] < DOT_ROWS:
        found[-2:] = [_join(found[-2], found[-1])]
    return found[::-1]


def _join(one: dict[str, float], other: dict[str, float]) -> dict[str, float]:
    rows = one["rows"] + other["rows"]
    means = {name: (one[name] * one["rows"] + other[name] * other["rows"]) / rows for name in ("confidence", "accuracy")}
    return {**means, "rows": rows}


def wilson(share: float, rows: float) -> tuple[float, float]:
    """Return the 95 % interval of a share of rows (Wilson 1927)."""
    from scipy.stats import binomtest

    interval = binomtest(round(share * rows), round(rows)).proportion_ci(method="wilson")
    return float(interval.low), float(interval.high)


def coverage_plot(curve: Sequence[tuple[float, float]], rows: int) -> dict[str, Any]:
    """Lay out the accuracy at each coverage, as a curve with its 95 % interval and as a table.

    Coverage is the share of the rows that are answered. The axis has room for the intervals, so that a few rows do not look like
    a cliff.

    Args:
        curve: (coverage, accuracy) pairs. For each coverage, the rows with the surest answers count as answered.
        rows: number of all rows.
    """
    curve = sorted(curve)
    drawn = [*curve[:: max(1, len(curve) // CURVE_POINTS)], curve[-1]]
    band = [(coverage, *wilson(accuracy, max(round(coverage * rows), 1))) for coverage, accuracy in drawn]
    # intervals of few rows do not set the scale, because they would fill it
    lows = [low for coverage, low, _ in band if coverage >= STEADY] or [low for _, low, _ in band]
    frame = Frame(Axis(0.0, 1.0, (0.0, 0.25, 0.5, 0.75, 1.0)), share_axis([*lows, 1.0]))
    return {
        "frame": frame,
        "path": frame.path(drawn),
        "band": frame.path([*((x, low) for x, low, _ in band), *((x, high) for x, _, high in reversed(band))]) + "Z",
        "table": [_at_coverage(curve, share, rows) for share in COVERAGES],
    }


def _at_coverage(curve: Sequence[tuple[float, float]], share: float, rows: int) -> dict[str, float]:
    coverage, accuracy = min(curve, key=lambda point: abs(point[0] - share))
    answered = max(round(coverage * rows), 1)
    return {"coverage": share, "accuracy": accuracy, "rows": answered, "wrong": round((1.0 - accuracy) * answered)}
