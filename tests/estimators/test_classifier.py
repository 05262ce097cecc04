"""The library's classifier with one label a text: labels of every kind, few samples, odd texts, and its page."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from estimators.toy_texts import FROZEN, LABELS, NEW, TEXTS, Make
from fsat_tasks import FewShotClassifier
from fsat_tasks.encoders.kinds import find_encoder


def test_a_fit_with_the_real_encoder_is_the_same_every_time(encoder_store: Path) -> None:
    classifier = FewShotClassifier(rungs=FROZEN, device="cpu")
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
def test_labels_of_every_kind_come_back_as_they_were(frozen: Make, of: Any, box: Any) -> None:
    labels = box([of(label) for label in LABELS])
    classifier = frozen(rungs=("prototypes",)).fit(np.array(TEXTS), labels)
    assert classifier.classes_.tolist() == sorted(set(labels))
    assert classifier.predict(np.array(NEW)).tolist() == [of(label) for label in ("animal", "number", "travel")]
    assert type(classifier.predict(NEW).tolist()[0]) is type(of("animal"))


def test_one_shot_a_class(frozen: Make) -> None:
    classifier = frozen(rungs=(*FROZEN, "pool")).fit(TEXTS[::4], LABELS[::4], unlabelled=TEXTS)
    assert classifier.predict(NEW).tolist() == ["animal", "number", "travel"]
    assert classifier.in_scope(["anything"]).all(), "three samples are too few for a coverage of 0.95"
    assert classifier.predict_sets(NEW, 0.9).all()
    assert np.isfinite(classifier.adapt(TEXTS).predict_proba(TEXTS)).all()
    two = frozen().fit(TEXTS[:5:4], LABELS[:5:4])
    assert np.isfinite(two.adapt(TEXTS).predict_proba(TEXTS)).all()


def test_sets_that_are_full_because_samples_are_few_come_with_one_warning(
    toy: FewShotClassifier, recwarn: pytest.WarningsRecorder
) -> None:
    assert toy.predict_sets(NEW, coverage=0.9).shape == (3, 3)
    assert not recwarn.list
    said = "coverage 0.95 needs at least 19 samples, there are 12, so every set is full"
    with pytest.warns(UserWarning, match=f"^{said}$") as found:
        assert toy.predict_sets(NEW, coverage=0.95).all()
    assert [one.filename for one in found] == [__file__]
    with pytest.warns(UserWarning, match=r"^coverage 0\.95 needs at least 19 samples, there are 12, so every text is in scope$"):
        assert toy.in_scope(["anything"]).all()


def test_a_folder_may_name_the_encoder(encoder_store: Path) -> None:
    folder = find_encoder("all-MiniLM-L6-v2").folder
    for encoder in (str(folder), folder):
        assert FewShotClassifier(encoder, rungs=FROZEN, device="cpu").fit(TEXTS, LABELS).score(TEXTS, LABELS) == 1.0


def test_classes_of_one_name_are_told_apart_by_their_samples(frozen: Make) -> None:
    labels = ["a_b"] * 4 + ["a-b"] * 4 + ["a b"] * 4
    classifier = frozen().fit(TEXTS, labels)
    assert classifier.predict(NEW).tolist() == ["a_b", "a-b", "a b"]


def test_a_text_under_two_labels_is_undecided(frozen: Make) -> None:
    classifier = frozen().fit(["a cat", "a cat", *TEXTS[4:8]], ["pet", "animal", *LABELS[4:8]])
    probability = dict(zip(classifier.classes_, classifier.predict_proba(["a cat"])[0], strict=True))
    assert min(probability["pet"], probability["animal"]) > probability["number"]
    assert 0.5 < probability["pet"] / probability["animal"] < 2.0


def test_texts_longer_than_the_encoder_takes_are_cut(frozen: Make) -> None:
    long = [text + " and so on" * 150 for text in TEXTS[3:5]]
    classifier = frozen().fit([*TEXTS[5:7], *long], ["short", "short", "long", "long"])
    cut, longer = classifier.predict_proba([long[0], long[0] + " and more"])
    np.testing.assert_allclose(cut, longer, atol=1e-5)


def test_class_names_replace_the_words_of_the_labels(frozen: Make) -> None:
    numbers = [LABELS.index(label) for label in LABELS][::4]
    bare, named = frozen(), frozen()
    bare.fit(TEXTS[::4], numbers)
    named.fit(TEXTS[::4], numbers, class_names={0: "animals", 4: "arithmetic", 8: "travel and transport"})
    truth = np.arange(3)
    assert named.predict_proba(NEW)[truth, truth].mean() > bare.predict_proba(NEW)[truth, truth].mean()


def test_a_pool_of_copies_of_the_samples_teaches_nothing(toy: FewShotClassifier, frozen: Make) -> None:
    classifier = frozen(rungs=(*FROZEN, "pool")).fit(TEXTS, LABELS, unlabelled=TEXTS)
    assert classifier.trace_[-1]["reason"] == "There are no unlabelled rows besides the samples."
    np.testing.assert_array_equal(classifier.predict_proba(NEW), toy.predict_proba(NEW))


def test_a_pool_may_teach(frozen: Make) -> None:
    classifier = frozen(rungs=(*FROZEN, "pool")).fit(TEXTS, LABELS, unlabelled=NEW)
    assert classifier.trace_[-1]["name"] == "pool"
    assert classifier.trace_[-1]["log_loss"] is not None


def test_every_snippet_of_the_page_runs(
    encoder_store: Path, repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    page = (repository / "docs" / "library.md").read_text("utf-8")
    snippets = re.findall(r"^```python\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    assert len(snippets) == page.count("```python")
    names: dict[str, Any] = {}
    for snippet in snippets:
        exec(compile(snippet, "docs/library.md", "exec"), names)
    assert names["adapted"].adaptation_ in capsys.readouterr().out
    assert names["classifier"].classes_.tolist() == ["account_closing", "card_late", "cash_failed", "pin"]
