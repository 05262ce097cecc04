"""Temperature scaling against a search of the whole range, the calibration error against its definition."""

from __future__ import annotations

import numpy as np
import pytest
import sklearn.metrics
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.special import log_softmax, softmax

from fsat_tasks.numerics.evidence.calibration import (
    balance_strength,
    expected_calibration_error,
    expected_calibration_error_by_chance,
    fit_temperature,
    log_loss,
    reliability_bins,
)

Array = NDArray[np.float64]
Labels = NDArray[np.int64]

seeds = st.integers(0, 2**32 - 1)
rows_counts = st.integers(1, 60)
classes_counts = st.integers(2, 8)


def draw_labels(probabilities: Array, rng: np.random.Generator) -> Labels:
    """Draw labels by the probabilities of a calibrated model."""
    drawn = (probabilities.cumsum(1) < rng.random((len(probabilities), 1))).sum(1)
    labels: Labels = np.minimum(drawn, probabilities.shape[1] - 1)
    return labels


def draw(rows: int, classes: int, seed: int) -> tuple[Array, Labels]:
    """Draw logits, and labels that have nothing to do with their scale."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=(rows, classes)) * rng.choice([0.1, 1.0, 10.0]), rng.integers(0, classes, rows)


@given(rows_counts, classes_counts, seeds)
def test_log_loss_is_scikit_learns(rows: int, classes: int, seed: int) -> None:
    logits, labels = draw(rows, classes, seed)
    logits = np.clip(logits, -15, 15)  # theirs takes probabilities, which round to 0 and 1 beyond
    theirs = sklearn.metrics.log_loss(labels, softmax(logits, axis=1), labels=list(range(classes)))
    assert log_loss(logits, labels) == pytest.approx(theirs, rel=1e-6, abs=1e-12)


def test_log_loss_of_logits_far_apart_is_finite() -> None:
    assert log_loss(np.array([[1e4, -1e4]]), np.array([1])) == pytest.approx(2e4)


@pytest.mark.parametrize("scale", [0.05, 0.5, 1.0, 3.0, 20.0])
def test_known_scale_of_calibrated_logits_is_found(scale: float) -> None:
    rng = np.random.default_rng(0)
    logits = 2.0 * rng.normal(size=(20_000, 4))
    labels = draw_labels(softmax(logits, axis=1), rng)
    assert fit_temperature(logits * scale, labels) == pytest.approx(scale, rel=0.03)


@given(st.integers(5, 60), classes_counts, seeds)
def test_no_temperature_of_a_grid_is_better(rows: int, classes: int, seed: int) -> None:
    logits, labels = draw(rows, classes, seed)
    targets = np.full((rows, classes), 1.0 / (rows + 2) / classes)
    targets[np.arange(rows), labels] += 1.0 - 1.0 / (rows + 2)

    def loss(temperature: float) -> float:
        prior = 0.5 * (np.log(temperature) / 0.5) ** 2 / rows  # log-normal around 1
        return float(prior - np.mean((targets * log_softmax(logits / temperature, axis=1)).sum(axis=1)))

    grid = min(loss(temperature) for temperature in np.exp(np.linspace(-10, 10, 401)))
    assert loss(fit_temperature(logits, labels)) <= grid + 1e-6


@pytest.mark.parametrize("rows", [3, 30, 300])
@pytest.mark.parametrize("classes", [2, 7])
def test_rows_that_are_all_right_are_not_called_certain(rows: int, classes: int) -> None:
    labels = np.arange(rows) % classes
    logits = 5.0 * np.eye(classes)[labels]
    confidence = softmax(logits / fit_temperature(logits, labels), axis=1)[0].max()
    # between what the logits say and Platt's (n + 1) / (n + 2)
    bounds = sorted([softmax(logits[0]).max(), 1.0 - (1.0 - 1.0 / classes) / (rows + 2)])
    assert bounds[0] <= confidence <= bounds[1] < 1.0


def test_a_few_rows_of_noise_do_not_ask_for_an_extreme_temperature() -> None:
    for seed in range(20):
        rng = np.random.default_rng(seed)
        assert 0.2 < fit_temperature(rng.normal(size=(8, 2)), rng.integers(0, 2, 8)) < 5.0


@given(seeds, st.floats(0.2, 5.0))
def test_many_rows_outweigh_the_prior(seed: int, scale: float) -> None:
    rng = np.random.default_rng(seed)
    logits = 2.0 * rng.normal(size=(2000, 3))
    labels = draw_labels(softmax(logits, axis=1), rng)
    assert fit_temperature(scale * logits, labels) == pytest.approx(scale * fit_temperature(logits, labels), rel=0.05)


def test_balance_strength_finds_the_shares_that_a_model_learnt() -> None:
    """The strength is 1 for logits that hold the class shares, and 0 for logits without them."""
    rng = np.random.default_rng(0)
    shares = np.array([0.7, 0.2, 0.1])
    labels = rng.choice(3, 5000, p=shares)
    logits = 1.5 * np.eye(3)[labels] + rng.normal(size=(5000, 3))  # likelihood ratios of the classes
    for learnt in (0.0, 0.5, 1.0):
        assert balance_strength(1.5 * logits + learnt * np.log(shares), labels, np.log(shares)) == pytest.approx(learnt, abs=0.1)


@given(rows_counts, classes_counts, seeds)
def test_temperature_is_positive_and_finite_and_keeps_the_labels(rows: int, classes: int, seed: int) -> None:
    logits, labels = draw(rows, classes, seed)
    temperature = fit_temperature(logits, labels)
    assert 0 < temperature < np.inf
    assert ((logits / temperature).argmax(1) == logits.argmax(1)).all()


def answers(probabilities: Array, labels: Labels) -> tuple[Array, NDArray[np.bool_]]:
    """Return the confidence of the likeliest class of each row, and whether this class is right."""
    return probabilities.max(axis=1), probabilities.argmax(axis=1) == labels


def slow_ece(probabilities: Array, labels: Labels, bins: int) -> float:
    """Naeini et al. 2015, row by row; bins are closed below, the last on both sides."""
    inside: dict[int, list[tuple[float, bool]]] = {}
    for row, label in zip(probabilities.tolist(), labels.tolist(), strict=True):
        top = max(row)
        inside.setdefault(min(int(top * bins), bins - 1), []).append((top, row.index(top) == label))
    gap = 0.0
    for rows in inside.values():
        confidence = sum(top for top, _ in rows) / len(rows)
        accuracy = sum(right for _, right in rows) / len(rows)
        gap += len(rows) / len(labels) * abs(confidence - accuracy)
    return gap


@given(rows_counts, classes_counts, seeds, st.integers(1, 30))
def test_calibration_error_is_that_of_the_definition(rows: int, classes: int, seed: int, bins: int) -> None:
    logits, labels = draw(rows, classes, seed)
    probabilities = softmax(logits, axis=1)
    error = expected_calibration_error(*answers(probabilities, labels), bins)
    assert error == pytest.approx(slow_ece(probabilities, labels, bins), abs=1e-12)
    assert 0 <= error <= 1


@pytest.mark.parametrize(
    ("confidence", "right", "error"), [(1.0, 10, 0.0), (1.0, 0, 1.0), (0.8, 8, 0.0), (0.8, 5, 0.3), (0.6, 10, 0.4)]
)
def test_calibration_error_of_equal_confidences_is_their_gap_to_the_accuracy(confidence: float, right: int, error: float) -> None:
    probabilities = np.tile([confidence, 1 - confidence], (10, 1))
    labels = np.array([0] * right + [1] * (10 - right))
    assert expected_calibration_error(*answers(probabilities, labels)) == pytest.approx(error)


def test_gaps_of_two_bins_do_not_cancel() -> None:
    probabilities = np.array([[0.95, 0.05], [0.55, 0.45]])
    assert expected_calibration_error(*answers(probabilities, np.array([1, 0]))) == pytest.approx((0.95 + 0.45) / 2)
    assert expected_calibration_error(*answers(probabilities, np.array([1, 0])), bins=1) == pytest.approx(0.25)


def test_calibrated_labels_have_a_small_error() -> None:
    rng = np.random.default_rng(1)
    probabilities = softmax(2.0 * rng.normal(size=(20_000, 3)), axis=1)
    assert expected_calibration_error(*answers(probabilities, draw_labels(probabilities, rng))) < 0.02


@given(rows_counts, classes_counts, seeds, st.integers(1, 30))
def test_bins_add_up_to_the_rows_and_the_accuracy(rows: int, classes: int, seed: int, bins: int) -> None:
    logits, labels = draw(rows, classes, seed)
    probabilities = softmax(logits, axis=1)
    entries = reliability_bins(*answers(probabilities, labels), bins)
    assert sum(entry["rows"] for entry in entries) == rows
    right = sum(entry["rows"] * entry["accuracy"] for entry in entries)
    assert right == pytest.approx((probabilities.argmax(1) == labels).sum())
    assert sum(entry["rows"] * entry["confidence"] for entry in entries) == pytest.approx(probabilities.max(1).sum())
    assert len(entries) <= bins
    assert all(entry["rows"] > 0 for entry in entries)
    confidences = [entry["confidence"] for entry in entries]
    assert confidences == sorted(confidences)


@pytest.mark.parametrize("rows", [40, 400])
def test_chance_is_what_calibrated_models_show_on_so_many_rows(rows: int) -> None:
    rng = np.random.default_rng(1)
    probabilities = softmax(2.0 * rng.normal(size=(rows, 4)), axis=1)
    shown = [expected_calibration_error(*answers(probabilities, draw_labels(probabilities, rng))) for _ in range(300)]
    chance = expected_calibration_error_by_chance(probabilities.max(axis=1), seed=0)
    assert chance == pytest.approx(np.mean(shown), rel=0.1)
