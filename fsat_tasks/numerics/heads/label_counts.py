"""Number of labels of a row: probabilities of labels, given how many labels rows usually have."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from fsat_tasks.numerics.types import Array

__all__ = ["condition_on_counts"]

UNSEEN = 0.5
"""Number of rows that are added to each number of labels, so that a number that no row has is only improbable."""
REWEIGHTINGS = 50
"""Iterations in which the numbers' weights are fitted. If all rows have the same number of labels, one is enough."""
BLOCK = 1024
"""Number of rows whose counts are in memory at a time."""


def condition_on_counts(logits: Array, counts: NDArray[np.int64]) -> Array:
    """Return the probabilities of the labels, if the number of labels of a row is distributed as in `counts`, (m, classes).

    The labels of a row are independent given the weight r of their number: p(y) ~ prod_c odds_c^y_c * r_|y|. The weights
    r make the mean posterior of each number equal to its share in `counts`. The inclusion probabilities are
    those of conditional Bernoulli sampling (Chen and Liu 1997), by dynamic programming over the classes.

    Args:
        logits: (m, classes), calibrated.
        counts: (n,), numbers of labels of labelled rows. No row gets more labels than the largest of them.
    """
    p = expit(logits)
    most = min(int(counts.max()), p.shape[1])
    share = np.bincount(counts, minlength=most + 1) + UNSEEN  # (most + 1,)
    numbers = np.vstack([_numbers(p[rows], most)[-1] for rows in _blocks(len(p))])  # (m, most + 1)
    weights = _weights(numbers, share / share.sum())
    return np.vstack([_inclusion(p[rows], weights) for rows in _blocks(len(p))])


def _blocks(rows: int) -> list[slice]:
    return [slice(at, at + BLOCK) for at in range(0, rows, BLOCK)]


def _numbers(p: Array, most: int) -> Array:
    """Return the distribution of the number of labels among the first c classes, (classes + 1, rows, most + 1)."""
    found = np.zeros((p.shape[1] + 1, len(p), most + 1))
    found[0, :, 0] = 1.0
    for c in range(p.shape[1]):
        found[c + 1] = found[c] * (1.0 - p[:, c, None])
        found[c + 1, :, 1:] += found[c, :, :-1] * p[:, c, None]
    return found


def _weights(numbers: Array, share: Array) -> Array:
    """Return the weight of each number of labels, (most + 1,), by iterative proportional fitting."""
    tiny = np.finfo(np.float64).tiny
    weights = np.ones_like(share)
    for _ in range(REWEIGHTINGS):
        posterior = numbers * weights
        posterior /= np.maximum(posterior.sum(axis=1, keepdims=True), tiny)
        weights = weights * share / np.maximum(posterior.mean(axis=0), tiny)
        weights /= weights.max()
    return weights


def _inclusion(p: Array, weights: Array) -> Array:
    """Return the probabilities of the labels under the weights, (rows, classes)."""
    most = len(weights) - 1
    before, after = _numbers(p, most), _numbers(p[:, ::-1], most)[::-1]
    total = np.maximum(before[-1] @ weights, np.finfo(np.float64).tiny)
    found = np.empty_like(p)
    for c in range(p.shape[1]):
        others = np.zeros(len(p))  # weight of all answers that have label c
        for i in range(most):
            others += before[c, :, i] * (after[c + 1, :, : most - i] @ weights[i + 1 :])
        found[:, c] = p[:, c] * others / total
    return np.minimum(found, 1.0)
