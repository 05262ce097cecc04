"""Least squares: the targets of all classes are regressed on the rows, with exact leave-one-out."""

from __future__ import annotations

import numpy as np
from scipy import linalg

from fsat_tasks.numerics.heads.probe import LinearHead
from fsat_tasks.numerics.types import Array

__all__ = ["fit_least_squares"]


def fit_least_squares(rows: Array, targets: Array, anchors: Array, counts: Array, ridge: float) -> tuple[LinearHead, Array]:
    """Minimise sum_i weight_i * ||targets_i - outputs_i||^2 + ridge * ||weight||^2, where the intercept has no penalty.

    The direction of a class is that of its linear discriminant against the rest (Hastie et al. 2009, exercise 4.2), and one
    factorisation serves all classes. If a row is left out, its residual grows by 1 / (1 - leverage) (Sherman-Morrison).

    Args:
        rows: (n, dim), of weight 1.
        targets: (n, classes), each in 0..1.
        anchors: (classes, dim). Anchor c is positive for class c only.
        counts: (classes,), weights of the anchors, none negative. Together with the rows they are more than one row.
        ridge: > 0.

    Returns:
        The head, whose outputs approximate the targets, and the leave-one-out outputs of the rows, (n, classes).
    """
    weights = np.concatenate([np.ones(len(rows)), counts])
    wanted = np.vstack([targets, np.eye(len(anchors))])
    both = np.vstack([rows, anchors])
    total = weights.sum()
    centre, share = weights @ both / total, weights @ wanted / total  # (dim,), (classes,)
    apart = (both - centre) * np.sqrt(weights)[:, None]
    factor = linalg.cho_factor(apart.T @ apart + ridge * np.eye(apart.shape[1]), lower=True)
    weight = linalg.cho_solve(factor, apart.T @ ((wanted - share) * np.sqrt(weights)[:, None])).T  # (classes, dim)
    head = LinearHead(weight, share - weight @ centre)
    half = linalg.solve_triangular(factor[0], (rows - centre).T, lower=True)  # (dim, n)
    leverage = np.square(half).sum(axis=0) + 1.0 / total  # (n,)
    held_out: Array = targets - (targets - head.logits(rows)) / (1.0 - leverage)[:, None]
    return head, held_out
