"""Principal directions of an unlabelled pool, each pool row's neighbours in the pool, and pool rows smoothed over neighbours.

If `find_directions` gets no `others`, no result depends on a task's samples, so tasks with the same pool can share the results.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

from fsat_tasks.numerics.geometry.layers import mix_layers
from fsat_tasks.numerics.geometry.neighbours import Neighbours, is_copy, nearest, smooth, unit_rows
from fsat_tasks.numerics.types import Array, Features

__all__ = ["DIRECTIONS", "KEY_DIRECTIONS", "STRENGTH", "PoolDirections", "find_directions"]

DIRECTIONS = 384
"""Maximum number of principal directions. The heads that learn from the pool are fitted in these coordinates."""
KEY_DIRECTIONS = 256
"""Number of the strongest directions in which neighbours are searched."""
STRENGTH = 0.5
"""Weight of a row's neighbours when it is smoothed, 0 to 1."""


@dataclass(frozen=True)
class PoolDirections:
    """A pool of m rows in its principal directions."""

    layers: int
    """Number of last layers that are mixed."""
    mixed: NDArray[np.float16]  # (m, layers * dim), the result of `mix_layers`, used to find copies
    basis: Array  # (layers * dim, directions), the strongest last
    rows: Array  # (m, directions)
    smoothed: Array  # (m, directions), of unit length
    keys: NDArray[np.float32]  # (m, KEY_DIRECTIONS or fewer), of unit length, used to search neighbours
    near: Neighbours  # neighbours of the rows among themselves

    def __len__(self) -> int:
        return len(self.rows)

    def fresh(self, shots: Features) -> NDArray[np.int64]:
        """Return the row numbers (indices) of the rows that are not a copy of a shot.

        Args:
            shots: (n, all layers, dim).
        """
        # float16 changes cosines by about 1e-7, but it changes lengths by more if one component dominates.
        # So rows are scaled to unit length again.
        return np.flatnonzero(~is_copy(unit_rows(self.mixed.astype(np.float32)), mix_layers(shots, self.layers)))

    def at(self, rows: NDArray[np.int64]) -> PoolDirections:
        """Keep only the rows with these indices. All rows that are not kept are also removed from the lists of neighbours."""
        if len(rows) == len(self):
            return self
        place = np.full(len(self), -1)
        place[rows] = np.arange(len(rows))
        found = self.near.of(rows)
        index = place[found.index]
        near = Neighbours(np.maximum(index, 0), np.where(index < 0, np.float32(-np.inf), found.similarity))
        kept, smoothed = self.rows[rows], self.smoothed[rows]
        if len(rows):
            unit, touched = unit_rows(kept), (index < 0).any(axis=1)
            smoothed[touched] = smooth(unit[touched], unit, near.of(np.flatnonzero(touched)), STRENGTH)
        return PoolDirections(self.layers, self.mixed[rows], self.basis, kept, smoothed, self.keys[rows], near)


def find_directions(pool: Features, layers: int, others: Features | None = None) -> PoolDirections:
    """Compute the principal directions of a pool, and its neighbours and smoothed rows.

    Args:
        pool: (m, all layers, dim), m > 0.
        layers: number of last layers to mix.
        others: (n, all layers, dim), further rows that the directions should span. Next to a large pool, a few rows
            hardly change the directions and may be left out. Many must be given, because the pool alone may not span them.
    """
    mixed = mix_layers(pool[:, -layers:], layers)
    basis = _principal_directions(mixed if others is None else np.concatenate([mix_layers(others, layers), mixed]))
    rows = mixed @ basis
    keys = unit_rows(rows[:, -KEY_DIRECTIONS:]).astype(np.float32)
    near = nearest(keys, keys)
    unit = unit_rows(rows)
    return PoolDirections(layers, mixed.astype(np.float16), basis, rows, smooth(unit, unit, near, STRENGTH), keys, near)


def _principal_directions(rows: Array) -> Array:
    """Return the strongest orthonormal directions of the rows, DIRECTIONS at most, (dim, directions), the strongest last."""
    dim = rows.shape[1]
    squares, vectors = linalg.eigh(rows.T @ rows, subset_by_index=(max(dim - DIRECTIONS, 0), dim - 1))
    kept = squares > 1e-12 * squares[-1]
    kept[-1] = True  # keep one direction even if all rows are zero
    directions: Array = vectors[:, kept]
    return directions
