"""The two rules of this project's founding text. The rules are unchanged and serve as a baseline.

Both rules only rescale each class's vector.
They have the form theta <- theta * (||t - theta||^2 + strength), with a target t. This multiplies the vector theta by
a number, so its direction never changes. The shots and the unlabelled pool influence the head only through one norm
per class. Let rho be the norm of theta, a the
component of t along theta, and g(rho) = (rho - a)^2 + ||t||^2 - a^2 + strength. The norm then follows
rho <- rho * g(rho):

- The norm explodes if g > 1 at every norm, that is if ||t||^2 - a^2 + strength > 1. Otherwise the norm explodes from any
  start above the larger root of g = 1. When the norm explodes, its logarithm finally triples with each iteration.
- The norm collapses towards zero if g < 1 at 0 and at rho. Because g is convex, g is also below 1 between 0 and rho.
- In all other cases, if the length of t is at most 1, the norm converges to the smaller root of g = 1, from any start.

Softmax and argmax still change, because a class with a longer vector wins more rows. But no direction has been learnt.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fsat_tasks.numerics.heads.probe import LinearHead
from fsat_tasks.numerics.heads.prototypes import class_sums

__all__ = ["LOG_NORM_BOUND", "adaptive_adjustment", "geometric_tuning"]

Array = NDArray[np.float64]
Labels = NDArray[np.int64]

LOG_NORM_BOUND = 300.0
"""Bound on the absolute logarithm of each norm. Within it, the squared norm and the logits are finite floats."""


def geometric_tuning(features: Array, labels: Labels, names: Array, alpha: float, iterations: int = 10) -> LinearHead:
    """Apply rule G: theta <- theta * (||z - theta||^2 + alpha). Here z is the mean of the class's rows. theta starts at `names`.

    Args:
        features: (n, dim) features of the rows.
        labels: (n,) in 0..classes-1. A class without a row has no z, so its theta stays the embedding of its name.
        names: (classes, dim) embeddings of the class names. A name of zeros stays zero.
        alpha: >= 0.

    Returns:
        a head with theta as the weight and a bias of zero. Logarithms of the norms are within LOG_NORM_BOUND.
    """
    shots = np.bincount(labels, minlength=len(names))[:, None]  # (classes, 1)
    means = class_sums(features, labels, names, 0.0) / np.maximum(shots, 1)
    tuned = _rescale(names, means, alpha, iterations)
    return LinearHead(np.where(shots > 0, tuned, names), np.zeros(len(names)))


def adaptive_adjustment(head: LinearHead, unlabelled: Array, beta: float, iterations: int = 10) -> LinearHead:
    """Apply rule A: theta <- theta * (||y - theta||^2 + beta).

    theta starts at the head's weight, and y is the mean of the unlabelled rows.

    The founding text calls y "the new distribution". Here the mean of the rows stands for this distribution. One could also
    read the rule with the mean squared distance to the rows in place of the squared distance to their mean. That reading
    gives the same rule with the rows' total variance added to beta.

    Args:
        unlabelled: (pool, dim), at least one row.
        beta: >= 0.

    Returns:
        a head with theta as the weight and the bias of `head`. Logarithms of the norms are within LOG_NORM_BOUND.
    """
    y = np.broadcast_to(unlabelled.mean(axis=0), head.weight.shape)
    return LinearHead(_rescale(head.weight, y, beta, iterations), head.bias)


def _rescale(theta: Array, target: Array, strength: float, iterations: int) -> Array:
    """Apply the step that rules G and A share. It uses logarithms of norms, so the third power of a norm is never computed."""
    norms = np.linalg.norm(theta, axis=1)  # (classes,)
    norms = np.where(norms > 0, norms, 1.0)
    directions = theta / norms[:, None]
    along, square = (directions * target).sum(axis=1), np.square(target).sum(axis=1)
    log_norms = np.clip(np.log(norms), -LOG_NORM_BOUND, LOG_NORM_BOUND)
    for _ in range(iterations):
        norms = np.exp(log_norms)
        distances = (norms - along) ** 2 + np.maximum(square - along**2, 0.0)
        # a distance and a strength of zero would make the norm zero
        factors = np.maximum(distances + strength, np.finfo(float).tiny)
        log_norms = np.clip(log_norms + np.log(factors), -LOG_NORM_BOUND, LOG_NORM_BOUND)
    rescaled: Array = np.exp(log_norms)[:, None] * directions
    return rescaled
