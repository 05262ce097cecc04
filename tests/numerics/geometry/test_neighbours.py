"""Blocked neighbour search, smoothing and label spreading against brute force and closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import sparse
from scipy.special import softmax

from fsat_tasks.numerics.geometry import neighbours
from fsat_tasks.numerics.geometry.neighbours import affinity_graph, is_copy, nearest, smooth, spread

Array = NDArray[np.float64]
seeds = st.integers(0, 2**32 - 1)
few = settings(max_examples=25, deadline=None)


def draw(n: int, dim: int, seed: int) -> Array:
    rows = np.random.default_rng(seed).normal(size=(n, dim))
    unit: Array = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return unit


@few
@given(seeds, st.integers(1, 40), st.integers(1, 60), st.integers(1, 12))
def test_blocks_find_what_one_product_finds(seed: int, n: int, m: int, k: int) -> None:
    rows, pool = draw(n, 6, seed), draw(m, 6, seed + 1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(neighbours, "QUERY_BLOCK", 7)
        patch.setattr(neighbours, "POOL_BLOCK", 9)
        found = nearest(rows, pool, k)
    expected = -np.sort(-(rows @ pool.T), axis=1)[:, :k]
    np.testing.assert_allclose(-np.sort(-found.similarity, axis=1), expected, atol=1e-6)
    there = np.take_along_axis(rows @ pool.T, found.index, axis=1)
    np.testing.assert_allclose(found.similarity, there, atol=1e-6)


def test_a_row_and_its_copies_are_no_neighbours() -> None:
    pool = np.vstack([draw(5, 6, 0), draw(5, 6, 0)])
    found = nearest(pool, pool, 10)
    assert np.isfinite(found.similarity).sum(axis=1).tolist() == [8] * 10
    for row, (index, similarity) in enumerate(zip(found.index, found.similarity, strict=True)):
        assert not {row, (row + 5) % 10} & set(index[np.isfinite(similarity)].tolist())


def test_copies_are_told_from_other_rows() -> None:
    rows = draw(20, 6, 0)
    assert is_copy(rows, np.vstack([draw(10, 6, 1), rows[[3, 7]]])).nonzero()[0].tolist() == [3, 7]
    assert not is_copy(rows, np.empty((0, 6))).any()


def test_a_row_and_its_copies_may_count() -> None:
    pool = draw(8, 6, 0)
    found = nearest(pool[[3]], pool, 1, copies=True)
    assert found.index.tolist() == [[3]]


@few
@given(seeds, st.integers(1, 6), st.floats(0.0, 1.0))
def test_smoothing_is_the_stated_formula(seed: int, n: int, strength: float) -> None:
    rows, pool = draw(n, 6, seed), draw(30, 6, seed + 1)
    smoothed = smooth(rows, pool, nearest(rows, pool), strength)
    for row, result in zip(rows, smoothed, strict=True):
        order = np.argsort(-(pool @ row))[:10]
        mean = softmax(10.0 * pool[order] @ row) @ pool[order]
        drawn = (1 - strength) * row + strength * mean
        np.testing.assert_allclose(result, drawn / np.linalg.norm(drawn), atol=1e-5)


@pytest.mark.parametrize("pool", [draw(1, 6, 0), np.repeat(draw(1, 6, 0), 5, axis=0)])
def test_rows_without_neighbours_stay(pool: Array) -> None:
    rows = draw(1, 6, 0)
    np.testing.assert_allclose(smooth(rows, pool, nearest(rows, pool), 0.5), rows)


def graph_of(rows: Array, shots: int) -> sparse.csr_array:
    return affinity_graph(nearest(rows[:shots], rows[shots:]), nearest(rows[shots:], rows[shots:]))


@few
@given(seeds, st.integers(2, 40), st.integers(0, 5))
def test_graph_is_symmetric_without_loops_and_its_spectrum_is_within_one(seed: int, n: int, shots: int) -> None:
    graph = graph_of(draw(n + shots, 6, seed), shots).toarray()
    np.testing.assert_allclose(graph, graph.T, atol=1e-12)
    assert (np.diag(graph) == 0).all()
    assert (graph[:shots, :shots] == 0).all()
    assert np.abs(np.linalg.eigvalsh(graph)).max() <= 1 + 1e-9


def test_spreading_approaches_the_closed_form() -> None:
    graph = graph_of(draw(30, 6, 0), 4)
    labels = np.random.default_rng(0).dirichlet(np.ones(3), size=30)
    exact = np.linalg.solve(np.eye(30) - 0.6 * graph.toarray(), 0.4 * labels)
    np.testing.assert_allclose(spread(graph, labels, 0.6), exact / exact.sum(axis=1, keepdims=True), atol=2e-3)
    np.testing.assert_allclose(spread(graph, labels, 0.0), labels)


@pytest.mark.parametrize("rows", [draw(1, 4, 0), np.repeat(draw(1, 4, 0), 6, axis=0), np.zeros((3, 4))])
def test_degenerate_rows_keep_their_labels(rows: Array) -> None:
    labels = np.tile([0.25, 0.75], (len(rows), 1))
    np.testing.assert_allclose(spread(graph_of(rows, 0), labels, 0.8), labels)
