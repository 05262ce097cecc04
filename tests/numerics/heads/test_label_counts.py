"""Probabilities given the number of labels, against sums over all sets of labels."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit

from fsat_tasks.numerics.heads.label_counts import condition_on_counts

seeds = st.integers(0, 2**32 - 1)


@settings(max_examples=20)
@given(st.integers(2, 6), seeds)
def test_rows_with_the_usual_number_of_labels_have_the_probabilities_of_all_sets_of_that_size(classes: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(3, classes))
    found = condition_on_counts(logits, np.full(100_000, 2))  # so many that other numbers have little weight
    for row, probabilities in zip(logits, found, strict=True):
        sets = list(itertools.combinations(range(classes), 2))
        weights = np.exp([row[list(one)].sum() for one in sets])
        wanted = [sum(weight for one, weight in zip(sets, weights, strict=True) if c in one) for c in range(classes)]
        assert probabilities == pytest.approx(wanted / weights.sum(), abs=0.01)


@settings(max_examples=20)
@given(st.integers(1, 20), st.integers(1, 6), seeds, st.floats(0.1, 100.0))
def test_results_are_probabilities_in_the_order_of_the_logits(rows: int, classes: int, seed: int, size: float) -> None:
    rng = np.random.default_rng(seed)
    logits = size * rng.normal(size=(rows, classes))
    found = condition_on_counts(logits, rng.integers(0, classes + 1, 5))
    assert ((found >= 0.0) & (found <= 1.0)).all()
    order = np.argsort(logits, axis=1)
    assert (np.diff(np.take_along_axis(found, order, axis=1), axis=1) >= -1e-9).all()


def test_mean_number_of_labels_is_that_of_the_counts() -> None:
    logits = np.random.default_rng(0).normal(-3.0, 2.0, (3000, 12))
    found = condition_on_counts(logits, np.repeat([1, 2, 3], [500, 300, 200]))
    assert found.sum(axis=1).mean() == pytest.approx(1.7, abs=0.02)


def test_calibrated_logits_hardly_change_if_their_numbers_of_labels_are_usual() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(-1.0, 1.0, (3000, 4))
    counts = (rng.random(logits.shape) < expit(logits)).sum(axis=1)
    assert condition_on_counts(logits, counts) == pytest.approx(expit(logits), abs=0.03)
