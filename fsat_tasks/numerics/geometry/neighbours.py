"""Nearest neighbours in an unlabelled pool: exact search, smoothing of rows over it, spreading of labels along it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from fsat_tasks.numerics.types import Array

__all__ = ["Neighbours", "affinity_graph", "is_copy", "largest", "nearest", "smooth", "spread", "unit_rows"]

Rows = NDArray[np.floating]

NEIGHBOURS = 10
SHARPNESS = 10.0
"""A neighbour counts with exp(SHARPNESS * cosine similarity)."""
SAME = 0.9999
"""Rows more similar than this are copies of one text: they say nothing new, so they are no neighbours."""
GROUP = 64
"""Columns of which only the largest value is looked at first."""
QUERY_BLOCK, POOL_BLOCK = 2048, 4096
"""Rows of one matrix product: 32 MiB of similarities at a time, whatever the size of the pool."""
SPREAD_STEPS = 15
"""The rest after so many steps is pull ** 15: 4 % of the whole at a pull of 0.8."""


@dataclass(frozen=True)
class Neighbours:
    """The k most similar pool rows of each row, in no order; -inf where the pool holds fewer that are no copies."""

    index: NDArray[np.int64]  # (n, k)
    similarity: NDArray[np.float32]  # (n, k), cosine

    def of(self, rows: NDArray[np.int64]) -> Neighbours:
        """Those of some rows."""
        return Neighbours(self.index[rows], self.similarity[rows])


def nearest(rows: Rows, pool: Rows, k: int = NEIGHBOURS, copies: bool = False) -> Neighbours:
    """Exact search by blocked matrix products; beyond the answer it keeps one block of similarities in memory.

    Args:
        rows: (n, dim) of unit length.
        pool: (m, dim) of unit length, m > 0; float16 or a memory map will do, it is read block by block.
        k: > 0; no more than m are looked for.
        copies: whether a pool row that is a copy of the row counts; rows of the pool itself are then their own neighbours.
    """
    n, k = len(rows), min(k, len(pool))
    index = np.zeros((n, k), np.int64)
    similarity = np.full((n, k), -np.inf, np.float32)
    for at in range(0, len(pool), POOL_BLOCK):
        block = np.asarray(pool[at : at + POOL_BLOCK], np.float32)  # (block, dim)
        for first in range(0, n, QUERY_BLOCK):
            some = slice(first, first + QUERY_BLOCK)
            found = np.asarray(rows[some], np.float32) @ block.T  # (some, block)
            if not copies:
                found[found > SAME] = -np.inf
            best = largest(found, min(k, len(block)))  # (some, k or fewer)
            both = np.hstack([similarity[some], np.take_along_axis(found, best, axis=1)])
            kept = np.argpartition(-both, k - 1, axis=1)[:, :k]  # (some, k)
            similarity[some] = np.take_along_axis(both, kept, axis=1)
            index[some] = np.take_along_axis(np.hstack([index[some], best + at]), kept, axis=1)
    return Neighbours(index, similarity)


def largest(values: NDArray[np.float32], count: int) -> NDArray[np.int64]:
    """Columns of the `count` largest values of each row, in no order; a tenth of the time of a plain partition."""
    rows, columns = values.shape
    groups = columns // GROUP
    if groups <= count:
        return np.argpartition(values, -count, axis=1)[:, -count:]
    # none is in a group that `count` other groups surpass; the columns after the last group are candidates as well
    tops = values[:, : groups * GROUP].reshape(rows, groups, GROUP).max(axis=2)
    within = np.argpartition(tops, -count, axis=1)[:, -count:]  # (rows, count)
    inside = (within[:, :, None] * GROUP + np.arange(GROUP)).reshape(rows, count * GROUP)
    rest = np.broadcast_to(np.arange(groups * GROUP, columns), (rows, columns - groups * GROUP))
    candidates = np.hstack([inside, rest])
    best = np.argpartition(np.take_along_axis(values, candidates, axis=1), -count, axis=1)[:, -count:]
    return np.take_along_axis(candidates, best, axis=1)


def is_copy(rows: Rows, others: Rows) -> NDArray[np.bool_]:
    """Whether a row is a copy of one of the others, (n,).

    Args:
        rows: (n, dim) of unit length.
        others: (m, dim) of unit length.
    """
    blocks = (slice(at, at + POOL_BLOCK) for at in range(0, len(others), POOL_BLOCK))
    found = ((np.asarray(rows, np.float32) @ np.asarray(others[block], np.float32).T > SAME).any(axis=1) for block in blocks)
    copied: NDArray[np.bool_] = np.logical_or.reduce([np.zeros(len(rows), bool), *found])
    return copied


def smooth(rows: Array, pool: Array, found: Neighbours, strength: float) -> Array:
    """Each row drawn towards the mean of its neighbours in the pool.

    z <- normalize((1 - strength) * z + strength * mean of the neighbours weighted by softmax(SHARPNESS * similarity)).
    (One hop of a simplified graph convolution, Wu et al. 2019, on a nearest-neighbour graph.)

    Args:
        rows: (n, dim) of unit length.
        pool: (m, dim) of unit length, m > 0.
        found: of each row; one without neighbours stays.
        strength: 0 to 1.

    Returns:
        (n, dim) of unit length.
    """
    links = _links(found, len(pool))
    total = np.asarray(links.sum(axis=1)).reshape(-1, 1)  # (n, 1)
    alone = total == 0
    mean = (links @ pool) / np.where(alone, 1.0, total)  # (n, dim)
    return unit_rows(np.where(alone, rows, (1.0 - strength) * rows + strength * mean))


def affinity_graph(shots: Neighbours, pool: Neighbours) -> sparse.csr_array:
    """The symmetric graph D^-1/2 A D^-1/2 of shots and pool with A = exp(SHARPNESS * (similarity - 1)), (n, n).

    A holds the mean of both directions, so one row's neighbour is the other's too; a row without neighbours is empty.

    Args:
        shots: neighbours in the pool of the shots, which come first; they are nobody's neighbours but by their own choice.
        pool: those of the pool's own rows, n in all with the shots.
    """
    used = len(pool.index)
    links = sparse.vstack([_links(shots, used), _links(pool, used)])  # (n, pool)
    square = sparse.hstack([sparse.csr_array((links.shape[0], len(shots.index))), links], format="csr")
    links = (square + square.T) / 2
    degree = np.asarray(links.sum(axis=1)).ravel()  # (n,)
    scale = sparse.diags_array(1.0 / np.sqrt(np.where(degree > 0, degree, 1.0)))
    return sparse.csr_array(scale @ links @ scale)


def spread(graph: sparse.csr_array, labels: Array, pull: float) -> Array:
    """Label spreading (Zhou et al. 2004): (1 - pull) * (I - pull * graph)^-1 @ labels, by iteration, rows summing to 1.

    Args:
        graph: (n, n) of `affinity_graph`.
        labels: (n, classes), each row a distribution: one-hot for labelled rows, a model's answer for the others.
        pull: 0 to 1 (exclusive), the share that a row takes from its neighbours.

    Returns:
        (n, classes).
    """
    answer = labels
    for _ in range(SPREAD_STEPS):
        answer = pull * (graph @ answer) + (1.0 - pull) * labels
    total: Array = answer / answer.sum(axis=1, keepdims=True)
    return total


def _links(found: Neighbours, pool: int) -> sparse.csr_array:
    """(n, pool): exp(SHARPNESS * (similarity - 1)) of each row's neighbours."""
    n, k = found.index.shape
    weight = np.exp(SHARPNESS * (found.similarity.astype(np.float64) - 1.0))  # (n, k)
    return sparse.csr_array((weight.ravel(), found.index.ravel(), np.arange(0, n * k + 1, k)), shape=(n, pool))


def unit_rows(rows: Array) -> Array:
    """Rows of length one; a row of zeros stays."""
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    unit: Array = rows / np.where(norms > 0, norms, 1.0)
    return unit
