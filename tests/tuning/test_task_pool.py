"""Tasks that share the principal directions of a pool, and the pool rows that teach a task."""

from __future__ import annotations

import gc
import weakref
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fsat_tasks.encoders.prepare import Prepared
from fsat_tasks.encoders.source import EncoderSource
from fsat_tasks.numerics.geometry.layers import mix_layers
from fsat_tasks.numerics.geometry.pool_directions import PoolDirections
from fsat_tasks.numerics.heads.one_label import OneLabel
from fsat_tasks.numerics.heads.pool_taught import FOLDS
from fsat_tasks.tuning.material import PLENTY, Material, Pool, Rows
from fsat_tasks.tuning.task_pool import find_task_pool

SOURCE = EncoderSource("none", Path("none"), {"normalize": True})


def rows(count: int, seed: int, dim: int = 8) -> Rows:
    return Rows(np.random.default_rng(seed).normal(size=(count, 2, dim)).astype(np.float32), [Prepared({}, 0)] * count)


def task(pool: Pool, seed: int, dim: int = 8) -> Material:
    """Return the rows of a task with six samples and two classes."""
    return Material(SOURCE, rows(6, seed, dim), OneLabel(np.arange(6) % 2, 2), rows(2, seed + 1, dim), pool)


def directions(pool: Pool, task_seed: int, layers: int = 1, seed: int = 0, dim: int = 8) -> PoolDirections:
    given = task(pool, task_seed, dim)
    return pool.directions(layers, seed, np.concatenate([given.shots.features, given.anchors.features]))


def test_tasks_with_few_samples_share_the_directions_of_their_pool() -> None:
    pool = Pool(rows(16 * PLENTY, 0))  # 16 directions in two layers
    for layers in (1, 2):
        assert directions(pool, 1, layers) is directions(pool, 3, layers)
    assert directions(pool, 1, 2) is not directions(pool, 1, 1)
    assert directions(pool, 1, seed=1) is not directions(pool, 1, seed=2)
    assert directions(Pool(pool.rows), 1) is not directions(pool, 3)


def test_shared_directions_go_with_their_pool() -> None:
    pool = Pool(rows(8 * PLENTY, 0))
    found = weakref.ref(directions(pool, 1))
    gc.collect()
    assert found() is not None
    del pool
    gc.collect()
    assert found() is None


@pytest.mark.parametrize(
    ("distinct", "times", "dim"),
    [(2, 1, 8), (8 * PLENTY, 1, 200), (5, 10 * PLENTY, 8)],
    ids=["few", "many directions", "repeated"],
)
def test_samples_turn_the_directions_of_a_pool_that_does_not_span_them(distinct: int, times: int, dim: int) -> None:
    pool = Pool(rows(distinct, 0, dim).at(np.tile(np.arange(distinct), times)))
    for seed in (1, 3):
        given = task(pool, seed, dim)
        basis = directions(pool, seed, dim=dim).basis
        assert basis.shape == (dim, min(dim, distinct + 8))
        own = mix_layers(np.concatenate([given.shots.features, given.anchors.features]), 1)
        np.testing.assert_allclose(own @ basis @ basis.T, own, atol=1e-9)


def test_a_pool_that_is_not_too_large_is_drawn_as_it_is() -> None:
    pool = rows(20, 0)
    assert Pool(pool).drawn(0) is pool
    few = Pool(pool, most=5)
    assert len(few.drawn(0)) == 5
    found = find_task_pool(task(few, 1), 1, 0)
    assert found is not None
    assert len(found.rows) == len(found.directions) == 5


def test_copies_of_samples_do_not_teach() -> None:
    pool = rows(20, 0)
    given = replace(task(Pool(pool), 1), shots=pool.at(np.array([3, 7, 7, 9, 11, 13])))
    found = find_task_pool(given, 1, 0)
    assert found is not None
    np.testing.assert_array_equal(found.rows.features, np.delete(pool.features, [3, 7, 9, 11, 13], axis=0))
    assert len(found.directions) == 15
    assert find_task_pool(replace(given, pool=Pool(given.shots)), 1, 0) is None
    assert find_task_pool(replace(given, pool=Pool(rows(0, 0))), 1, 0) is None


def test_each_fold_draws_its_own_rows() -> None:
    found, again, other = (find_task_pool(task(Pool(rows(20, 0)), 1), 1, seed) for seed in (0, 0, 1))
    assert found is not None and again is not None and other is not None
    assert len(found.folds) == FOLDS
    assert all(sorted(fold.tolist()) == list(range(20)) for fold in found.folds)
    assert len({tuple(fold.tolist()) for fold in (*found.folds, *other.folds)}) == 2 * FOLDS
    for one, two in zip(found.folds, again.folds, strict=True):
        np.testing.assert_array_equal(one, two)
