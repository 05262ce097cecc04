"""scikit-learn drives the classifier: clones, cross-validation, pipelines and searches."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.base import clone, is_classifier
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils import get_tags

from estimators.toy_texts import FROZEN, LABELS, NEW, TEXTS, Make
from fsat_tasks import FewShotClassifier


def test_scikit_learn_takes_it_for_a_classifier_of_texts() -> None:
    classifier = FewShotClassifier(rungs=FROZEN, coverage=0.9, seed=3)
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
def test_cross_validation(frozen: Make, box: Any, scoring: str | None) -> None:
    more = {"unlabelled": NEW}
    scores = cross_val_score(frozen(), box(TEXTS), box(LABELS), cv=2, scoring=scoring, params=more, error_score="raise")
    assert scores.shape == (2,)
    assert np.isfinite(scores).all()


def test_pipeline_and_grid_search(frozen: Make) -> None:
    shout = FunctionTransformer(lambda rows: [row.upper() for row in rows])
    pipeline = Pipeline([("shout", shout), ("classify", frozen())])
    pipeline.fit(TEXTS, LABELS, classify__out_of_scope=["do you give loans"])
    assert pipeline.score(NEW, ["animal", "number", "travel"]) == 1.0
    rungs = [("prototypes",), FROZEN]
    search = GridSearchCV(pipeline, {"classify__rungs": rungs}, cv=2, error_score="raise").fit(TEXTS, LABELS)
    assert search.best_params_["classify__rungs"] in rungs
    assert search.predict(NEW).tolist() == ["animal", "number", "travel"]
