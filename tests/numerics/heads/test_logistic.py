"""Logistic regressions of all classes at once against scikit-learn, and their leave-one-out against real refits."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from fsat_tasks.numerics.heads.logistic import fit_logistic, loo_logistic

Array = NDArray[np.float64]


def draw(rows: int, classes: int, dim: int, seed: int) -> tuple[Array, Array]:
    rng = np.random.default_rng(seed)
    targets = (rng.random((rows, classes)) < 0.3).astype(np.float64)
    features = targets @ rng.normal(size=(classes, dim)) + 0.5 * rng.normal(size=(rows, dim))
    return features / np.linalg.norm(features, axis=1, keepdims=True).clip(1e-9), targets


@pytest.mark.parametrize("dim", [4, 60])  # fewer and more than rows
def test_each_class_is_the_logistic_regression_of_scikit_learn(dim: int) -> None:
    rows, targets = draw(30, 4, dim, 0)
    weights = np.linspace(0.5, 3.0, 30)
    head = fit_logistic(rows, targets, weights, 0.1)
    for c in range(4):
        peer = LogisticRegression(C=10.0, tol=1e-8, max_iter=1000).fit(rows, targets[:, c], sample_weight=weights)
        assert head.weight[c] == pytest.approx(peer.coef_[0], abs=1e-3)
        assert head.bias[c] == pytest.approx(peer.intercept_[0], abs=1e-3)


def test_soft_target_counts_as_rows_of_both_kinds() -> None:
    rows, _ = draw(20, 2, 5, 0)
    soft = np.random.default_rng(1).random((20, 2))
    found = fit_logistic(rows, soft, np.ones(20), 0.1)
    both = np.vstack([rows, rows])
    for c in range(2):
        weights = np.concatenate([soft[:, c], 1.0 - soft[:, c]])
        hard = np.repeat([[1.0], [0.0]], 20, axis=0)
        one = fit_logistic(both, hard, weights, 0.1)
        assert found.logits(rows)[:, c] == pytest.approx(one.logits(rows)[:, 0], abs=1e-3)


def test_class_in_no_row_has_a_finite_and_low_logit() -> None:
    rows, targets = draw(20, 3, 5, 0)
    targets[:, 1] = 0.0
    logits = fit_logistic(rows, targets, np.ones(20), 0.1).logits(rows)
    assert np.isfinite(logits).all()
    assert logits[:, 1].max() < -5.0


def test_start_changes_the_fit_by_no_more_than_the_tolerance() -> None:
    rows, targets = draw(40, 3, 8, 0)
    start = fit_logistic(rows, targets, np.ones(40), 1.0)
    found = fit_logistic(rows, targets, np.ones(40), 0.1, start)
    assert found.logits(rows) == pytest.approx(fit_logistic(rows, targets, np.ones(40), 0.1).logits(rows), abs=1e-3)


def test_leave_one_out_is_near_refits() -> None:
    rows, targets = draw(60, 3, 10, 0)
    anchors, counts, ridge = np.eye(3, 10), np.array([2.0, 0.0, 1.0]), 0.3

    def fit(kept: NDArray[np.bool_]) -> Array:
        wanted = np.vstack([targets[kept], np.eye(3)])
        head = fit_logistic(np.vstack([rows[kept], anchors]), wanted, np.append(np.ones(kept.sum()), counts), ridge)
        return head.logits(rows)

    wanted = np.array([fit(np.arange(60) != i)[i] for i in range(60)])
    head = fit_logistic(np.vstack([rows, anchors]), np.vstack([targets, np.eye(3)]), np.append(np.ones(60), counts), ridge)
    found = loo_logistic(head, rows, targets, anchors, counts, ridge)
    assert np.abs(found - wanted).mean() < 0.1 * np.abs(head.logits(rows) - wanted).mean()
