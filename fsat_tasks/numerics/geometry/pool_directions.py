"""Principal directions of an unlabelled pool, its neighbours in them, and its rows smoothed over the neighbours.

None of it depends on the samples of a task, so tasks that share a pool can share it.
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
"""Principal directions that all fits run in."""
KEY_DIRECTIONS = 256
"""The strongest of them, in which neighbours are looked for."""
STRENGTH = 0.5
"""Strength of the smoothing: the share of the way that a row goes to the mean of its neighbours."""


@dataclass(frozen=True)
class PoolDirections:
    """Pool rows in their principal directions."""

    layers: int
    mixed: NDArray[np.float16]  # (m, layers * dim), as `mix_layers` gives them, to tell copies by
    basis: Array  # (layers * dim, directions), the strongest last
    rows: Array  # (m, directions)
    smoothed: Array  # (m, directions), of unit length
    keys: NDArray[np.float32]  # (m, the strongest directions), of unit length
    near: Neighbours  # of the rows among themselves

    def __len__(self) -> int:
        return len(self.rows)

    def fresh(self, shots: Features) -> NDArray[np.int64]:
        """Numbers of the rows that are no copy of one of the shots, (n, all layers, dim)."""
        # half precision keeps the direction to 1e-7, and not the length where one component is most of a row
        return np.flatnonzero(~is_copy(unit_rows(self.mixed.astype(np.float32)), mix_layers(shots, self.layers)))

    def at(self, rows: NDArray[np.int64]) -> PoolDirections:
        """Some of the rows; the others are nobody's neighbours any more."""
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
    """Find the principal directions of a pool, and its neighbours in them.

    Args:
        pool: (m, all layers, dim), m > 0.
        layers: the last so many are mixed.
        others: (n, all layers, dim), rows that turn the directions too. Where they are few beside the pool it makes no
            difference; where they are not, the pool alone may not span them.
    """
    mixed = mix_layers(pool[:, -layers:], layers)
    basis = _principal_directions(mixed if others is None else np.concatenate([mix_layers(others, layers), mixed]))
    rows = mixed @ basis
    keys = unit_rows(rows[:, -KEY_DIRECTIONS:]).astype(np.float32)
    near = nearest(keys, keys)
    unit = unit_rows(rows)
    return PoolDirections(layers, mixed.astype(np.float16), basis, rows, smooth(unit, unit, near, STRENGTH), keys, near)


def _principal_directions(rows: Array) -> Array:
    """(dim, directions): orthonormal directions that span the rows, the strongest DIRECTIONS of them, the strongest last."""
    dim = rows.shape[1]
    squares, vectors = linalg.eigh(rows.T @ rows, subset_by_index=(max(dim - DIRECTIONS, 0), dim - 1))
    kept = squares > 1e-12 * squares[-1]
    kept[-1] = True  # one direction even where all rows are zero
    directions: Array = vectors[:, kept]
    return directions
