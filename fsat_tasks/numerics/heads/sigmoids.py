"""Heads for rows with any number of labels: one penalised logistic regression per class, against the rest.

As in the linear probe, each class name counts as `prior` rows. These rows are positive for the name's class and
negative for all the remaining classes. The prior and the penalty are chosen by leave-one-out evidence.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import linalg
from scipy.optimize import minimize, minimize_scalar
from scipy.special import expit

from fsat_tasks.numerics.heads.probe import INTERCEPT_RIDGE, LinearHead
from fsat_tasks.numerics.types import Array

__all__ = ["MultiLabelHead", "binary_log_loss", "fit_multilabel", "fit_sigmoids", "fit_temperature", "sigmoid_loo_logits"]


PRIORS = (0.5, 2.0, 4.0)
"""Numbers of rows that a class name may count as; START_PRIOR is tried as well."""
RIDGES = (0.003, 0.01, 0.1, 0.3, 1.0)
"""Penalties of the weights to try; START_RIDGE is tried as well."""
START_PRIOR, START_RIDGE = 1.0, 0.03
"""Values that the search starts from."""
EVEN_CURVATURE = 0.05
"""Guess of a row's curvature p * (1 - p), from which the axes are scaled. Only the minimiser's speed depends on it."""
LOG_SCALE_BOUNDS = (-10.0, 10.0)
"""Bounds of log(1 / T) in the search for a temperature T."""


@dataclass(frozen=True)
class MultiLabelHead:
    """The chosen head. The probability of a class is the sigmoid of its logit divided by the temperature."""

    head: LinearHead
    prior: float
    ridge: float
    temperature: float
    log_loss: float
    """Leave-one-out log-loss with logits divided by the temperature, in nats: the mean over rows and classes."""
    held_out: Array  # (n, classes) leave-one-out logits at temperature 1


def fit_multilabel(features: Array, targets: Array, names: Array, positive_weights: Array | None = None) -> MultiLabelHead:
    """Choose the ridge, then the prior, by leave-one-out log-loss, and fit the head.

    Args:
        features: (n, dim), at least one row.
        targets: (n, classes), of 0 and 1. A class may be in no row, or in all of them.
        names: (classes, dim), features of the class names.
        positive_weights: (classes,), number of rows that a positive row counts as in its class's fit, to
            balance rare classes. The evidence and the temperature count each row once.
    """

    def try_setting(prior: float, ridge: float) -> MultiLabelHead:
        head = fit_sigmoids(features, targets, names, prior, ridge, positive_weights)
        held_out = sigmoid_loo_logits(head, features, targets, names, prior, ridge, positive_weights)
        temperature = fit_temperature(held_out, targets)
        return MultiLabelHead(head, prior, ridge, temperature, binary_log_loss(held_out / temperature, targets), held_out)

    start = try_setting(START_PRIOR, START_RIDGE)
    best = min([start, *(try_setting(START_PRIOR, ridge) for ridge in RIDGES)], key=lambda fit: fit.log_loss)
    return min([best, *(try_setting(prior, best.ridge) for prior in PRIORS)], key=lambda fit: fit.log_loss)


def fit_sigmoids(
    features: Array, targets: Array, names: Array, prior: float, ridge: float, positive_weights: Array | None = None
) -> LinearHead:
    """Fit one logistic regression per class: minimise the weighted binary log-loss plus ridge / 2 * ||weight||^2.

    The loss runs over the rows and all class names. The intercept has only the penalty INTERCEPT_RIDGE, which
    keeps it finite if all rows and class names are positive for a class.

    Args:
        features, targets, names, positive_weights: as for `fit_multilabel`, but there may be no rows.
        prior: number of rows that a class name counts as, > 0.
        ridge: penalty of the weights, > 0.
    """
    classes = len(names)
    rows, wanted, weights = _with_names(features, targets, names, prior, positive_weights)
    spectrum, axes = linalg.eigh(rows[:, :-1].T @ rows[:, :-1])
    kept = (
        spectrum > 1e-12 * spectrum[-1]
    )  # the rows are zero in the directions that are dropped, so the weights there would be zero
    spectrum, axes = np.append(spectrum[kept], len(rows)), linalg.block_diag(axes[:, kept], 1.0)
    penalty = np.append(np.full(len(spectrum) - 1, ridge), INTERCEPT_RIDGE)  # (directions + 1,)
    scale = 1.0 / np.sqrt(EVEN_CURVATURE * spectrum + penalty)
    rows, penalty = rows @ axes * scale, penalty * scale**2

    def objective(flat: Array) -> tuple[float, Array]:
        theta = flat.reshape(classes, -1)
        logits = rows @ theta.T  # (n + classes, classes)
        residual = weights * (expit(logits) - wanted)
        loss = (weights * _nats(logits, wanted)).sum() + 0.5 * (penalty * theta**2).sum()
        return float(loss), (residual.T @ rows + penalty * theta).ravel()

    options = {"maxiter": 1000, "maxfun": 2000, "ftol": 1e-13, "gtol": 1e-5}
    found = minimize(objective, np.zeros(classes * len(scale)), jac=True, method="L-BFGS-B", options=options)
    theta = (found.x.reshape(classes, -1) * scale) @ axes.T  # (classes, dim + 1)
    return LinearHead(theta[:, :-1], theta[:, -1])


def sigmoid_loo_logits(
    head: LinearHead,
    features: Array,
    targets: Array,
    names: Array,
    prior: float,
    ridge: float,
    positive_weights: Array | None = None,
) -> Array:
    """Return leave-one-out logits, (n, classes), by one Newton step per row (Rad and Maleki 2020, eq. 9).

    The Hessian of each class is exact. The time grows with classes * (n + classes) * min(dim, n + classes)^2.

    Args:
        head: result of `fit_sigmoids` for the arguments that follow.
        features, targets, names, prior, ridge, positive_weights: as for `fit_sigmoids`.
    """
    n = len(features)
    rows, wanted, weights = _with_names(features, targets, names, prior, positive_weights)
    logits = head.logits(rows[:, :-1])  # (n + classes, classes)
    p = expit(logits)
    curvature = weights * p * (1.0 - p)
    if rows.shape[1] > len(rows) + 1:  # rotate into the span of the rows; a rotation does not change the penalty
        basis = linalg.qr(rows[:, :-1].T, mode="economic")[0]
        rows = np.hstack([rows[:, :-1] @ basis, rows[:, -1:]])
    penalty = np.diag(np.append(np.full(rows.shape[1] - 1, ridge), INTERCEPT_RIDGE))
    leverage: Array = np.empty((n, len(names)))
    for c in range(len(names)):
        factor = linalg.cholesky((rows * curvature[:, c : c + 1]).T @ rows + penalty, lower=True)
        leverage[:, c] = np.square(linalg.solve_triangular(factor, rows[:n].T, lower=True)).sum(axis=0)
    residual = weights[:n] * (p[:n] - wanted[:n])
    step: Array = leverage * residual / (1.0 - leverage * curvature[:n])
    return logits[:n] + step


def fit_temperature(logits: Array, targets: Array) -> float:
    """Return the temperature T > 0, one for all classes, that minimises the binary log-loss of sigmoid(logits / T).

    Targets are smoothed as in Platt (1999, section 2.2), over all rows and classes together.

    Args:
        logits: (n, classes), for rows that the model has not seen, such as leave-one-out logits.
        targets: (n, classes), of 0 and 1.
    """
    positive = float(targets.sum())
    smooth = np.where(targets > 0, (positive + 1.0) / (positive + 2.0), 1.0 / (targets.size - positive + 2.0))

    def loss(log_scale: float) -> float:
        return binary_log_loss(logits * np.exp(log_scale), smooth)

    # the loss is convex in 1 / T, so there is one minimum; the search runs on the log scale
    return float(np.exp(-minimize_scalar(loss, bounds=LOG_SCALE_BOUNDS, method="bounded").x))


def binary_log_loss(logits: Array, targets: Array) -> float:
    """Mean negative log-likelihood of the targets under sigmoid(logits), in nats, over rows and classes.

    Args:
        logits, targets: (n, classes) each.
    """
    return float(_nats(logits, targets).mean())


def _nats(logits: Array, targets: Array) -> Array:
    """Negative log-likelihood of each target, in nats, (n, classes)."""
    nats: Array = np.logaddexp(0.0, logits) - targets * logits
    return nats


def _with_names(
    features: Array, targets: Array, names: Array, prior: float, positive_weights: Array | None
) -> tuple[Array, Array, Array]:
    """Append the class names to the rows.

    Returns:
        Rows with a column of ones, (n + classes, dim + 1); targets and weights, (n + classes, classes) each.
    """
    rows = np.vstack([features, names])
    wanted = np.vstack([targets, np.eye(len(names))])
    weights = np.vstack([np.ones(targets.shape), np.full((len(names), len(names)), prior)])
    if positive_weights is not None:
        weights[: len(features)] = np.where(targets > 0, positive_weights, 1.0)
    return np.hstack([rows, np.ones((len(rows), 1))]), wanted, weights
