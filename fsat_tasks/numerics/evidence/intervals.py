"""Intervals of predicted numbers, from the samples' leave-one-out errors (see `conformal` for what they guarantee)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fsat_tasks.numerics.evidence.conformal import conformal_quantile
from fsat_tasks.numerics.types import Array

__all__ = ["errors_of_the_mean", "half_widths", "share_within"]


def half_widths(residuals: Array, coverages: Sequence[float]) -> Array:
    """Return the half-width of the interval around a predicted number for each coverage, in the units of the residuals.

    Args:
        residuals: (n,), leave-one-out errors, of any sign.
        coverages: shares of rows whose interval should contain the true number, in 0..1.

    Returns:
        (coverages,); infinity where there are too few residuals for the coverage.
    """
    sizes = np.abs(residuals)
    return np.array([conformal_quantile(sizes, coverage) for coverage in coverages], np.float64)


def share_within(errors: Array, widths: Array) -> Array:
    """Return the share of errors within each half-width, (coverages,).

    Args:
        errors: (n,), errors on rows that the model has not seen, of any sign.
        widths: (coverages,), result of `half_widths`.
    """
    inside: Array = (np.abs(errors)[:, None] <= widths).mean(axis=0)
    return inside


def errors_of_the_mean(values: Array) -> Array:
    """Return the absolute error of each value's prediction by the mean of the other values, (n,).

    One value alone has no others, so its error is 0.

    Args:
        values: (n,).
    """
    n = len(values)
    errors: Array = np.abs(values - values.mean()) * (n / max(n - 1, 1))  # the mean without a value is farther away
    return errors
