"""Held-out losses against scipy, paired comparisons against their definitions, folds against what stratified means."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats
from scipy.special import log_softmax

from fsat_tasks.numerics.evidence.calibration import fit_temperature
from fsat_tasks.numerics.evidence.held_out import (
    Comparison,
    HeldOut,
    Prior,
    best_of,
    compare,
    judge,
    row_losses,
    stratified_folds,
)

Array = NDArray[np.float64]
Labels = NDArray[np.int64]

seeds = st.integers(0, 2**32 - 1)
rows_counts = st.integers(1, 40)
classes_counts = st.integers(2, 8)


def draw(rows: int, classes: int, seed: int) -> tuple[Array, Labels]:
    """Draw logits that are right more often than chance, and labels."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, rows)
    return rng.normal(size=(rows, classes)) + np.eye(classes)[labels], labels


def held_out(losses: list[float], right: float = 0.0) -> HeldOut:
    """Return evidence with these losses. The first rows, a share `right` of all, are right."""
    n = len(losses)
    return HeldOut(np.zeros((n, 2)), 1.0, np.array(losses), np.arange(n) < round(right * n))


@given(rows_counts, classes_counts, seeds)
def test_row_losses_are_minus_the_log_softmax_at_the_label(rows: int, classes: int, seed: int) -> None:
    logits, labels = draw(rows, classes, seed)
    expected = [-log_softmax(row)[label] for row, label in zip(logits, labels, strict=True)]
    np.testing.assert_allclose(row_losses(logits, labels), expected)


def test_row_losses_of_logits_far_apart_are_finite() -> None:
    assert row_losses(np.array([[1e4, -1e4], [1e4, -1e4]]), np.array([0, 1])).tolist() == [0.0, 2e4]


@given(rows_counts, classes_counts, seeds)
def test_judged_logits_are_divided_by_the_temperature_that_fits_them(rows: int, classes: int, seed: int) -> None:
    logits, labels = draw(rows, classes, seed)
    found = judge(logits, labels)
    assert found.temperature == fit_temperature(logits, labels)
    np.testing.assert_allclose(found.logits * found.temperature, logits)
    np.testing.assert_array_equal(found.losses, row_losses(found.logits, labels))
    assert found.log_loss == pytest.approx(found.losses.mean())
    assert found.accuracy == pytest.approx(float((logits.argmax(axis=1) == labels).mean()))


@given(seeds, st.floats(0.05, 20.0))
def test_scale_of_logits_without_a_natural_one_does_not_matter(seed: int, scale: float) -> None:
    logits, labels = draw(30, 4, seed)
    np.testing.assert_allclose(
        judge(scale * logits, labels, natural=False).losses, judge(logits, labels, natural=False).losses, atol=1e-3
    )


@given(st.integers(2, 40), seeds)
def test_gain_and_error_are_those_of_a_paired_test(rows: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    challenger, incumbent = (held_out(rng.exponential(size=rows).tolist()) for _ in range(2))
    found = compare(challenger, incumbent)
    assert found.gain == pytest.approx(incumbent.log_loss - challenger.log_loss)
    variance = np.var(incumbent.losses - challenger.losses)
    # eight more rows with a spread of 0.5
    assert found.error == pytest.approx(np.sqrt((rows * variance + 8 * 0.25) / (rows + 8) / rows))
    back = compare(incumbent, challenger)
    assert (back.gain, back.error, back.accuracy) == (-found.gain, found.error, -found.accuracy)
    assert not (found.better and back.better)


@pytest.mark.parametrize(
    ("gains", "before", "after", "better"),
    [
        ([0.2, 0.3, 0.4, 0.5], 0.5, 0.5, True),
        ([0.2, 0.3, 0.4, 0.5], 0.5, 0.25, False),  # accuracy is lost
        ([1.0, -0.9, 0.0, 0.0], 0.5, 1.0, False),  # within a standard error
        ([0.0, 0.0, 0.0, 0.0], 0.5, 0.5, False),
        ([0.1, 0.1, 0.1, 0.1], 0.5, 0.5, False),  # four rows whose gains are alike by chance
    ],
)
def test_a_challenger_needs_a_gain_beyond_its_standard_error_and_no_loss_of_accuracy(
    gains: list[float], before: float, after: float, better: bool
) -> None:
    incumbent, challenger = held_out([1.0] * len(gains), before), held_out((1.0 - np.array(gains)).tolist(), after)
    assert compare(challenger, incumbent).better is better


def test_a_comparison_says_its_figures() -> None:
    one, two = held_out([0.5, 0.75], 1.0), held_out([1.0, 1.5], 0.5)
    assert compare(one, two).statistics == "log-loss -0.625 (standard error 0.319), accuracy +0.500"
    with_prior = "log-loss -0.625 (standard error 0.319), expected -0.412, accuracy +0.500"
    assert compare(one, two, Prior(0.2, compare(one, two).error)).statistics == with_prior


PRIOR = Prior(0.1, 0.1)


@pytest.mark.parametrize(
    ("found", "sentence"),
    [
        (
            Comparison(0.1, 0.05, 0.02),
            "Better by more than the margin of error: on left-out samples the right label gets 11 % more probability, and "
            "accuracy rises by 2.0 points.",
        ),
        (
            Comparison(0.02, 0.05, 0.0),
            "Not better by more than the margin of error: on left-out samples the right label gets 2 % more probability, and "
            "accuracy stays the same.",
        ),
        (
            Comparison(-0.1, 0.05, 0.02),
            "No better: on left-out samples the right label gets 10 % less probability, but accuracy rises by 2.0 points.",
        ),
        (
            Comparison(1.1, 0.05, -0.1),
            "Less accurate: on left-out samples the right label gets 3.0 times as much probability, but accuracy falls by "
            "10.0 points.",
        ),
        (
            Comparison(0.1, 0.05, -0.2, 0.05, PRIOR),
            "Less accurate: on left-out samples the right label gets 11 % more probability, but accuracy falls by 20.0 points.",
        ),
        (
            Comparison(-0.001, 0.05, -0.01, 0.05, PRIOR),
            "Taken on trust: on left-out samples the right label gets as much probability as before, and accuracy falls by "
            "1.0 points. Chance may explain that, and such a rung usually gains on new rows.",
        ),
        (
            Comparison(-0.01, 0.05, -0.016, 0.02, PRIOR),
            "Taken on trust: on left-out samples the right label gets 1 % less probability, and accuracy falls by 1.6 points. "
            "Chance may explain that, and such a rung usually gains on new rows.",
        ),
    ],
)
def test_a_comparison_is_a_sentence_whose_verdict_is_the_decision(found: Comparison, sentence: str) -> None:
    assert str(found) == sentence
    assert found.better == sentence.startswith(("Better", "Probably better", "Taken on trust"))


@given(st.floats(-1, 1), st.floats(0.1, 1), st.floats(-1, 1), st.floats(0.1, 1))
def test_expected_gain_is_the_mean_of_the_normal_posterior(gain: float, error: float, mean: float, spread: float) -> None:
    found = Comparison(gain, error, 0.0, 0.0, Prior(mean, spread))
    at = np.linspace(-8, 8, 20_001)
    density = stats.norm.pdf(gain, at, error) * stats.norm.pdf(at, mean, spread)
    assert found.expected == pytest.approx(float(at @ density / density.sum()), abs=1e-6)
    assert found.better is (found.expected > 0.0)


def test_a_prior_decides_where_evidence_is_weak_and_evidence_where_it_is_strong() -> None:
    prior = Prior(0.03, 0.04)
    assert Comparison(-0.01, 0.03, 0.0, 0.0, prior).better
    assert not Comparison(-0.01, 0.01, 0.0, 0.0, prior).better
    assert not Comparison(0.01, 0.03, -0.1, 0.05, prior).better  # accuracy lost beyond chance
    assert Comparison(0.01, 0.03, -0.05, 0.05, prior).better


@given(st.lists(st.integers(0, 6), max_size=60), st.integers(1, 6))
def test_folds_are_as_even_as_can_be_in_all_and_in_each_class(drawn: list[int], folds: int) -> None:
    labels = np.array(drawn, np.int64)
    fold = stratified_folds(labels, folds)
    assert fold.shape == labels.shape
    for rows in (fold, *(fold[labels == c] for c in range(7))):
        counts = np.bincount(rows, minlength=folds)
        assert len(counts) == folds
        assert counts.max() - counts.min() <= 1
    np.testing.assert_array_equal(fold, stratified_folds(labels, folds))


def test_a_class_of_two_is_never_hidden_whole() -> None:
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(50), 2))
    fold = stratified_folds(labels, 4)
    assert all(len(set(fold[labels == c])) == 2 for c in range(50))


def test_the_best_of_equals_is_no_better_than_they_are() -> None:
    """The least mean loss of forty candidates of pure noise is well below the truth; the evidence is not."""
    rng = np.random.default_rng(0)
    fold = np.arange(40) % 4
    least, honest = [], []
    for _ in range(200):
        tried = [held_out(rng.normal(1.0, 0.5, 40).tolist()) for _ in range(12)]
        best, found = best_of(tried, fold)
        assert tried[best].log_loss == min(one.log_loss for one in tried)
        least.append(tried[best].log_loss)
        honest.append(found.log_loss)
    assert np.mean(least) < 0.9
    assert np.mean(honest) == pytest.approx(1.0, abs=0.02)


def test_a_clear_best_keeps_its_own_evidence() -> None:
    rng = np.random.default_rng(0)
    good, bad = held_out(rng.uniform(0, 1, 12).tolist(), 0.75), held_out(rng.uniform(2, 3, 12).tolist(), 0.25)
    best, found = best_of([bad, good], np.arange(12) % 4)
    assert best == 1
    np.testing.assert_array_equal(found.losses, good.losses)
    np.testing.assert_array_equal(found.right, good.right)
