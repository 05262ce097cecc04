"""Conformal sets against their definition and their guarantee."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.special import softmax
from scipy.stats import betabinom

from fsat_tasks.numerics.evidence.conformal import (
    conformal_quantile,
    conformal_threshold,
    lac_scores,
    prediction_sets,
    samples_needed,
    too_few_samples,
)

Array = NDArray[np.float64]
Labels = NDArray[np.int64]

seeds = st.integers(0, 2**32 - 1)
rows_counts = st.integers(1, 60)
classes_counts = st.integers(2, 8)
coverages = st.floats(0.05, 0.99)


def draw(rows: int, classes: int, seed: int) -> tuple[Array, Labels]:
    """Draw probabilities that are overconfident by half: conformal sets must not need calibrated ones."""
    rng = np.random.default_rng(seed)
    logits = 2.0 * rng.normal(size=(rows, classes))
    labels = (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)
    return softmax(1.5 * logits, axis=1), labels


@given(rows_counts, seeds, coverages)
def test_quantile_is_the_stated_order_statistic(rows: int, seed: int, coverage: float) -> None:
    exact = (rows + 1) * coverage
    assume(abs(exact - round(exact)) > 1e-8)  # at a whole number the rank depends on the last digit; the next test has those
    scores = np.random.default_rng(seed).normal(size=rows)
    rank = int(np.ceil(exact))
    expected = np.sort(scores)[rank - 1] if rank <= rows else np.inf
    assert conformal_quantile(scores, coverage) == expected


@pytest.mark.parametrize(("rows", "coverage", "rank"), [(19, 0.95, 19), (99, 0.55, 55), (9, 0.9, 9), (9, 0.0, 1), (4, 0.7, 4)])
def test_rank_is_not_rounded_up_by_the_last_digit(rows: int, coverage: float, rank: int) -> None:
    assert conformal_quantile(np.arange(1.0, rows + 1), coverage) == rank


@pytest.mark.parametrize(("rows", "coverage"), [(0, 0.5), (18, 0.95), (8, 0.9), (100, 1.0)])
def test_too_few_rows_for_the_coverage_give_every_class(rows: int, coverage: float) -> None:
    probabilities, labels = draw(rows, 5, 0)
    threshold = conformal_threshold(lac_scores(probabilities), labels, coverage)
    assert threshold == np.inf
    assert prediction_sets(lac_scores(draw(7, 5, 1)[0]), threshold).all()


@given(st.floats(0.0, 0.995))
def test_samples_needed_are_the_fewest_with_a_finite_quantile(coverage: float) -> None:
    needed = int(samples_needed(coverage))
    assume(abs((needed + 1) * coverage - needed) > 1e-8 and abs(needed * coverage - needed + 1) > 1e-8)
    assert np.isfinite(conformal_quantile(np.zeros(needed), coverage))
    assert not np.isfinite(conformal_quantile(np.zeros(needed - 1), coverage))


@pytest.mark.parametrize(("coverage", "needed"), [(0.0, 1), (0.8, 4), (0.9, 9), (0.95, 19), (0.99, 99), (1.0, np.inf)])
def test_samples_needed_are_not_changed_by_the_last_digit(coverage: float, needed: float) -> None:
    assert samples_needed(coverage) == needed


def test_too_few_samples_are_said_with_the_number_that_is_needed() -> None:
    assert too_few_samples(0.95, 19) is None
    assert too_few_samples(0.95, 10) == "coverage 0.95 needs at least 19 samples, there are 10"
    assert too_few_samples(1, 1000) == "coverage 1 needs infinitely many samples, there are 1000"


@pytest.mark.parametrize("coverage", [0.8, 0.95])
def test_marginal_coverage_is_as_asked_on_exchangeable_rows(coverage: float) -> None:
    """With n rows to calibrate, the covered share of m new rows is beta-binomial (Vovk 2012), in both directions without ties."""
    calibration, test = 399, 100_000
    probabilities, labels = draw(calibration + test, 5, 7)
    scores = lac_scores(probabilities)
    threshold = conformal_threshold(scores[:calibration], labels[:calibration], coverage)
    covered = (scores[calibration:] <= threshold)[np.arange(test), labels[calibration:]].sum()
    rank = int(np.ceil((calibration + 1) * coverage))
    low, high = betabinom(test, rank, calibration + 1 - rank).ppf([0.001, 0.999])
    assert low <= covered <= high


def test_mean_coverage_over_small_calibrations_is_within_binomial_bounds() -> None:
    draws, coverage = 2000, 0.9
    hits = 0
    for seed in range(draws):
        scores = np.random.default_rng(seed).normal(size=13)
        hits += scores[-1] <= conformal_quantile(scores[:-1], coverage)
    exact = np.ceil(13 * coverage) / 13
    assert abs(hits / draws - exact) < 4 * np.sqrt(exact * (1 - exact) / draws)


@given(rows_counts, classes_counts, seeds, coverages, coverages)
def test_more_coverage_gives_larger_sets(rows: int, classes: int, seed: int, one: float, two: float) -> None:
    probabilities, labels = draw(rows, classes, seed)
    scores = lac_scores(probabilities)
    small, large = (prediction_sets(scores, conformal_threshold(scores, labels, c)) for c in sorted((one, two)))
    assert (large | ~small).all()


@given(rows_counts, classes_counts, seeds, st.floats(-1.0, 2.0))
def test_sets_are_never_empty_and_hold_the_likeliest_classes(rows: int, classes: int, seed: int, threshold: float) -> None:
    probabilities = draw(rows, classes, seed)[0]
    sets = prediction_sets(lac_scores(probabilities), threshold)
    assert sets.any(axis=1).all()
    least_inside = np.where(sets, probabilities, np.inf).min(axis=1)
    most_outside = np.where(sets, -np.inf, probabilities).max(axis=1)
    assert (least_inside >= most_outside).all()


def test_of_equal_probabilities_the_first_class_is_in_the_set() -> None:
    assert prediction_sets(lac_scores(np.full((2, 4), 0.25)), 0.1).tolist() == [[True, False, False, False]] * 2


def test_no_rows_give_no_sets() -> None:
    assert prediction_sets(lac_scores(np.empty((0, 3))), 0.5).shape == (0, 3)


def test_a_thousand_classes() -> None:
    probabilities, labels = draw(200, 1000, 3)
    scores = lac_scores(probabilities)
    sets = prediction_sets(scores, conformal_threshold(scores, labels, 0.9))
    assert sets[np.arange(200), labels].mean() >= 0.9
