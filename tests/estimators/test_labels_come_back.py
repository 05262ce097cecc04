"""Labels that NumPy would cut, round or merge: each class stays its own, and comes back as it was passed."""

from __future__ import annotations

import enum
from typing import Any

import numpy as np
import pytest

from estimators.toy_texts import LABELS, NEW, TEXTS, Make
from fsat_tasks.errors import DataError
from fsat_tasks.estimators.label_values import find_classes


class Topic(str, enum.Enum):  # noqa: UP042 - the kind that NumPy writes as Topic.NUMBER
    ANIMAL = "animal"
    NUMBER = "number"
    TRAVEL = "travel"


class Plain(enum.StrEnum):
    ANIMAL = "animal"
    NUMBER = "number"
    TRAVEL = "travel"


class Marked(str):
    pass


@pytest.mark.parametrize("of", [Topic, Plain, Marked])
@pytest.mark.parametrize("box", [list, lambda labels: np.array(labels, object)])
def test_subclasses_of_text_come_back_themselves(frozen: Make, of: Any, box: Any) -> None:
    labels = [of(label) for label in LABELS]
    classifier = frozen().fit(TEXTS, box(labels))
    assert classifier.classes_.tolist() == [of("animal"), of("number"), of("travel")]
    assert [type(label) for label in classifier.predict(NEW)] == [of] * 3
    assert classifier.score(NEW, classifier.predict(NEW)) == classifier.score(NEW, ["animal", "number", "travel"]) == 1.0


def test_the_words_of_a_class_are_the_value_of_its_member(frozen: Make) -> None:
    members, values = frozen(), frozen()
    members.fit(TEXTS, [Topic(label) for label in LABELS], class_names={Topic.TRAVEL: "travel and transport"})
    values.fit(TEXTS, LABELS, class_names={"travel": "travel and transport"})
    np.testing.assert_array_equal(members.predict_proba(NEW), values.predict_proba(NEW))


def test_members_may_be_several_labels_or_grades_and_be_joined_with_their_values(frozen: Make) -> None:
    several = frozen(rungs=("probe",)).fit(TEXTS, [[Topic(label)] if i % 4 else [] for i, label in enumerate(LABELS)])
    assert several.classes_.tolist() == list(Topic)
    assert several.score(NEW[:1], [{"animal"}]) == several.score(NEW[:1], [[Topic.ANIMAL]])
    graded = frozen(rungs=("probe",), ordered=[Topic.TRAVEL, Topic.ANIMAL, Topic.NUMBER]).fit(TEXTS, LABELS)
    assert graded.partial_fit(NEW[:1], [Topic.ANIMAL]).classes_.tolist() == ["travel", "animal", "number"]


@pytest.mark.parametrize(
    "labels",
    [
        [2**63, 2**63 - 1, -1],
        [2**53, 2**53 + 1, 0.5],
        [2**70, 2**70 + 1, np.int64(1)],
        ["a", "a\0", "b"],
        [np.str_("ab"), "a", Topic.ANIMAL],
        [1, 2.5, np.float32(0.1)],
        [np.uint64(2**63), -1, 2**63 + 1],
    ],
)
def test_labels_that_differ_are_classes_of_their_own(labels: list[Any]) -> None:
    classes, groups = find_classes(labels * 2)
    assert len(classes) == len(set(groups.tolist())) == 3
    assert [classes[group] for group in groups] == labels * 2


def test_labels_that_are_equal_are_one_class() -> None:
    for labels in ([1, 1.0, True, np.int8(1)], ["animal", np.str_("animal"), Topic.ANIMAL, Plain.ANIMAL, Marked("animal")]):
        classes, groups = find_classes(labels)
        assert (len(classes), set(groups.tolist())) == (1, {0})


def test_usual_labels_are_an_array_of_numpys_types() -> None:
    for labels, kind in ((["b", "a"], "U"), ([3, 1], "i"), ([0.5, 1], "f"), ([True, False], "b"), ([np.str_("a"), "b"], "U")):
        assert find_classes(labels)[0].dtype.kind == kind


def test_large_numbers_as_grades_keep_their_order(frozen: Make) -> None:
    grade = {"animal": 2**63 + 1, "number": 2**63, "travel": -1}
    classifier = frozen(rungs=("probe",), ordered=True).fit(TEXTS, [grade[label] for label in LABELS])
    assert classifier.classes_.tolist() == [-1, 2**63, 2**63 + 1]
    assert classifier.predict(NEW).tolist() == [grade[label] for label in ("animal", "number", "travel")]


@pytest.mark.parametrize(
    ("known", "fresh", "message"),
    [
        ([1, 2, 3], [2, 9.5], r"labels: expected labels such as 1, got 9\.5"),
        ([1, 2, 3], [np.float32(9.5)] * 2, r"labels: expected labels such as 1, got 9\.5"),
        ([True, False, True], [7, 7], "labels: expected labels such as False, got 7"),
        (["a", "b", "c"], [np.int64(3)] * 2, "labels: expected labels such as 'a', got 3"),
    ],
)
def test_partial_fit_does_not_change_the_type_of_the_classes(frozen: Make, known: list[Any], fresh: Any, message: str) -> None:
    classifier = frozen().fit(TEXTS, [label for label in known for _ in range(4)])
    before = classifier.classes_
    with pytest.raises(DataError, match=message):
        classifier.partial_fit(NEW[:2], fresh)
    assert classifier.classes_ is before


def test_partial_fit_takes_numbers_of_another_type_that_are_classes_already(frozen: Make) -> None:
    classifier = frozen().fit(TEXTS, [label for label in (1, 2, 3) for _ in range(4)])
    classifier.partial_fit(NEW[:2], [2.0, np.int8(3)])
    assert [type(label) for label in classifier.classes_.tolist()] == [int, int, int]


def test_score_refuses_labels_of_another_kind(frozen: Make) -> None:
    one, several = frozen().fit(TEXTS, LABELS), frozen(rungs=("probe",)).fit(TEXTS, [[label] for label in LABELS])
    for classifier, labels, message in (
        (one, ["animal"], "labels: expected one for each of the 3 texts, got 1"),
        (one, [["animal"]] * 3, r"labels: expected labels such as 'animal', got \['animal'\]"),
        (one, np.eye(3), r"labels: expected labels of the shape \(3,\), got shape \(3, 3\)"),
        (several, ["animal"] * 3, r"labels: expected labels such as \['animal'\], got 'animal'"),
        (several, np.eye(3)[:, :2], r"labels: expected labels of the shape \(3, 3\), got shape \(3, 2\)"),
    ):
        with pytest.raises(DataError, match=message):
            classifier.score(NEW, labels)
    with pytest.raises(DataError, match="texts: expected at least one text, got none"):
        one.score([], [])
