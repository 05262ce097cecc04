"""Thresholds from held-out probabilities."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.metrics import f1_score

from fsat_tasks.numerics.evidence.thresholds import fit_thresholds

Array = NDArray[np.float64]
seeds = st.integers(0, 2**32 - 1)


def draw(rows: int, classes: int, seed: int) -> tuple[Array, NDArray[np.int64]]:
    """Draw calibrated probabilities and labels."""
    rng = np.random.default_rng(seed)
    probabilities = rng.beta(0.3, 1.2, (rows, classes)).round(2)  # rounded, so that some are equal
    return probabilities, (rng.random((rows, classes)) < probabilities).astype(np.int64)


@settings(max_examples=25)  # an example scores all thresholds
@given(st.integers(1, 12), st.integers(1, 4), seeds)
def test_threshold_is_half_of_the_best_micro_f1_of_scikit_learn(rows: int, classes: int, seed: int) -> None:
    probabilities, matrix = draw(rows, classes, seed)
    matrix[0, 0] = 1
    best = max(f1_score(matrix.ravel(), probabilities.ravel() >= value) for value in np.unique(probabilities))
    assert fit_thresholds(probabilities, matrix) == pytest.approx(np.full(classes, best / 2))


def test_no_other_threshold_has_a_higher_expected_micro_f1_with_calibrated_probabilities() -> None:
    probabilities, matrix = draw(10_000, 5, 0)

    def expected(threshold: float) -> float:  # from the probabilities themselves, so without the noise of drawn labels
        given = probabilities >= threshold
        return float(2.0 * probabilities[given].sum() / (probabilities.sum() + given.sum()))

    threshold = fit_thresholds(probabilities, matrix)[0]
    assert expected(threshold) >= max(expected(value) for value in np.linspace(0.05, 0.95, 91)) - 1e-3
    assert expected(threshold) > expected(0.5) + 0.01


def test_threshold_of_sure_and_right_probabilities_is_one_half() -> None:
    matrix = np.eye(4, dtype=np.int64)
    assert fit_thresholds(matrix.astype(np.float64), matrix).tolist() == [0.5] * 4


def test_threshold_is_one_half_if_no_row_has_a_label() -> None:
    assert fit_thresholds(np.full((3, 2), 0.1), np.zeros((3, 2), np.int64)).tolist() == [0.5, 0.5]
