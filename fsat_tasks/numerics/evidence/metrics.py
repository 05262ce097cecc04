"""Metrics of a classifier on labelled rows, and their uncertainty."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fsat_tasks.numerics.types import Array, Labels

__all__ = ["accuracy_interval", "confusion_matrix", "coverage_curve", "log_losses", "macro_f1", "recalls"]

RESAMPLES = 2000
"""Number of bootstrap samples."""


def confusion_matrix(truth: Labels, predicted: Labels, classes: int) -> NDArray[np.int64]:
    """Count the rows by true class (rows of the matrix) and predicted class (columns), (classes, classes)."""
    return np.bincount(truth * classes + predicted, minlength=classes * classes).reshape(classes, classes)


def recalls(confusion: NDArray[np.int64]) -> NDArray[np.float64]:
    """Share of each class's rows that are predicted right, (classes,); NaN for a class without rows."""
    rows = confusion.sum(axis=1).astype(np.float64)
    found: NDArray[np.float64] = np.divide(confusion.diagonal(), rows, out=np.full(len(rows), np.nan), where=rows > 0)
    return found


def macro_f1(confusion: NDArray[np.int64]) -> float:
    """Mean F1 over the classes that occur among the true or the predicted labels."""
    total = confusion.sum(axis=0) + confusion.sum(axis=1)  # (classes,)
    there = total > 0
    return float(np.mean(2.0 * confusion.diagonal()[there] / total[there]))


def log_losses(chances: NDArray[np.floating]) -> Array:
    """Return -log of the stated probability of what is true, in nats; finite even for a probability of 0.

    Args:
        chances: probabilities, of any shape.
    """
    losses: Array = -np.log(np.maximum(np.asarray(chances, np.float64), np.finfo(np.float64).tiny))
    return losses


def accuracy_interval(correct: NDArray[np.bool_], seed: int, level: float = 0.95) -> tuple[float, float]:
    """Return the percentile bootstrap interval of the accuracy.

    The number of right rows in a bootstrap sample is binomial, so it is drawn directly.

    Args:
        correct: (n,), whether each row is right.
        seed: seed of the draws.
        level: confidence level, in 0..1.
    """
    rng = np.random.default_rng(seed)
    means = rng.binomial(len(correct), float(correct.mean()), size=RESAMPLES) / len(correct)
    tail = (1.0 - level) / 2.0
    low, high = np.quantile(means, [tail, 1.0 - tail])
    return float(low), float(high)


def coverage_curve(confidence: NDArray[np.float64], correct: NDArray[np.bool_], points: int = 50) -> list[dict[str, float]]:
    """Return the accuracy of the most confident rows at rising coverage (selective prediction).

    The coverage is the share of rows that are answered.

    Args:
        confidence: (n,), how sure each answer is.
        correct: (n,), whether each answer is right.
        points: maximum number of coverages, evenly spaced up to 1.
    """
    order = np.argsort(-confidence, kind="stable")
    right = np.cumsum(correct[order])
    counts = np.unique(np.ceil(np.linspace(0, 1, points + 1)[1:] * len(correct)).astype(np.int64))
    return [{"coverage": count / len(correct), "accuracy": float(right[count - 1] / count)} for count in counts.tolist()]
