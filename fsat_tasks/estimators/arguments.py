"""Checks of the arguments that users of the library pass. An error message names the argument and the row that is wrong."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fsat_tasks.data.class_names import name_classes
from fsat_tasks.data.texts import read_texts
from fsat_tasks.errors import DataError
from fsat_tasks.numerics.types import Labels
from fsat_tasks.tuning.ladder import RUNGS
from fsat_tasks.tuning.state import LadderSettings

__all__ = ["class_words", "read_labels", "read_settings", "require_share"]


COLLECTIONS = (list, tuple, set, frozenset)
LABELS = (str, bool, int, float, np.bool_, np.integer, np.floating)


def read_labels(labels: Any, n: int) -> tuple[NDArray[Any], Labels, bool]:
    """Return the classes; the labels as class indices (n,) or a 0/1 matrix (n, classes); and True if the labels are a matrix."""
    if n == 0:
        raise DataError("texts", "at least one text", "none")
    if getattr(labels, "ndim", 1) == 2:
        return (*_read_matrix(np.asarray(labels), n), True)
    if isinstance(labels, str | bytes | Mapping | Set) or not isinstance(labels, Iterable):
        raise DataError("labels", "a list of labels", type(labels).__name__)
    rows = list(labels)
    if len(rows) != n:
        raise DataError("labels", f"one for each of the {n} texts", f"{len(rows)}")
    several = any(isinstance(row, COLLECTIONS) for row in rows)
    given: list[tuple[int, Any]] = []  # row from 0, label
    for at, row in enumerate(rows):
        if several and not isinstance(row, COLLECTIONS):
            raise DataError(f"labels, row {at + 1}", "a list of labels, as in other rows", repr(row))
        given += [(at, label) for label in (row if several else (row,))]
    for at, label in given:
        if not isinstance(label, LABELS) or label != label:
            got = "none" if label is None or isinstance(label, LABELS) else type(label).__name__
            raise DataError(f"labels, row {at + 1}", "a label (text, a number, true or false)", got)
        if isinstance(label, str) != isinstance(given[0][1], str):
            first = f"{given[0][1]!r}, the label of row {given[0][0] + 1}"
            kind = f"text, as is {first}" if isinstance(given[0][1], str) else f"a number, true or false, as is {first}"
            raise DataError(f"labels, row {at + 1}", kind, repr(label))
    classes, targets = np.unique(np.asarray([label for _, label in given]), return_inverse=True)
    if not several:
        return classes, targets.astype(np.int64), False
    matrix = np.zeros((n, len(classes)), np.int64)
    matrix[[at for at, _ in given], targets] = 1
    return classes, matrix, True


def _read_matrix(matrix: NDArray[Any], n: int) -> tuple[NDArray[Any], Labels]:
    if matrix.ndim != 2 or len(matrix) != n or matrix.shape[1] < 2:
        raise DataError(
            "labels",
            f"a matrix of {n} rows, one for each text, and two columns or more",
            f"shape {matrix.shape}",
            "If each text has one label, pass a list of n labels.",
        )
    usable = np.isin(matrix, (0, 1)).all(axis=1)
    if not usable.all():
        at = int(usable.argmin())
        raise DataError(f"labels, row {at + 1}", "zeros and ones", str(matrix[at].tolist()))
    return np.arange(matrix.shape[1]), matrix.astype(np.int64)


def class_words(labels: list[Any], class_names: Mapping[Any, str] | None) -> list[str]:
    """Return words for each label: its entry in `class_names` or, if there is none, the label itself as words."""
    given = {} if class_names is None else class_names
    if not isinstance(given, Mapping):
        raise DataError("class_names", "a mapping of labels to words", type(given).__name__)
    for label, words in given.items():
        if label not in labels:
            raise DataError("class_names", "labels of the samples", repr(label))
        if not isinstance(words, str):
            raise DataError(f"class_names, label {label!r}", "words", type(words).__name__)
    return list(name_classes(labels, given).values())


def require_share(value: float, where: str) -> None:
    """Raise DataError if a value is not a share, 0 to 1."""
    if not 0.0 <= value <= 1.0:
        raise DataError(where, "a share, 0 to 1", str(value))


def read_settings(parameters: Mapping[str, Any]) -> LadderSettings:
    """Return the ladder's settings from an estimator's parameters. Raise DataError if a value is unknown or out of range."""
    rungs = RUNGS if parameters["rungs"] is None else tuple(read_texts(parameters["rungs"], "rungs"))
    for name, values, known in (
        ("rungs", rungs, RUNGS),
        ("body", (parameters["body"],), ("full", "lora", "oft")),
        ("device", (parameters["device"],), ("auto", "cpu", "cuda")),
        ("class_weight", (parameters["class_weight"],), ("balanced", None)),
    ):
        if unknown := [value for value in values if value not in known]:
            raise DataError(name, f"one of {', '.join(map(str, known))}", repr(unknown[0]))
    require_share(parameters["coverage"], "coverage")
    budget = parameters["budget_seconds"]
    if not (budget >= 0 and np.isfinite(budget)):
        raise DataError("budget_seconds", "a number of seconds, 0 or more", str(budget))
    return LadderSettings(
        rungs=rungs,
        budget_seconds=budget,
        fine_tuning=parameters["body"],
        class_weight=parameters["class_weight"],
        seed=parameters["seed"],
    )
