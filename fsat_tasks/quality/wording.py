"""Numbers as text, with units such as per cent, points or milliseconds. Rounding never makes a number contradict its verdict."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

__all__ = [
    "COUNT",
    "DISTANCE",
    "FIGURES",
    "MEGABYTES",
    "MILLISECONDS",
    "PERCENT",
    "POINTS",
    "SMALL_POINTS",
    "TEXTS_A_SECOND",
    "Unit",
    "duration",
    "headline",
    "interval",
    "minute",
    "plural",
]

MOST_DECIMALS = 10


@dataclass(frozen=True)
class Unit:
    """Format of a figure, of its bound, and of the distance between them."""

    scale: float
    """Factor by which the figure is multiplied to show it, such as 100 for shares."""
    decimals: int
    """Number of decimals. A figure gets more decimals if it would otherwise look equal to its bound."""
    name: str
    """Text after a figure, with a leading space."""
    difference: str
    """Text after a difference of two figures. The difference of two percentages is in points."""
    bound: str = ""
    """Text after the bound."""
    significant: bool = False
    """True if small figures get two significant digits, however many decimals these take."""

    def show(self, figure: float, bound: float | None = None) -> str:
        """Format the figure, with enough decimals to tell it from the bound."""
        value = self.scale * figure
        whole = self.scale == 100.0 and value in (0.0, 100.0)  # "100 %" means all; "100.0 %" could be a rounded number
        return f"{value:.{0 if whole else self._decimals(figure, bound)}f}{self.name}"

    def limit(self, bound: float) -> str:
        """Format the bound without trailing zeros, as in task.yaml."""
        digits = f"{self.scale * bound:.{MOST_DECIMALS}f}".rstrip("0").rstrip(".")
        return f"{digits}{self.bound}"

    def apart(self, figure: float, bound: float) -> str:
        """Format the distance from the figure to the bound."""
        return f"{self.scale * abs(figure - bound):.{self._decimals(figure, bound)}f}{self.difference}"

    def change(self, before: float, after: float) -> str:
        """Format the difference of two figures, with its sign."""
        return f"{self.scale * (after - before):+.{self._decimals(after - before, None)}f}{self.difference}"

    def _decimals(self, figure: float, bound: float | None) -> int:
        value, least = self.scale * figure, self.decimals
        if self.significant and value != 0.0 and math.isfinite(value):
            least = min(max(least, 1 - math.floor(math.log10(abs(value)))), MOST_DECIMALS)
        if bound is None or figure == bound:
            return least
        enough = (some for some in range(least, MOST_DECIMALS) if round(value, some) != round(self.scale * bound, some))
        return next(enough, least)


PERCENT = Unit(100.0, 1, " %", " points", " %")
POINTS = Unit(100.0, 1, " points", " points")
SMALL_POINTS = Unit(100.0, 1, " points", " points", significant=True)
COUNT = Unit(1.0, 0, "", "")
DISTANCE = Unit(1.0, 3, "", "", significant=True)
AGREEMENT = Unit(1.0, 2, "", "")
MEGABYTES = Unit(1.0, 1, " MB", " MB")
MILLISECONDS = Unit(1.0, 1, " ms", " ms")
TEXTS_A_SECOND = Unit(1.0, 0, " texts a second", "")

FIGURES: dict[str, tuple[str, Unit]] = {
    "accuracy": ("right answers (accuracy)", PERCENT),
    "micro_f1": ("all labels together (micro-F1)", PERCENT),
    "macro_f1": ("every class counted alike (macro-F1)", PERCENT),
    "min_class_recall": ("weakest class found", PERCENT),
    "mae": ("off by, on average", DISTANCE),
    "constant_mae": ("a constant answer off by", DISTANCE),
    "rank_agreement": ("order kept (rank agreement)", AGREEMENT),
    "weighted_kappa": ("grades agreed (weighted kappa)", AGREEMENT),
    "interval_coverage": ("90 % intervals that hold", PERCENT),
    "ece": ("stated probabilities off by", POINTS),
    "coverage": ("the task's texts recognised", PERCENT),
    "oos_refused": ("texts from outside refused", PERCENT),
    "oos_auroc": ("both told apart (AUROC)", PERCENT),
}
"""Figure of metrics.json -> the figure's name in tables, and its unit."""


def headline(figures: Mapping[str, Any]) -> str:
    """Say the figure that counts most for this kind of answer: mean error, micro-F1 or accuracy; `-` if there is none."""
    if figures.get("mae") is not None:
        return f"off by {DISTANCE.show(figures['mae'])}"
    if figures.get("micro_f1") is not None:
        return f"micro-F1 {PERCENT.show(figures['micro_f1'])}"
    return f"accuracy {PERCENT.show(figures['accuracy'])}" if figures.get("accuracy") is not None else "-"


def plural(count: int, noun: str) -> str:
    """Format a count with its noun: `1 row`, `2,000 rows`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def duration(seconds: float) -> str:
    """Format a time: `under 0.1 s`, `0.5 s`, `48 s`, `1 min 54 s`, `2 h 5 min`."""
    if seconds < 0.1:
        return "under 0.1 s"
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.1f} s" if seconds < 9.95 else f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def minute(time: datetime) -> str:
    """Format a time in UTC without its seconds: `28 November 2026, 04:46 UTC`."""
    return f"{time.day} {time:%B %Y, %H:%M} UTC"


def interval(figures: Mapping[str, Any], name: str) -> str:
    """Format the 95 % interval of a figure. Its ends are in `figures`: those of `drop` are `drop_low` and `drop_high`."""
    return f"95 % interval {figures[f'{name}_low']:.4g} to {figures[f'{name}_high']:.4g}"
