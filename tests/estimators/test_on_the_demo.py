"""The classifier on the demo task: coverage, scope and adaptation are as promised."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from estimators.toy_texts import Make
from fsat_tasks.numerics.heads.scope import area_under_roc

DEMO = Path(__file__).parents[2] / "data" / "support-intents"


class Demo:
    """The demo's rows, and a classifier that is fitted on its samples."""

    def __init__(self, frozen: Make) -> None:
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
def demo(frozen: Make) -> Demo:
    return Demo(frozen)


@pytest.mark.parametrize("coverage", [0.8, 0.9, 0.95])
def test_coverage_is_about_as_asked(frozen: Make, demo: Demo, coverage: float) -> None:
    sets = demo.classifier.predict_sets(demo.query, coverage)
    assert sets.any(axis=1).all()
    assert coverage - 0.06 < sets[np.arange(len(sets)), demo.columns].mean() <= coverage + 0.12
    classifier = frozen(coverage=coverage).fit(demo.texts, demo.labels)
    assert abs(classifier.in_scope(demo.query).mean() - coverage) < 0.07
    assert classifier.in_scope(demo.outside).mean() < classifier.in_scope(demo.query).mean() - 0.3


def test_out_of_scope_samples_sharpen_the_score(frozen: Make, demo: Demo) -> None:
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
