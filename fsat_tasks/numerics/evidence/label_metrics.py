"""Metrics of predictions with several labels a row, and the calibration error of their probabilities."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fsat_tasks.numerics.types import Array

__all__ = ["LabelScores", "calibration_error", "calibration_error_by_chance", "score_labels"]

BINS = 15
"""Number of bins of a probability. All have the same width, as in `expected_calibration_error`. In bins with the same number
of rows, all the rows in which a rare label is likely would be in one bin, where errors cancel out."""

Matrix = NDArray[np.int64]


@dataclass(frozen=True)
class LabelScores:
    """Scores of predicted labels. A ratio 0 / 0 counts as 0, except for the F1 of a label that is neither given nor true."""

    micro_f1: float
    """F1 of all pairs of row and label together; 1 if there is no label to give, and none is given."""
    macro_f1: float
    """Mean F1 of the labels that are given or true in at least one row; 1 if there are none."""
    subset_accuracy: float
    """Share of the rows whose labels are all right."""
    precision: Array  # (classes,)
    recall: Array  # (classes,)
    f1: Array  # (classes,), NaN for a label that is neither given nor true


def score_labels(matrix: Matrix, predicted: Matrix) -> LabelScores:
    """Score predicted labels.

    Args:
        matrix: (n, classes), of 0 and 1, n > 0.
        predicted: (n, classes), of 0 and 1.
    """
    right = (matrix * predicted).sum(axis=0).astype(np.float64)  # (classes,)
    true, given = matrix.sum(axis=0), predicted.sum(axis=0)
    total = int(true.sum() + given.sum())
    f1 = np.divide(2.0 * right, true + given, out=np.full(len(right), np.nan), where=true + given > 0)
    return LabelScores(
        micro_f1=float(2.0 * right.sum() / total) if total else 1.0,
        macro_f1=float(np.nanmean(f1)) if total else 1.0,
        subset_accuracy=float((matrix == predicted).all(axis=1).mean()),
        precision=np.divide(right, given, out=np.zeros(len(right)), where=given > 0),
        recall=np.divide(right, true, out=np.zeros(len(right)), where=true > 0),
        f1=f1,
    )


def calibration_error(probabilities: Array, matrix: Matrix, bins: int = BINS) -> float:
    """Mean over the labels of the expected calibration error of the label's probability (Naeini et al. 2015).

    The error of a label is the mean absolute gap between stated probability and share of rows with the label, over bins
    of equal width, weighted by rows.

    Args:
        probabilities: (n, classes), n > 0.
        matrix: (n, classes), of 0 and 1.
        bins: number of bins.
    """
    return _mean_gap(_cells(probabilities, bins), probabilities - matrix, bins)


def calibration_error_by_chance(probabilities: Array, seed: int, bins: int = BINS, draws: int = 50) -> float:
    """Mean calibration error that a perfectly calibrated model with these probabilities would show on this number of rows.

    In each draw, a row has a label with exactly the probability that the model states ("consistency resampling",
    Bröcker and Smith 2007).

    Args:
        probabilities: (n, classes), n > 0.
        seed: seed of the draws.
        bins: number of bins.
        draws: number of draws. The mean over many labels needs few.
    """
    rng, cells = np.random.default_rng(seed), _cells(probabilities, bins)
    drawn = (rng.random(probabilities.shape) < probabilities for _ in range(draws))
    return float(np.mean([_mean_gap(cells, probabilities - labels, bins) for labels in drawn]))


def _cells(probabilities: Array, bins: int) -> NDArray[np.int64]:
    """Return the number of the label's bin that a probability is in, (n * classes,). Each label has bins of its own."""
    at = np.minimum((probabilities * bins).astype(np.int64), bins - 1)
    return (at + bins * np.arange(probabilities.shape[1])).ravel()


def _mean_gap(cells: NDArray[np.int64], gaps: Array, bins: int) -> float:
    """Return the absolute sum of the gaps in each cell, summed over the cells, as a mean over rows and labels."""
    sums = np.bincount(cells, gaps.ravel(), minlength=bins * gaps.shape[1])
    return float(np.abs(sums).sum() / gaps.size)
