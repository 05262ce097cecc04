"""Gaussian discriminant analysis with one shrunk covariance, in which each class name counts as `prior` rows.

The name is a row of its class with weight `prior`, in the mean as well as in the within-class scatter. A row that is left
out therefore changes the scatter by a rank-one term and nothing else, so leave-one-out is exact.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

from fsat_tasks.numerics.probe import LinearHead
from fsat_tasks.numerics.prototypes import class_sums

__all__ = ["fit_gaussian", "gaussian_loo_logits"]

Array = NDArray[np.float64]
Labels = NDArray[np.int64]

MIN_VARIANCE = 1e-8
"""Of a feature, for rows of about unit length: classes without any spread still have a covariance that can be inverted."""


def fit_gaussian(features: Array, labels: Labels, names: Array, prior: float, shrinkage: float) -> LinearHead:
    """Linear discriminant analysis: logits are the log-densities of the classes, without the part that they share.

    The covariance is (1 - shrinkage) * S + shrinkage * trace(S) / dim * I (the form of Ledoit and Wolf 2004, with a
    shrinkage that is given), where S is the within-class scatter over its n + prior * classes rows. Classes are held equally
    likely.

    Args:
        features: (n, dim); dim may exceed n.
        labels: (n,) in 0..classes-1; a class may have no row, its name then stands for it.
        names: (classes, dim), the class names' embeddings.
        prior: alpha > 0, the number of rows that a name counts for.
        shrinkage: in (0, 1]; at 1 the nearest class mean wins.
    """
    fit = _moments(features, labels, names, prior)
    variances = (1.0 - shrinkage) * fit.spectrum / fit.rows + shrinkage * _mean_variance(fit.trace, fit.rows, fit.dim)
    scaled = fit.means / variances  # (classes, directions)
    return LinearHead(scaled @ fit.basis.T, -0.5 * (scaled * fit.means).sum(axis=1))


def gaussian_loo_logits(features: Array, labels: Labels, names: Array, prior: float, shrinkage: float) -> Array:
    """Logits of each row under the fit to all the others, exactly and without a second fit.

    A row x at a distance d = x - mean from the mean of its class, which has weight w, leaves the scatter with
    w / (w - 1) * d d' less and moves the mean by -d / (w - 1). The part that stays diagonal along the axes of the full
    scatter is inverted as such, and the rank-one term by Sherman and Morrison (1950).

    Args:
        features, labels, names, prior, shrinkage: as for `fit_gaussian`.

    Returns:
        (n, classes).
    """
    fit = _moments(features, labels, names, prior)
    own, x = fit.means[labels], features @ fit.basis  # (n, directions)
    # the maximum is for a prior so small that rounding would lose it
    rest = np.maximum(fit.weights[labels] - 1.0, prior)  # (n,), the class's weight without the row
    d = x - own
    lost = (rest + 1.0) / rest  # (n,)
    rows = fit.rows - 1.0
    trace = fit.trace - lost * np.square(d).sum(axis=1)  # (n,)
    spectrum = (1.0 - shrinkage) * fit.spectrum / rows  # (directions,)
    inverse = 1.0 / (spectrum + shrinkage * _mean_variance(trace, rows, fit.dim)[:, None])  # (n, directions)
    strength = (1.0 - shrinkage) * lost / rows  # (n,)
    spread = strength / np.maximum(1.0 - strength * (inverse * np.square(d)).sum(axis=1), np.finfo(float).eps)

    def log_density(x_m: Array, d_x: Array, d_m: Array, m_m: Array) -> Array:
        """x' P m - m' P m / 2, with P = inverse + spread * inverse d d' inverse, from the products along `inverse`."""
        density: Array = x_m - 0.5 * m_m + spread[:, None] * (d_x - 0.5 * d_m) * d_m
        return density

    d_x = (inverse * d * x).sum(axis=1, keepdims=True)  # (n, 1)
    x_m, d_m, m_m = (inverse * x) @ fit.means.T, (inverse * d) @ fit.means.T, inverse @ np.square(fit.means).T
    logits = log_density(x_m, d_x, d_m, m_m)  # (n, classes)
    mean = own - d / rest[:, None]  # (n, directions), of the row's class without the row
    x_m, d_m, m_m = ((inverse * left * mean).sum(axis=1, keepdims=True) for left in (x, d, mean))
    logits[np.arange(len(labels)), labels] = log_density(x_m, d_x, d_m, m_m)[:, 0]
    return logits


@dataclass(frozen=True)
class _Moments:
    """Moments of the rows and the weighted names, along the axes of the within-class scatter."""

    basis: Array  # (dim, directions), orthonormal; spans all rows and names
    means: Array  # (classes, directions)
    spectrum: Array  # (directions,) of the scatter
    trace: float  # of the scatter
    weights: Array  # (classes,), rows of the class and its name
    rows: float
    dim: int


def _moments(features: Array, labels: Labels, names: Array, prior: float) -> _Moments:
    dim = features.shape[1]
    weights: Array = np.bincount(labels, minlength=len(names)).astype(np.float64) + prior
    means = class_sums(features, labels, names, prior) / weights[:, None]
    rows = np.vstack([features - means[labels], np.sqrt(prior) * (names - means)])  # (n + classes, dim)
    if dim > len(rows):  # beyond the span of the rows and names the covariance is a multiple of I, which they do not see
        span = linalg.qr(np.vstack([features, names]).T, mode="economic")[0]  # (dim, n + classes)
        spectrum, axes = linalg.eigh((rows @ span).T @ (rows @ span), driver="evd")
        basis = span @ axes
    else:
        spectrum, basis = linalg.eigh(rows.T @ rows, driver="evd")
    spectrum = np.maximum(spectrum, 0.0)
    return _Moments(basis, means @ basis, spectrum, float(spectrum.sum()), weights, float(weights.sum()), dim)


def _mean_variance(trace: Array | float, rows: float, dim: int) -> Array:
    variance: Array = np.maximum(np.asarray(trace) / (rows * dim), MIN_VARIANCE)
    return variance
