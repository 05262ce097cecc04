"""Confident learning: planted wrong labels are found, right ones are left alone."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from fsat_tasks.numerics.evidence.label_errors import suspected_label_errors, suspected_numbers
from fsat_tasks.numerics.geometry.neighbours import unit_rows
from fsat_tasks.numerics.heads.prototypes import prototype_loo_logits


def left_out(labels: NDArray[np.int64], seed: int) -> NDArray[np.float64]:
    """Return left-out probabilities, (rows, 8), of a model that knows these classes more or less."""
    rng = np.random.default_rng(seed)
    probabilities: NDArray[np.float64] = softmax(5.0 * np.eye(8)[labels] + rng.normal(size=(len(labels), 8)), axis=1)
    return probabilities


def test_planted_wrong_labels_are_found_and_right_ones_left_alone() -> None:
    truth = np.repeat(np.arange(8), 10)
    found = wrong = right_class = 0
    for seed in range(10):
        given = truth.copy()
        planted = np.random.default_rng(seed).choice(len(truth), 6, replace=False)
        given[planted] = (given[planted] + 3) % 8
        rows, likelier = suspected_label_errors(left_out(truth, seed), given)
        found += len(set(planted) & set(rows))
        wrong += len(set(rows) - set(planted))
        right_class += int((likelier == truth[rows])[np.isin(rows, planted)].sum())
    assert found > 0.7 * 60
    assert wrong < 10
    assert right_class == found


def test_clean_labels_give_next_to_nothing() -> None:
    truth = np.repeat(np.arange(8), 10)
    assert max(len(suspected_label_errors(left_out(truth, seed), truth)[0]) for seed in range(5)) <= 3


def test_the_surest_come_first() -> None:
    truth = np.repeat(np.arange(8), 10)
    given = np.where(np.arange(80) % 9 == 0, (truth + 1) % 8, truth)
    probabilities = left_out(truth, 0)
    rows, likelier = suspected_label_errors(probabilities, given)
    ratio = probabilities[rows, likelier] / probabilities[rows, given[rows]]
    assert len(rows) > 3
    assert (np.diff(ratio) <= 0).all()
    assert (ratio >= 20).all()


def test_a_sample_is_only_counted_as_a_class_that_is_held_with_its_usual_confidence() -> None:
    # class 0 is usually held with 0.9: 0.6 for it is doubt, not confidence, however little the label has
    probabilities = np.array([[0.9, 0.05, 0.05]] * 4 + [[0.05, 0.9, 0.05]] * 4 + [[0.6, 0.01, 0.39]] + [[0.1, 0.1, 0.8]] * 4)
    labels = np.array([0] * 4 + [1] * 5 + [2] * 4)
    assert len(suspected_label_errors(probabilities, labels)[0]) == 0
    probabilities[8] = [0.95, 0.01, 0.04]
    rows, likelier = suspected_label_errors(probabilities, labels)
    assert (rows.tolist(), likelier.tolist()) == ([8], [0])


def test_a_class_without_samples_and_a_certain_model_are_no_trouble() -> None:
    probabilities = np.array([[1.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 1.0, 0.0]])
    rows, likelier = suspected_label_errors(probabilities, np.array([0, 1, 1, 1]))
    assert (rows.tolist(), likelier.tolist()) == ([1], [0])


def test_leave_one_out_logits_of_prototypes_find_a_swapped_pair() -> None:
    rng = np.random.default_rng(0)
    truth = np.repeat(np.arange(4), 8)
    features = rng.normal(size=(4, 16))[truth] + 0.3 * rng.normal(size=(32, 16))
    given = truth.copy()
    given[[0, 31]] = [3, 0]
    logits = prototype_loo_logits(unit_rows(features), given, np.zeros((4, 16)), 0.0)
    rows, _ = suspected_label_errors(softmax(logits, axis=1), given)
    assert set(rows) == {0, 31}


def test_numbers_with_errors_far_above_the_usual_are_suspected() -> None:
    errors = np.random.default_rng(0).uniform(-2.0, 2.0, 400)  # of a median size of 1
    errors[7], errors[30] = -30.0, 40.0
    rows, scores = suspected_numbers(errors)
    assert rows.tolist() == [30, 7]
    np.testing.assert_allclose(scores, [40.0 * 0.6745, 30.0 * 0.6745], rtol=0.1)


def test_numbers_that_are_all_predicted_exactly_are_not_suspected() -> None:
    rows, scores = suspected_numbers(np.array([0.0, 0.0, 0.0, 1e-12]))
    assert (rows.size, scores.size) == (0, 0)
