"""The library's classifier with several labels a text, or none."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.model_selection import cross_val_score

from estimators.toy_texts import FROZEN, LABELS, MATRIX, NEW, SEVERAL, TEXTS, Make
from fsat_tasks.errors import DataError
from fsat_tasks.numerics.evidence.thresholds import fit_thresholds

pytestmark = pytest.mark.filterwarnings("ignore:rungs. these cannot learn")  # the toys' default has all that are quick

POOL = ["add one", "fly to Oslo", "a cat", "a sum", "ferry"]


def test_collections_of_labels(frozen: Make) -> None:
    classifier = frozen().fit(TEXTS, SEVERAL)
    assert classifier.multilabel_
    assert classifier.classes_.tolist() == ["animal", "noise", "number"]
    assert [rung["name"] for rung in classifier.trace_] == ["probe"]
    probabilities = classifier.predict_proba(NEW)
    assert probabilities.shape == (3, 3)
    assert probabilities.argmax(axis=1)[:2].tolist() == [0, 2]
    np.testing.assert_array_equal(classifier.classes_[classifier.predict(TEXTS[:1])[0] == 1], ["animal"])
    assert classifier.score(TEXTS, SEVERAL) == classifier.score(TEXTS, MATRIX) > 0.5
    assert classifier.score(NEW[:2], [["animal"], ["animal", "unknown"]]) == 0.5
    assert classifier.predict([]).shape == classifier.predict_proba([]).shape == (0, 3)


def test_a_label_is_given_from_the_threshold_that_the_left_out_samples_chose(frozen: Make) -> None:
    classifier = frozen().fit(TEXTS, SEVERAL)
    np.testing.assert_array_equal(classifier.thresholds_, fit_thresholds(classifier._held_out_outputs(), MATRIX))
    given = classifier.predict_proba(NEW) >= classifier.thresholds_
    np.testing.assert_array_equal(classifier.predict(NEW), given.astype(int))


def test_a_matrix_is_the_same_as_collections_under_the_same_names(frozen: Make) -> None:
    collections = frozen().fit(TEXTS, SEVERAL, class_names={"noise": "it is loud"})
    matrix = frozen().fit(TEXTS, MATRIX.astype(bool), class_names={0: "animal", 1: "it is loud", 2: "number"})
    assert matrix.classes_.tolist() == [0, 1, 2]
    np.testing.assert_array_equal(matrix.predict_proba(NEW), collections.predict_proba(NEW))


def test_a_pool_may_teach(frozen: Make) -> None:
    classifier = frozen(better=True, rungs=(*FROZEN, "pool")).fit(TEXTS, SEVERAL, unlabelled=POOL)
    assert [rung["name"] for rung in classifier.trace_ if rung["taken"]] == ["probe", "pool"]
    assert len(classifier._fit.pool) == 5
    assert classifier.predict_proba(NEW)[:2].argmax(axis=1).tolist() == [0, 2]


def test_texts_like_the_samples_are_more_in_scope_than_others(frozen: Make) -> None:
    outside = ["the shares fell on Monday", "please reset my password"]
    for out_of_scope in (None, outside):
        classifier = frozen(coverage=0.8).fit(TEXTS, SEVERAL, out_of_scope=out_of_scope)
        scores = classifier.score_samples([*NEW[:2], *outside])
        assert scores[:2].min() > scores[2:].max()
        np.testing.assert_array_equal(classifier.in_scope(NEW), classifier.score_samples(NEW) >= classifier.scope_threshold_)


@pytest.mark.parametrize("better", [None, True])
def test_partial_fit_adds_a_label(frozen: Make, better: bool | None) -> None:
    classifier = frozen(better=better, rungs=(*FROZEN, "pool")).fit(TEXTS[:8], SEVERAL[:8], unlabelled=POOL)
    classifier.partial_fit(TEXTS[8:], [["travel"]] * 4).partial_fit(["nothing at all"], [[]])
    assert classifier.classes_.tolist() == ["animal", "noise", "number", "travel"]
    assert classifier.predict_proba(NEW).argmax(axis=1).tolist() == [0, 2, 3]
    assert classifier.thresholds_.shape == (4,)
    with pytest.raises(DataError, match=r"labels: expected labels such as \['animal'\], got 'animal'"):
        classifier.partial_fit(TEXTS, LABELS)


def test_partial_fit_of_a_matrix_is_fit_of_both(frozen: Make) -> None:
    parts, whole = frozen().fit(TEXTS, MATRIX), frozen().fit([*TEXTS, NEW[0]], np.vstack([MATRIX, [[1, 1, 0]]]))
    parts.partial_fit(NEW[:1], np.array([[1, 1, 0]]))
    np.testing.assert_allclose(parts.predict_proba(NEW), whole.predict_proba(NEW), atol=0.15)  # the settings may differ
    with pytest.raises(DataError, match="labels: expected labels such as"):
        parts.partial_fit(NEW[:1], np.array([[1, 1, 0, 0]]))


@pytest.mark.parametrize("method", ["predict_sets", "adapt"])
def test_methods_for_one_label_a_text_refuse_several(frozen: Make, method: str) -> None:
    classifier = frozen().fit(TEXTS[:5], SEVERAL[:5])
    with pytest.raises(DataError, match="one label a text, got one with several"):
        getattr(classifier, method)(NEW)


def test_one_kind_of_labels_after_the_other(frozen: Make) -> None:
    classifier = frozen()
    for _ in range(2):
        assert classifier.fit(TEXTS, SEVERAL).predict(NEW).shape == (3, 3)
        assert classifier.fit(TEXTS, LABELS).predict(NEW).tolist() == ["animal", "number", "travel"]
        assert not hasattr(classifier, "thresholds_")


def test_cross_validation_with_several_labels(frozen: Make) -> None:
    order = np.random.default_rng(0).permutation(12)
    scores = cross_val_score(frozen(), np.array(TEXTS)[order], MATRIX[order], cv=2, error_score="raise")
    assert ((scores >= 0.0) & (scores <= 1.0)).all()
