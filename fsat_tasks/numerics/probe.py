"""The anchored linear probe: multinomial logistic regression in which each class name counts as `prior` samples.

The name's embedding keeps a class with one or two shots near what it means; with more shots the data take over.
(The idea of a text-initialised probe: Lin et al. 2023, "Multimodality Helps Unimodality"; here as a pseudo-count.)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import linalg
from scipy.special import softmax

__all__ = ["LinearHead", "approximate_loo_logits", "fit_probe"]

Array = NDArray[np.float64]
Labels = NDArray[np.int64]

INTERCEPT_RIDGE = 1e-6
"""Keeps the Hessian invertible along the intercept, which the penalty leaves free."""

CURVED_ROWS = 96
"""Rows of a class whose curvature counts one by one in the leave-one-out step."""


@dataclass(frozen=True)
class LinearHead:
    """Logits are features @ weight.T + bias."""

    weight: Array  # (classes, dim)
    bias: Array  # (classes,)

    def logits(self, features: Array) -> Array:
        """(n, dim) to (n, classes)."""
        return features @ self.weight.T + self.bias


def fit_probe(features: Array, labels: Labels, names: Array, prior: float, ridge: float) -> LinearHead:
    """Minimise the weighted log-loss plus ridge / 2 * ||weight||^2 over the rows and the class names.

    Args:
        features: (n, dim).
        labels: (n,) in 0..classes-1; a class may have no row, its name then stands for it.
        names: (classes, dim), the class names' embeddings.
        prior: alpha > 0, the number of rows that a name counts for.
        ridge: > 0.
    """
    from sklearn.linear_model import LogisticRegression

    classes = len(names)
    rows = np.vstack([features, names])  # (n + classes, dim)
    targets = np.concatenate([labels, np.arange(classes)])
    weights = np.concatenate([np.ones(len(features)), np.full(classes, prior)])
    # two classes: scikit-learn penalises the difference of their weights, of which the square is twice ||weight||^2
    strength = ridge / 2 if classes == 2 else ridge
    model = LogisticRegression(C=1.0 / strength, max_iter=1000, tol=1e-5).fit(rows, targets, sample_weight=weights)
    weight, bias = np.asarray(model.coef_), np.asarray(model.intercept_)
    if classes == 2:  # scikit-learn keeps one row of logits for two classes
        weight, bias = np.vstack([-weight, weight]) / 2, np.concatenate([-bias, bias]) / 2
    return LinearHead(weight, bias)


def approximate_loo_logits(head: LinearHead, features: Array, labels: Labels, names: Array, prior: float, ridge: float) -> Array:
    """Logits of each row as if it had been left out of the fit, by one Newton step.

    Approximate leave-one-out (Rad and Maleki 2020, eq. 9) with the Hessian's diagonal class blocks: the step is the
    exact one for each class against the rest, and there is no second fit.

    Args:
        head: what `fit_probe` gave for the other arguments.

    Returns:
        (n, classes).
    """
    n, classes = len(features), len(names)
    # two classes share one free row of weights, of which each takes half of the step and of the penalty
    share = 0.5 if classes == 2 else 1.0
    # the intercept's column is scaled so that the penalty is the same in every direction
    intercept = np.sqrt(share * ridge / INTERCEPT_RIDGE)
    rows = np.vstack([features, names])
    rows = np.hstack([rows, np.full((len(rows), 1), intercept)])  # (n + classes, dim + 1)
    weights = np.concatenate([np.ones(n), np.full(classes, prior)])
    p = softmax(np.vstack([head.logits(features), head.logits(names)]), axis=1)  # (n + classes, classes)
    curvature = p * (1.0 - p)
    leverage = _leverages(rows, weights, curvature, share * ridge)[:n]  # (n, classes)
    residual = p[:n] - np.eye(classes)[labels]
    step: Array = share * leverage * residual / (1.0 - leverage * curvature[:n])
    return head.logits(features) + step


def _leverages(rows: Array, weights: Array, curvature: Array, ridge: float) -> Array:
    """rows @ inverse(rows.T @ diag(weights * curvature of the class) @ rows + ridge) @ rows.T, its diagonal, by class.

    A class bends the loss at few rows, and little and evenly at the others. So the others count with their mean
    curvature, for which one eigendecomposition serves all classes, and the rows that bend it most are put in exactly
    (Woodbury). With no more than CURVED_ROWS rows nothing is approximated.

    Returns:
        (n, classes).
    """
    spectrum, axes = linalg.eigh((rows * weights[:, None]).T @ rows)
    rows = rows @ axes  # (n, dim) along the axes
    spectrum = np.maximum(spectrum, 0.0)
    leverage: Array = np.empty_like(curvature)
    for c in range(curvature.shape[1]):
        order = np.argsort(-curvature[:, c], kind="stable")
        curved, others = order[:CURVED_ROWS], order[CURVED_ROWS:]
        even = float(np.average(curvature[others, c], weights=weights[others])) if len(others) else 0.0
        inverse = 1.0 / (even * spectrum + ridge)  # (dim,)
        strength = np.sqrt(weights[curved] * (curvature[curved, c] - even))  # (curved,)
        half = rows[curved] * strength[:, None]  # (curved, dim)
        scaled = half * inverse
        factor = linalg.cholesky(np.eye(len(curved)) + scaled @ half.T, lower=True)
        correction = linalg.solve_triangular(factor, scaled @ rows.T, lower=True)  # (curved, n)
        leverage[:, c] = np.square(rows) @ inverse - np.square(correction).sum(axis=0)
    return leverage
