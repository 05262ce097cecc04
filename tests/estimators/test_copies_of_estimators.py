"""Estimators are pickled and copied without what they have opened, and answer as before, to the last bit."""

from __future__ import annotations

import copy
import pickle  # noqa: TID251 - users do it
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from estimators.answer_kinds import ASKED, assert_same_answers
from estimators.toy_texts import FROZEN, LABELS, NEW, TEXTS
from fsat_tasks import FewShotClassifier
from fsat_tasks.encoders.kinds import find_encoder
from fsat_tasks.errors import EncoderError


def by_joblib(estimator: Any, folder: Path) -> Any:
    joblib.dump(estimator, folder / "estimator.joblib")
    return joblib.load(folder / "estimator.joblib")


COPIES: dict[str, Callable[[Any, Path], Any]] = {
    "pickle": lambda estimator, _: pickle.loads(pickle.dumps(estimator)),
    "deepcopy": lambda estimator, _: copy.deepcopy(estimator),
    "joblib": by_joblib,
}


@pytest.mark.parametrize("way", COPIES)
def test_a_copy_answers_as_the_original_and_opens_the_encoder_when_it_needs_it(
    estimator: Any, way: str, encoder_store: Path, tmp_path: Path
) -> None:
    made = COPIES[way](estimator, tmp_path)
    assert made._opened.encoder is None
    assert repr(made) == repr(estimator)
    assert_same_answers(made, estimator)
    assert made._opened.encoder is not None


def test_a_copy_has_the_fine_tuned_encoder_and_learns_more(fine_tuned: Any, encoder_store: Path) -> None:
    copies = [pickle.loads(pickle.dumps(fine_tuned)), copy.deepcopy(fine_tuned)]
    assert_same_answers(copies[0], fine_tuned)
    for classifier in copies:
        classifier.partial_fit(["a bowl of soup", "bread with butter"], ["food"] * 2)
    assert_same_answers(*copies)
    assert_same_answers(*(classifier.adapt(ASKED) for classifier in copies))


def test_a_clone_is_not_fitted(estimator: Any) -> None:
    made = clone(estimator)
    assert made.get_params() == estimator.get_params()
    with pytest.raises(NotFittedError):
        made.predict(NEW)


def test_another_process_gives_the_same_probabilities(encoder_store: Path, tmp_path: Path) -> None:
    classifier = FewShotClassifier(rungs=FROZEN, device="cpu").fit(TEXTS, LABELS)
    joblib.dump(classifier, tmp_path / "classifier.joblib")
    np.save(tmp_path / "here.npy", classifier.predict_proba(NEW))
    code = (
        "import joblib, numpy, sys\n"
        "there = joblib.load('classifier.joblib').predict_proba(sys.argv[1:])\n"
        "numpy.testing.assert_array_equal(there, numpy.load('here.npy'))"
    )
    subprocess.run([sys.executable, "-c", code, *NEW], cwd=tmp_path, check=True)


@pytest.fixture
def moved(encoder_store: Path, tmp_path: Path) -> tuple[FewShotClassifier, Path]:
    """A copy of a classifier, and the folder of its encoder."""
    folder = shutil.copytree(find_encoder("all-MiniLM-L6-v2").folder, tmp_path / "encoder")
    classifier = FewShotClassifier(folder, rungs=FROZEN, device="cpu").fit(TEXTS, LABELS)
    return copy.deepcopy(classifier), folder


def test_an_encoder_that_is_gone_is_one_clear_error(moved: tuple[FewShotClassifier, Path], tmp_path: Path) -> None:
    classifier, folder = moved
    folder.rename(tmp_path / "elsewhere")
    with pytest.raises(EncoderError) as caught:
        classifier.predict(NEW)
    assert str(caught.value) == (
        f"encoder {str(folder)!r}: expected the encoder with which this FewShotClassifier was fitted, got none that can be opened"
        " here. Put it back, or say where it is now: set_params(encoder=...)."
    )
    classifier.set_params(encoder=tmp_path / "elsewhere")
    assert classifier.predict(NEW).tolist() == ["animal", "number", "travel"]


def test_another_encoder_in_its_place_is_refused(moved: tuple[FewShotClassifier, Path]) -> None:
    classifier, folder = moved
    (folder / "config.json").write_text((folder / "config.json").read_text("utf-8") + "\n", "utf-8")
    with pytest.raises(EncoderError, match="got one with other files or settings"):
        classifier.predict(NEW)
