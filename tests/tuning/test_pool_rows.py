"""Which tasks share the view of a pool."""

from __future__ import annotations

import gc
import weakref
from pathlib import Path

import numpy as np
import pytest

from fsat_tasks.encoders.source import EncoderSource
from fsat_tasks.numerics.geometry.layers import mix_layers
from fsat_tasks.numerics.heads import pool_taught as distil
from fsat_tasks.tuning.material import Material, Rows
from fsat_tasks.tuning.pool_rows import PLENTY, drawn, task_view

SOURCE = EncoderSource("none", Path("none"), "mean", True, 64)


def rows(count: int, seed: int, dim: int = 8) -> Rows:
    return Rows(np.random.default_rng(seed).normal(size=(count, 2, dim)).astype(np.float32), [[]] * count)


def task(pool: Rows, seed: int, dim: int = 8) -> Material:
    """Of six samples and two classes."""
    return Material(SOURCE, rows(6, seed, dim), np.arange(6) % 2, rows(2, seed + 1, dim), pool)


def test_tasks_with_few_samples_share_the_view_of_their_pool() -> None:
    pool = rows(16 * PLENTY, 0)  # 16 directions in two layers
    for layers in (1, 2):
        assert task_view(task(pool, 1), layers, 0) is task_view(task(pool, 3), layers, 0)
    assert task_view(task(pool, 1), 2, 0) is not task_view(task(pool, 1), 1, 0)
    assert task_view(task(rows(16 * PLENTY, 0), 1), 1, 0) is not task_view(task(pool, 3), 1, 0)


def test_a_shared_view_goes_with_its_pool() -> None:
    pool = rows(8 * PLENTY, 0)
    view = weakref.ref(task_view(task(pool, 1), 1, 0))
    gc.collect()
    assert view() is not None
    del pool
    gc.collect()
    assert view() is None


@pytest.mark.parametrize(
    ("distinct", "times", "dim"),
    [(2, 1, 8), (8 * PLENTY, 1, 200), (5, 10 * PLENTY, 8)],
    ids=["few", "many directions", "repeated"],
)
def test_samples_turn_the_directions_of_a_pool_that_does_not_span_them(distinct: int, times: int, dim: int) -> None:
    pool = rows(distinct, 0, dim).at(np.tile(np.arange(distinct), times))
    for seed in (1, 3):
        material = task(pool, seed, dim)
        basis = task_view(material, 1, 0).basis
        assert basis.shape == (dim, min(dim, distinct + 8))
        own = mix_layers(np.concatenate([material.shots.features, material.names.features]), 1)
        np.testing.assert_allclose(own @ basis @ basis.T, own, atol=1e-9)


def test_a_pool_that_is_not_too_large_is_drawn_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    pool = rows(20, 0)
    assert drawn(pool, 0) is pool
    monkeypatch.setattr(distil, "POOL_ROWS", 5)
    assert len(drawn(pool, 0)) == 5
    assert len(task_view(task(pool, 1), 1, 0)) == 5
