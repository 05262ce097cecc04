"""Estimators with every kind of answer and of head, and how two of them are compared."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np

from estimators.toy_texts import FROZEN, GRADES, LABELS, MATRIX, NEW, NUMBERS, SEVERAL, TEXTS
from fsat_tasks import FewShotClassifier, FewShotRegressor
from fsat_tasks.errors import DataError
from fsat_tasks.numerics.evidence.held_out import Comparison
from fsat_tasks.tuning.ladder import run_ladder
from fsat_tasks.tuning.material import Material
from fsat_tasks.tuning.state import LadderSettings, Rung
from fsat_tasks.tuning.trial import Fit


class TakesAll(FewShotClassifier):
    """A classifier that takes every rung, after a short fine-tuning."""

    def _run_ladder(self, material: Material, settings: LadderSettings, ladder: Sequence[Rung]) -> Fit:
        assert not self.__sklearn_is_fitted__(), "tuned again"
        return run_ladder(material, replace(settings, epochs=3), ladder, compare=lambda *_: Comparison(1.0, 0.0, 0.0))


OUTSIDE = ["do you give loans", "the moon is far away"]
POOL = {"unlabelled": [*NEW, *OUTSIDE, "add one and one", "a flight home"]}
Kind = tuple[Any, Any, dict[str, Any], dict[str, Any]]
KINDS: dict[str, Kind] = {
    "one label": (FewShotClassifier, LABELS, {"rungs": FROZEN}, {"out_of_scope": OUTSIDE}),
    "whole numbers": (FewShotClassifier, [GRADES[label] for label in LABELS], {"rungs": FROZEN, "class_weight": "balanced"}, {}),
    "booleans": (FewShotClassifier, [label == "animal" for label in LABELS], {"rungs": ("prototypes",)}, {}),
    "taught by a pool": (TakesAll, LABELS, {"rungs": (*FROZEN, "pool")}, POOL),
    "several labels": (TakesAll, SEVERAL, {"rungs": ("probe", "pool")}, POOL),
    "matrix": (FewShotClassifier, MATRIX, {"rungs": ("probe",)}, {"class_names": {0: "an animal"}}),
    "grades": (FewShotClassifier, LABELS, {"rungs": ("probe",), "ordered": ["number", "animal", "travel"]}, {}),
    "numbers": (FewShotRegressor, NUMBERS, {"rungs": ("probe",)}, {"out_of_scope": OUTSIDE}),
}
"""Kind of answers and of head -> estimator, answers, parameters, and more arguments of `fit`."""
FINE_TUNED: Kind = (TakesAll, LABELS, {"rungs": (*FROZEN, "body"), "budget_seconds": 30.0}, {})


def fitted(kind: str) -> Any:
    """Return an estimator that is fitted with the real encoder."""
    make, answers, parameters, more = FINE_TUNED if kind == "fine-tuned" else KINDS[kind]
    return make(device="cpu", coverage=0.8, **parameters).fit(TEXTS, answers, **more)


ASKED = [*NEW, *OUTSIDE, "so long that the encoder does not read it to its end " * 40]
METHODS = ("predict", "predict_proba", "score_samples", "in_scope", "predict_sets", "predict_interval")


def said_by(estimator: Any) -> dict[str, Any]:
    """Return what each method of an estimator says about ASKED."""
    said = {}
    for method in METHODS:
        with suppress(DataError, AttributeError):  # not every kind of answer has every method
            said[method] = getattr(estimator, method)(ASKED)
    return said


def assert_same_answers(one: Any, other: Any) -> None:
    """Assert that two estimators answer alike, to the last bit."""
    said, again = said_by(one), said_by(other)
    assert len(said) >= 4
    assert list(said) == list(again)
    for method, values in said.items():
        np.testing.assert_array_equal(values, again[method], method, strict=True)
