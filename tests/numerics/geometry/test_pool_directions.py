"""Principal directions of a pool, which tasks share: of the pool by itself, and without some of its rows."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from fsat_tasks.numerics.geometry.layers import mix_layers
from fsat_tasks.numerics.geometry.neighbours import Neighbours, smooth, unit_rows
from fsat_tasks.numerics.geometry.pool_directions import KEY_DIRECTIONS, STRENGTH, PoolDirections, find_directions

LAYERS, DIM, MIXED = 3, 16, 2


def features(rows: int, seed: int) -> NDArray[np.float64]:
    """Draw features (rows, LAYERS, DIM) around ten centres."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=(10, LAYERS, DIM))[rng.integers(0, 10, rows)] + 0.6 * rng.normal(size=(rows, LAYERS, DIM))


POOL = features(80, 0)


def links(near: Neighbours) -> list[dict[int, float]]:
    """Return the similarity of each row to each of its neighbours."""
    rows = zip(near.index, near.similarity, strict=True)
    return [
        {int(i): round(float(s), 5) for i, s in zip(index, similarity, strict=True) if np.isfinite(s)}
        for index, similarity in rows
    ]


def test_basis_is_orthonormal_and_spans_the_rows_and_those_others() -> None:
    few = features(5, 1)
    view = find_directions(POOL[:4], MIXED, few)
    np.testing.assert_allclose(view.basis.T @ view.basis, np.eye(view.basis.shape[1]), atol=1e-9)
    for rows in (POOL[:4], few):
        mixed = mix_layers(rows, MIXED)
        np.testing.assert_allclose(mixed @ view.basis @ view.basis.T, mixed, atol=1e-9)
    assert view.keys.shape == (4, min(KEY_DIRECTIONS, view.basis.shape[1]))


def test_few_other_rows_hardly_turn_the_neighbours_of_many() -> None:
    alone, turned = links(find_directions(POOL, MIXED).near), links(find_directions(POOL, MIXED, features(2, 1)).near)
    assert np.mean([len(one.keys() & other.keys()) / len(one) for one, other in zip(alone, turned, strict=True)]) > 0.99


def test_copies_are_told_where_one_component_is_most_of_a_row() -> None:
    rng = np.random.default_rng(2)
    pool = rng.normal(size=(200, 1, 384))
    pool[:, :, 7] = rng.uniform(100, 400, size=(200, 1))  # cosines 0.97 and up, lengths off by 2e-4 in half precision
    assert find_directions(pool, 1).fresh(pool[::2]).tolist() == list(range(1, 200, 2))


@pytest.mark.parametrize("kept", [np.arange(80), np.arange(0, 80, 2), np.arange(3), np.empty(0, np.int64)], ids=len)
def test_without_some_rows_the_others_keep_each_other(kept: NDArray[np.int64]) -> None:
    whole = find_directions(POOL, MIXED)
    view = whole.at(kept)
    assert len(view) == len(kept)
    place = {int(row): at for at, row in enumerate(kept)}
    expected = [{place[i]: s for i, s in links(whole.near)[row].items() if i in place} for row in kept]
    assert links(view.near) == expected
    np.testing.assert_array_equal(view.keys, whole.keys[kept])
    if len(kept):
        unit = unit_rows(view.rows)
        np.testing.assert_allclose(view.smoothed, smooth(unit, unit, view.near, STRENGTH), atol=1e-12)


def test_the_whole_view_is_not_changed_by_one_without_some_rows() -> None:
    whole = find_directions(POOL, MIXED)
    before = [array.copy() for array in (whole.rows, whole.smoothed, whole.near.similarity)]
    whole.at(np.arange(0, 80, 3))
    for array, old in zip((whole.rows, whole.smoothed, whole.near.similarity), before, strict=True):
        np.testing.assert_array_equal(array, old)


@pytest.mark.parametrize("pool", [np.zeros((5, LAYERS, DIM)), POOL[:1]], ids=["zeros", "one row"])
def test_odd_pools_have_a_finite_view(pool: NDArray[np.float64]) -> None:
    view: PoolDirections = find_directions(pool, MIXED)
    assert np.isfinite(view.rows).all()
    assert np.isfinite(view.smoothed).all()
