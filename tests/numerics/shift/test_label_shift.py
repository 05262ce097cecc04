"""Class shares by EM against closed forms, and the test for a shift against samples with and without one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.special import log_softmax

from fsat_tasks.numerics.shift.label_shift import (
    em_step,
    estimate_target_prior,
    log_posterior,
    shift_evidence,
    shift_strength,
    shots_prior,
)

Array = NDArray[np.float64]
Labels = NDArray[np.int64]
seeds = st.integers(0, 2**32 - 1)


def gaussian_rows(labels: Labels, classes: int, seed: int, apart: float = 2.0) -> Array:
    """Draw rows around the corners of a simplex, and return their exact log-posteriors under equal shares, (n, classes)."""
    rows = np.random.default_rng(seed).normal(size=(len(labels), classes)) + apart * np.eye(classes)[labels]
    logits: Array = log_softmax(apart * rows, axis=1)
    return logits


def evidence_of(target: Labels, shots: Labels, classes: int, seed: int, offset: Array | float = 0.0) -> float:
    """Return the evidence in standard errors, for a head that is the same in both folds and off by `offset`."""
    logits = gaussian_rows(np.concatenate([target, shots]), classes, seed) + offset
    mean, error = shift_evidence(np.stack([logits, logits]), np.arange(len(shots)) % 2, shots, np.full(classes, 1.0 / classes))
    return mean / error


@settings(max_examples=25)
@given(seeds, st.integers(1, 40), st.integers(2, 8), st.floats(0.1, 100.0))
def test_no_step_lowers_the_log_posterior(seed: int, n: int, classes: int, strength: float) -> None:
    rng = np.random.default_rng(seed)
    source, prior = rng.dirichlet(np.full(classes, 2.0)) + 1e-6, np.full(classes, 1.0 / classes)
    source /= source.sum()
    relative = log_softmax(rng.normal(size=(n, classes)) * 5, axis=1) - np.log(source)
    before = log_posterior(relative, prior, source, strength)
    for _ in range(20):
        prior = em_step(relative, prior, source, strength)
        after = log_posterior(relative, prior, source, strength)
        assert after >= before - 1e-9 * abs(before)
        assert prior.sum() == pytest.approx(1.0)
        before = after


@pytest.mark.parametrize("share", [0.1, 0.5, 0.8])
def test_calibrated_two_class_scores_give_back_the_share_they_were_drawn_with(share: float) -> None:
    """A row says yes with probability 0.9 in class 1 and 0.2 in class 0, so share * 0.9 + (1 - share) * 0.2 of the rows do."""
    yes = round(10_000 * (share * 0.9 + (1 - share) * 0.2))
    likelihood = np.log(np.array([[0.2, 0.9], [0.8, 0.1]]))  # yes, no
    logits = np.repeat(likelihood, [yes, 10_000 - yes], axis=0)
    prior = estimate_target_prior(logits, np.array([0.5, 0.5]), 1e-9)
    assert prior[1] == pytest.approx(share, abs=1e-4)


def test_with_certain_rows_the_estimate_is_the_dirichlet_mode() -> None:
    source = np.array([0.2, 0.3, 0.5])
    logits = 1e4 * np.eye(3)[[0, 0, 0, 1]]
    prior = estimate_target_prior(logits, source, 6.0)
    assert prior == pytest.approx((np.array([3.0, 1.0, 0.0]) + 6.0 * source) / 10.0)


@given(seeds, st.integers(2, 6))
def test_rows_that_say_nothing_leave_the_source_prior(seed: int, classes: int) -> None:
    source = np.random.default_rng(seed).dirichlet(np.full(classes, 5.0)) + 1e-3
    source /= source.sum()
    rows = np.tile(np.log(source), (7, 1))
    assert estimate_target_prior(rows, source, 3.0) == pytest.approx(source)
    assert estimate_target_prior(rows[:0], source, 3.0) == pytest.approx(source)


def test_rows_drawn_without_shift_move_the_prior_less_with_fewer_shots() -> None:
    source = np.full(4, 0.25)
    logits = gaussian_rows(np.arange(400) % 4, 4, seed=0, apart=1.0) + np.array([0.4, 0.0, 0.0, 0.0])  # a head of few shots
    moved = [np.abs(estimate_target_prior(logits, source, shift_strength(400, 4 * m, 4)) - source).max() for m in (1, 8, 64)]
    assert moved[0] < moved[1] < moved[2]
    assert moved[0] < 0.05


def test_shots_prior_counts_the_name_of_a_class_without_shots() -> None:
    assert shots_prior(np.array([0, 0, 2]), 3) == pytest.approx(np.array([3, 1, 2]) / 6)
    assert shots_prior(np.zeros(0, np.int64), 2) == pytest.approx(np.array([0.5, 0.5]))


def test_evidence_is_seldom_seen_without_a_shift() -> None:
    shots = np.repeat(np.arange(3), 8)
    scores = [evidence_of(np.random.default_rng(s).integers(0, 3, 200), shots, 3, seed=s) for s in range(100)]
    assert np.mean(np.array(scores) > 1.645) <= 0.1


def test_evidence_is_seen_with_a_shift() -> None:
    shots = np.repeat(np.arange(3), 8)
    target = np.repeat(np.arange(3), [160, 30, 10])
    scores = [evidence_of(target, shots, 3, seed=s) for s in range(20)]
    assert np.mean(np.array(scores) > 1.645) >= 0.95


def test_a_head_that_favours_a_class_is_no_evidence() -> None:
    shots = np.repeat(np.arange(3), 8)
    offset = np.array([2.0, 0.0, -1.0])
    scores = [evidence_of(np.arange(300) % 3, shots, 3, seed=s, offset=offset) for s in range(50)]
    assert np.mean(np.array(scores) > 1.645) <= 0.1


@pytest.mark.parametrize("rows", [0, 1])
def test_too_few_target_rows_are_no_evidence(rows: int) -> None:
    shots = np.arange(4) % 2
    assert shift_evidence(np.zeros((2, rows + 4, 2)), np.array([0, 1, 1, 0]), shots, np.array([0.5, 0.5])) == (0.0, 0.0)


def test_a_thousand_classes_with_a_shot_each_are_handled() -> None:
    shots = np.arange(1000)
    logits = np.stack([gaussian_rows(np.concatenate([np.zeros(20, np.int64), shots]), 1000, seed=0)] * 2)
    mean, error = shift_evidence(logits, shots % 2, shots, np.full(1000, 1e-3))
    assert np.isfinite([mean, error]).all()
    assert error > 0
    assert np.isfinite(np.log(estimate_target_prior(logits[0], np.full(1000, 1e-3), shift_strength(20, 1000, 1000)))).all()
