"""The library's classifier with several labels a text, or none."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.model_selection import cross_val_score

from estimators.toy_texts import LABELS, MATRIX, NEW, SEVERAL, TEXTS, Make
from fsat_tasks.errors import DataError


def test_collections_of_labels(frozen: Make) -> None:
    classifier = frozen().fit(TEXTS, SEVERAL)
    assert classifier.multilabel_
    assert classifier.classes_.tolist() == ["animal", "noise", "number"]
    probabilities, answers = classifier.predict_proba(NEW), classifier.predict(NEW)
    assert probabilities.shape == (3, 3)
    assert probabilities.argmax(axis=1)[:2].tolist() == [0, 2]
    np.testing.assert_array_equal(answers, (probabilities >= 0.5).astype(int))
    np.testing.assert_array_equal(classifier.classes_[classifier.predict(TEXTS[:1])[0] == 1], ["animal"])
    assert classifier.score(TEXTS, SEVERAL) == classifier.score(TEXTS, MATRIX) > 0.5
    assert classifier.score(NEW[:2], [["animal"], ["animal", "unknown"]]) == 0.5
    assert classifier.predict([]).shape == classifier.predict_proba([]).shape == (0, 3)


def test_a_matrix_is_the_same_as_collections_under_the_same_names(frozen: Make) -> None:
    collections = frozen().fit(TEXTS, SEVERAL, class_names={"noise": "it is loud"})
    matrix = frozen().fit(TEXTS, MATRIX.astype(bool), class_names={0: "animal", 1: "it is loud", 2: "number"})
    assert matrix.classes_.tolist() == [0, 1, 2]
    np.testing.assert_array_equal(matrix.predict_proba(NEW), collections.predict_proba(NEW))


@pytest.mark.parametrize("method", ["predict_sets", "score_samples", "in_scope", "adapt"])
def test_methods_for_one_label_a_text_refuse_several(frozen: Make, method: str) -> None:
    classifier = frozen().fit(TEXTS[:5], SEVERAL[:5])
    with pytest.raises(DataError, match="one label a text"):
        getattr(classifier, method)(NEW)
    with pytest.raises(DataError, match="one label a text"):
        classifier.partial_fit(TEXTS, LABELS)


def test_one_kind_of_labels_after_the_other(frozen: Make) -> None:
    classifier = frozen()
    for _ in range(2):
        assert classifier.fit(TEXTS, SEVERAL).predict(NEW).shape == (3, 3)
        assert classifier.fit(TEXTS, LABELS).predict(NEW).tolist() == ["animal", "number", "travel"]


def test_cross_validation_with_several_labels(frozen: Make) -> None:
    order = np.random.default_rng(0).permutation(12)
    scores = cross_val_score(frozen(), np.array(TEXTS)[order], MATRIX[order], cv=2, error_score="raise")
    assert ((scores >= 0.0) & (scores <= 1.0)).all()
