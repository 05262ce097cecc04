"""Texts, labels and parameters that the library's classifier refuses, with the row; no encoder is loaded for them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import coo_array, csr_array
from sklearn.exceptions import NotFittedError

from estimators.toy_texts import LABELS, MATRIX, NEW, NUMBERS, SEVERAL, TEXTS, Make, MakeRegressor
from fsat_tasks import FewShotClassifier, FewShotRegressor
from fsat_tasks.errors import DataError


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
        (TEXTS, nan_row(LABELS, 7), {}, "labels, row 3: expected text, as is 'animal', the label of row 1, got 7"),
        (TEXTS, nan_row(LABELS, b"animal"), {}, r"labels, row 3: expected a label .*, got bytes"),
        (TEXTS, nan_row(LABELS, ""), {}, "labels, row 3: expected a label .*, got blank text, ''"),
        (TEXTS, nan_row(LABELS, " "), {}, "labels, row 3: expected a label .*, got blank text, ' '"),
        (TEXTS, nan_row(SEVERAL, ["animal", "\t"]), {}, r"labels, row 3: expected a label .*, got blank text, '\\t'"),
        (TEXTS, nan_row(LABELS, "\ud800"), {}, "labels, row 3: expected a label .*, got half of a surrogate pair"),
        (TEXTS, nan_row(LABELS, np.int64(3)), {}, "labels, row 3: expected text, as is 'animal', the label of row 1, got 3"),
        (TEXTS, csr_array(MATRIX), {}, "labels: expected a list or an array, got a sparse matrix. Pass what its method toarray"),
        (TEXTS, coo_array(np.arange(12)), {}, "labels: expected a list or an array, got a sparse matrix"),
        (TEXTS, nan_row(LABELS, ["animal"]), {}, r"labels, row 3: expected one label, as in row 1, got \['animal'\]"),
        (TEXTS, nan_row(SEVERAL, "animal"), {}, "labels, row 3: expected a list of labels, as in row 1, got 'animal'"),
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
        (TEXTS, [["animal", "number"], *[[]] * 11], {}, "labels: expected at least two rows with a label, got 1"),
        (
            TEXTS,
            [[*row, "all"] for row in SEVERAL],
            {},
            "labels: expected labels that some texts do not .*, got 'all' in every row",
        ),
        (TEXTS, np.column_stack([MATRIX, np.ones(12, int)]), {}, "labels: expected labels that .*, got 3 in every row"),
        (TEXTS, LABELS, {"unlabelled": ["a", None]}, "unlabelled, row 2: expected a text, got none"),
        (TEXTS, LABELS, {"unlabelled": "a text"}, "unlabelled: expected a list of texts, got one text"),
        (TEXTS, LABELS, {"out_of_scope": [1]}, "out_of_scope, row 1: expected a text, got int"),
        (TEXTS, LABELS, {"class_names": {"plant": "a plant"}}, "class_names: expected labels of the samples, got 'plant'"),
        (TEXTS, LABELS, {"class_names": {"animal": None}}, "class_names, label 'animal': expected words, got NoneType"),
        (TEXTS, LABELS, {"class_names": {"animal": "\ud800"}}, "class_names, label 'animal': expected words, got half of a surr"),
        (TEXTS, LABELS, {"class_names": {np.int64(3): "three"}}, "class_names: expected labels of the samples, got 3"),
        (TEXTS, LABELS, {"class_names": ["a", "b", "c"]}, "class_names: expected a mapping of labels to words, got list"),
    ],
)
def test_bad_input_is_one_error_that_names_the_row(texts: Any, labels: Any, more: dict[str, Any], message: str) -> None:
    for method in ("fit", "partial_fit"):
        if method == "partial_fit" and not set(more) <= {"class_names"}:
            continue
        with pytest.raises(DataError, match=message):
            getattr(FewShotClassifier(), method)(texts, labels, **more)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"rungs": ("probe", "boddy")}, "rungs: expected one of prototypes, probe, pool, .*, got 'boddy'"),
        ({"rungs": "probe"}, "rungs: expected a list of texts, got one text"),
        ({"rungs": 3}, "rungs: expected a list of texts, got int"),
        ({"rungs": [("probe",)]}, "rungs, row 1: expected a text, got tuple"),
        ({"encoder": None}, "encoder: expected a name or a folder, got None"),
        ({"body": None}, "body: expected one of full, lora, oft, got None"),
        ({"body": np.arange(2)}, r"body: expected one of full, lora, oft, got array\(\[0, 1\]\)"),
        ({"device": 0}, "device: expected one of auto, cpu, cuda, got 0"),
        ({"class_weight": {"animal": 2.0}}, r"class_weight: expected one of balanced, None, got \{'animal': 2.0\}"),
        *[
            ({name: value}, f"{name}: expected {expected}, got {shown}")
            for name, expected in (
                ("coverage", "a share, 0 to 1"),
                ("budget_seconds", "a number of seconds, 0 or more"),
                ("seed", "a whole number, 0 to 4294967295"),
            )
            for value, shown in (
                ("5", "'5'"),
                (None, "None"),
                (True, "True"),
                ([1], r"\[1\]"),
                (np.int64(-1), "-1"),
                (float("nan"), "nan"),
                (10**400, "1000"),
            )
        ],
        ({"seed": 0.0}, "seed: expected a whole number, 0 to 4294967295, got 0.0"),
        ({"seed": 2**32}, "seed: expected a whole number, 0 to 4294967295, got 4294967296"),
        ({"ordered": 1}, "ordered: expected true, false, or a list of the grades .*, got 1"),
        ({"ordered": ["animal", None]}, "ordered, grade 2: expected a label .*, got none"),
        ({"body": "qlora"}, "body: expected one of full, lora, oft, got 'qlora'"),
        ({"device": "gpu"}, "device: expected one of auto, cpu, cuda, got 'gpu'"),
        ({"coverage": 95}, "coverage: expected a share, 0 to 1, got 95"),
        ({"class_weight": "even"}, "class_weight: expected one of balanced, None, got 'even'"),
        ({"budget_seconds": float("inf")}, "budget_seconds: expected a number of seconds, 0 or more, got inf"),
        ({"budget_seconds": -1.0}, "budget_seconds: expected a number of seconds, 0 or more, got -1.0"),
    ],
)
def test_a_bad_parameter_is_refused_with_what_is_known(parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        FewShotClassifier(**parameters).fit(TEXTS, LABELS)
    if not parameters.keys() & {"class_weight", "ordered"}:
        with pytest.raises(DataError, match=message.split(" one of proto")[0]):
            FewShotRegressor(**parameters).fit(TEXTS, NUMBERS)


@pytest.mark.parametrize("labels", [SEVERAL, MATRIX])
def test_balanced_classes_need_one_label_a_text(labels: Any) -> None:
    with pytest.raises(DataError, match="class_weight: expected none with several labels a text or with grades, got 'balanced'"):
        FewShotClassifier(class_weight="balanced").fit(TEXTS, labels)


@pytest.mark.parametrize("method", ["predict", "predict_proba", "predict_sets", "score_samples", "in_scope", "adapt"])
def test_nothing_is_answered_before_fit(toy: FewShotClassifier, method: str) -> None:
    with pytest.raises(NotFittedError):
        getattr(FewShotClassifier(), method)(NEW)
    for texts, message in (("a text", "texts: expected a list"), (["a", None], "texts, row 2: expected a text, got none")):
        with pytest.raises(DataError, match=message):
            getattr(toy, method)(texts)


def test_partial_fit_refuses_labels_of_another_kind(toy: FewShotClassifier) -> None:
    for labels in ([1, 2], [["animal"], ["number"]], MATRIX[:2]):
        with pytest.raises(DataError, match=r"labels such as .*animal"):
            toy.partial_fit(NEW[:2], labels)
    with pytest.raises(DataError, match="at least one text"):
        toy.partial_fit([], [])


@pytest.mark.parametrize("coverage", [90, "a", None, True, -0.1, float("nan")])
def test_a_coverage_that_is_no_share_is_refused(toy: FewShotClassifier, regressor: MakeRegressor, coverage: Any) -> None:
    for method in (toy.predict_sets, regressor().fit(TEXTS, NUMBERS).predict_interval):
        with pytest.raises(DataError, match=f"coverage: expected a share, 0 to 1, got {coverage!r}"):
            method(NEW, coverage)


def test_numpys_numbers_are_parameters_like_pythons(frozen: Make) -> None:
    parameters = {"coverage": np.float32(0.5), "budget_seconds": np.int64(0), "seed": np.uint8(3), "ordered": np.False_}
    frozen(**parameters).fit(TEXTS, LABELS)


def test_a_parameter_that_was_changed_after_fit_is_checked_too(frozen: Make, regressor: MakeRegressor) -> None:
    for estimator, answers in ((frozen().fit(TEXTS, LABELS), LABELS), (regressor().fit(TEXTS, NUMBERS), NUMBERS)):
        with pytest.raises(DataError, match="coverage: expected a share, 0 to 1, got None"):
            estimator.set_params(coverage=None).partial_fit(TEXTS[:1], answers[:1])
