"""Samples whose label is probably wrong: confident learning."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["suspected_label_errors"]


def suspected_label_errors(
    probabilities: NDArray[np.float64], labels: NDArray[np.int64], odds: float = 20.0
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Samples that the model holds for another class with confidence (Northcutt et al. 2021, section 3.1), surest first.

    A class's threshold is the mean probability of the class on samples that have its label. A sample counts as a class that
    reaches its threshold, the likeliest of them. That alone flags a fifth of a clean task whose accuracy is 64 %, so the class
    must also be `odds` times as likely as the label.

    Args:
        probabilities: (n, classes), calibrated, by models that have not seen the sample.
        labels: (n,), as given.

    Returns:
        Positions of the samples (m,), and the class that each is probably of (m,).
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
