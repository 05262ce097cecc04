"""The library face: what it does with each kind of labels, what it refuses, and that scikit-learn can drive it."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray
from sklearn.base import clone, is_classifier
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils import get_tags

import fsat_tasks.estimators.classifier
import fsat_tasks.tuning.rungs
from fsat_tasks import FewShotClassifier
from fsat_tasks.encoders.encoder import Encoder, load_encoder
from fsat_tasks.errors import DataError
from fsat_tasks.numerics.evidence.held_out import Comparison
from fsat_tasks.numerics.heads.scope import area_under_roc
from fsat_tasks.runs.run import Run
from fsat_tasks.store import Artefact, Store
from fsat_tasks.tasks.task import load_task

Array = NDArray[np.float64]

FROZEN = ("prototypes", "probe")
DEMO = Path(__file__).parents[2] / "data" / "support-intents"
TEXTS = [
    "a cat asleep on the sofa",
    "the dog barks all night",
    "a horse in the field",
    "two goats on a hill",
    "seven plus two is nine",
    "the square root of sixteen",
    "count from one to ten",
    "half of forty is twenty",
    "book a flight to Rome",
    "the train leaves at noon",
    "a hotel near the airport",
    "rent a car for a week",
]
LABELS = ["animal"] * 4 + ["number"] * 4 + ["travel"] * 4
NEW = ["the puppy chases a cat", "three times three", "a bus ticket to the coast"]


class Remembering:
    """The real encoder, which encodes a text once; the texts of the demo have been encoded by its run."""

    def __init__(self, encoder: Encoder, demo_store: Path) -> None:
        self.encoder, self.tokens = encoder, encoder.tokens
        (extracted,) = demo_store.glob("extract/*/*/manifest.json")
        files = [file for place in ("validate/*/*/texts.parquet", "pool/*/*/pool.parquet") for file in demo_store.glob(place)]
        texts = [text for file in files for text in pq.read_table(file)["text"].to_pylist()]
        done = Artefact(extracted.parent, json.loads(extracted.read_text("utf-8")))
        self.known = dict(
            zip(texts, Run(load_task("support-intents"), Store(demo_store), {"extract": done}).features(texts), strict=True)
        )

    def encode(self, texts: Sequence[str], layers: Any) -> NDArray[np.float32]:
        if fresh := [text for text in dict.fromkeys(texts) if text not in self.known]:
            self.known |= zip(fresh, self.encoder.encode(fresh, layers), strict=True)
        return np.stack([self.known[text] for text in texts]) if len(texts) else self.encoder.encode([], layers)


@pytest.fixture(scope="module")
def remembering(demo_store: Path) -> Remembering:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FSAT_STORE", str(demo_store))  # read alone: the encoder is there already
        return Remembering(load_encoder("all-MiniLM-L6-v2", "cpu"), demo_store)


@pytest.fixture(scope="module")
def encoder(remembering: Remembering) -> Iterator[None]:
    """Every classifier has one encoder: what is encoded twice here need not be computed twice."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fsat_tasks.estimators.classifier, "load_encoder", lambda *_: remembering)
        yield


def frozen(**parameters: Any) -> FewShotClassifier:
    return FewShotClassifier(**{"rungs": FROZEN, "device": "cpu", **parameters})


@pytest.fixture(scope="module")
def toy(encoder: None) -> FewShotClassifier:
    """Fitted on the three classes; for reading."""
    return frozen().fit(TEXTS, LABELS)


# ---- one label a text


def test_a_fit_with_the_real_encoder_is_the_same_every_time(encoder_store: Path) -> None:
    classifier = frozen()
    first, second = (classifier.fit(TEXTS, LABELS).predict_proba(NEW) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert classifier.predict(NEW).tolist() == ["animal", "number", "travel"]


def test_probabilities_are_in_the_order_of_the_classes(toy: FewShotClassifier) -> None:
    assert toy.classes_.tolist() == ["animal", "number", "travel"]
    probabilities = toy.predict_proba(NEW)
    assert probabilities.shape == (3, 3)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1.0)
    np.testing.assert_array_equal(toy.predict(NEW), toy.classes_)
    assert toy.score(NEW, ["animal", "number", "number"]) == pytest.approx(2 / 3)
    assert [rung["name"] for rung in toy.trace_] == list(FROZEN)
    assert set(toy.fit_seconds_) == {"features", "head", "total"}


def test_no_texts_give_no_rows(toy: FewShotClassifier) -> None:
    assert toy.predict([]).shape == (0,)
    assert toy.predict_proba([]).shape == (0, 3)
    assert toy.predict_sets([]).shape == (0, 3)
    assert toy.score_samples([]).shape == toy.in_scope([]).shape == (0,)
    assert toy.adapt([]).predict(NEW).tolist() == toy.predict(NEW).tolist()


@pytest.mark.parametrize(
    "of",
    [
        str,
        str.upper,
        {"animal": 3, "number": 1, "travel": 2}.get,
        {"animal": 0.5, "number": -1.0, "travel": 2.0}.get,
        "animal".__eq__,
    ],
)
@pytest.mark.parametrize("box", [list, np.array, pd.Series])
def test_labels_of_every_kind_come_back_as_they_were(encoder: None, of: Any, box: Any) -> None:
    labels = box([of(label) for label in LABELS])
    classifier = frozen(rungs=("prototypes",)).fit(np.array(TEXTS), labels)
    assert classifier.classes_.tolist() == sorted(set(labels))
    assert classifier.predict(np.array(NEW)).tolist() == [of(label) for label in ("animal", "number", "travel")]
    assert type(classifier.predict(NEW).tolist()[0]) is type(of("animal"))


def test_one_shot_a_class(encoder: None) -> None:
    classifier = frozen(rungs=(*FROZEN, "pool")).fit(TEXTS[::4], LABELS[::4], unlabelled=TEXTS)
    assert classifier.predict(NEW).tolist() == ["animal", "number", "travel"]
    assert classifier.in_scope(["anything"]).all(), "three samples are too few for a coverage of 0.95"
    assert classifier.predict_sets(NEW, 0.9).all()
    assert np.isfinite(classifier.adapt(TEXTS).predict_proba(TEXTS)).all()
    two = frozen().fit(TEXTS[:5:4], LABELS[:5:4])
    assert np.isfinite(two.adapt(TEXTS).predict_proba(TEXTS)).all()


def test_classes_of_one_name_are_told_apart_by_their_samples(encoder: None) -> None:
    labels = ["a_b"] * 4 + ["a-b"] * 4 + ["a b"] * 4
    classifier = frozen().fit(TEXTS, labels)
    assert classifier.predict(NEW).tolist() == ["a_b", "a-b", "a b"]


def test_a_text_under_two_labels_is_undecided(encoder: None) -> None:
    classifier = frozen().fit(["a cat", "a cat", *TEXTS[4:8]], ["pet", "animal", *LABELS[4:8]])
    probability = dict(zip(classifier.classes_, classifier.predict_proba(["a cat"])[0], strict=True))
    assert min(probability["pet"], probability["animal"]) > probability["number"]
    assert 0.5 < probability["pet"] / probability["animal"] < 2.0


def test_texts_longer_than_the_encoder_takes_are_cut(encoder: None) -> None:
    long = [text + " and so on" * 150 for text in TEXTS[3:5]]
    classifier = frozen().fit([*TEXTS[5:7], *long], ["short", "short", "long", "long"])
    cut, longer = classifier.predict_proba([long[0], long[0] + " and more"])
    np.testing.assert_allclose(cut, longer, atol=1e-5)


def test_class_names_replace_the_words_of_the_labels(encoder: None) -> None:
    numbers = [LABELS.index(label) for label in LABELS][::4]
    bare, named = frozen(), frozen()
    bare.fit(TEXTS[::4], numbers)
    named.fit(TEXTS[::4], numbers, class_names={0: "animals", 4: "arithmetic", 8: "travel and transport"})
    truth = np.arange(3)
    assert named.predict_proba(NEW)[truth, truth].mean() > bare.predict_proba(NEW)[truth, truth].mean()


def test_a_pool_of_copies_of_the_samples_teaches_nothing(toy: FewShotClassifier) -> None:
    classifier = frozen(rungs=(*FROZEN, "pool")).fit(TEXTS, LABELS, unlabelled=TEXTS)
    assert classifier.trace_[-1]["reason"] == "no unlabelled rows besides the samples"
    np.testing.assert_array_equal(classifier.predict_proba(NEW), toy.predict_proba(NEW))


def test_a_pool_may_teach(encoder: None) -> None:
    classifier = frozen(rungs=(*FROZEN, "pool")).fit(TEXTS, LABELS, unlabelled=NEW)
    assert classifier.trace_[-1]["name"] == "pool"
    assert classifier.trace_[-1]["log_loss"] is not None


# ---- more samples later


def test_partial_fit_of_the_rest_is_fit_of_all(toy: FewShotClassifier) -> None:
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
def test_partial_fit_adds_a_class_to_the_rung_that_stands(encoder: None, monkeypatch: pytest.MonkeyPatch, taken: str) -> None:
    better = {"prototypes": -1.0, "probe": 1.0, "pool": 1.0}[taken]
    monkeypatch.setattr(fsat_tasks.tuning.rungs, "compare", lambda *_: Comparison(better, 0.0, 0.0))
    rungs = (*FROZEN, "pool") if taken == "pool" else FROZEN
    classifier = frozen(rungs=rungs).fit(TEXTS[4:], LABELS[4:], unlabelled=["add one", "fly to Oslo", "a cat", "a sum", "ferry"])
    assert [rung["name"] for rung in classifier.trace_ if rung["taken"]][-1] == taken
    before, trace = classifier.predict_proba(TEXTS[4:]), classifier.trace_
    classifier.partial_fit(TEXTS[:4], LABELS[:4], classes=sorted(set(LABELS)), class_names={"animal": "animals"})
    assert classifier.trace_ == trace
    assert classifier.predict(NEW).tolist() == ["animal", "number", "travel"]
    after = classifier.predict_proba(TEXTS[4:])
    np.testing.assert_array_equal(after[:, 1:].argmax(axis=1), before.argmax(axis=1))
    assert np.isfinite(classifier.score_samples(NEW)).all()


def test_a_text_of_the_pool_that_gets_its_label_later_is_taken_out_of_the_pool(
    encoder: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fsat_tasks.tuning.rungs, "compare", lambda *_: Comparison(1.0, 0.0, 0.0))
    pool = ["add one", "fly to Oslo", "a cat", "a sum", "ferry"]
    classifier = frozen(rungs=(*FROZEN, "pool")).fit(TEXTS, LABELS, unlabelled=pool)
    assert len(classifier._climb.pool) == 5
    classifier.partial_fit(["ferry"], ["travel"])
    assert len(classifier._climb.pool) == 4
    assert classifier.predict(["ferry"]).tolist() == ["travel"]


def test_balanced_classes_count_alike(encoder: None) -> None:
    few = [*range(8), 8]  # one of "travel", four of each other class
    texts, labels = [TEXTS[i] for i in few], [LABELS[i] for i in few]
    plain, balanced = (frozen(class_weight=w).fit(texts, labels) for w in (None, "balanced"))
    column = plain.classes_.tolist().index("travel")
    assert (balanced.predict_proba(NEW)[:, column] >= plain.predict_proba(NEW)[:, column] - 1e-9).all()
    assert balanced.adapt(NEW).adaptation_ == "not tried: class_weight holds all classes for equally likely"
    more = balanced.partial_fit(["a bus to the coast"], ["travel"])
    np.testing.assert_allclose(more.predict_proba(NEW).sum(axis=1), 1.0)


def test_partial_fit_after_a_probe_is_as_sure_as_fit(encoder: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fsat_tasks.tuning.rungs, "compare", lambda *_: Comparison(1.0, 0.0, 0.0))
    whole = frozen().fit(TEXTS, LABELS)
    # the same settings and samples, by the other way
    parts = frozen().fit(TEXTS, LABELS).partial_fit(TEXTS[:1], LABELS[:1])
    np.testing.assert_allclose(parts.predict_proba(NEW), whole.predict_proba(NEW), atol=0.05)


def test_partial_fit_may_reword_a_class(toy: FewShotClassifier, encoder: None) -> None:
    classifier = frozen().fit(TEXTS, LABELS)
    classifier.partial_fit([TEXTS[0]], [LABELS[0]], class_names={"number": "a bus ticket to the coast"})
    column = 1
    assert classifier.predict_proba([NEW[2]])[0, column] > toy.predict_proba([NEW[2]])[0, column]


def test_a_failed_fit_leaves_the_classifier_as_it_was(encoder: None) -> None:
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


# ---- several labels a text

SEVERAL = [
    ["animal"],
    ["animal", "noise"],
    {"animal"},
    ("animal",),
    ["number"],
    ["number"],
    ["number"],
    ["number"],
    [],
    [],
    ["noise"],
    [],
]
MATRIX = np.array([[int(label in row) for label in ("animal", "noise", "number")] for row in SEVERAL])


def test_collections_of_labels(encoder: None) -> None:
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


def test_a_matrix_is_the_same_as_collections_under_the_same_names(encoder: None) -> None:
    collections = frozen().fit(TEXTS, SEVERAL, class_names={"noise": "it is loud"})
    matrix = frozen().fit(TEXTS, MATRIX.astype(bool), class_names={0: "animal", 1: "it is loud", 2: "number"})
    assert matrix.classes_.tolist() == [0, 1, 2]
    np.testing.assert_array_equal(matrix.predict_proba(NEW), collections.predict_proba(NEW))


@pytest.mark.parametrize("method", ["predict_sets", "score_samples", "in_scope", "adapt"])
def test_methods_for_one_label_a_text_refuse_several(encoder: None, method: str) -> None:
    classifier = frozen().fit(TEXTS[:5], SEVERAL[:5])
    with pytest.raises(DataError, match="one label a text"):
        getattr(classifier, method)(NEW)
    with pytest.raises(DataError, match="one label a text"):
        classifier.partial_fit(TEXTS, LABELS)


def test_one_kind_of_labels_after_the_other(encoder: None) -> None:
    classifier = frozen()
    for _ in range(2):
        assert classifier.fit(TEXTS, SEVERAL).predict(NEW).shape == (3, 3)
        assert classifier.fit(TEXTS, LABELS).predict(NEW).tolist() == ["animal", "number", "travel"]


# ---- bad input: no encoder is loaded for it


def nan_row(values: Sequence[Any], value: Any) -> list[Any]:
    return [*values[:2], value, *values[3:]]


@pytest.mark.parametrize(
    ("texts", "labels", "more", "message"),
    [
        (nan_row(TEXTS, None), LABELS, {}, "texts, row 3: expected a text, got none"),
        (nan_row(TEXTS, 7), LABELS, {}, "texts, row 3: expected a text, got int"),
        (nan_row(TEXTS, float("nan")), LABELS, {}, "texts, row 3: expected a text, got float"),
        (nan_row(TEXTS, "\ud800"), LABELS, {}, "texts, row 3: expected a text, got half of a surrogate pair"),
        ("one text", LABELS, {}, "texts: expected a list of texts, got one text"),
        (7, LABELS, {}, "texts: expected a list of texts, got int"),
        (set(TEXTS), LABELS, {}, "texts: expected a list of texts, got set"),
        (np.array([TEXTS]), LABELS, {}, "texts: expected a list of texts, got ndarray"),
        ([], [], {}, "texts: expected at least one text, got none"),
        (None, [], {}, "texts: expected at least one text, got none"),
        (TEXTS, nan_row(LABELS, None), {}, r"labels, row 3: expected a label .*, got none"),
        (TEXTS, nan_row(LABELS, float("nan")), {}, r"labels, row 3: expected a label .*, got none"),
        (TEXTS, nan_row(LABELS, pd.NA), {}, r"labels, row 3: expected a label .*, got NAType"),
        (TEXTS, nan_row(LABELS, 7), {}, "labels, row 3: expected a label such as 'animal' in row 1, got 7"),
        (TEXTS, nan_row(LABELS, b"animal"), {}, r"labels, row 3: expected a label .*, got bytes"),
        (TEXTS, nan_row(LABELS, ["animal"]), {}, "labels, row 1: expected a list of labels, as in other rows, got 'animal'"),
        (TEXTS, nan_row(SEVERAL, "animal"), {}, "labels, row 3: expected a list of labels, as in other rows, got 'animal'"),
        (TEXTS, nan_row(SEVERAL, ["animal", None]), {}, r"labels, row 3: expected a label .*, got none"),
        (TEXTS, LABELS[:-1], {}, "labels: expected one for each of the 12 texts, got 11"),
        (TEXTS, SEVERAL[:-1], {}, "labels: expected one for each of the 12 texts, got 11"),
        (TEXTS, MATRIX[:-1], {}, r"labels: expected a matrix of 12 rows, .*, got shape \(11, 3\)"),
        (TEXTS, np.array(LABELS)[:, None], {}, r"labels: expected a matrix of 12 rows, .*, got shape \(12, 1\)"),
        (TEXTS, MATRIX + (np.arange(12) == 2)[:, None], {}, r"labels, row 3: expected zeros and ones, got \[2, 1, 1\]"),
        (TEXTS, np.where(MATRIX, np.nan, 0.0), {}, r"labels, row 1: expected zeros and ones"),
        (TEXTS, None, {}, "labels: expected a list of labels, got NoneType"),
        (TEXTS, "animal", {}, "labels: expected a list of labels, got str"),
        (TEXTS, ["animal"] * 12, {}, r"labels: expected at least two classes, got only \['animal'\]"),
        (TEXTS, [[]] * 12, {}, r"labels: expected at least two classes, got only \[\]"),
        (TEXTS, LABELS, {"unlabelled": ["a", None]}, "unlabelled, row 2: expected a text, got none"),
        (TEXTS, LABELS, {"unlabelled": "a text"}, "unlabelled: expected a list of texts, got one text"),
        (TEXTS, LABELS, {"out_of_scope": [1]}, "out_of_scope, row 1: expected a text, got int"),
        (TEXTS, LABELS, {"class_names": {"plant": "a plant"}}, "class_names: expected labels of the samples, got 'plant'"),
        (TEXTS, LABELS, {"class_names": {"animal": None}}, "class_names, label 'animal': expected words, got NoneType"),
        (TEXTS, LABELS, {"class_names": ["a", "b", "c"]}, "class_names: expected a mapping of labels to words, got list"),
    ],
)
def test_bad_input_is_one_error_that_names_the_row(texts: Any, labels: Any, more: dict[str, Any], message: str) -> None:
    for method in ("fit", "partial_fit"):
        if method == "partial_fit" and not set(more) <= {"class_names"}:
            continue
        with pytest.raises(DataError, match=message):
            getattr(frozen(), method)(texts, labels, **more)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"rungs": ("probe", "boddy")}, "rungs: expected of prototypes, probe, pool, .*, got 'boddy'"),
        ({"rungs": "probe"}, "rungs: expected a list of texts, got one text"),
        ({"body": "qlora"}, "body: expected of full, lora, oft, got 'qlora'"),
        ({"device": "gpu"}, "device: expected of auto, cpu, cuda, got 'gpu'"),
        ({"coverage": 95}, "coverage: expected a share, 0 to 1, got 95"),
        ({"class_weight": "even"}, "class_weight: expected of balanced, None, got 'even'"),
        ({"budget_seconds": float("inf")}, "budget_seconds: expected a number of seconds, 0 or more, got inf"),
        ({"budget_seconds": -1.0}, "budget_seconds: expected a number of seconds, 0 or more, got -1.0"),
    ],
)
def test_a_bad_parameter_is_refused_with_what_is_known(parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        frozen(**parameters).fit(TEXTS, LABELS)


@pytest.mark.parametrize("method", ["predict", "predict_proba", "predict_sets", "score_samples", "in_scope", "adapt"])
def test_nothing_is_answered_before_fit(toy: FewShotClassifier, method: str) -> None:
    with pytest.raises(NotFittedError):
        getattr(frozen(), method)(NEW)
    for texts, message in (("a text", "texts: expected a list"), (["a", None], "texts, row 2: expected a text, got none")):
        with pytest.raises(DataError, match=message):
            getattr(toy, method)(texts)


def test_partial_fit_refuses_labels_of_another_kind(toy: FewShotClassifier) -> None:
    for labels in ([1, 2], [["animal"], ["number"]]):
        with pytest.raises(DataError, match=r"labels such as .*animal"):
            toy.partial_fit(NEW[:2], labels)
    with pytest.raises(DataError, match="at least one text"):
        toy.partial_fit([], [])
    with pytest.raises(DataError, match="a share, 0 to 1"):
        toy.predict_sets(NEW, 90)


# ---- scikit-learn


def test_scikit_learn_takes_it_for_a_classifier_of_texts() -> None:
    classifier = frozen(coverage=0.9, seed=3)
    assert is_classifier(classifier)
    tags = get_tags(classifier)
    assert tags.input_tags.string and tags.input_tags.one_d_array and not tags.input_tags.two_d_array
    assert tags.classifier_tags.multi_label
    copy = clone(classifier)
    assert copy is not classifier
    assert copy.get_params() == classifier.get_params()
    assert "coverage=0.9" in repr(copy)


@pytest.mark.parametrize("box", [list, np.array])
@pytest.mark.parametrize("scoring", [None, "neg_log_loss"])
def test_cross_validation(encoder: None, box: Any, scoring: str | None) -> None:
    more = {"unlabelled": NEW}
    scores = cross_val_score(frozen(), box(TEXTS), box(LABELS), cv=2, scoring=scoring, params=more, error_score="raise")
    assert scores.shape == (2,)
    assert np.isfinite(scores).all()


def test_pipeline_and_grid_search(encoder: None) -> None:
    shout = FunctionTransformer(lambda rows: [row.upper() for row in rows])
    pipeline = Pipeline([("shout", shout), ("classify", frozen())])
    pipeline.fit(TEXTS, LABELS, classify__out_of_scope=["do you give loans"])
    assert pipeline.score(NEW, ["animal", "number", "travel"]) == 1.0
    rungs = [("prototypes",), FROZEN]
    search = GridSearchCV(pipeline, {"classify__rungs": rungs}, cv=2, error_score="raise").fit(TEXTS, LABELS)
    assert search.best_params_["classify__rungs"] in rungs
    assert search.predict(NEW).tolist() == ["animal", "number", "travel"]


def test_cross_validation_with_several_labels(encoder: None) -> None:
    order = np.random.default_rng(0).permutation(12)
    scores = cross_val_score(frozen(), np.array(TEXTS)[order], MATRIX[order], cv=2, error_score="raise")
    assert ((scores >= 0.0) & (scores <= 1.0)).all()


# ---- on the demo task


class Demo:
    """The demo's rows, and a classifier on its samples."""

    def __init__(self) -> None:
        samples = list(csv.DictReader((DEMO / "samples.csv").read_text("utf-8").splitlines()))
        self.texts, self.labels = [row["text"] for row in samples], [row["label"] for row in samples]
        query = self.read("query")
        self.query, self.truth = [row["text"] for row in query], np.array([row["label"] for row in query])
        self.outside = [row["text"] for row in self.read("out_of_scope")]
        self.classifier = frozen().fit(self.texts, self.labels)
        self.columns = np.searchsorted(self.classifier.classes_, self.truth)

    def read(self, name: str) -> list[dict[str, str]]:
        return [json.loads(line) for line in (DEMO / f"{name}.jsonl").read_text("utf-8").splitlines()]


@pytest.fixture(scope="module")
def demo(encoder: None) -> Demo:
    return Demo()


@pytest.mark.parametrize("coverage", [0.8, 0.9, 0.95])
def test_coverage_is_about_as_asked(demo: Demo, coverage: float) -> None:
    sets = demo.classifier.predict_sets(demo.query, coverage)
    assert sets.any(axis=1).all()
    assert coverage - 0.06 < sets[np.arange(len(sets)), demo.columns].mean() <= coverage + 0.12
    classifier = frozen(coverage=coverage).fit(demo.texts, demo.labels)
    assert abs(classifier.in_scope(demo.query).mean() - coverage) < 0.07
    assert classifier.in_scope(demo.outside).mean() < classifier.in_scope(demo.query).mean() - 0.3


def test_out_of_scope_samples_sharpen_the_score(demo: Demo) -> None:
    told = frozen().fit(demo.texts, demo.labels, out_of_scope=demo.outside[::2])
    hidden = demo.outside[1::2]
    without, with_them = (
        area_under_roc(classifier.score_samples(demo.query), classifier.score_samples(hidden))
        for classifier in (demo.classifier, told)
    )
    assert with_them > without
    np.testing.assert_array_equal(told.predict_proba(hidden), demo.classifier.predict_proba(hidden))


def test_adapting_to_shifted_classes_makes_nothing_worse(demo: Demo) -> None:
    frequent = np.isin(demo.columns, np.arange(0, 14, 3))
    kept = np.flatnonzero(frequent | (np.arange(len(frequent)) % 10 == 0))
    texts, columns = [demo.query[i] for i in kept], demo.columns[kept]
    before = demo.classifier.predict_proba(texts)
    adapted = demo.classifier.adapt(texts)
    after = adapted.predict_proba(texts)
    rows = np.arange(len(kept))
    assert -np.log(after[rows, columns]).mean() <= -np.log(before[rows, columns]).mean()
    assert (after.argmax(axis=1) == columns).mean() >= (before.argmax(axis=1) == columns).mean()
    assert adapted.adaptation_ is not None
    assert "label shift accepted" in adapted.adaptation_
    assert demo.classifier.adaptation_ is None
    np.testing.assert_array_equal(demo.classifier.predict_proba(texts), before)
    more = adapted.partial_fit(demo.texts[:1], demo.labels[:1])
    assert more.adaptation_ is None, "more samples start anew"


def test_adapting_answers_the_same_text_the_same_way(demo: Demo) -> None:
    texts = demo.query[::7]
    adapted = demo.classifier.adapt(texts)
    probabilities = adapted.predict_proba([*texts, texts[0], "another text"])
    np.testing.assert_allclose(probabilities[0], probabilities[-2], rtol=1e-12)  # a product's last bit depends on the row's place
    np.testing.assert_allclose(probabilities.sum(axis=1), 1.0)


# ---- the body, and the page


def test_partial_fit_keeps_the_tuned_body(encoder_store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fsat_tasks.tuning.rungs, "compare", lambda *_: Comparison(1.0, 0.0, 0.0))  # whatever is tried is taken
    monkeypatch.setattr(fsat_tasks.tuning.rungs, "EPOCHS", 3)
    classifier = FewShotClassifier(rungs=("prototypes", "probe", "body"), budget_seconds=30.0, device="cpu")
    classifier.fit(TEXTS, LABELS)
    assert [rung["name"] for rung in classifier.trace_ if rung["taken"]] == ["prototypes", "probe", "body"]
    weights = classifier._climb.weights
    assert weights is not None
    assert classifier.predict(NEW).tolist() == ["animal", "number", "travel"]
    assert classifier.in_scope(NEW).shape == (3,)
    body = classifier._body

    monkeypatch.setattr(fsat_tasks.tuning.rungs, "cross_fit", None)  # tuned again it would fail
    classifier.partial_fit(["a bowl of soup", "bread with butter", "grill the fish", "a slice of cake"], ["food"] * 4)
    assert classifier._climb.weights is weights
    assert classifier._body is body
    assert classifier.predict([*NEW, "a plate of pasta"]).tolist() == ["animal", "number", "travel", "food"]
    adapted = classifier.adapt([*NEW, "a plate of pasta"])
    np.testing.assert_allclose(adapted.predict_proba(NEW).sum(axis=1), 1.0)
    assert [len(part) for part in classifier._pretrained] == [len(TEXTS) + 4, 4]


def test_every_snippet_of_the_page_runs(encoder: None, repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = (repository / "docs" / "library.md").read_text("utf-8")
    snippets = re.findall(r"^```python\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    assert len(snippets) == page.count("```python")
    names: dict[str, Any] = {}
    for snippet in snippets:
        exec(compile(snippet, "docs/library.md", "exec"), names)
    assert names["adapted"].adaptation_ in capsys.readouterr().out
    assert names["classifier"].classes_.tolist() == ["account_closing", "card_late", "cash_failed", "pin"]
