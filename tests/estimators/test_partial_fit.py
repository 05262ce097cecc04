"""More samples later, of new classes too: the head is fitted again, and the encoder stays."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.exceptions import NotFittedError

from estimators.answer_kinds import TakesAll
from estimators.toy_texts import FROZEN, LABELS, NEW, SEVERAL, TEXTS, Make
from fsat_tasks import FewShotClassifier
from fsat_tasks.errors import DataError


def test_partial_fit_of_the_rest_is_fit_of_all(frozen: Make) -> None:
    first = [0, 1, 4, 5, 6]  # without one of the classes, and unevenly
    rest = [i for i in range(len(TEXTS)) if i not in first]
    parts = frozen(rungs=("prototypes",))
    for rows in (first, rest):
        parts.partial_fit([TEXTS[i] for i in rows], [LABELS[i] for i in rows])
    whole = frozen(rungs=("prototypes",)).fit(TEXTS, LABELS)
    assert parts.classes_.tolist() == whole.classes_.tolist()
    np.testing.assert_allclose(parts.predict_proba(NEW), whole.predict_proba(NEW), atol=1e-6)
    np.testing.assert_allclose(parts.score_samples(NEW), whole.score_samples(NEW), atol=1e-6)


@pytest.mark.parametrize("taken", ["prototypes", "probe", "pool"])
def test_partial_fit_adds_a_class_to_the_rung_that_was_taken(frozen: Make, taken: str) -> None:
    rungs = (*FROZEN, "pool") if taken == "pool" else FROZEN
    classifier = frozen(better=taken != "prototypes", rungs=rungs)
    classifier.fit(TEXTS[4:], LABELS[4:], unlabelled=["add one", "fly to Oslo", "a cat", "a sum", "ferry"])
    assert [rung["name"] for rung in classifier.trace_ if rung["taken"]][-1] == taken
    before, trace = classifier.predict_proba(TEXTS[4:]), classifier.trace_
    classifier.partial_fit(TEXTS[:4], LABELS[:4], classes=sorted(set(LABELS)), class_names={"animal": "animals"})
    assert classifier.trace_ == trace
    assert classifier.predict(NEW).tolist() == ["animal", "number", "travel"]
    after = classifier.predict_proba(TEXTS[4:])
    np.testing.assert_array_equal(after[:, 1:].argmax(axis=1), before.argmax(axis=1))
    assert np.isfinite(classifier.score_samples(NEW)).all()


def test_a_text_of_the_pool_that_gets_its_label_later_is_taken_out_of_the_pool(
    frozen: Make,
) -> None:
    pool = ["add one", "fly to Oslo", "a cat", "a sum", "ferry"]
    classifier = frozen(better=True, rungs=(*FROZEN, "pool")).fit(TEXTS, LABELS, unlabelled=pool)
    assert len(classifier._fit.pool) == 5
    classifier.partial_fit(["ferry"], ["travel"])
    assert len(classifier._fit.pool) == 4
    assert classifier.predict(["ferry"]).tolist() == ["travel"]


def test_balanced_classes_count_alike(frozen: Make) -> None:
    few = [*range(8), 8]  # one of "travel", four of each other class
    texts, labels = [TEXTS[i] for i in few], [LABELS[i] for i in few]
    plain, balanced = (frozen(class_weight=w).fit(texts, labels) for w in (None, "balanced"))
    column = plain.classes_.tolist().index("travel")
    assert (balanced.predict_proba(NEW)[:, column] >= plain.predict_proba(NEW)[:, column] - 1e-9).all()
    assert balanced.adapt(NEW).adaptation_ == "not tried: class_weight holds all classes for equally likely"
    more = balanced.partial_fit(["a bus to the coast"], ["travel"])
    np.testing.assert_allclose(more.predict_proba(NEW).sum(axis=1), 1.0)


def test_partial_fit_after_a_probe_is_as_sure_as_fit(frozen: Make) -> None:
    whole = frozen(better=True).fit(TEXTS, LABELS)
    # the same settings and samples, by the other way
    parts = frozen(better=True).fit(TEXTS, LABELS).partial_fit(TEXTS[:1], LABELS[:1])
    np.testing.assert_allclose(parts.predict_proba(NEW), whole.predict_proba(NEW), atol=0.05)


def test_partial_fit_may_reword_a_class(toy: FewShotClassifier, frozen: Make) -> None:
    classifier = frozen().fit(TEXTS, LABELS)
    classifier.partial_fit([TEXTS[0]], [LABELS[0]], class_names={"number": "a bus ticket to the coast"})
    column = 1
    assert classifier.predict_proba([NEW[2]])[0, column] > toy.predict_proba([NEW[2]])[0, column]


def test_a_failed_fit_leaves_the_classifier_as_it_was(frozen: Make) -> None:
    classifier = frozen().fit(TEXTS, LABELS)
    before = classifier.predict_proba(NEW)
    for call in (classifier.fit, classifier.partial_fit):
        with pytest.raises(DataError):
            call(TEXTS[:4], ["new"] * 4, class_names={"no such label": "x"})
    with pytest.raises(DataError, match="features of the samples"):
        classifier.fit(["the same"] * 4, [0, 1, 1, 0])
    np.testing.assert_array_equal(classifier.predict_proba(NEW), before)
    fresh = frozen()
    with pytest.raises(DataError):
        fresh.fit(["the same"] * 2, ["a", "b"])
    with pytest.raises(NotFittedError):
        fresh.predict(NEW)


def test_partial_fit_keeps_the_tuned_encoder(encoder_store: Path) -> None:
    classifier = TakesAll(rungs=("prototypes", "probe", "body"), budget_seconds=30.0, device="cpu")
    classifier.fit(TEXTS, LABELS)
    assert [rung["name"] for rung in classifier.trace_ if rung["taken"]] == ["prototypes", "probe", "body"]
    weights = classifier._fit.weights
    assert weights is not None
    assert classifier.predict(NEW).tolist() == ["animal", "number", "travel"]
    assert classifier.in_scope(NEW).shape == (3,)
    encoder = classifier._opened.tuned
    classifier.partial_fit(["a bowl of soup", "bread with butter", "grill the fish", "a slice of cake"], ["food"] * 4)
    assert classifier._fit.weights is weights
    assert classifier._opened.tuned is encoder
    assert classifier.predict([*NEW, "a plate of pasta"]).tolist() == ["animal", "number", "travel", "food"]
    adapted = classifier.adapt([*NEW, "a plate of pasta"])
    np.testing.assert_allclose(adapted.predict_proba(NEW).sum(axis=1), 1.0)


def test_rungs_that_tune_the_encoder_learn_several_labels_of_texts_that_may_have_none(encoder_store: Path) -> None:
    classifier = TakesAll(rungs=("probe", "body"), budget_seconds=30.0, device="cpu").fit(TEXTS, SEVERAL)
    assert [rung["name"] for rung in classifier.trace_ if rung["taken"]] == ["probe", "body"]
    assert classifier._fit.weights is not None
    assert classifier.predict_proba(NEW)[:2].argmax(axis=1).tolist() == [0, 2]
