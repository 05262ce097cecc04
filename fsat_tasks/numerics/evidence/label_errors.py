"""Detection of wrong labels by confident learning, and of wrong numbers by the size of their errors."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Mistake", "suspected_label_errors", "suspected_mistakes", "suspected_numbers"]


def suspected_label_errors(
    probabilities: NDArray[np.float64], labels: NDArray[np.int64], odds: float = 20.0
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Find samples whose label is probably wrong (confident learning, Northcutt et al. 2021, section 3.1).

    The threshold of a class is its mean probability on the samples with its label. A sample is assigned to
    the likeliest of the classes whose probability reaches their threshold. If this class is not the sample's
    label, the label is suspected. On a task without wrong labels, where the model is right on 64 % of the
    samples, this rule alone marks a fifth of all samples as suspected. So the assigned class must also be
    at least `odds` times as likely as the label.

    Args:
        probabilities: (n, classes), calibrated, from models that have not seen the sample.
        labels: (n,), the given labels.
        odds: minimum ratio of the assigned class's probability to the label's.

    Returns:
        Positions of the suspected samples, (m,), the most suspicious first; and the class assigned to each, (m,).
    """
    rows, classes = probabilities.shape
    own = probabilities[np.arange(rows), labels]  # (n,)
    shots = np.bincount(labels, minlength=classes)
    threshold = np.bincount(labels, own, classes) / np.maximum(shots, 1)  # (classes,)
    threshold[shots == 0] = np.inf
    reached = np.where(probabilities >= threshold, probabilities, 0.0)  # (n, classes)
    likelier = reached.argmax(axis=1)
    ratio = reached.max(axis=1) / np.maximum(own, np.finfo(np.float64).tiny)
    suspected = np.flatnonzero((likelier != labels) & (ratio >= odds))
    suspected = suspected[np.argsort(-ratio[suspected], kind="stable")]
    return suspected, likelier[suspected]


class Mistake(NamedTuple):
    """A label that a sample probably lacks, or that it probably should not have."""

    row: int
    column: int
    lacks: bool
    """True if the sample probably lacks the label."""
    probability: float
    """Probability of the mistake."""


def suspected_mistakes(probabilities: NDArray[np.float64], matrix: NDArray[np.int64]) -> list[Mistake]:
    """Find the labels that samples with several labels probably lack or wrongly have; see `suspected_label_errors`.

    Each label is judged alone: it is there or not there.

    Args:
        probabilities: (n, classes), calibrated, from models that have not seen the sample.
        matrix: (n, classes) of 0 and 1, the given labels.

    Returns:
        The mistakes, the most probable first.
    """
    found = []
    for column in range(matrix.shape[1]):
        there = probabilities[:, column]
        either = np.stack([1.0 - there, there], axis=1)
        rows, likelier = suspected_label_errors(either, matrix[:, column])
        for row, lacks in zip(rows.tolist(), likelier.tolist(), strict=True):
            found.append(Mistake(row, column, bool(lacks), float(either[row, lacks])))
    return sorted(found, key=lambda mistake: -mistake.probability)


def suspected_numbers(errors: NDArray[np.float64], least: float = 3.5) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Find numbers that are probably wrong by their modified z-scores (Iglewicz and Hoaglin 1993).

    The score is the size of the error in standard deviations. Wrong numbers would inflate the standard deviation of the errors,
    so it is estimated from their median size, as for errors with a normal distribution.

    Args:
        errors: (n,), errors on numbers that the model has not seen, of any sign.
        least: minimum score.

    Returns:
        Positions of the suspected numbers, (m,), the farthest first; and their scores, (m,).
    """
    sizes = np.abs(errors)
    deviation = np.median(sizes) / 0.6745  # the median size of a standard normal error
    if deviation == 0.0:
        return np.empty(0, np.int64), np.empty(0)
    scores = sizes / deviation
    suspected = np.flatnonzero(scores >= least)
    suspected = suspected[np.argsort(-scores[suspected], kind="stable")]
    return suspected, scores[suspected]
