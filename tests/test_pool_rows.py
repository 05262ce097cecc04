"""Which tasks share the view of a pool."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fsat_tasks.body_rung import Material, Rows
from fsat_tasks.encoder_source import EncoderSource
from fsat_tasks.numerics import distil
from fsat_tasks.pool_rows import PLENTY, drawn, task_view

SOURCE = EncoderSource("none", Path("none"), "mean", True, 64)


def rows(count: int, seed: int) -> Rows:
    return Rows(np.random.default_rng(seed).normal(size=(count, 2, 8)).astype(np.float32), [[]] * count)


def task(pool: Rows, seed: int) -> Material:
    """Of six samples and two classes."""
    return Material(SOURCE, rows(6, seed), np.arange(6) % 2, rows(2, seed + 1), pool)


def test_tasks_with_few_samples_share_the_view_of_their_pool() -> None:
    pool = rows(8 * PLENTY, 0)
    assert task_view(task(pool, 1), 1, 0) is task_view(task(pool, 3), 1, 0)
    assert task_view(task(pool, 1), 2, 0) is not task_view(task(pool, 3), 1, 0)
    assert task_view(task(rows(8 * PLENTY, 0), 1), 1, 0) is not task_view(task(pool, 3), 1, 0)


def test_samples_turn_the_directions_of_a_small_pool() -> None:
    pool = rows(2, 0)
    one, other = (task_view(task(pool, seed), 1, 0) for seed in (1, 3))
    assert one.basis.shape == (8, 8)  # two rows alone span two directions
    assert not np.allclose(one.basis, other.basis)


def test_a_pool_that_is_not_too_large_is_drawn_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    pool = rows(20, 0)
    assert drawn(pool, 0) is pool
    monkeypatch.setattr(distil, "POOL_ROWS", 5)
    assert len(drawn(pool, 0)) == 5
    assert len(task_view(task(pool, 1), 1, 0)) == 5
