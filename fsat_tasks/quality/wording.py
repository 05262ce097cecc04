"""Numbers as text, with units such as per cent, points or milliseconds. Rounding never makes a number contradict its verdict."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = [
    "COUNT",
    "FIGURES",
    "MEGABYTES",
    "MILLISECONDS",
    "PERCENT",
    "POINTS",
    "SMALL_POINTS",
    "TEXTS_A_SECOND",
    "Unit",
    "interval",
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
MEGABYTES = Unit(1.0, 1, " MB", " MB")
MILLISECONDS = Unit(1.0, 1, " ms", " ms")
TEXTS_A_SECOND = Unit(1.0, 0, " texts a second", "")

FIGURES: dict[str, tuple[str, Unit]] = {
    "accuracy": ("right labels (accuracy)", PERCENT),
    "macro_f1": ("every class counted alike (macro-F1)", PERCENT),
    "min_class_recall": ("weakest class found", PERCENT),
    "ece": ("stated probabilities off by", POINTS),
    "coverage": ("the task's texts recognised", PERCENT),
    "oos_refused": ("texts from outside refused", PERCENT),
    "oos_auroc": ("both told apart (AUROC)", PERCENT),
}
"""Figure of metrics.json -> the figure's name in tables, and its unit."""


def plural(count: int, noun: str) -> str:
    """Format a count with its noun: `1 row`, `2,000 rows`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def interval(figures: Mapping[str, Any], name: str) -> str:
    """Format the 95 % interval of a figure. Its ends are in `figures`: those of `drop` are `drop_low` and `drop_high`."""
    return f"95 % interval {figures[f'{name}_low']:.4g} to {figures[f'{name}_high']:.4g}"
