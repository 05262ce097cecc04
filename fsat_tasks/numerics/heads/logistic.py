"""Logistic regressions of all classes at once, each class against the rest, and their approximate leave-one-out."""

from __future__ import annotations

import numpy as np
from scipy.special import expit

from fsat_tasks.numerics.heads.leave_one_out import leverages
from fsat_tasks.numerics.heads.probe import INTERCEPT_RIDGE, TOLERANCE, Floats, LinearHead, minimise
from fsat_tasks.numerics.types import Array

__all__ = ["fit_logistic", "loo_logistic"]


def fit_logistic(
    rows: Array,
    targets: Array,
    weights: Array,
    ridge: float,
    start: LinearHead | None = None,
    tolerance: float = TOLERANCE,
) -> LinearHead:
    """Minimise sum_i weights_i * sum_c binary log-loss(targets_ic, logits_ic) + ridge / 2 * ||weight||^2.

    The tiny penalty INTERCEPT_RIDGE of the intercept, in the centred rows, keeps a class finite that is in no row or in all.

    Args:
        rows: (n, dim).
        targets: (n, classes), each in 0..1.
        weights: (n,), none negative.
        ridge: penalty of the weights, > 0.
        start: head to start from; by default the log-odds of the classes' shares.
        tolerance: Newton decrement at which the solver stops, about the largest error of the logits.
    """
    if start is None:
        rows_of_class = weights @ targets  # (classes,)
        odds = (rows_of_class + 0.5) / (weights.sum() - rows_of_class + 0.5)
        start = LinearHead(np.zeros((targets.shape[1], rows.shape[1])), np.log(odds))
    return minimise(_objective, rows, targets, weights, ridge, start, tolerance)


def loo_logistic(head: LinearHead, rows: Array, targets: Array, anchors: Array, counts: Array, ridge: float) -> Array:
    """Return leave-one-out logits, (n, classes), by one Newton step per row (Rad and Maleki 2020, eq. 9).

    Args:
        head: result of `fit_logistic` for the rows and the anchors. It may have some of the classes only.
        rows: (n, dim), of weight 1.
        targets: (n, classes of the head), of 0 and 1.
        anchors: (anchors, dim), further rows, which are never left out.
        counts: (anchors,), their weights.
        ridge: penalty of the weights.
    """
    n = len(rows)
    # the intercept's column is scaled so that one penalty holds for all directions
    intercept = np.sqrt(ridge / INTERCEPT_RIDGE)
    both = np.vstack([rows, anchors])
    logits = head.logits(both)
    p = expit(logits)
    both = np.hstack([both, np.full((len(both), 1), intercept)])
    curvature, residual = p * (1.0 - p), p[:n] - targets
    leverage = leverages(both, np.concatenate([np.ones(n), counts]), curvature, ridge, np.abs(residual))
    held_out: Array = logits[:n] + leverage * residual / (1.0 - leverage * curvature[:n])
    return held_out


def _objective(theta: Array, rows: Floats, targets: Floats, weights: Floats, penalty: Array) -> tuple[float, Array, Floats]:
    """Return the value, the gradient (classes, dim + 1), and the probabilities (n, classes); see `Objective`."""
    penalty = np.maximum(penalty, INTERCEPT_RIDGE)
    logits = rows @ theta.T.astype(rows.dtype)  # (n, classes)
    losses = (np.logaddexp(0.0, logits) - targets * logits).sum(axis=1)
    p = expit(logits)
    gradient = ((p - targets) * weights[:, None]).T @ rows
    pull = theta * penalty
    return float(losses.astype(np.float64) @ weights) + 0.5 * float(np.vdot(theta, pull)), gradient + pull, p
