"""Least squares against scikit-learn, and their leave-one-out against real refits."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.linear_model import Ridge

from fsat_tasks.numerics.heads.least_squares import fit_least_squares

Array = NDArray[np.float64]


def draw(rows: int, classes: int, dim: int, seed: int) -> tuple[Array, Array, Array, Array]:
    """Draw rows, targets, anchors and counts."""
    rng = np.random.default_rng(seed)
    targets = (rng.random((rows, classes)) < 0.3).astype(np.float64)
    return rng.normal(size=(rows, dim)), targets, rng.normal(size=(classes, dim)), rng.uniform(0.0, 4.0, classes)


@settings(max_examples=30)
@given(st.integers(2, 20), st.integers(1, 4), st.integers(1, 30), st.integers(0, 2**32 - 1), st.floats(0.01, 10.0))
def test_head_is_the_ridge_regression_of_scikit_learn(rows: int, classes: int, dim: int, seed: int, ridge: float) -> None:
    features, targets, anchors, counts = draw(rows, classes, dim, seed)
    head, _ = fit_least_squares(features, targets, anchors, counts, ridge)
    peer = Ridge(alpha=ridge, solver="cholesky").fit(
        np.vstack([features, anchors]), np.vstack([targets, np.eye(classes)]), sample_weight=np.append(np.ones(rows), counts)
    )
    assert head.logits(features) == pytest.approx(peer.predict(features).reshape(rows, classes), abs=1e-6)


@settings(max_examples=20)
@given(st.integers(3, 12), st.integers(1, 3), st.integers(1, 20), st.integers(0, 2**32 - 1))
def test_leave_one_out_is_that_of_refits(rows: int, classes: int, dim: int, seed: int) -> None:
    features, targets, anchors, counts = draw(rows, classes, dim, seed)
    _, held_out = fit_least_squares(features, targets, anchors, counts, 0.3)
    for i in range(rows):
        kept = np.arange(rows) != i
        head, _ = fit_least_squares(features[kept], targets[kept], anchors, counts, 0.3)
        assert held_out[i] == pytest.approx(head.logits(features[i : i + 1])[0], abs=1e-6)
