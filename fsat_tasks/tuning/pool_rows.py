"""The pool rows that teach a task, and their view, which tasks that share a pool share."""

from __future__ import annotations

from weakref import WeakKeyDictionary

import numpy as np

from fsat_tasks.numerics.geometry.pool_directions import DIRECTIONS, PoolView, view_pool
from fsat_tasks.numerics.heads.pool_taught import draw_pool
from fsat_tasks.tuning.material import Material, Rows

__all__ = ["drawn", "task_view"]

PLENTY = 10
"""Times the samples and names, and the directions: what a task adds to so many rows turns nothing, if they span the features."""

_VIEWS: WeakKeyDictionary[Rows, dict[tuple[int, int], PoolView]] = WeakKeyDictionary()
"""By layers and seed; a view lives as long as its pool."""


def drawn(pool: Rows, seed: int) -> Rows:
    """As many of the rows as are used at most; the same object where these are all."""
    rows = draw_pool(len(pool), seed)
    return pool if len(rows) == len(pool) else pool.at(rows)


def task_view(material: Material, layers: int, seed: int) -> PoolView:
    """The view of the drawn rows, copies of samples with them; the pool has rows.

    That of a large pool is of the pool by itself; the directions of a smaller one follow the samples and names, too.
    """
    own = np.concatenate([material.shots.features, material.names.features])
    used, directions = drawn(material.pool, seed), min(DIRECTIONS, layers * own.shape[2])
    if len(used) >= PLENTY * max(len(own), directions):
        views = _VIEWS.setdefault(material.pool, {})
        if (layers, seed) not in views:
            views[layers, seed] = view_pool(used.features, layers)
        if views[layers, seed].basis.shape[1] == directions:  # a pool of few texts, often repeated, spans fewer
            return views[layers, seed]
    return view_pool(used.features, layers, own)
