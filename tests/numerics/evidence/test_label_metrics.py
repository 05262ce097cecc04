"""Scores of several labels against scikit-learn, and their calibration error."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.metrics import accuracy_score, f1_score, precision_recall_fscore_support

from fsat_tasks.numerics.evidence.calibration import expected_calibration_error, expected_calibration_error_by_chance
from fsat_tasks.numerics.evidence.label_metrics import calibration_error, calibration_error_by_chance, score_labels

Array = NDArray[np.float64]
seeds = st.integers(0, 2**32 - 1)


def draw(rows: int, classes: int, seed: int) -> tuple[Array, NDArray[np.int64]]:
    """Draw calibrated probabilities and labels."""
    rng = np.random.default_rng(seed)
    probabilities = rng.beta(0.3, 1.2, (rows, classes))
    return probabilities, (rng.random((rows, classes)) < probabilities).astype(np.int64)


@settings(max_examples=40)
@given(st.integers(1, 30), st.integers(2, 6), seeds)
def test_scores_are_those_of_scikit_learn(rows: int, classes: int, seed: int) -> None:
    probabilities, matrix = draw(rows, classes, seed)
    predicted = (probabilities >= 0.4).astype(np.int64)
    found = score_labels(matrix, predicted)
    precision, recall, f1, _ = precision_recall_fscore_support(matrix, predicted, zero_division=0)
    there = (matrix + predicted).any(axis=0)
    assert found.precision == pytest.approx(precision)
    assert found.recall == pytest.approx(recall)
    assert found.f1[there] == pytest.approx(f1[there])
    assert found.subset_accuracy == accuracy_score(matrix, predicted)
    if there.any():
        assert found.micro_f1 == pytest.approx(f1_score(matrix, predicted, average="micro", zero_division=0))
        assert found.macro_f1 == pytest.approx(f1[there].mean())


def test_f1_of_a_label_that_is_neither_given_nor_true_is_left_out() -> None:
    matrix = np.array([[1, 0], [0, 0]])
    found = score_labels(matrix, matrix)
    assert np.isnan(found.f1[1])
    assert found.macro_f1 == 1.0


def test_no_labels_at_all_are_all_right_without_a_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = score_labels(np.zeros((3, 2), np.int64), np.zeros((3, 2), np.int64))
    assert (found.micro_f1, found.macro_f1, found.subset_accuracy) == (1.0, 1.0, 1.0)


def test_calibration_error_is_the_mean_of_that_of_each_label() -> None:
    probabilities, matrix = draw(200, 3, 0)
    wanted = [expected_calibration_error(*one) for one in zip(probabilities.T, (matrix > 0).T, strict=True)]
    assert calibration_error(probabilities, matrix) == pytest.approx(np.mean(wanted))


@given(st.integers(1, 40), st.integers(1, 5), seeds)
def test_calibration_error_is_between_zero_and_one_and_does_not_depend_on_the_order_of_rows(
    rows: int, classes: int, seed: int
) -> None:
    probabilities, matrix = draw(rows, classes, seed)
    order = np.random.default_rng(seed).permutation(rows)
    found = calibration_error(probabilities, matrix)
    assert 0.0 <= found <= 1.0
    assert calibration_error(probabilities[order], matrix[order]) == pytest.approx(found)


def test_sure_and_right_probabilities_have_no_calibration_error() -> None:
    matrix = np.eye(5, dtype=np.int64)
    assert calibration_error(matrix.astype(np.float64), matrix) == 0.0
    assert calibration_error((1 - matrix).astype(np.float64), matrix) == 1.0


def test_calibrated_probabilities_have_the_error_by_chance() -> None:
    probabilities, matrix = draw(500, 40, 0)
    assert calibration_error(probabilities, matrix) == pytest.approx(calibration_error_by_chance(probabilities, seed=0), rel=0.05)


def test_error_by_chance_of_one_probable_label_is_that_of_one_confidence() -> None:
    stated = np.random.default_rng(0).uniform(0.5, 1.0, (100, 1))
    found = calibration_error_by_chance(stated, seed=1, draws=200)
    wanted = expected_calibration_error_by_chance(stated[:, 0], seed=2)
    assert found == pytest.approx(wanted, rel=0.05)
