"""Gaussian discriminant analysis: one shrunk covariance, class names that count as `prior` rows, exact leave-one-out."""

from __future__ import annotations

import numpy as np
from scipy import linalg

from fsat_tasks.numerics.heads.probe import LinearHead
from fsat_tasks.numerics.types import Array, Labels

__all__ = ["fit_discriminant"]


def fit_discriminant(features: Array, labels: Labels, names: Array, prior: float, shrinkage: float) -> tuple[LinearHead, Array]:
    """Linear discriminant of classes with one covariance, equal class priors and names that count for `prior` rows.

    The covariance is shrunk towards the sphere (Friedman 1989, eq. 18, as a ridge): `shrinkage` times the mean variance
    is added to each direction. A row is left out exactly: it moves its class's mean and takes a rank-one term from the
    scatter (Sherman-Morrison), the ridge staying.

    Args:
        features: (n, dim).
        labels: (n,) in 0..classes-1.
        names: (classes, dim).
        prior: > 0.
        shrinkage: > 0.

    Returns:
        The head and each row's logits, left out, (n, classes).
    """
    n, classes = len(features), len(names)
    counts = np.bincount(labels, minlength=classes) + prior  # (classes,)
    means = (np.eye(classes)[labels].T @ features + prior * names) / counts[:, None]  # (classes, dim)
    apart, names_apart = features - means[labels], names - means
    scatter = apart.T @ apart + prior * names_apart.T @ names_apart
    # rows that all equal their class's name have no scatter to take a share of
    least = 1e-9 * float(np.square(features).sum() + np.square(names).sum())
    ridge = max(shrinkage * float(np.trace(scatter)), least) / len(scatter) or 1.0
    factor = linalg.cho_factor(scatter + ridge * np.eye(len(scatter)), lower=True)
    weight = linalg.cho_solve(factor, means.T).T  # (classes, dim)
    head = LinearHead(n * weight, -0.5 * n * np.einsum("cd,cd->c", weight, means))

    # inner products in the metric of the inverse: a row x, its own class's mean m, its distance d = x - m, any mean
    own, at = labels, np.arange(n)
    x_mean, mean_mean = features @ weight.T, means @ weight.T  # (n, classes), (classes, classes)
    x_x = np.einsum("nd,nd->n", features, linalg.cho_solve(factor, features.T).T)  # (n,)
    size, m_m = counts[own], mean_mean.diagonal()[own]
    m_d = x_mean[at, own] - m_m
    x_d = x_x - x_mean[at, own]
    d_d = x_d - m_d
    lost = size / (size - 1.0)  # of d d^T in the scatter, without the row
    gain = lost / (1.0 - lost * d_d)  # of the inverse's d d^T
    d_mean = x_mean - mean_mean[own]  # (n, classes)
    held_out = x_mean + (gain * x_d)[:, None] * d_mean - 0.5 * (mean_mean.diagonal() + gain[:, None] * d_mean**2)
    # the own class's mean is m - d / (size - 1)
    moved, grown = 1.0 / (size - 1.0), 1.0 + gain * d_d
    x_own = x_mean[at, own] + gain * x_d * m_d - moved * x_d * grown
    own_own = m_m + gain * m_d**2 - 2.0 * moved * m_d * grown + moved**2 * d_d * grown
    held_out[at, own] = x_own - 0.5 * own_own
    return head, n * held_out
