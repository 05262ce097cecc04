"""The library's regressor: numbers, intervals, scope, and what it refuses."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone, is_regressor
from sklearn.exceptions import NotFittedError
from sklearn.metrics import r2_score
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils import get_tags

from estimators.toy_texts import NEW, NUMBERS, TEXTS, MakeRegressor
from fsat_tasks import FewShotRegressor
from fsat_tasks.errors import DataError

NEAR = np.array([4.0, 0.0, 9.0])  # what texts like NEW usually have


@pytest.mark.parametrize("box", [list, np.array, pd.Series])
def test_numbers_come_back_in_their_own_unit(regressor: MakeRegressor, box: Any) -> None:
    for unit in (1.0, 1000.0):
        fitted = regressor().fit(box(TEXTS), box([unit * number for number in NUMBERS]))
        numbers = fitted.predict(box(NEW))
        assert numbers.shape == (3,)
        assert np.abs(numbers / unit - NEAR).max() < 3.0
    assert fitted.predict([]).shape == (0,)
    assert [rung["name"] for rung in fitted.trace_] == ["probe"]
    assert set(fitted.fit_seconds_) == {"features", "head", "total"}


def test_score_is_r2(regressor: MakeRegressor) -> None:
    fitted = regressor().fit(TEXTS, NUMBERS)
    assert fitted.score(NEW, NEAR) == pytest.approx(r2_score(NEAR, fitted.predict(NEW)))
    assert fitted.score(NEW, NEAR) > 0.5


def test_an_interval_is_as_wide_as_the_errors_on_left_out_samples(regressor: MakeRegressor) -> None:
    fitted = regressor().fit(TEXTS, NUMBERS)
    errors = np.sort(np.abs(fitted._held_out_outputs()[:, 0] - NUMBERS))
    intervals = fitted.predict_interval(NEW, coverage=10 / 13)  # the tenth of twelve errors
    np.testing.assert_allclose(intervals.mean(axis=1), fitted.predict(NEW))
    np.testing.assert_allclose(intervals[:, 1] - intervals[:, 0], 2.0 * errors[9])
    assert fitted.predict_interval([]).shape == (0, 2)
    assert np.isfinite(fitted.predict_interval(NEW)).all(), "twelve samples are enough for the usual coverage"
    said = "^coverage 0.99 needs at least 99 samples, there are 12, so every interval is infinite$"
    with pytest.warns(UserWarning, match=said):
        assert np.isinf(fitted.predict_interval(NEW, coverage=0.99)).all()


def test_texts_like_the_samples_are_more_in_scope_than_others(regressor: MakeRegressor) -> None:
    outside = ["the shares fell on Monday", "please reset my password"]
    for out_of_scope in (None, outside):
        fitted = regressor(coverage=0.8).fit(TEXTS, NUMBERS, out_of_scope=out_of_scope)
        assert fitted.score_samples(NEW).min() > fitted.score_samples(outside).max()
        np.testing.assert_array_equal(fitted.in_scope(NEW), fitted.score_samples(NEW) >= fitted.scope_threshold_)


def test_partial_fit_adds_samples(regressor: MakeRegressor) -> None:
    parts = regressor().partial_fit(TEXTS[:8], NUMBERS[:8])
    before = parts.predict(NEW)
    parts.partial_fit(TEXTS[8:], NUMBERS[8:])
    assert parts.predict(NEW)[2] > before[2] + 2.0
    whole = regressor().fit(TEXTS, NUMBERS)
    np.testing.assert_allclose(parts.predict(NEW), whole.predict(NEW), atol=1.5)  # the settings may differ


def test_scikit_learn_takes_it_for_a_regressor_of_texts(regressor: MakeRegressor) -> None:
    made = FewShotRegressor(rungs=("probe",), coverage=0.9, seed=3)
    assert is_regressor(made)
    tags = get_tags(made)
    assert tags.input_tags.string and tags.input_tags.one_d_array and not tags.input_tags.two_d_array
    copy = clone(made)
    assert copy is not made and copy.get_params() == made.get_params()
    assert "coverage=0.9" in repr(copy)
    order = np.random.default_rng(0).permutation(12)
    texts, numbers = np.array(TEXTS)[order], np.array(NUMBERS)[order]
    for scoring in (None, "neg_mean_absolute_error"):
        assert np.isfinite(cross_val_score(regressor(), texts, numbers, cv=2, scoring=scoring, error_score="raise")).all()
    shout = FunctionTransformer(lambda rows: [row.upper() for row in rows])
    pipeline = Pipeline([("shout", shout), ("regress", regressor())])
    search = GridSearchCV(pipeline, {"regress__coverage": [0.8, 0.9]}, cv=2, error_score="raise").fit(TEXTS, NUMBERS)
    assert search.predict(NEW).shape == (3,)


@pytest.mark.parametrize(
    ("texts", "numbers", "message"),
    [
        (TEXTS, [*NUMBERS[:2], float("nan"), *NUMBERS[3:]], "numbers, row 3: expected a finite number, got nan"),
        (TEXTS, np.array([*NUMBERS[:2], np.inf, *NUMBERS[3:]]), "numbers, row 3: expected a finite number, got inf"),
        (TEXTS, [*NUMBERS[:2], 10**400, *NUMBERS[3:]], r"numbers, row 3: expected a number of at most 1e\+30 in size, got 1000"),
        (TEXTS, [*NUMBERS[:2], None, *NUMBERS[3:]], "numbers, row 3: expected a finite number, got none"),
        (TEXTS, [*NUMBERS[:2], "4.5", *NUMBERS[3:]], "numbers, row 3: expected a finite number, got '4.5'"),
        (TEXTS, [*NUMBERS[:2], True, *NUMBERS[3:]], "numbers, row 3: expected a finite number, got True"),
        (TEXTS, [*NUMBERS[:2], [4.5], *NUMBERS[3:]], r"numbers, row 3: expected a finite number, got \[4.5\]"),
        (TEXTS, np.array(NUMBERS)[:, None], "numbers: expected a list of numbers, got ndarray"),
        (TEXTS, 7, "numbers: expected a list of numbers, got int"),
        (TEXTS, NUMBERS[:-1], "numbers: expected one for each of the 12 texts, got 11"),
        (TEXTS, [3.5] * 12, "numbers: expected numbers that differ, got 3.5 in every row"),
        (TEXTS[:4], NUMBERS[:4], "numbers: expected at least 5, got 4"),
        ([], [], "texts: expected at least one text, got none"),
        ([*TEXTS[:2], None, *TEXTS[3:]], NUMBERS, "texts, row 3: expected a text, got none"),
    ],
)
def test_bad_input_is_one_error_that_names_the_row(texts: Any, numbers: Any, message: str) -> None:
    for method in ("fit", "partial_fit"):
        with pytest.raises(DataError, match=message):
            getattr(FewShotRegressor(), method)(texts, numbers)


def test_what_cannot_be_done_is_refused(regressor: MakeRegressor) -> None:
    with pytest.raises(DataError, match="rungs: expected one of probe, body, got 'pool'"):
        FewShotRegressor(rungs=("pool",)).fit(TEXTS, NUMBERS)
    for method in ("predict", "predict_interval", "score_samples", "in_scope"):
        with pytest.raises(NotFittedError):
            getattr(FewShotRegressor(), method)(NEW)
    fitted = regressor().fit(TEXTS, NUMBERS)
    before = fitted.predict(NEW)
    with pytest.raises(DataError, match="coverage: expected a share, 0 to 1, got 90"):
        fitted.predict_interval(NEW, coverage=90)
    with pytest.raises(DataError, match="numbers, row 1: expected a finite number"):
        fitted.partial_fit(NEW[:1], [float("nan")])
    np.testing.assert_array_equal(fitted.predict(NEW), before)
