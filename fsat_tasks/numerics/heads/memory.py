"""Pool rows kept beside a linear head: a text is judged by the head and by the soft labels of the pool rows nearest to it.

A linear head cannot hold all that the pool shows of the classes' shapes; the rows themselves can. Both answers are joined in
the log domain, as kNN language models (Khandelwal et al. 2020) and Tip-Adapter (Zhang et al. 2022) do it. The whole is products
with constant matrices, the top few of a row and a softmax, so it goes into a static graph.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fsat_tasks.numerics.geometry.neighbours import nearest, unit_rows
from fsat_tasks.numerics.heads.probe import LinearHead
from fsat_tasks.numerics.types import Array

__all__ = ["DOUBT", "LEAST_WEIGHT", "NEAREST", "SHARPNESS", "Memory", "TaughtHead"]

NEAREST = 20
"""Pool rows that answer for a text."""
SHARPNESS = 30.0
"""They count with exp(SHARPNESS * cosine similarity), less what the last of them would: so that which row comes last, where
another is as near, makes no difference."""
LEAST_WEIGHT = 1e-6
"""Of a row, relative to the nearest: where all are equally near, all count alike."""
DOUBT = 1e-3
"""Share of the memory's answer that is spread over all classes, so that no class is ruled out by a few rows."""


@dataclass(frozen=True)
class Memory:
    """Keys and soft labels of pool rows."""

    basis: Array  # (dim, directions) of the keys' space
    keys: NDArray[np.floating]  # (m, directions) of unit length, m > 0
    labels: Array  # (m, classes), rows sum to 1
    share: float
    """What its log-probabilities count for beside the head's logits."""

    def logits(self, rows: Array) -> Array:
        """Log-probabilities (n, classes) of rows (n, dim)."""
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
    """A linear head and the memory of the pool that taught it."""

    linear: LinearHead
    memory: Memory

    def logits(self, rows: Array) -> Array:
        """(n, dim) to (n, classes)."""
        return self.linear.logits(rows) + self.memory.share * self.memory.logits(rows)

    def shifted(self, offset: Array) -> TaughtHead:
        """With (classes,) added to its logits."""
        return TaughtHead(self.linear.shifted(offset), self.memory)
