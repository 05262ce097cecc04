"""Affine maps that bring target features to the source's mean or covariance, to be folded into a linear head.

Both take a move of the class shares for a move of the features, so they are for a shift in how the texts look only.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fsat_tasks.numerics.probe import LinearHead

__all__ = ["coral_map", "fold_into_head", "mean_shift_map"]

Array = NDArray[np.float64]
AffineMap = tuple[Array, Array]
"""(matrix (dim, dim), offset (dim,)); rows become rows @ matrix.T + offset."""


def mean_shift_map(source: Array, target: Array) -> AffineMap:
    """Moves the target rows' mean to the source rows' mean; the identity where either has no rows.

    Args:
        source: (m, dim).
        target: (n, dim).
    """
    dim = source.shape[1]
    if len(source) == 0 or len(target) == 0:
        return np.eye(dim), np.zeros(dim)
    return np.eye(dim), source.mean(axis=0) - target.mean(axis=0)


def coral_map(source: Array, target: Array) -> AffineMap:
    """Whitens the target rows and gives them the source's covariance and mean (CORAL, Sun, Feng and Saenko 2016, alg. 1).

    Both covariances are shrunk towards a multiple of the identity (Ledoit and Wolf 2004), for there are fewer rows than
    directions as a rule; the identity in place of the matrix where either has fewer than two rows or no spread.

    Args:
        source: (m, dim).
        target: (n, dim).
    """
    matrix, offset = mean_shift_map(source, target)
    if min(len(source), len(target)) >= 2:
        from sklearn.covariance import ledoit_wolf

        wide, narrow = ledoit_wolf(source)[0], ledoit_wolf(target)[0]
        if np.trace(wide) > 0 and np.trace(narrow) > 0:
            matrix = _power(wide, 0.5) @ _power(narrow, -0.5)
            offset = source.mean(axis=0) - matrix @ target.mean(axis=0)
    return matrix, offset


def fold_into_head(head: LinearHead, affine: AffineMap) -> LinearHead:
    """The head whose logits on the raw target rows are `head`'s on the mapped ones."""
    matrix, offset = affine
    return LinearHead(head.weight @ matrix, head.bias + head.weight @ offset)


def _power(covariance: Array, exponent: float) -> Array:
    """A power of a symmetric positive matrix; directions without spread are held at the rounding error."""
    spread, axes = np.linalg.eigh(covariance)
    floor = float(spread[-1]) * len(spread) * np.finfo(np.float64).eps
    scaled: Array = (axes * np.maximum(spread, floor) ** exponent) @ axes.T
    return scaled
