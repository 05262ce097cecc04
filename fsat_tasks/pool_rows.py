"""The pool rows that teach a task, and their view, which tasks that share a pool share."""

from __future__ import annotations

import functools

import numpy as np

from fsat_tasks.body_rung import Material, Rows
from fsat_tasks.numerics.distil import draw_pool
from fsat_tasks.numerics.pool_view import PoolView, view_pool

__all__ = ["drawn", "task_view"]

PLENTY = 10
"""Times the samples and names. So large a pool is seen as it is by itself; the directions of a smaller one follow these, too."""


def drawn(pool: Rows, seed: int) -> Rows:
    """As many of the rows as are used at most; the same object where these are all."""
    rows = draw_pool(len(pool), seed)
    return pool if len(rows) == len(pool) else pool.at(rows)


def task_view(material: Material, layers: int, seed: int) -> PoolView:
    """The view of the drawn rows, copies of samples with them; the pool has rows."""
    own = np.concatenate([material.shots.features, material.names.features])
    if len(material.pool) >= PLENTY * len(own):
        return _shared_view(material.pool, layers, seed)
    return view_pool(drawn(material.pool, seed).features, layers, own)


@functools.lru_cache(maxsize=5)  # as many depths as `fit_frozen_head` tries: tasks differ in them
def _shared_view(pool: Rows, layers: int, seed: int) -> PoolView:
    return view_pool(drawn(pool, seed).features, layers)
