"""The map of features: groups stay groups, the same on any number of cores, and no input is too small or too equal."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.neighbors import NearestNeighbors
from threadpoolctl import threadpool_limits

from fsat_tasks.numerics.geometry.feature_map import place_on_plane


def test_groups_stay_groups() -> None:
    rng = np.random.default_rng(0)
    group = np.repeat(np.arange(10), 20)
    points = place_on_plane(rng.normal(size=(10, 64))[group] + 0.5 * rng.normal(size=(200, 64)), 0)
    assert points.shape == (200, 2)
    assert (points.min(), points.max()) == (0.0, 1.0)
    nearest = NearestNeighbors(n_neighbors=2).fit(points).kneighbors(points)[1][:, 1]
    assert (group[nearest] == group).mean() > 0.95


def test_the_same_again_and_on_any_number_of_cores() -> None:
    rows = np.random.default_rng(1).normal(size=(60, 16))
    first = place_on_plane(rows, 3)
    with threadpool_limits(1):
        again = place_on_plane(rows, 3)
    np.testing.assert_array_equal(first, again)


@pytest.mark.parametrize("rows", [1, 2, 3, 11, 12, 13])
def test_few_rows_have_places(rows: int) -> None:
    points = place_on_plane(np.random.default_rng(2).normal(size=(rows, 8)).astype(np.float32), 0)
    assert points.shape == (rows, 2)
    assert np.isfinite(points).all()


def test_equal_rows_have_places() -> None:
    assert np.isfinite(place_on_plane(np.ones((30, 8)), 0)).all()
