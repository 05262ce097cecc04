"""Map of features: rows as points on a plane."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["place_on_plane"]

FEWEST_FOR_NEIGHBOURS = 12
"""Minimum number of rows for t-SNE. Fewer rows have no neighbourhoods, and are shown in their two principal directions."""
PERPLEXITY = 20.0
"""Perplexity of t-SNE, about the number of neighbours that it keeps close."""


def place_on_plane(rows: NDArray[np.floating], seed: int) -> NDArray[np.float64]:
    """Place rows on a plane so that neighbours stay neighbours (t-SNE, van der Maaten and Hinton 2008).

    The result does not depend on the number of cores. 400 rows of 384 numbers take 1 s.

    Args:
        rows: (n, dim).
        seed: seed of t-SNE.

    Returns:
        Coordinates in 0..1, (n, 2).
    """
    few = len(rows) < FEWEST_FOR_NEIGHBOURS or not bool((rows != rows[0]).any())
    points = _directions(rows.astype(np.float64)) if few else _neighbourhoods(rows, seed)
    low, high = points.min(axis=0), points.max(axis=0)
    scaled: NDArray[np.float64] = (points - low) / np.where(high > low, high - low, 1.0)
    return scaled


def _directions(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Project (n, dim) to (n, 2) along the two directions of most variance. A missing direction gives zeros."""
    left, scale, _ = np.linalg.svd(rows - rows.mean(axis=0), full_matrices=False)
    flat = np.zeros((len(rows), 2))
    flat[:, : min(2, len(scale))] = (left * scale)[:, :2]
    return flat


def _neighbourhoods(rows: NDArray[np.floating], seed: int) -> NDArray[np.float64]:
    """Project (n, dim) to (n, 2) by t-SNE."""
    from sklearn.manifold import TSNE  # imported first, because the limit below holds only for loaded libraries
    from threadpoolctl import threadpool_limits

    perplexity = min(PERPLEXITY, (len(rows) - 1) / 3)
    with threadpool_limits(1):  # one thread gives the same digits on any number of cores, and is faster on a busy machine
        points = TSNE(perplexity=perplexity, init="pca", metric="cosine", random_state=seed).fit_transform(rows)
    return np.asarray(points, np.float64)
