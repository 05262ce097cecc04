"""Sets of classes that hold the true one as often as asked, and accuracy against the share of rows answered.

The samples' leave-one-out probabilities calibrate: no row is set aside. The k-th smallest score of n, k = (n + 1) * coverage
rounded up, is exact for exchangeable scores (split conformal prediction, Vovk et al. 2005). Leave-one-out scores against the
one head fitted on all rows are the jackknife, which is near but has no guarantee; one with every left-out head in service
would be at least 2 * coverage - 1 (CV+ and jackknife+ for classification, Romano et al. 2020, theorem 3).

Thresholds for each class apart (Mondrian) are left out: coverage 0.95 needs 19 shots of a class to be finite at all.
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
"""Keeps (n + 1) * coverage from being rounded up where only the product's last digit says so: 0.55 * 100 > 55."""


def lac_scores(probabilities: Array) -> Array:
    """1 - probability of each class: the smallest sets on average (Sadinle et al. 2019), (n, classes)."""
    scores: Array = 1.0 - probabilities
    return scores


def aps_scores(probabilities: Array, penalty: float = 0.0, free: int = 1) -> Array:
    """Probability of a class and of all likelier ones: sets that grow with a row's difficulty.

    The score of Romano et al. (2020) without its random part: the answer to a text is always the same, and the sets are larger
    than asked for, the more so the more classes there are. A penalty holds that back (RAPS, Angelopoulos et al. 2021).

    Args:
        probabilities: (n, classes); of equal ones the class with the lower number comes first.
        penalty: >= 0, added for each class that is likelier, after the first `free` classes.
        free: >= 0, classes without a penalty.

    Returns:
        (n, classes).
    """
    order = np.argsort(-probabilities, axis=1, kind="stable")  # (n, classes), likeliest first
    cumulative = np.cumsum(np.take_along_axis(probabilities, order, axis=1), axis=1)
    cumulative += penalty * np.maximum(np.arange(1, probabilities.shape[1] + 1) - free, 0)
    scores = np.empty_like(cumulative)
    np.put_along_axis(scores, order, cumulative, axis=1)
    return scores


def conformal_quantile(scores: Array, coverage: float) -> float:
    """The least of n scores that the next, exchangeable one stays within with at least this probability.

    Args:
        scores: (n,).
        coverage: in 0..1.

    Returns:
        The k-th smallest score, k = ceil((n + 1) * coverage); infinity where n rows are too few to say (k > n).
    """
    rank = max(int(np.ceil((len(scores) + 1) * coverage - ROUNDING)), 1)
    return float(np.partition(scores, rank - 1)[rank - 1]) if rank <= len(scores) else float("inf")


def conformal_threshold(scores: Array, labels: Labels, coverage: float) -> float:
    """The conformal quantile of the true classes' scores.

    Args:
        scores: (n, classes), `lac_scores` or `aps_scores` of the samples' leave-one-out probabilities.
        labels: (n,) in 0..classes-1.
        coverage: in 0..1, the share of rows whose set is to hold the true class.
    """
    return conformal_quantile(scores[np.arange(len(labels)), labels], coverage)


def prediction_sets(scores: Array, threshold: float) -> Mask:
    """The classes whose score is within the threshold, (n, classes); never empty.

    A row for which no class is within it gets the one nearest to it: that adds to the coverage and takes nothing away.
    """
    sets: Mask = scores <= threshold
    sets[np.arange(len(scores)), scores.argmin(axis=1)] = True
    return sets


def coverage_accuracy_curve(confidence: Array, correct: Mask) -> tuple[Array, Array]:
    """Accuracy of the rows answered against their share, when the least confident are left unanswered.

    The selective accuracy of Geifman and El-Yaniv (2017). Rows of equal confidence are answered together, so the curve does
    not depend on their order.

    Args:
        confidence: (n,), higher is surer.
        correct: (n,).

    Returns:
        Coverage, rising to 1, and accuracy, one of each for every distinct confidence.
    """
    order = np.argsort(-confidence, kind="stable")
    answered = np.arange(1, len(order) + 1)
    accuracy = np.cumsum(correct[order]) / answered
    last = np.append(np.diff(confidence[order]) != 0, True)[: len(order)]  # of the rows of one confidence
    return answered[last] / max(len(order), 1), accuracy[last]


def area_under_curve(coverage: Array, accuracy: Array) -> float:
    """Mean accuracy over the coverages, in 0..1; one minus the area under the risk-coverage curve.

    The accuracy of rows of equal confidence counts for all of them: of a confidence that says nothing, the area is the accuracy.
    """
    return float(np.diff(coverage, prepend=0.0) @ accuracy)
