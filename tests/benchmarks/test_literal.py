"""The founding text's rules: only the norms change, and they explode, collapse or settle as the algebra says."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from benchmarks.literal import LOG_NORM_BOUND, adaptive_adjustment, geometric_tuning
from fsat_tasks.numerics.heads.probe import LinearHead

Array = NDArray[np.float64]
Labels = NDArray[np.int64]

CLASSES, DIM = 5, 8
seeds = st.integers(0, 2**32 - 1)
strengths = st.floats(0.0, 10.0)
iterations_counts = st.integers(0, 40)
few = settings(max_examples=50)


def unit(rows: Array) -> Array:
    scaled: Array = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return scaled


def draw(seed: int) -> tuple[Array, Labels, Array]:
    rng = np.random.default_rng(seed)
    names, labels = unit(rng.normal(size=(CLASSES, DIM))), np.repeat(np.arange(CLASSES), 4)
    return unit(names[labels] + 0.5 * rng.normal(size=(len(labels), DIM))), labels, names


def norms(head: LinearHead) -> Array:
    lengths: Array = np.linalg.norm(head.weight, axis=1)
    return lengths


def one_row(z: Array, alpha: float, iterations: int = 10, theta: tuple[float, float] = (1.0, 0.0)) -> float:
    """Return the norm of a single class after tuning to a single row."""
    head = geometric_tuning(np.atleast_2d(z), np.zeros(1, np.int64), np.array([theta]), alpha, iterations)
    return float(norms(head)[0])


@few
@given(seeds, strengths, st.integers(0, 3))
def test_norms_are_those_of_the_rules_as_written(seed: int, strength: float, iterations: int) -> None:
    features, labels, names = draw(seed)
    z, y = np.stack([features[labels == c].mean(axis=0) for c in range(CLASSES)]), features.mean(axis=0)
    tuned, adjusted = names.copy(), names.copy()
    for _ in range(iterations):
        tuned = tuned * (np.square(z - tuned).sum(axis=1, keepdims=True) + strength)
        adjusted = adjusted * (np.square(y - adjusted).sum(axis=1, keepdims=True) + strength)
    start = LinearHead(names, np.arange(CLASSES, dtype=np.float64))
    np.testing.assert_allclose(geometric_tuning(features, labels, names, strength, iterations).weight, tuned, rtol=1e-9)
    head = adaptive_adjustment(start, features, strength, iterations)
    np.testing.assert_allclose(head.weight, adjusted, rtol=1e-9)
    np.testing.assert_array_equal(head.bias, start.bias)


@few
@given(seeds, strengths, strengths, iterations_counts)
def test_directions_never_move(seed: int, alpha: float, beta: float, iterations: int) -> None:
    features, labels, names = draw(seed)
    tuned = geometric_tuning(features, labels, names, alpha, iterations)
    for head in (tuned, adaptive_adjustment(tuned, features[::-1], beta, iterations)):
        np.testing.assert_allclose(head.weight / norms(head)[:, None], names, atol=1e-12)


@few
@given(seeds, st.floats(2.0, 10.0))
def test_norms_explode_within_ten_iterations_for_a_strong_alpha(seed: int, alpha: float) -> None:
    """For theta of length 1 and alpha >= 2 the norm at least doubles first, and is at least cubed, over 4, ever after."""
    features, labels, names = draw(seed)
    tuned = geometric_tuning(features, labels, names, alpha)
    np.testing.assert_allclose(np.log(norms(tuned)), LOG_NORM_BOUND)
    pool = adaptive_adjustment(LinearHead(names, np.zeros(CLASSES)), features, alpha)
    np.testing.assert_allclose(np.log(norms(pool)), LOG_NORM_BOUND)


@few
@given(st.floats(0.1, 0.7), st.floats(0.0, 0.2))
def test_norms_collapse_where_the_factor_is_below_one_at_nothing_and_at_the_start(length: float, alpha: float) -> None:
    along = np.array([length, 0.0])
    at_nothing, at_start = length**2 + alpha, (1.0 - length) ** 2 + alpha
    rate = max(at_nothing, at_start)
    if rate < 1:
        assert one_row(along, alpha) <= rate**10 * (1 + 1e-9)


def test_norm_falls_a_thousandfold_within_ten_iterations_for_scattered_shots() -> None:
    assert one_row(np.array([0.5, 0.3]), 0.05) < 1e-3  # factor at most 0.39


def test_norm_settles_at_the_smaller_root_between_the_two() -> None:
    z, alpha = np.array([0.8, 0.6]), 0.3
    root = 0.8 - np.sqrt(0.8**2 - alpha)
    assert one_row(z, alpha, 200) == pytest.approx(root, rel=1e-9)
    assert one_row(z, alpha, 200, (0.3, 0.0)) == pytest.approx(root, rel=1e-9)  # whatever the length of theta was
    assert one_row(z, alpha, 200, (1.5, 0.0)) > 1e100  # above the larger root


def test_logits_stay_finite_when_norms_leave_the_floats() -> None:
    features, labels, names = draw(0)
    for alpha in (0.0, 1e3, 1e12):
        head = geometric_tuning(features, labels, names, alpha, 1000)
        assert np.isfinite(head.logits(features)).all()
        assert (np.abs(np.log(norms(head))) <= LOG_NORM_BOUND + 1e-9).all()
        assert np.isfinite(adaptive_adjustment(head, features, alpha, 1000).logits(features)).all()


def test_name_that_is_its_only_row_is_lost_without_alpha() -> None:
    assert np.log(one_row(np.array([1.0, 0.0]), 0.0)) == pytest.approx(-LOG_NORM_BOUND)


def test_class_without_a_row_keeps_its_name_and_a_name_of_zeros_stays() -> None:
    names = np.array([[2.0, 0.0], [0.0, 0.0], [0.0, 1.0]])
    head = geometric_tuning(np.array([[1.0, 0.0], [0.6, 0.8]]), np.array([1, 2]), names, 1.0)
    np.testing.assert_array_equal(head.weight[:2], names[:2])
    assert np.isfinite(head.weight).all()
    none = geometric_tuning(np.empty((0, 2)), np.empty(0, np.int64), names, 1.0)
    np.testing.assert_array_equal(none.weight, names)


def test_second_reading_of_the_new_distribution_only_adds_the_pools_variance_to_beta() -> None:
    features, _, names = draw(1)
    variance = float(np.square(features - features.mean(axis=0)).sum(axis=1).mean())
    written = names * (np.square(features - names[:, None]).sum(axis=2).mean(axis=1, keepdims=True) + 0.1)
    head = adaptive_adjustment(LinearHead(names, np.zeros(CLASSES)), features, 0.1 + variance, 1)
    np.testing.assert_allclose(head.weight, written, rtol=1e-12)
