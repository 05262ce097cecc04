"""Conformal prediction: sets of classes that hold the true class with a chosen probability. Also accuracy against coverage.

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
    "aps_scores",
    "area_under_curve",
    "conformal_quantile",
    "conformal_threshold",
    "coverage_accuracy_curve",
    "lac_scores",
    "prediction_sets",
]

Mask = NDArray[np.bool_]

ROUNDING = 1e-9
"""Number subtracted from (n + 1) * coverage before rounding up, because of floating-point error: 0.55 * 100 > 55."""


def lac_scores(probabilities: Array) -> Array:
    """Return 1 - probabilities, (n, classes): the score with the smallest sets on average (Sadinle et al. 2019)."""
    scores: Array = 1.0 - probabilities
    return scores


def aps_scores(probabilities: Array, penalty: float = 0.0, free: int = 1) -> Array:
    """Return the total probability of a class and of all likelier ones. Sets of this score grow with a row's difficulty.

    This is the score of Romano et al. (2020) without its random part, so the same text always gets the same
    set. Without the random part, sets are larger than necessary, and more so with more classes. A penalty makes
    them smaller (RAPS, Angelopoulos et al. 2021).

    Args:
        probabilities: (n, classes). Classes with equal probabilities are ranked by their index.
        penalty: >= 0, added to a class once for each rank below the first `free` ranks.
        free: >= 0, number of top ranks without a penalty.

    Returns:
        Scores, (n, classes).
    """
    order = np.argsort(-probabilities, axis=1, kind="stable")  # (n, classes), likeliest first
    cumulative = np.cumsum(np.take_along_axis(probabilities, order, axis=1), axis=1)
    cumulative += penalty * np.maximum(np.arange(1, probabilities.shape[1] + 1) - free, 0)
    scores = np.empty_like(cumulative)
    np.put_along_axis(scores, order, cumulative, axis=1)
    return scores


def conformal_quantile(scores: Array, coverage: float) -> float:
    """Return the smallest score that a further, exchangeable score stays within, with at least the probability `coverage`.

    Args:
        scores: (n,).
        coverage: the probability, in 0..1.

    Returns:
        The k-th smallest score, k = ceil((n + 1) * coverage); infinity if there are too few scores (k > n).
    """
    rank = max(int(np.ceil((len(scores) + 1) * coverage - ROUNDING)), 1)
    return float(np.partition(scores, rank - 1)[rank - 1]) if rank <= len(scores) else float("inf")


def conformal_threshold(scores: Array, labels: Labels, coverage: float) -> float:
    """Return the conformal quantile of the true classes' scores.

    Args:
        scores: (n, classes), `lac_scores` or `aps_scores` of the samples' leave-one-out probabilities.
        labels: (n,) in 0..classes-1.
        coverage: share of rows whose set should hold the true class, in 0..1.
    """
    return conformal_quantile(scores[np.arange(len(labels)), labels], coverage)


def prediction_sets(scores: Array, threshold: float) -> Mask:
    """Return the classes whose score is within the threshold, as a mask (n, classes). No row's set is empty.

    A row without such a class gets the class with the lowest score. This can only raise the coverage.
    """
    sets: Mask = scores <= threshold
    sets[np.arange(len(scores)), scores.argmin(axis=1)] = True
    return sets


def coverage_accuracy_curve(confidence: Array, correct: Mask) -> tuple[Array, Array]:
    """Return coverage, the share of rows answered, and accuracy, if the least confident rows are left unanswered.

    This is the selective accuracy of Geifman and El-Yaniv (2017). Rows of equal confidence are answered
    together, so the curve does not depend on their order.

    Args:
        confidence: (n,), higher is surer.
        correct: (n,), whether each answer is right.

    Returns:
        Coverages, rising to 1, and accuracies: one of each for every distinct confidence.
    """
    order = np.argsort(-confidence, kind="stable")
    answered = np.arange(1, len(order) + 1)
    accuracy = np.cumsum(correct[order]) / answered
    last = np.append(np.diff(confidence[order]) != 0, True)[: len(order)]  # last row of each confidence
    return answered[last] / max(len(order), 1), accuracy[last]


def area_under_curve(coverage: Array, accuracy: Array) -> float:
    """Mean accuracy over all coverages, in 0..1: one minus the area under the risk-coverage curve.

    Rows of equal confidence share one accuracy. So if all confidences are equal, the area is the accuracy.
    """
    return float(np.diff(coverage, prepend=0.0) @ accuracy)
