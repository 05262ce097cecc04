"""Metrics of grades and numbers against references, and where they are undefined."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from fsat_tasks.numerics.evidence.metrics import confusion_matrix
from fsat_tasks.numerics.evidence.ordinal_metrics import (
    mean_error_interval,
    rank_agreement,
    weighted_kappa,
)
from fsat_tasks.numerics.evidence.paired import compare_paired_errors


def test_interval_has_the_mean_error_in_it_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    inside = 0
    for seed in range(200):
        errors = rng.exponential(size=100)
        low, high = mean_error_interval(errors, seed)
        assert low <= errors.mean() <= high
        inside += low <= 1.0 <= high
    assert 0.89 <= inside / 200 <= 0.98


def test_interval_is_the_same_with_the_same_seed_and_narrower_with_a_lower_level() -> None:
    errors = np.random.default_rng(0).exponential(size=50)
    assert mean_error_interval(errors, 1) == mean_error_interval(errors, 1)
    low, high = mean_error_interval(errors, 1, level=0.5)
    outer = mean_error_interval(errors, 1)
    assert outer[0] < low < high < outer[1]
    assert mean_error_interval(np.array([2.0]), 0) == (2.0, 2.0)


def test_rank_agreement_is_the_share_of_pairs_in_order_less_the_share_out_of_order() -> None:
    assert rank_agreement(np.arange(5), np.arange(5) * 2.0) == pytest.approx(1.0)
    assert rank_agreement(np.arange(5), -np.arange(5)) == pytest.approx(-1.0)
    assert rank_agreement(np.array([1, 2, 3, 4]), np.array([1, 2, 4, 3])) == pytest.approx((5 - 1) / 6)


def test_rank_agreement_of_constant_or_single_input_is_zero_without_a_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert rank_agreement(np.ones(4), np.arange(4)) == rank_agreement(np.arange(4), np.ones(4)) == 0.0
        assert rank_agreement(np.array([1]), np.array([2])) == rank_agreement(np.array([]), np.array([])) == 0.0


@pytest.mark.parametrize("seed", range(3))
def test_weighted_kappa_is_that_of_a_reference(seed: int) -> None:
    from sklearn.metrics import cohen_kappa_score

    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 5, 60)
    predicted = np.clip(truth + rng.integers(-1, 3, 60), 0, 4)
    expected = cohen_kappa_score(truth, predicted, weights="quadratic", labels=np.arange(5))
    assert weighted_kappa(confusion_matrix(truth, predicted, 5)) == pytest.approx(expected)


def test_weighted_kappa_of_constant_or_no_rows_is_zero() -> None:
    constant = np.zeros((3, 3), np.int64)
    assert weighted_kappa(constant) == 0.0
    constant[1, 1] = 7
    assert weighted_kappa(constant) == 0.0


@given(st.integers(0, 30), st.integers(0, 30), st.integers(0, 9))
def test_compare_paired_errors_are_the_sign_test_on_nearer_and_farther_rows(nearer: int, farther: int, same: int) -> None:
    old = np.full(nearer + farther + same, 2.0)
    new = old + np.repeat([-1.5, 0.5, 0.0], [nearer, farther, same])
    found = compare_paired_errors(new, old)
    assert (found.gained, found.lost) == (nearer, farther)
    if nearer + farther:
        assert found.better_p == pytest.approx(binomtest(nearer, nearer + farther, alternative="greater").pvalue)
        assert found.worse_p == pytest.approx(binomtest(farther, nearer + farther, alternative="greater").pvalue)
