"""The founding text's two rules as they stand, kept as a baseline: both only rescale each class's vector.

theta <- theta * (||t - theta||^2 + strength) multiplies a vector by a number, so its direction never moves: the shots and
the unlabelled pool reach the head only through one norm a class. With rho the norm of theta, a the part of t along theta
and g(rho) = (rho - a)^2 + ||t||^2 - a^2 + strength, the norm goes rho <- rho * g(rho):

- it explodes where g > 1 at every norm, that is ||t||^2 - a^2 + strength > 1, and else from any norm above the larger root
  of g = 1; in the end its logarithm triples with each iteration;
- it collapses towards nothing where g < 1 at 0 and at rho: g is convex, so then it is below 1 between them too;
- else, for t no longer than 1, it is drawn to the smaller root of g = 1, whatever the length of theta was.

Softmax and argmax still change, for a class with a longer vector wins more rows; nothing of that was learned.
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
"""The logarithm of each norm is kept within plus or minus this: its square and the logits then still are floats."""


def geometric_tuning(features: Array, labels: Labels, names: Array, alpha: float, iterations: int = 10) -> LinearHead:
    """G: theta <- theta * (||z - theta||^2 + alpha), from theta = names, with z the mean of the class's rows.

    Args:
        features: (n, dim).
        labels: (n,) in 0..classes-1; a class without a row has no z and keeps its name as it is.
        names: (classes, dim), the class names' embeddings; a name of zeros stays.
        alpha: >= 0.

    Returns:
        theta as the weight, the bias zero. Logarithms of the norms are within LOG_NORM_BOUND.
    """
    shots = np.bincount(labels, minlength=len(names))[:, None]  # (classes, 1)
    means = class_sums(features, labels, names, 0.0) / np.maximum(shots, 1)
    tuned = _rescale(names, means, alpha, iterations)
    return LinearHead(np.where(shots > 0, tuned, names), np.zeros(len(names)))


def adaptive_adjustment(head: LinearHead, unlabelled: Array, beta: float, iterations: int = 10) -> LinearHead:
    """A: theta <- theta * (||y - theta||^2 + beta), from the head's weight, with y the mean of the unlabelled rows.

    The text calls y "the new distribution". Its mean is the one vector that stands for it; the mean squared distance to
    its rows, the other reading, is the same rule with the rows' total variance added to beta.

    Args:
        unlabelled: (pool, dim), at least one row.
        beta: >= 0.

    Returns:
        theta as the weight, the bias as it was. Logarithms of the norms are within LOG_NORM_BOUND.
    """
    y = np.broadcast_to(unlabelled.mean(axis=0), head.weight.shape)
    return LinearHead(_rescale(head.weight, y, beta, iterations), head.bias)


def _rescale(theta: Array, target: Array, strength: float, iterations: int) -> Array:
    """The rule of both, on the logarithms of the norms: the third power of a norm is never formed."""
    norms = np.linalg.norm(theta, axis=1)  # (classes,)
    norms = np.where(norms > 0, norms, 1.0)
    directions = theta / norms[:, None]
    along, square = (directions * target).sum(axis=1), np.square(target).sum(axis=1)
    log_norms = np.clip(np.log(norms), -LOG_NORM_BOUND, LOG_NORM_BOUND)
    for _ in range(iterations):
        norms = np.exp(log_norms)
        distances = (norms - along) ** 2 + np.maximum(square - along**2, 0.0)
        # at a distance of zero, with nothing added, the norm is lost at once
        factors = np.maximum(distances + strength, np.finfo(float).tiny)
        log_norms = np.clip(log_norms + np.log(factors), -LOG_NORM_BOUND, LOG_NORM_BOUND)
    rescaled: Array = np.exp(log_norms)[:, None] * directions
    return rescaled
