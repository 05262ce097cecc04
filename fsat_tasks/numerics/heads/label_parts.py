"""Teacher of an unlabelled pool with several labels: a row is taken apart into the vectors of its labels.

The neighbours of a row with two labels often share only one of them, so smoothing and spreading over neighbours would
blur its labels. Instead a row is modelled as the sum of its labels' vectors plus Gaussian noise. The vectors come from the shots,
the class names and the pool itself. The labels of a pool row are inferred jointly: a label that explains a part of
the row makes the other explanations of this part less probable, which no linear head can state.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import linalg
from scipy.optimize import brentq
from scipy.special import expit, logit

from fsat_tasks.numerics.evidence.scaling import fit_scaling
from fsat_tasks.numerics.heads.label_counts import condition_on_counts
from fsat_tasks.numerics.types import Array

__all__ = ["infer_labels"]

POOL_WEIGHT = 8.0
"""Total weight of the pool in the fit of the vectors, relative to the shots. A pool row never weighs more than a shot."""
VECTOR_RIDGE = 3.0
"""Penalty of the vectors, in rows."""
SHRINKAGE = 1.0
"""Share of the noise's mean variance that is added to every direction."""
STRENGTH = 0.5
"""Weight of the rows' likelihood. The directions of the noise are not independent, so a weight of 1 would be overconfident."""
STEPS = 20
"""Number of the mean-field updates. Each moves the probabilities half of the way."""


@dataclass(frozen=True)
class _Parts:
    """Vectors of the labels, in coordinates in which the noise has unit variance."""

    vectors: Array  # (classes, directions)
    base: Array  # (directions,), the vector of a row without labels
    whiten: Array  # (dim, directions)

    def logits(self, rows: Array, p: Array, log_odds: float) -> Array:
        """Return the log-odds of the labels of rows (m, dim), (m, classes), by mean-field inference.

        Args:
            rows: (m, dim).
            p: (m, classes), probabilities to start from.
            log_odds: prior log-odds of a label.
        """
        products = self.vectors @ self.vectors.T
        own = np.diag(products)
        others = products - np.diag(own)
        alone = log_odds + STRENGTH * ((rows @ self.whiten - self.base) @ self.vectors.T - 0.5 * own)  # (m, classes)
        for _ in range(STEPS):
            p = 0.5 * (p + expit(alone - STRENGTH * (p @ others)))
        found: Array = alone - STRENGTH * (p @ others)
        return found


def infer_labels(shots: Array, targets: Array, names: Array, pool: Array, held_out: Array, logits: Array) -> Array:
    """Return soft labels of the pool, (m, classes).

    They come from the mean of the head's logits and those of the parts, on the scale that fits the shots best. For the
    scale, the shots are treated as pool rows: their own labels are not seen. A shift gives the pool as many labels in a row
    as the shots have, and the number of labels of each row is distributed as in the shots.

    Args:
        shots: (n, dim), n > 0.
        targets: (n, classes), of 0 and 1.
        names: (classes, dim), features of the class names. A row of zeros stands for a class without a name.
        pool: (m, dim), m > 0.
        held_out: (n, classes), calibrated logits of the shots by heads that have not seen them.
        logits: (m, classes), calibrated logits of the pool.
    """
    counts = targets.sum(axis=1).astype(np.int64)
    share = float((targets.sum() + 0.5) / (targets.size + 1.0))  # of the labels that are there
    log_odds = float(logit(share))
    start, start_of_shots = condition_on_counts(logits, counts), condition_on_counts(held_out, counts)
    rows, used = np.vstack([shots, names, pool]), min(POOL_WEIGHT * len(shots) / len(pool), 1.0)
    weights = np.concatenate([np.ones(len(shots)), names.any(axis=1), np.full(len(pool), used)])
    blind = _fit(rows, np.vstack([start_of_shots, np.eye(len(names)), start]), weights)
    scaling = fit_scaling(held_out + blind.logits(shots, start_of_shots, log_odds), targets)
    parts = _fit(rows, np.vstack([targets, np.eye(len(names)), start]), weights)
    both = scaling.scale * (logits + parts.logits(pool, start, log_odds))
    return condition_on_counts(_shifted(both, share), counts)


def _fit(rows: Array, targets: Array, weights: Array) -> _Parts:
    """Regress the rows on the targets, and whiten the vectors by the covariance of the residuals."""
    total = weights.sum()
    centre, share = weights @ rows / total, weights @ targets / total
    there = (targets - share) * weights[:, None]  # (rows, classes)
    products = there.T @ (targets - share) + VECTOR_RIDGE * np.eye(targets.shape[1])
    vectors = linalg.solve(products, there.T @ (rows - centre), assume_a="pos")  # (classes, dim)
    base = centre - share @ vectors
    noise = rows - base - targets @ vectors
    covariance = (noise * weights[:, None]).T @ noise / total
    least = 1e-9 * float(np.square(rows).sum()) / len(rows) or 1.0  # if the fit is exact, there is no noise
    ridge = max(SHRINKAGE * float(np.trace(covariance)), least) / len(covariance)
    factor = linalg.cholesky(covariance + ridge * np.eye(len(covariance)), lower=True)
    whiten = linalg.solve_triangular(factor, np.eye(len(factor)), lower=True).T  # (dim, dim)
    return _Parts(vectors @ whiten, base @ whiten, whiten)


def _shifted(logits: Array, share: float) -> Array:
    """Add the number to the logits that makes the mean probability equal to the share."""
    middle = float(logit(share))
    low, high = middle - float(logits.max()) - 1.0, middle - float(logits.min()) + 1.0
    shift: float = brentq(lambda shift: float(expit(logits + shift).mean()) - share, low, high)
    return logits + shift
