"""Prototypes: one mean direction a class on the unit sphere, in which each class name counts as `prior` rows.

A class is a von Mises-Fisher distribution around its prototype, and all classes share one concentration, so that the
log-density is linear in the row: a nearest-prototype rule by cosine with a scale that is estimated, not guessed.
"""

from __future__ import annotations

import numpy as np

from fsat_tasks.numerics.geometry.neighbours import unit_rows
from fsat_tasks.numerics.heads.probe import LinearHead
from fsat_tasks.numerics.types import Array, Labels

__all__ = ["class_sums", "fit_prototypes", "prototype_loo_logits"]


MAX_RESULTANT = 0.9995
"""Of the mean resultant length: equal rows have length 1, for which the concentration is infinite."""


def fit_prototypes(features: Array, labels: Labels, names: Array, prior: float) -> LinearHead:
    """MAP directions of the classes, times the shared concentration; the bias is zero, as classes are held equally likely.

    The direction of a class is normalize(prior * name + sum of its rows): the posterior mode of a von Mises-Fisher mean
    whose conjugate prior is centred on the name (Mardia and El-Atoum 1976).

    Args:
        features: (n, dim), rows of unit length; a row of zeros counts as a row without a direction.
        labels: (n,) in 0..classes-1; a class may have no row, its name then stands for it.
        names: (classes, dim), the class names' embeddings, of unit length.
        prior: alpha > 0, the number of rows that a name counts for.
    """
    sums = class_sums(features, labels, names, prior)
    weight = _concentration(sums, len(features) + prior * len(names)) * unit_rows(sums)
    return LinearHead(weight, np.zeros(len(names)))


def prototype_loo_logits(features: Array, labels: Labels, names: Array, prior: float) -> Array:
    """Logits of each row as if it had been left out of its class's direction, exactly and without a second fit.

    Leaving a row out changes only the direction of its own class. The concentration, one number from all the rows, is
    held at that of the full fit: a shared scale, which the temperature sets anew.

    Args:
        features, labels, names, prior: as for `fit_prototypes`.

    Returns:
        (n, classes).
    """
    sums = class_sums(features, labels, names, prior)
    concentration = _concentration(sums, len(features) + prior * len(names))
    cosines: Array = features @ unit_rows(sums).T  # (n, classes)
    without = unit_rows(sums[labels] - features)  # (n, dim), each row's class without the row
    cosines[np.arange(len(labels)), labels] = (features * without).sum(axis=1)
    logits: Array = concentration * cosines
    return logits


def class_sums(features: Array, labels: Labels, names: Array, prior: float) -> Array:
    """prior * name + the sum of the class's rows, (classes, dim)."""
    member = (np.arange(len(names))[:, None] == labels).astype(np.float64)  # (classes, n)
    sums: Array = prior * names + member @ features
    return sums


def _concentration(sums: Array, rows: float) -> float:
    """kappa from the mean resultant length r of all the rows about their class's direction (Banerjee et al. 2005, eq. 4.4).

    The length is that of the pooled likelihood with one kappa: the lengths of the classes' sums, over the rows.
    """
    dim = sums.shape[1]
    r = min(float(np.linalg.norm(sums, axis=1).sum()) / rows, MAX_RESULTANT)
    return float(r * (dim - r**2) / (1.0 - r**2))
