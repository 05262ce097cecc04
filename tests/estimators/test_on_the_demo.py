"""The classifier on the demo task: coverage, scope and adaptation are as promised."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import betabinom

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


def covered(samples: int, coverage: float, rows: int) -> Any:
    """Distribution of the number of new rows that a threshold from the samples covers: the k-th smallest of their scores.

    The covered share of all rows has a beta distribution. `rows` of them are counted.
    """
    k = np.ceil((samples + 1) * coverage)
    return betabinom(rows, k, samples + 1 - k)


@pytest.mark.parametrize("coverage", [0.8, 0.9, 0.95])
def test_coverage_is_as_asked_within_what_so_many_samples_allow(frozen: Make, demo: Demo, coverage: float) -> None:
    low, high = covered(len(demo.texts), coverage, len(demo.query)).ppf([0.001, 0.999])  # 0.95: all rows is within these bounds
    sets = demo.classifier.predict_sets(demo.query, coverage)
    assert sets.any(axis=1).all()
    assert not sets.all(axis=1).any(), "the threshold is finite"
    assert low <= sets[np.arange(len(sets)), demo.columns].sum() <= high
    classifier = frozen(coverage=coverage).fit(demo.texts, demo.labels)
    assert low <= classifier.in_scope(demo.query).sum() <= high
    assert classifier.in_scope(demo.outside).mean() < classifier.in_scope(demo.query).mean() - 0.3


def test_coverage_is_on_average_over_other_samples_no_less_than_asked(frozen: Make, demo: Demo) -> None:
    """It may be more: the threshold comes from leave-one-out heads, and with three samples per class these are clearly weaker."""
    rng, draws, coverage = np.random.default_rng(0), 5, 0.9
    shares = []
    for _ in range(draws):
        drawn = np.concatenate([rng.choice(np.flatnonzero(demo.columns == column), 3, replace=False) for column in range(14)])
        new = np.setdiff1d(np.arange(len(demo.query)), drawn)
        texts = [demo.query[i] for i in new]
        classifier = frozen(coverage=coverage).fit([demo.query[i] for i in drawn], demo.truth[drawn])
        sets = classifier.predict_sets(texts, coverage)
        shares.append((sets[np.arange(len(new)), demo.columns[new]].mean(), classifier.in_scope(texts).mean()))
    expected = covered(len(drawn), coverage, len(new))
    assert min(np.mean(shares, axis=0)) > (expected.mean() - 3 * expected.std() / np.sqrt(draws)) / len(new)


def test_out_of_scope_samples_sharpen_the_score(frozen: Make, demo: Demo) -> None:
    """Three of the demo's classes are out of scope here. Their texts are so near to the task's that samples of them help."""
    foreign = demo.classifier.classes_[::5]
    own = [i for i, label in enumerate(demo.labels) if label not in foreign]
    texts, labels = [demo.texts[i] for i in own], [demo.labels[i] for i in own]
    query = [text for text, label in zip(demo.query, demo.truth, strict=True) if label not in foreign]
    outside = [text for text, label in zip(demo.query, demo.truth, strict=True) if label in foreign]
    hidden = outside[1::2]
    without, told = (frozen().fit(texts, labels, out_of_scope=known) for known in (None, outside[::2]))
    before, after = (area_under_roc(model.score_samples(query), model.score_samples(hidden)) for model in (without, told))
    assert after > before + 0.05
    np.testing.assert_array_equal(told.predict_proba(hidden), without.predict_proba(hidden))


def test_out_of_scope_samples_far_from_the_task_cost_little(frozen: Make, demo: Demo) -> None:
    """The score tells 99 % of the pairs of a query row and a row of out_of_scope.jsonl apart without any sample of the latter."""
    told = frozen().fit(demo.texts, demo.labels, out_of_scope=demo.outside[::2])
    inside, hidden = told.score_samples(demo.query), told.score_samples(demo.outside[1::2])
    assert area_under_roc(inside, hidden) > 0.97


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
