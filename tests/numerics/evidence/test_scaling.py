"""Scale and shift of binary scores against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss

from fsat_tasks.numerics.evidence.scaling import binary_losses, fit_binary_temperature, fit_scaling


def test_scaling_is_the_logistic_regression_of_scikit_learn_on_many_rows() -> None:
    rng = np.random.default_rng(0)
    scores = 0.1 * rng.normal(size=(5000, 4)) + 3.0
    targets = (rng.random(scores.shape) < expit(20.0 * (scores - 3.1))).astype(np.float64)
    found = fit_scaling(scores, targets)
    peer = LogisticRegression(C=1e9, tol=1e-10).fit(scores.reshape(-1, 1), targets.ravel())
    assert found.scale == pytest.approx(peer.coef_[0, 0], rel=0.01)
    assert found.shift == pytest.approx(peer.intercept_[0], rel=0.01)


@settings(max_examples=50)
@given(st.integers(1, 10), st.integers(1, 4), st.integers(0, 2**32 - 1), st.floats(0.001, 1000.0))
def test_higher_scores_never_have_lower_probabilities(rows: int, classes: int, seed: int, size: float) -> None:
    rng = np.random.default_rng(seed)
    scores = size * rng.normal(size=(rows, classes))
    found = fit_scaling(scores, rng.integers(0, 2, scores.shape).astype(np.float64))
    assert found.scale > 0
    assert np.isfinite([found.scale, found.shift]).all()


def test_equal_scores_get_the_share_of_the_labels() -> None:
    targets = np.repeat([1.0, 0.0, 0.0, 0.0], 25).reshape(20, 5)
    found = fit_scaling(np.full((20, 5), 7.0), targets)
    assert expit(found(np.array([7.0]))) == pytest.approx(0.25, abs=0.01)


def test_losses_are_those_of_scikit_learn() -> None:
    logits, targets = np.array([[2.0, -1.0], [0.0, 700.0]]), np.array([[1.0, 0.0], [1.0, 1.0]])
    assert binary_losses(logits, targets).mean() == pytest.approx(log_loss(targets.ravel(), expit(logits).ravel(), labels=[0, 1]))
    assert np.isfinite(binary_losses(1e6 * logits, targets)).all()


def test_temperature_is_recovered_from_logits_that_are_too_large() -> None:
    rng = np.random.default_rng(0)
    logits = 2.0 * rng.normal(size=(5000, 4))
    targets = (rng.random(logits.shape) < expit(logits)).astype(np.float64)
    assert fit_binary_temperature(3.0 * logits, targets) == pytest.approx(3.0, rel=0.05)


def test_temperature_of_right_answers_only_is_that_of_platts_targets() -> None:
    targets = np.eye(2)
    logits = np.where(targets > 0, 5.0, -5.0)
    # two right answers of each kind make the next one 3 in 4, a logit of log 3
    assert fit_binary_temperature(logits, targets) == pytest.approx(5.0 / np.log(3.0), rel=1e-3)
