"""Figures against scikit-learn's, and the interval against what it promises."""

from __future__ import annotations

import numpy as np
import pytest
import sklearn.metrics
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from fsat_tasks.numerics.evidence.metrics import accuracy_interval, confusion_matrix, macro_f1, recalls

Labels = NDArray[np.int64]
Pair = tuple[int, Labels, Labels]


@st.composite
def labelled(draw: st.DrawFn) -> Pair:
    """Draw a number of classes, the truth and a prediction. Some classes may be in neither."""
    classes = draw(st.integers(1, 6))
    pairs = draw(st.lists(st.tuples(*[st.integers(0, classes - 1)] * 2), min_size=1, max_size=40))
    truth, predicted = np.array(pairs, np.int64).T
    return classes, truth, predicted


@given(labelled())
def test_confusion_matrix_is_scikit_learns(pair: Pair) -> None:
    classes, truth, predicted = pair
    # a last class without rows, since scikit-learn warns of one class alone
    theirs = sklearn.metrics.confusion_matrix(truth, predicted, labels=list(range(classes + 1)))
    assert confusion_matrix(truth, predicted, classes + 1).tolist() == theirs.tolist()


@given(labelled())
def test_macro_f1_is_scikit_learns(pair: Pair) -> None:
    classes, truth, predicted = pair
    there = sorted({*truth.tolist(), *predicted.tolist()})
    theirs = sklearn.metrics.f1_score(truth, predicted, labels=there, average="macro", zero_division=0)
    assert macro_f1(confusion_matrix(truth, predicted, classes)) == pytest.approx(theirs)


@given(labelled())
def test_recalls_are_scikit_learns_and_nan_where_a_class_has_no_rows(pair: Pair) -> None:
    classes, truth, predicted = pair
    found = recalls(confusion_matrix(truth, predicted, classes))
    there = sorted(set(truth.tolist()))
    theirs = sklearn.metrics.recall_score(truth, predicted, labels=there, average=None, zero_division=0)
    assert found[there].tolist() == pytest.approx(theirs.tolist())
    assert np.isnan(np.delete(found, there)).all()


@given(st.lists(st.booleans(), min_size=1, max_size=200), st.integers(0, 2**32 - 1))
def test_interval_is_the_same_for_a_seed_and_holds_the_accuracy(correct: list[bool], seed: int) -> None:
    answers = np.array(correct)
    low, high = accuracy_interval(answers, seed)
    assert accuracy_interval(answers, seed) == (low, high)
    assert 0 <= low <= answers.mean() <= high <= 1


def test_interval_of_another_seed_is_another() -> None:
    answers = np.arange(1000) % 3 > 0
    assert len({accuracy_interval(answers, seed) for seed in range(10)}) > 1


@pytest.mark.parametrize(("rows", "accuracy"), [(100, 0.8), (400, 0.65), (1000, 0.95)])
def test_interval_covers_the_true_accuracy_as_often_as_it_says(rows: int, accuracy: float) -> None:
    rng = np.random.default_rng(0)
    intervals = [accuracy_interval(rng.random(rows) < accuracy, seed) for seed in range(400)]
    covered = np.mean([low <= accuracy <= high for low, high in intervals])
    assert 0.91 <= covered <= 0.98


def test_interval_narrows_with_more_rows_and_a_lower_level() -> None:
    few, many = np.arange(50) % 4 > 0, np.arange(5000) % 4 > 0
    width = {
        name: high - low
        for name, (low, high) in {
            "few": accuracy_interval(few, 0),
            "many": accuracy_interval(many, 0),
            "half": accuracy_interval(many, 0, level=0.5),
        }.items()
    }
    assert width["few"] > 5 * width["many"] > 10 * width["half"] / 2 > 0


@pytest.mark.parametrize("always", [True, False])
def test_interval_of_equal_answers_is_one_point(always: bool) -> None:
    assert accuracy_interval(np.full(20, always), 0) == (float(always), float(always))
