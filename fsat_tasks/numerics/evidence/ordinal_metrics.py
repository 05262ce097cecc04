"""Metrics of predicted grades and numbers: distances from the truth, rank agreement, and paired comparison."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import kendalltau

from fsat_tasks.numerics.evidence.metrics import RESAMPLES
from fsat_tasks.numerics.types import Array

__all__ = ["mean_error_interval", "rank_agreement", "weighted_kappa"]

DRAWN_AT_ONCE = 4_000_000
"""Maximum number of array elements that a bootstrap draws at once: 32 MB."""


def mean_error_interval(errors: Array, seed: int, level: float = 0.95) -> tuple[float, float]:
    """Return the percentile bootstrap interval of the mean absolute error, in the units of the errors.

    Args:
        errors: (n,) absolute errors, at least one.
        seed: seed of the draws.
        level: confidence level, in 0..1.
    """
    rng, size = np.random.default_rng(seed), len(errors)
    together = max(DRAWN_AT_ONCE // size, 1)
    counts = [min(together, RESAMPLES - start) for start in range(0, RESAMPLES, together)]
    means = np.concatenate([errors[rng.integers(size, size=(count, size))].mean(axis=1) for count in counts])
    tail = (1.0 - level) / 2.0
    low, high = np.quantile(means, [tail, 1.0 - tail])
    return float(low), float(high)


def rank_agreement(truth: NDArray[np.number], predicted: NDArray[np.number]) -> float:
    """Return Kendall's tau-b, in -1..1: 1 if predictions are in the order of the truth, and 0 if either is constant.

    Args:
        truth, predicted: (n,).
    """
    if len(truth) < 2 or np.ptp(truth) == 0 or np.ptp(predicted) == 0:
        return 0.0
    return float(kendalltau(truth, predicted).statistic)


def weighted_kappa(confusion: NDArray[np.int64]) -> float:
    """Return Cohen's kappa with quadratic weights, at most 1 (Cohen 1968). It is 0 for agreement by chance or constant input.

    Args:
        confusion: (grades, grades), rows of data by true grade and predicted grade (see `confusion_matrix`).
    """
    grades = np.arange(len(confusion))
    squares = np.square(grades[:, None] - grades).astype(np.float64)
    by_chance = np.outer(confusion.sum(axis=1), confusion.sum(axis=0)) / max(int(confusion.sum()), 1)
    expected = float((squares * by_chance).sum())
    return 1.0 - float((squares * confusion).sum()) / expected if expected > 0 else 0.0
