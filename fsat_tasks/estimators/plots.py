"""Plots of how an estimator does on left-out samples. Those of classifiers come from the tables of the report's plots."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from fsat_tasks.numerics.types import Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["plot_calibration", "plot_confusion", "plot_predictions"]

INCHES, INCHES_A_CLASS, LARGEST = 3.0, 0.3, 20.0
"""Size of a plot of confusions: the least, for each class, and the largest."""
NUMBERS = 30
"""Maximum number of classes with a number in each cell."""
DOT, LARGEST_DOT = 20.0, 300.0
"""Area of the smallest and of the largest dot, in square points."""
TITLE = "Samples, each left out of the fit"


def plot_confusion(pairs: Sequence[Mapping[str, str]], order: Sequence[str]) -> Figure:
    """Plot how often each label was answered with each label.

    Args:
        pairs: the table `confusion` of a target, with the columns actual and predicted.
        order: labels in the order of the axes.
    """
    from sklearn.metrics import ConfusionMatrixDisplay

    side = min(INCHES + INCHES_A_CLASS * len(order), LARGEST)
    figure, axes = _axes(side)
    actual, predicted = ([pair[name] for pair in pairs] for name in ("actual", "predicted"))
    ConfusionMatrixDisplay.from_predictions(
        actual,
        predicted,
        labels=list(order),
        ax=axes,
        cmap="Blues",
        colorbar=False,
        include_values=len(order) <= NUMBERS,
        xticks_rotation="vertical",
    )
    axes.set(xlabel="answer", ylabel="label", title=TITLE)
    return figure


def plot_calibration(bins: Sequence[Mapping[str, Any]]) -> Figure:
    """Plot the share of right answers at each stated probability. The area of a dot is the number of its answers.

    Args:
        bins: the table `reliability` of a target, with the columns rows, confidence and accuracy.
    """
    figure, axes = _axes(4.5)
    most = max(one["rows"] for one in bins)
    areas = [DOT + (LARGEST_DOT - DOT) * one["rows"] / most for one in bins]
    axes.plot([0, 1], [0, 1], color="grey", linewidth=1, linestyle="dashed", label="perfectly calibrated")
    axes.scatter([one["confidence"] for one in bins], [one["accuracy"] for one in bins], areas, alpha=0.8)
    axes.set(
        xlim=(-0.03, 1.03),
        ylim=(-0.03, 1.03),
        aspect="equal",
        xlabel="stated probability",
        ylabel="share of right answers",
        title=TITLE,
    )
    axes.legend(loc="upper left")
    return figure


def plot_predictions(given: Array, predicted: Array, half: float) -> Figure:
    """Plot the predicted number of each sample against its number.

    Args:
        given, predicted: (n,).
        half: half the width of the interval around a predicted number; infinity if there are too few samples.
    """
    figure, axes = _axes(4.5)
    ends = min(given.min(), predicted.min()), max(given.max(), predicted.max())
    if math.isfinite(half):
        axes.fill_between(ends, [end - half for end in ends], [end + half for end in ends], alpha=0.15, label="90 % interval")
    axes.plot(ends, ends, color="grey", linewidth=1, linestyle="dashed", label="perfect")
    axes.scatter(given, predicted, DOT, alpha=0.8)
    axes.set(aspect="equal", xlabel="number", ylabel="predicted number", title=TITLE)
    axes.legend(loc="upper left")
    return figure


def _axes(side: float) -> tuple[Figure, Axes]:
    """Return a new square figure that pyplot does not keep, so that a notebook shows it once."""
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(side, side), layout="constrained")
    pyplot.close(figure)
    return figure, axes
