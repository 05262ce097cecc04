"""Reasons of an answer, which labels are suspected, and the plots."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from estimators.toy_texts import FROZEN, LABELS, MATRIX, NEW, NUMBERS, SEVERAL, TEXTS, Make, MakeRegressor
from fsat_tasks import FewShotClassifier
from fsat_tasks.errors import DataError
from fsat_tasks.estimators.labels import read_labels
from fsat_tasks.estimators.suspects import find_suspects


def test_an_explanation_has_the_answer_and_what_is_similar(toy: FewShotClassifier) -> None:
    found = toy.explain(NEW[0], nearest=2)
    probabilities = toy.predict_proba(NEW[:1])[0]
    assert found.label == "animal"
    assert dict(found.probabilities) == dict(zip(toy.classes_.tolist(), probabilities.tolist(), strict=True))
    assert list(found.probabilities.values()) == sorted(probabilities, reverse=True)
    assert found.margin == pytest.approx(np.diff(np.sort(probabilities)[-2:])[0])
    assert (found.scope, found.in_scope) == (toy.score_samples(NEW[:1])[0], True)
    assert [(one.text, one.label) for one in found.samples] == [(TEXTS[0], "animal"), (TEXTS[1], "animal")]
    assert found.samples[0].similarity > found.samples[1].similarity
    assert (found.classes[0].label, found.classes[0].words) == ("animal", "animal")
    (itself,) = toy.explain(TEXTS[0], nearest=1).samples
    assert itself.text == TEXTS[0]
    assert itself.similarity == pytest.approx(1.0)


def test_an_explanation_is_shown_in_lines_of_a_terminal(toy: FewShotClassifier) -> None:
    lines = repr(toy.explain("a puppy \x1b[31m that chases\na cat " * 9)).splitlines()
    assert max(map(len, lines)) <= 80
    assert "\x1b" not in "".join(lines)
    assert lines[1].split() == [lines[1].split()[0], "%", "animal"]
    assert "similar samples" in lines and "similar names of classes" in lines


def test_several_labels_and_grades_are_explained_too(frozen: Make) -> None:
    several = frozen(rungs=("probe",)).fit(TEXTS, SEVERAL)
    found = several.explain("the dog barks all night")
    assert found.label == several.classes_[several.predict(["the dog barks all night"])[0] == 1].tolist()
    assert found.samples[0].label == ["animal", "noise"]
    gaps = [abs(found.probabilities[label] - least) for label, least in zip(several.classes_, several.thresholds_, strict=True)]
    assert found.margin == pytest.approx(min(gaps))
    assert "none of the labels" in repr(several.explain("book a flight to Rome"))
    graded = frozen(rungs=("probe",), ordered=["number", "animal", "travel"]).fit(TEXTS, LABELS)
    assert graded.explain(NEW[2]).label == graded.predict(NEW)[2]


@pytest.mark.parametrize("text", [NEW, None, 3])
def test_only_one_text_is_explained(toy: FewShotClassifier, text: Any) -> None:
    with pytest.raises(DataError, match="text: expected one text"):
        toy.explain(text)
    with pytest.raises(DataError, match="nearest: expected a whole number, 1 or more, got 0"):
        toy.explain("a cat", nearest=0)


def test_a_wrong_label_is_suspected_and_fits_into_a_table() -> None:
    probabilities = np.full((12, 3), 0.01) + 0.97 * np.eye(3).repeat(4, axis=0)
    (found,) = find_suspects(TEXTS, read_labels(["travel", *LABELS[1:]], 12), probabilities)
    assert (found.position, found.text, found.given, found.likelier) == (0, TEXTS[0], "travel", "animal")
    assert [found.probability, found.given_probability] == pytest.approx([0.98, 0.01])
    table = pd.DataFrame([found])
    assert list(table) == ["position", "text", "given", "likelier", "probability", "given_probability"]
    assert table.given.tolist() == ["travel"]


def test_a_label_that_is_missing_or_wrong_is_suspected_alone() -> None:
    probabilities = np.array([[0.99, 0.01]] * 5 + [[0.01, 0.98]] * 5)
    labels = [["cat", "dog"], *[["cat"]] * 4, [], *[["dog"]] * 4]
    found = find_suspects(TEXTS[:10], read_labels(labels, 10), probabilities)
    assert [(one.position, one.given, one.likelier) for one in found] == [(0, ["cat", "dog"], ["cat"]), (5, [], ["dog"])]


def test_the_samples_are_judged_by_models_that_have_not_seen_them(frozen: Make) -> None:
    (found,) = frozen(rungs=("probe",)).fit(TEXTS, MATRIX).suspects()
    assert (found.text, found.given, found.likelier) == ("the dog barks all night", [0, 1], [0])


CATS = [label == "animal" for label in LABELS]


@pytest.mark.parametrize(("labels", "rows"), [(LABELS, 3), (SEVERAL, 4), (CATS, 2)], ids=["one", "several", "boolean"])
def test_plots_are_drawn(frozen: Make, labels: Any, rows: int, tmp_path: Path) -> None:
    classifier = frozen(rungs=FROZEN if labels is not SEVERAL else ("probe",)).fit(TEXTS, labels)
    confusion, calibration = classifier.plot_confusion(), classifier.plot_calibration()
    assert len(confusion.axes[0].get_yticklabels()) == rows
    assert calibration.axes[0].get_xlabel() == "stated probability"
    for figure in (confusion, calibration):
        figure.savefig(tmp_path / "plot.png")


def test_a_number_is_explained_by_the_numbers_of_similar_samples(regressor: MakeRegressor) -> None:
    fitted = regressor().fit(TEXTS, NUMBERS)
    found = fitted.explain(NEW[0], nearest=2)
    assert found.number == pytest.approx(fitted.predict(NEW[:1])[0])
    assert found.interval == pytest.approx(tuple(fitted.predict_interval(NEW[:1])[0]))
    assert (found.scope, found.in_scope) == (fitted.score_samples(NEW[:1])[0], True)
    assert [(one.text, one.label) for one in found.samples] == [(TEXTS[0], NUMBERS[0]), (TEXTS[1], NUMBERS[1])]
    lines = repr(fitted.explain("a puppy \x1b[31m that chases\na cat " * 9)).splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[1].startswith("  90 % interval ") and "similar samples" in lines
    few = regressor().fit(TEXTS[::2], NUMBERS[::2])
    assert "no 90 % interval: too few samples" in repr(few.explain(NEW[0]))
    with pytest.raises(DataError, match="text: expected one text"):
        fitted.explain(NEW)  # type: ignore[arg-type]


def test_a_wrong_number_is_suspected_and_fits_into_a_table(regressor: MakeRegressor) -> None:
    fitted = regressor().fit(TEXTS, [1000.0, *NUMBERS[1:]])
    found = fitted.suspects()
    assert (found[0].position, found[0].text, found[0].given) == (0, TEXTS[0], 1000.0)
    assert found[0].likelier == pytest.approx(fitted._held_out_outputs()[0, 0])
    assert list(pd.DataFrame(found)) == ["position", "text", "given", "likelier", "score"]
    assert regressor().fit(TEXTS, NUMBERS).suspects() == []


@pytest.mark.parametrize("count", [12, 6])
def test_predicted_numbers_are_drawn(regressor: MakeRegressor, count: int, tmp_path: Path) -> None:
    figure = regressor().fit(TEXTS[:: 12 // count], NUMBERS[:: 12 // count]).plot_predictions()
    assert figure.axes[0].get_legend_handles_labels()[1] == ["90 % interval", "perfect"][12 // count - 1 :]
    figure.savefig(tmp_path / "plot.png")
