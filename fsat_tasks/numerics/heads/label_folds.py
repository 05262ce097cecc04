"""Folds of rows with several labels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fsat_tasks.numerics.types import Labels

__all__ = ["spread_labels"]


def spread_labels(matrix: NDArray[np.int64], folds: int) -> Labels:
    """Assign a fold in 0..folds-1 to each row, (n,), by iterative stratification (Sechidis et al. 2011, algorithm 1).

    The label with the fewest rows left is spread first, because it can be spread unevenly only now. A row goes to the fold that
    lacks most rows of this label, then most rows of all. Ties go to the first label and to the first fold.

    Args:
        matrix: (n, classes), of 0 and 1. Rows without a label are spread last.
        folds: number of folds, > 0.
    """
    n = len(matrix)
    fold = np.full(n, -1, np.int64)
    lacking = np.tile(matrix.sum(axis=0) / folds, (folds, 1))  # (folds, classes), rows of each label that a fold still lacks
    room = np.full(folds, n / folds)

    def assign(row: int, order: tuple[NDArray[np.float64], ...]) -> None:
        best = int(np.lexsort(order)[-1])
        fold[row] = best
        lacking[best] -= matrix[row]
        room[best] -= 1.0

    first = -np.arange(folds, dtype=np.float64)  # the last key of a tie
    while True:
        left = np.flatnonzero(fold < 0)
        counts = matrix[left].sum(axis=0)  # (classes,)
        if not counts.any():
            break
        label = int(np.where(counts > 0, counts, n + 1).argmin())
        for row in left[matrix[left, label] > 0].tolist():
            assign(row, (first, room, lacking[:, label]))
    for row in left.tolist():
        assign(row, (first, room))
    return fold
