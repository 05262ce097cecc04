"""Conformal prediction: sets of classes that contain the true class with a chosen probability.

The threshold is set on the samples' leave-one-out probabilities, so no row is set aside. If n scores are
exchangeable, the k-th smallest, k = ceil((n + 1) * coverage), is an exact threshold (split conformal prediction,
Vovk et al. 2005).

Here the scores come from leave-one-out heads, but the served head is fitted on all rows. This is the jackknife. Its
coverage is close to the chosen one, but not guaranteed. CV+ and jackknife+ for classification guarantee a coverage
of at least 2 * coverage - 1 (Romano et al. 2020, theorem 3). They are not used, because they would need all
leave-one-out heads at serving time.

There are no thresholds per class (Mondrian), because at coverage 0.95 they would be infinite with fewer than 19
shots per class.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fsat_tasks.numerics.types import Array, Labels

__all__ = [
    "conformal_quantile",
    "conformal_threshold",
    "lac_scores",
    "prediction_sets",
    "samples_needed",
    "too_few_samples",
]

Mask = NDArray[np.bool_]

ROUNDING = 1e-9
"""Number subtracted from (n + 1) * coverage before rounding up, because of floating-point error: 0.55 * 100 > 55."""


def lac_scores(probabilities: Array) -> Array:
    """Return 1 - probabilities, (n, classes): the score with the smallest sets on average (Sadinle et al. 2019)."""
    scores: Array = 1.0 - probabilities
    return scores


def conformal_quantile(scores: Array, coverage: float) -> float:
    """Return the smallest score that a new, exchangeable score does not exceed with at least the probability `coverage`.

    Args:
        scores: (n,).
        coverage: the probability, in 0..1.

    Returns:
        The k-th smallest score, k = ceil((n + 1) * coverage); infinity if there are too few scores (k > n).
    """
    rank = max(int(np.ceil((len(scores) + 1) * coverage - ROUNDING)), 1)
    return float(np.partition(scores, rank - 1)[rank - 1]) if rank <= len(scores) else float("inf")


def samples_needed(coverage: float) -> float:
    """Return the smallest number of scores with a finite conformal quantile; infinity for a coverage of 1."""
    return max(float(np.ceil((coverage - ROUNDING) / (1.0 - coverage))), 1.0) if coverage < 1.0 else float("inf")


def too_few_samples(coverage: float, samples: int) -> str | None:
    """Say that sets or intervals of this coverage have no limit, because there are too few samples. None if there are enough."""
    needed = samples_needed(coverage)
    if samples >= needed:
        return None
    least = f"at least {needed:.0f}" if np.isfinite(needed) else "infinitely many"
    return f"coverage {coverage:g} needs {least} samples, there are {samples}"


def conformal_threshold(scores: Array, labels: Labels, coverage: float) -> float:
    """Return the conformal quantile of the true classes' scores.

    Args:
        scores: (n, classes), `lac_scores` of the samples' leave-one-out probabilities.
        labels: (n,) in 0..classes-1.
        coverage: share of rows whose set should contain the true class, in 0..1.
    """
    return conformal_quantile(scores[np.arange(len(labels)), labels], coverage)


def prediction_sets(scores: Array, threshold: float) -> Mask:
    """Return the classes whose score is within the threshold, as a mask (n, classes). No row's set is empty.

    If no class of a row is within the threshold, the row's set is the class with the lowest score. This rule can only raise
    the coverage.
    """
    sets: Mask = scores <= threshold
    sets[np.arange(len(scores)), scores.argmin(axis=1)] = True
    return sets
