"""Leave-one-out logits of the linear probe, in closed form by one Newton step."""

from __future__ import annotations

import numpy as np
from scipy import linalg
from scipy.special import softmax

from fsat_tasks.numerics.heads.probe import CORRECTED_ROWS, CURVED_ROWS, INTERCEPT_RIDGE, LinearHead
from fsat_tasks.numerics.types import Array, Labels

__all__ = ["approximate_loo_logits", "leverages"]


def approximate_loo_logits(head: LinearHead, features: Array, labels: Labels, names: Array, prior: float, ridge: float) -> Array:
    """Return leave-one-out logits, (n, classes), by one Newton step per row and without a second fit.

    This is approximate leave-one-out (Rad and Maleki 2020, eq. 9). It uses only the Hessian's diagonal blocks, one
    for each class. For each class, the step is therefore the exact Newton step of a logistic loss of this class
    against the rest.

    Args:
        head: result of `fit_probe` for the arguments that follow.
        features, labels, names, prior, ridge: as for `fit_probe`.
    """
    n, classes = len(features), len(names)
    # with two classes only one row of weights is free, so each class takes half of the step and of the penalty
    share = 0.5 if classes == 2 else 1.0
    # the intercept's column is scaled so that one penalty holds for all directions
    intercept = np.sqrt(share * ridge / INTERCEPT_RIDGE)
    rows = np.vstack([features, names])
    rows = np.hstack([rows, np.full((len(rows), 1), intercept)])  # (n + classes, dim + 1)
    weights = np.concatenate([np.ones(n), np.full(classes, prior)])
    p = softmax(np.vstack([head.logits(features), head.logits(names)]), axis=1)  # (n + classes, classes)
    curvature = p * (1.0 - p)
    residual = p[:n] - np.eye(classes)[labels]
    leverage = leverages(rows, weights, curvature, share * ridge, np.abs(residual))  # (n, classes)
    step: Array = share * leverage * residual / (1.0 - leverage * curvature[:n])
    return head.logits(features) + step


def leverages(rows: Array, weights: Array, curvature: Array, ridge: float, matter: Array) -> Array:
    """Return the leverages of the first n rows for each class, (n, classes).

    The leverages of a class are the diagonal of

        rows @ inverse(rows.T @ diag(weights * curvature) @ rows + ridge) @ rows.T

    For each class, only a few rows have a high curvature. All the rest have low and similar curvatures, so they enter with
    their mean curvature, and one eigendecomposition serves all classes. The few rows with the highest curvature enter
    exactly (Woodbury). With at most CURVED_ROWS rows, all enter exactly.

    Args:
        rows: (rows, dim), at least n rows.
        weights: (rows,).
        curvature: (rows, classes).
        ridge: penalty, the same in all directions.
        matter: (n, classes), importance of each leverage. For each class, the CORRECTED_ROWS most important
            leverages are computed in full. All the remaining leverages are computed without the correction for rows
            of high curvature, so they are upper bounds.
    """
    spectrum, axes = linalg.eigh((rows * weights[:, None]).T @ rows)
    rows = rows @ axes  # (rows, dim) along the axes
    n, count = len(matter), min(CURVED_ROWS, len(rows))
    bends = (weights[:, None] * curvature).T  # (classes, rows)
    most = np.argpartition(-bends, count - 1, axis=1)[:, :count]  # (classes, count)
    own, counts = np.take_along_axis(bends, most, axis=1), weights[most]
    even = (bends.sum(axis=1) - own.sum(axis=1)) / np.maximum(weights.sum() - counts.sum(axis=1), 1e-6)  # (classes,)
    even = np.maximum(even, 0.0) if count < len(rows) else np.zeros_like(even)
    inverse = 1.0 / (even[:, None] * np.maximum(spectrum, 0.0) + ridge)  # (classes, dim)
    leverage: Array = np.square(rows[:n]) @ inverse.T  # (n, classes)
    for c in range(curvature.shape[1]):
        strength = np.sqrt(np.maximum(own[c] - even[c] * counts[c], 0.0))  # (count,)
        half = rows[most[c]] * strength[:, None]  # (count, dim)
        scaled = half * inverse[c]
        factor = linalg.cholesky(np.eye(count) + scaled @ half.T, lower=True)
        wanted = np.argpartition(-matter[:, c], CORRECTED_ROWS - 1)[:CORRECTED_ROWS] if n > CORRECTED_ROWS else np.arange(n)
        correction = linalg.solve_triangular(factor, scaled @ rows[wanted].T, lower=True)
        leverage[wanted, c] -= np.square(correction).sum(axis=0)
    return leverage
