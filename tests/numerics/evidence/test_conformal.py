"""Conformal sets against their definition and their guarantee; the coverage-accuracy curve against brute force."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.special import softmax
from scipy.stats import betabinom

from fsat_tasks.numerics.evidence.conformal import (
    aps_scores,
    area_under_curve,
    conformal_quantile,
    conformal_threshold,
    coverage_accuracy_curve,
    lac_scores,
    prediction_sets,
)

Array = NDArray[np.float64]
Labels = NDArray[np.int64]

seeds = st.integers(0, 2**32 - 1)
rows_counts = st.integers(1, 60)
classes_counts = st.integers(2, 8)
coverages = st.floats(0.05, 0.99)
score_functions = st.sampled_from([lac_scores, aps_scores, lambda p: aps_scores(p, penalty=0.1, free=2)])


def draw(rows: int, classes: int, seed: int) -> tuple[Array, Labels]:
    """Draw probabilities that are overconfident by half: conformal sets must not need calibrated ones."""
    rng = np.random.default_rng(seed)
    logits = 2.0 * rng.normal(size=(rows, classes))
    labels = (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)
    return softmax(1.5 * logits, axis=1), labels


@given(rows_counts, seeds, coverages)
def test_quantile_is_the_stated_order_statistic(rows: int, seed: int, coverage: float) -> None:
    scores = np.random.default_rng(seed).normal(size=rows)
    rank = int(np.ceil((rows + 1) * coverage))
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


@pytest.mark.parametrize("coverage", [0.8, 0.95])
@pytest.mark.parametrize("scores_of", [lac_scores, aps_scores])
def test_marginal_coverage_is_as_asked_on_exchangeable_rows(scores_of: Callable[[Array], Array], coverage: float) -> None:
    """With n rows to calibrate, the covered share of m new rows is beta-binomial (Vovk 2012), in both directions without ties."""
    calibration, test = 399, 100_000
    probabilities, labels = draw(calibration + test, 5, 7)
    scores = scores_of(probabilities)
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


@given(rows_counts, classes_counts, seeds, coverages, coverages, score_functions)
def test_more_coverage_gives_larger_sets(
    rows: int, classes: int, seed: int, one: float, two: float, scores_of: Callable[[Array], Array]
) -> None:
    probabilities, labels = draw(rows, classes, seed)
    scores = scores_of(probabilities)
    small, large = (prediction_sets(scores, conformal_threshold(scores, labels, c)) for c in sorted((one, two)))
    assert (large | ~small).all()


@given(rows_counts, classes_counts, seeds, st.floats(-1.0, 2.0), score_functions)
def test_sets_are_never_empty_and_hold_the_likeliest_classes(
    rows: int, classes: int, seed: int, threshold: float, scores_of: Callable[[Array], Array]
) -> None:
    probabilities = draw(rows, classes, seed)[0]
    sets = prediction_sets(scores_of(probabilities), threshold)
    assert sets.any(axis=1).all()
    least_inside = np.where(sets, probabilities, np.inf).min(axis=1)
    most_outside = np.where(sets, -np.inf, probabilities).max(axis=1)
    assert (least_inside >= most_outside).all()


@given(rows_counts, classes_counts, seeds, st.floats(0.0, 0.5), st.integers(0, 3))
def test_aps_scores_are_the_sums_of_the_definition(rows: int, classes: int, seed: int, penalty: float, free: int) -> None:
    probabilities = draw(rows, classes, seed)[0]
    expected = np.empty_like(probabilities)
    for i, row in enumerate(probabilities):
        for c, p in enumerate(row):
            likelier = row >= p
            expected[i, c] = row[likelier].sum() + penalty * max(int(likelier.sum()) - free, 0)
    np.testing.assert_allclose(aps_scores(probabilities, penalty, free), expected, atol=1e-12)


def test_equal_probabilities_are_ordered_by_class() -> None:
    np.testing.assert_allclose(aps_scores(np.full((2, 4), 0.25)), [[0.25, 0.5, 0.75, 1.0]] * 2)
    assert prediction_sets(lac_scores(np.full((2, 4), 0.25)), 0.1).tolist() == [[True, False, False, False]] * 2


@given(rows_counts, seeds)
def test_curve_is_the_accuracy_of_the_rows_at_least_so_confident(rows: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    confidence, correct = rng.integers(0, 10, rows) / 10, rng.random(rows) < 0.7
    coverage, accuracy = coverage_accuracy_curve(confidence, correct)
    levels = np.unique(confidence)[::-1]
    np.testing.assert_allclose(coverage, [(confidence >= level).mean() for level in levels])
    np.testing.assert_allclose(accuracy, [correct[confidence >= level].mean() for level in levels])
    order = rng.permutation(rows)
    np.testing.assert_array_equal(coverage_accuracy_curve(confidence[order], correct[order])[1], accuracy)


@given(rows_counts, seeds)
def test_area_is_between_the_worst_order_and_the_best(rows: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    correct, noise = rng.random(rows) < 0.7, rng.random(rows) / 2
    areas = [
        area_under_curve(*coverage_accuracy_curve(confidence, correct))
        for confidence in (noise - correct, noise, noise + correct)
    ]
    assert 0.0 <= areas[0] <= areas[1] + 1e-12 <= areas[2] + 2e-12 <= 1.0 + 3e-12


def test_area_of_a_confidence_that_says_nothing_is_the_accuracy() -> None:
    correct = np.array([True, False, True, True])
    assert area_under_curve(*coverage_accuracy_curve(np.ones(4), correct)) == 0.75


def test_area_of_a_curve_by_hand() -> None:
    coverage, accuracy = coverage_accuracy_curve(np.array([0.9, 0.8, 0.3]), np.array([True, False, True]))
    np.testing.assert_allclose(coverage, [1 / 3, 2 / 3, 1])
    np.testing.assert_allclose(accuracy, [1, 1 / 2, 2 / 3])
    np.testing.assert_allclose(area_under_curve(coverage, accuracy), (1 + 1 / 2 + 2 / 3) / 3)


def test_no_rows_give_an_empty_curve_and_empty_sets() -> None:
    coverage, accuracy = coverage_accuracy_curve(np.empty(0), np.empty(0, bool))
    assert coverage.shape == accuracy.shape == (0,)
    assert area_under_curve(coverage, accuracy) == 0.0
    assert prediction_sets(aps_scores(np.empty((0, 3))), 0.5).shape == (0, 3)


def test_a_thousand_classes() -> None:
    probabilities, labels = draw(200, 1000, 3)
    scores = aps_scores(probabilities)
    sets = prediction_sets(scores, conformal_threshold(scores, labels, 0.9))
    assert sets[np.arange(200), labels].mean() >= 0.9
