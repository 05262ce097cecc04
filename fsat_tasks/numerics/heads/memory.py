"""Memory head: a linear head plus the soft labels of the pool rows that are nearest to a text.

Stored pool rows can represent class shapes that a linear head cannot. The memory's log-probabilities are added to
the linear head's logits, as in kNN language models (Khandelwal et al. 2020) and Tip-Adapter (Zhang et al. 2022).
The whole head consists of products with constant matrices, a top-k and a softmax, so it can be exported as a
static graph.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from numpy.typing import NDArray

from fsat_tasks.numerics.geometry.neighbours import nearest, unit_rows
from fsat_tasks.numerics.heads.probe import LinearHead
from fsat_tasks.numerics.types import Array, Matrix

__all__ = ["DOUBT", "LEAST_WEIGHT", "NEAREST", "SHARPNESS", "Memory", "TaughtHead"]

NEAREST = 20
"""Number of pool rows that are looked up for a text."""
SHARPNESS = 30.0
"""A pool row has the weight exp(SHARPNESS * cosine similarity), minus the weight exp(...) of the farthest of the NEAREST rows.
That row thus has almost no weight. So if two rows are equally far, it hardly matters which of them is looked up."""
LEAST_WEIGHT = 1e-6
"""Minimum weight of a row, relative to the nearest one. Rows that are all equally near get this weight, so they count alike."""
DOUBT = 1e-3
"""Share of the memory's prediction that is spread over all classes, so that a few rows cannot rule out a class."""


@dataclass(frozen=True)
class Memory:
    """Keys and soft labels of m pool rows."""

    basis: Matrix  # (dim, directions), projects rows into the space of the keys
    keys: Annotated[NDArray[np.floating], 2]  # (m, directions), of unit length, m > 0
    labels: Matrix  # (m, classes), rows sum to 1
    share: float
    """Weight of the memory's log-probabilities relative to the linear head's logits."""

    def logits(self, rows: Array) -> Array:
        """Return log-probabilities, (n, classes), for rows (n, dim), not yet multiplied by `share`."""
        found = nearest(unit_rows(rows @ self.basis), self.keys, NEAREST, copies=True)
        similarity = found.similarity.astype(np.float64)
        closeness = np.exp(SHARPNESS * (similarity - similarity.max(axis=1, keepdims=True)))  # (n, k)
        weight = closeness - closeness.min(axis=1, keepdims=True) + LEAST_WEIGHT
        weight /= weight.sum(axis=1, keepdims=True)
        mean = np.zeros((len(rows), self.labels.shape[1]))
        for column in range(weight.shape[1]):
            mean += weight[:, column, None] * self.labels[found.index[:, column]]
        logits: Array = np.log((1.0 - DOUBT) * mean + DOUBT / mean.shape[1])
        return logits


@dataclass(frozen=True)
class TaughtHead:
    """A linear head that was fitted to soft labels of pool rows, and the memory of these rows."""

    linear: LinearHead
    memory: Memory

    def logits(self, rows: Array) -> Array:
        """Return logits, (n, classes), for rows (n, dim)."""
        return self.linear.logits(rows) + self.memory.share * self.memory.logits(rows)

    def shifted(self, offset: Array) -> TaughtHead:
        """Return this head with `offset`, (classes,), added to its logits."""
        return TaughtHead(self.linear.shifted(offset), self.memory)
