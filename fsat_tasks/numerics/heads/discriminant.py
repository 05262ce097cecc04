"""Gaussian discriminant analysis with one shrunk covariance, class names as pseudo-rows and exact leave-one-out."""

from __future__ import annotations

import numpy as np
from scipy import linalg

from fsat_tasks.numerics.heads.probe import LinearHead
from fsat_tasks.numerics.types import Array, Labels

__all__ = ["fit_discriminant"]


def fit_discriminant(features: Array, labels: Labels, names: Array, prior: float, shrinkage: float) -> tuple[LinearHead, Array]:
    """Fit a linear discriminant with one covariance for all classes and equal class priors.

    The covariance is shrunk towards the sphere (Friedman 1989, eq. 18, as a ridge): `shrinkage` times the
    mean variance is added to each direction. If a row is left out, the mean of its class moves, and the scatter (the sum of
    squared deviations) loses a rank-one term. So leave-one-out has a closed form (Sherman-Morrison). It is exact,
    except that the ridge stays the one that is computed from all rows.

    Args:
        features: (n, dim).
        labels: (n,) in 0..classes-1.
        names: (classes, dim), features of the class names.
        prior: number of rows that a class name counts as, > 0.
        shrinkage: > 0.

    Returns:
        The head, and the leave-one-out logits, (n, classes).
    """
    n, classes = len(features), len(names)
    counts = np.bincount(labels, minlength=classes) + prior  # (classes,)
    means = (np.eye(classes)[labels].T @ features + prior * names) / counts[:, None]  # (classes, dim)
    apart, names_apart = features - means[labels], names - means
    scatter = apart.T @ apart + prior * names_apart.T @ names_apart
    # if all rows equal their class's name, the scatter is zero, but the ridge must be positive
    least = 1e-9 * float(np.square(features).sum() + np.square(names).sum())
    ridge = max(shrinkage * float(np.trace(scatter)), least) / len(scatter) or 1.0
    factor = linalg.cho_factor(scatter + ridge * np.eye(len(scatter)), lower=True)
    weight = linalg.cho_solve(factor, means.T).T  # (classes, dim)
    head = LinearHead(n * weight, -0.5 * n * np.einsum("cd,cd->c", weight, means))

    # inner products with the inverse scatter: x is a row, m the mean of its class, d = x - m, "mean" the mean of any class
    own, at = labels, np.arange(n)
    x_mean, mean_mean = features @ weight.T, means @ weight.T  # (n, classes), (classes, classes)
    x_x = np.einsum("nd,nd->n", features, linalg.cho_solve(factor, features.T).T)  # (n,)
    size, m_m = counts[own], mean_mean.diagonal()[own]
    m_d = x_mean[at, own] - m_m
    x_d = x_x - x_mean[at, own]
    d_d = x_d - m_d
    lost = size / (size - 1.0)  # without the row, the scatter loses lost * d d^T
    gain = lost / (1.0 - lost * d_d)  # and the inverse scatter gains gain * (inverse d) (inverse d)^T
    d_mean = x_mean - mean_mean[own]  # (n, classes)
    held_out = x_mean + (gain * x_d)[:, None] * d_mean - 0.5 * (mean_mean.diagonal() + gain[:, None] * d_mean**2)
    # without the row, the mean of its class is m - d / (size - 1)
    moved, grown = 1.0 / (size - 1.0), 1.0 + gain * d_d
    x_own = x_mean[at, own] + gain * x_d * m_d - moved * x_d * grown
    own_own = m_m + gain * m_d**2 - 2.0 * moved * m_d * grown + moved**2 * d_d * grown
    held_out[at, own] = x_own - 0.5 * own_own
    return head, n * held_out
