"""Prototypes: one mean direction per class on the unit sphere. Each class name counts as `prior` rows of its class.

Each class is modelled as a von Mises-Fisher distribution around its prototype, and all classes share one
concentration. So the log-density is linear in the row, and the likeliest class is that of the nearest prototype by
cosine. The scale of the logits is estimated from the data.
"""

from __future__ import annotations

import numpy as np

from fsat_tasks.numerics.geometry.neighbours import unit_rows
from fsat_tasks.numerics.heads.probe import LinearHead
from fsat_tasks.numerics.types import Array, Labels

__all__ = ["class_sums", "fit_prototypes", "prototype_loo_logits"]


MAX_RESULTANT = 0.9995
"""Upper bound of the mean resultant length. Equal rows have length 1, for which the concentration is infinite."""


def fit_prototypes(features: Array, labels: Labels, names: Array, prior: float) -> LinearHead:
    """Fit a head whose weights are the classes' MAP directions times the shared concentration.

    The direction of a class is normalize(prior * name + sum of its rows). This is the posterior mode of a von
    Mises-Fisher mean with a conjugate prior centred on the name (Mardia and El-Atoum 1976). The bias is zero,
    because classes are assumed equally likely.

    Args:
        features: (n, dim), of unit length. A row of zeros does not move the direction of its class.
        labels: (n,) in 0..classes-1. A class without rows is represented by its name.
        names: (classes, dim), features of the class names, of unit length.
        prior: alpha > 0, number of rows that a class name counts as.
    """
    sums = class_sums(features, labels, names, prior)
    weight = _concentration(sums, len(features) + prior * len(names)) * unit_rows(sums)
    return LinearHead(weight, np.zeros(len(names)))


def prototype_loo_logits(features: Array, labels: Labels, names: Array, prior: float) -> Array:
    """Return leave-one-out logits, (n, classes), exactly and without a second fit.

    Leaving out a row changes only the direction of its own class. The concentration is not estimated again:
    it only scales all logits alike, and the temperature corrects this scale.

    Args:
        features, labels, names, prior: as for `fit_prototypes`.
    """
    sums = class_sums(features, labels, names, prior)
    concentration = _concentration(sums, len(features) + prior * len(names))
    cosines: Array = features @ unit_rows(sums).T  # (n, classes)
    without = unit_rows(sums[labels] - features)  # (n, dim), direction of each row's class without the row
    cosines[np.arange(len(labels)), labels] = (features * without).sum(axis=1)
    logits: Array = concentration * cosines
    return logits


def class_sums(features: Array, labels: Labels, names: Array, prior: float) -> Array:
    """Return prior * name + the sum of the class's rows, (classes, dim)."""
    member = (np.arange(len(names))[:, None] == labels).astype(np.float64)  # (classes, n)
    sums: Array = prior * names + member @ features
    return sums


def _concentration(sums: Array, rows: float) -> float:
    """Return kappa from the mean resultant length r of all rows around their class's direction.

    The formula is that of Banerjee et al. (2005, eq. 4.4). All classes share one kappa, so r is the sum of the
    lengths of the classes' sums, divided by the number of rows.
    """
    dim = sums.shape[1]
    r = min(float(np.linalg.norm(sums, axis=1).sum()) / rows, MAX_RESULTANT)
    return float(r * (dim - r**2) / (1.0 - r**2))
