"""The library's classifier with grades: classes that have an order."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.model_selection import cross_val_score

from estimators.toy_texts import FROZEN, GRADES, LABELS, MATRIX, NEW, TEXTS, Make
from fsat_tasks import FewShotClassifier
from fsat_tasks.errors import DataError

pytestmark = pytest.mark.filterwarnings("ignore:rungs. these cannot learn")  # the toys' default has all that are quick

STARS = [GRADES[label] for label in LABELS]
ORDER = ["travel", "animal", "number"]


@pytest.mark.parametrize("of", [int, str, float])
def test_grades_that_are_numbers_are_in_the_order_of_their_numbers(frozen: Make, of: Any) -> None:
    classifier = frozen(ordered=True).fit(np.array(TEXTS), np.array([of(grade) for grade in STARS]))
    assert classifier.classes_.tolist() == [of(2), of(10), of(30)]
    assert classifier.predict(NEW).tolist() == [of(10), of(2), of(30)]
    probabilities = classifier.predict_proba(NEW)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1.0)
    below = probabilities.cumsum(axis=1)[:, :-1]
    np.testing.assert_array_equal(classifier.predict(NEW), classifier.classes_[(below < 0.5).sum(axis=1)])


def test_grades_that_are_words_are_in_the_order_that_is_passed(frozen: Make) -> None:
    classifier = frozen(ordered=ORDER).fit(TEXTS, LABELS)
    assert classifier.classes_.tolist() == ORDER
    assert not classifier.multilabel_
    assert classifier.predict(NEW).tolist() == ["animal", "number", "travel"]
    assert classifier.score(NEW, ["animal", "number", "animal"]) == pytest.approx(2 / 3)
    assert classifier.predict_sets(NEW, 0.8).shape == (3, 3)
    assert classifier.in_scope(NEW).shape == (3,)


def test_a_grade_that_no_sample_has_is_named_in_a_warning(frozen: Make) -> None:
    said = "ordered: no sample has these grades, so no text can get them: 'fish', 'tree'"
    with pytest.warns(UserWarning, match=f"^{said}$"):
        classifier = frozen(ordered=["fish", *ORDER, "tree"]).fit(TEXTS, LABELS)
    assert classifier.classes_.tolist() == ORDER


def test_rungs_that_need_classes_without_an_order_are_not_tried(frozen: Make) -> None:
    classifier = frozen(ordered=True, rungs=(*FROZEN, "pool")).fit(TEXTS, STARS, unlabelled=NEW)
    assert [rung["name"] for rung in classifier.trace_] == ["probe"]
    with pytest.raises(DataError, match="adapt: expected a classifier with one label a text, got one with grades"):
        classifier.adapt(NEW)


def test_rungs_that_were_passed_and_cannot_learn_the_labels_are_named_in_a_warning(
    frozen: Make, recwarn: pytest.WarningsRecorder
) -> None:
    frozen(rungs=("probe",), ordered=True).fit(TEXTS, STARS)
    assert not recwarn.list
    for kind, parameters, labels in (("grades", {"ordered": True}, STARS), ("several labels a text", {}, MATRIX)):
        with pytest.warns(UserWarning, match=f"^rungs: these cannot learn {kind}, so they are not tried: 'prototypes'$") as found:
            frozen(**parameters).fit(TEXTS, labels)
        assert found[0].filename == __file__


def test_partial_fit_puts_a_new_grade_in_its_place(frozen: Make) -> None:
    classifier = frozen(ordered=True).fit(TEXTS[4:], STARS[4:])
    assert classifier.classes_.tolist() == [2, 30]
    classifier.partial_fit(TEXTS[:4], STARS[:4])
    assert classifier.classes_.tolist() == [2, 10, 30]
    assert classifier.predict(NEW).tolist() == [10, 2, 30]


def test_scikit_learn_clones_and_cross_validates_grades(frozen: Make) -> None:
    assert clone(FewShotClassifier(ordered=ORDER)).ordered == ORDER
    for scoring in (None, "neg_mean_absolute_error"):
        scores = cross_val_score(frozen(ordered=True), TEXTS, STARS, cv=2, scoring=scoring, error_score="raise")
        assert np.isfinite(scores).all()


@pytest.mark.parametrize(
    ("ordered", "labels", "message"),
    [
        (True, [*STARS[:2], "good", *STARS[3:]], "labels, row 3: expected a number, .*, got 'good'"),
        (True, ["1", "2", "good", *["1"] * 9], "labels, row 3: expected a grade that is a number, got 'good'. Pass the grades"),
        (True, ["1", "2", "nan", *["1"] * 9], "labels, row 3: expected a grade that is a number, got 'nan'"),
        (True, [1.0, 2.0, float("inf"), *[1.0] * 9], "labels, row 3: expected a grade that is a number, got inf"),
        (True, ["4", "4.0", "5", *["4"] * 9], "labels, row 2: expected one spelling of the grade '4', got '4.0'"),
        (True, ["1", "1_0", *["1"] * 10], "labels, row 2: expected a grade that is a number, got '1_0'"),
        (ORDER[:2], LABELS, "labels, row 5: expected a grade that `ordered` names, got 'number'"),
        (True, [*STARS[:2], [2], *STARS[3:]], r"labels, row 3: expected one grade, as in row 1, got \[2\]"),
        (True, [[2]] * 12, r"labels, row 1: expected one grade, got \[2\]"),
        (True, MATRIX, "labels: expected one grade for each text, got a matrix"),
        (True, [3] * 12, r"labels: expected at least two classes, got only \[3\]"),
        ("low", LABELS, "ordered: expected true, false, or a list of the grades .*, got 'low'"),
        ([*ORDER, "animal"], LABELS, "ordered: expected each grade once, got 'animal' twice"),
        (set(ORDER), LABELS, "ordered: expected true, false, or a list"),
    ],
)
def test_a_bad_grade_or_order_is_one_error_that_names_the_row(ordered: Any, labels: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        FewShotClassifier(ordered=ordered).fit(TEXTS, labels)
    with pytest.raises(DataError, match="class_weight: expected none"):
        FewShotClassifier(ordered=True, class_weight="balanced").fit(TEXTS, STARS)
