"""Rows of an unlabelled pool that teach one task."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fsat_tasks.numerics.geometry.pool_directions import PoolDirections
from fsat_tasks.numerics.heads.pool_taught import FOLDS
from fsat_tasks.tuning.material import Material, Rows

__all__ = ["TaskPool", "find_task_pool"]

FOLD_POOL = 4096
"""Maximum number of pool rows that are drawn for one fold. The encoder of the fold encodes them, and may be tuned on them."""


@dataclass(frozen=True)
class TaskPool:
    """Pool rows that teach one task. They are the drawn rows that are not copies of the task's samples. There is at least one."""

    rows: Rows
    directions: PoolDirections  # principal directions of the rows that teach the task
    folds: tuple[NDArray[np.int64], ...]
    """Indices of the rows that are drawn for each fold, in the order in which they are used."""


def find_task_pool(material: Material, layers: int, seed: int) -> TaskPool | None:
    """Choose the pool rows that teach a task. Return None if the pool is empty or all drawn rows are copies of samples."""
    if not len(material.pool):
        return None
    own = np.concatenate([material.shots.features, material.anchors.features])
    directions = material.pool.directions(layers, seed, own)
    fresh = directions.fresh(material.shots.features)
    if not len(fresh):
        return None
    rng = np.random.default_rng(seed)
    folds = tuple(rng.permutation(len(fresh))[:FOLD_POOL] for _ in range(FOLDS))
    return TaskPool(material.pool.drawn(seed).at(fresh), directions.at(fresh), folds)
