"""The affine maps bring the target rows to the source's moments, and fold into a head."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from fsat_tasks.numerics.feature_shift import coral_map, fold_into_head, mean_shift_map
from fsat_tasks.numerics.probe import LinearHead

Array = NDArray[np.float64]
MAPS = [mean_shift_map, coral_map]


def rows(n: int, seed: int, dim: int = 4) -> Array:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, dim)) @ rng.normal(size=(dim, dim)) + rng.normal(size=dim)


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1), st.sampled_from(MAPS))
def test_mapped_target_rows_have_the_source_mean(seed: int, make: type) -> None:
    source, target = rows(30, seed), rows(20, seed + 1)
    matrix, offset = make(source, target)
    assert (target @ matrix.T + offset).mean(axis=0) == pytest.approx(source.mean(axis=0), abs=1e-6)


def test_coral_gives_many_rows_the_source_covariance() -> None:
    source, target = rows(50_000, 0), rows(50_000, 1)
    matrix, offset = coral_map(source, target)
    expected = np.cov(source.T, bias=True)
    assert np.cov((target @ matrix.T + offset).T, bias=True) == pytest.approx(expected, abs=0.01 * np.trace(expected))


@pytest.mark.parametrize("make", MAPS)
def test_rows_that_are_alike_stay_where_they_are(make: type) -> None:
    source = rows(40, 2)
    matrix, offset = make(source, source)
    assert matrix == pytest.approx(np.eye(4), abs=1e-8)
    assert offset == pytest.approx(np.zeros(4), abs=1e-8)


@pytest.mark.parametrize("make", MAPS)
def test_folded_head_gives_the_logits_of_the_mapped_rows(make: type) -> None:
    source, target = rows(30, 3), rows(25, 4)
    rng = np.random.default_rng(5)
    head = LinearHead(rng.normal(size=(3, 4)), rng.normal(size=3))
    affine = make(source, target)
    mapped = target @ affine[0].T + affine[1]
    assert fold_into_head(head, affine).logits(target) == pytest.approx(head.logits(mapped))


@pytest.mark.parametrize("make", MAPS)
@pytest.mark.parametrize("sizes", [(0, 0), (0, 5), (5, 0), (1, 5), (5, 1), (2, 2)])
def test_few_rows_give_a_finite_map(make: type, sizes: tuple[int, int]) -> None:
    matrix, offset = make(rows(sizes[0], 6), rows(sizes[1], 7))
    assert np.isfinite(matrix).all()
    assert np.isfinite(offset).all()


@pytest.mark.parametrize("target", [np.ones((6, 4)), np.zeros((6, 4))])
def test_coral_of_equal_rows_moves_the_mean_only(target: Array) -> None:
    matrix, offset = coral_map(rows(30, 8), target)
    assert np.array_equal(matrix, np.eye(4))
    assert np.isfinite(offset).all()
