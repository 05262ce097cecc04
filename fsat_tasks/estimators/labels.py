"""Labels that users of the library pass: one label a text, several, or a grade. An error message names the row that is wrong."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse

from fsat_tasks.data.class_names import name_classes
from fsat_tasks.errors import DataError
from fsat_tasks.estimators.label_values import find_classes, kind_of, plain, require_label, require_utf8
from fsat_tasks.numerics.heads.grades import Grades
from fsat_tasks.numerics.heads.one_label import OneLabel
from fsat_tasks.numerics.heads.several_labels import SeveralLabels
from fsat_tasks.targets.reading import read_number

__all__ = ["Labelled", "Order", "class_words", "join_labels", "read_labels", "read_order", "require_contrast", "right_answers"]


Order = list[Any] | bool
"""The grades from the lowest to the highest; True for grades that are numbers; False for labels without an order."""
COLLECTIONS = (list, tuple, set, frozenset)


@dataclass(frozen=True)
class Labelled:
    """Labels of n texts, as they were passed and as heads learn them."""

    rows: list[Any] | NDArray[np.int64]
    """The labels of each text, or a 0/1 matrix (n, classes)."""
    classes: NDArray[Any]
    answers: OneLabel | SeveralLabels | Grades

    @property
    def values(self) -> list[Any]:
        """The classes as Python's own text, numbers or booleans."""
        return [plain(label) for label in self.classes.tolist()]

    @property
    def several(self) -> bool:
        """True if a text may have several labels."""
        return isinstance(self.answers, SeveralLabels)

    @property
    def columns(self) -> int | None:
        """Number of columns of the matrix; None if the labels are no matrix."""
        return None if isinstance(self.rows, list) else self.rows.shape[1]


def read_labels(labels: Any, n: int, order: Order = False) -> Labelled:
    """Read the labels of n texts.

    Args:
        labels: n labels, n collections of labels, or a 0/1 matrix (n, classes).
        n: number of texts.
        order: order of the grades; False if labels have no order.

    Raises:
        DataError: if a label cannot be used.
    """
    if n == 0:
        raise DataError("texts", "at least one text", "none")
    rows = _rows(labels, n)
    if isinstance(rows, list):
        return _read_rows(rows, order)
    if order is not False:
        raise DataError("labels", "one grade for each text", "a matrix")
    return _read_matrix(rows, n)


def right_answers(answers: NDArray[Any], labels: Any, known: Labelled) -> list[bool]:
    """Return whether each answer is the text's label or, with several labels, exactly its labels; n booleans.

    Args:
        answers: n labels, or a 0/1 matrix (n, classes).
        labels: the true labels, as they are passed to `fit`.
        known: labels of the samples.

    Raises:
        DataError: if the labels are of another kind than those of the samples.
    """
    if len(answers) == 0:
        raise DataError("texts", "at least one text", "none")
    rows = _rows(labels, len(answers))
    if not isinstance(rows, list):
        if rows.shape != answers.shape:
            raise DataError("labels", f"labels of the shape {answers.shape}", f"shape {rows.shape}")
        return [bool(right) for right in (answers == rows).all(axis=1)]
    if _are_collections(rows, False) != known.several:
        raise DataError("labels", f"labels such as {_show(known.rows[0])}", _show(rows[0]))
    if not known.several:
        return [plain(answer) == plain(label) for answer, label in zip(answers.tolist(), rows, strict=True)]
    values = np.array(known.values, object)
    return [set(values[answer == 1]) == set(map(plain, row)) for answer, row in zip(answers, rows, strict=True)]


def join_labels(known: Labelled, fresh: Labelled, order: Order) -> Labelled:
    """Return the labels of more texts after those of the known texts. There may be new classes.

    Raises:
        DataError: if the fresh labels are of another kind than the known ones.
    """
    kinds = [kind_of(labels.values) for labels in (known, fresh)]
    alike = (type(known.answers), known.columns) == (type(fresh.answers), fresh.columns)
    if not alike or (None not in kinds and (kinds[0] is str) != (kinds[1] is str)):
        raise DataError("labels", f"labels such as {_show(known.rows[0])}", _show(fresh.rows[0]))
    if not isinstance(known.rows, list) or not isinstance(fresh.rows, list):
        return _read_matrix(np.vstack([known.rows, fresh.rows]), len(known.rows) + len(fresh.rows))
    joined = _read_rows(known.rows + fresh.rows, order)
    if kinds[0] not in (None, kind_of(joined.values)):  # a class 3 must not become 3.0
        labels = (plain(label) for row in fresh.rows for label in (row if fresh.several else (row,)))
        new = (label for label in labels if label not in known.values)
        other = next(label for label in new if kind_of([*known.values, label]) is not kinds[0])
        raise DataError("labels", f"labels such as {known.values[0]!r}", repr(other))
    return joined


def read_order(ordered: Any) -> Order:
    """Return the order of grades that an estimator's parameter `ordered` gives. Raise DataError if it gives none."""
    if isinstance(ordered, bool | np.bool_):
        return bool(ordered)
    if isinstance(ordered, str | bytes | Mapping | Set) or not isinstance(ordered, Iterable):
        raise DataError("ordered", "true, false, or a list of the grades from the lowest to the highest", repr(ordered))
    grades = list(ordered)
    for at, grade in enumerate(grades):
        require_label(grade, f"ordered, grade {at + 1}")
        if grade in grades[:at]:
            raise DataError("ordered", "each grade once", f"{plain(grade)!r} twice")
    return [plain(grade) for grade in grades]


def require_contrast(labelled: Labelled) -> None:
    """Raise DataError if the labels do not tell texts apart."""
    classes, answers = labelled.values, labelled.answers
    if len(classes) < 2:
        raise DataError("labels", "at least two classes", f"only {classes}")
    if isinstance(answers, SeveralLabels):
        everywhere = answers.matrix.all(axis=0)
        if everywhere.any():
            fix = "A label that every text has tells nothing. Leave it out."
            raise DataError("labels", "labels that some texts do not have", f"{classes[everywhere.argmax()]!r} in every row", fix)
        if (count := int(answers.matrix.any(axis=1).sum())) < 2:
            raise DataError("labels", "at least two rows with a label", str(count))


def class_words(
    classes: Sequence[Any], class_names: Mapping[Any, str] | None, known: Mapping[Any, str] | None = None
) -> dict[Any, str]:
    """Return class -> words: its entry in `class_names`, its known words or, if there are none, the label itself as words.

    Args:
        classes: the plain labels.
        class_names: what the user passed.
        known: class -> words that it has already.
    """
    given = {} if class_names is None else class_names
    if not isinstance(given, Mapping):
        raise DataError("class_names", "a mapping of labels to words", type(given).__name__)
    for label, words in given.items():
        if plain(label) not in classes:
            raise DataError("class_names", "labels of the samples", repr(plain(label)))
        where = f"class_names, label {plain(label)!r}"
        if not isinstance(words, str):
            raise DataError(where, "words", type(words).__name__)
        require_utf8(words, where, "words")
    return name_classes(classes, {**(known or {}), **{plain(label): words for label, words in given.items()}})


def _rows(labels: Any, n: int) -> list[Any] | NDArray[Any]:
    """Return the labels of n texts: a list of n labels or collections, or a matrix. The labels themselves are not checked."""
    if issparse(labels):
        raise DataError("labels", "a list or an array", "a sparse matrix", "Pass what its method toarray() returns.")
    if getattr(labels, "ndim", 1) == 2:
        return np.asarray(labels)
    if isinstance(labels, str | bytes | Mapping | Set) or not isinstance(labels, Iterable):
        raise DataError("labels", "a list of labels", type(labels).__name__)
    rows = list(labels)
    if len(rows) != n:
        raise DataError("labels", f"one for each of the {n} texts", f"{len(rows)}")
    return rows


def _read_rows(rows: list[Any], order: Order) -> Labelled:
    """Read one row at least, each a label, a collection of labels or a grade."""
    several = _are_collections(rows, order)
    given = [(at, label) for at, row in enumerate(rows) for label in (row if several else (row,))]
    _require_labels(given)
    ranks = [] if order is False else [_rank(label, order, f"labels, row {at + 1}") for at, label in given]
    classes, groups = find_classes([label for _, label in given])
    if ranks:
        return _in_order(rows, classes, groups, ranks)
    if not several:
        return Labelled(rows, classes, OneLabel(groups, len(classes)))
    matrix = np.zeros((len(rows), len(classes)), np.int64)
    matrix[[at for at, _ in given], groups] = 1
    return Labelled(rows, classes, SeveralLabels(matrix))


def _are_collections(rows: Sequence[Any], order: Order) -> bool:
    """Return whether each row is a collection of labels. All rows must be of the kind of the first, and grades are single."""
    first = isinstance(rows[0], COLLECTIONS) and order is False
    for at, row in enumerate(rows):
        if isinstance(row, COLLECTIONS) != first:
            word = "a list of labels" if first else "one grade" if order is not False else "one label"
            raise DataError(f"labels, row {at + 1}", f"{word}{', as in row 1' if at else ''}", _show(row))
    return first


def _require_labels(given: Sequence[tuple[int, Any]]) -> None:
    """Raise DataError if a label, given with its row from 0, is no label, or no text while the first is, or the other way."""
    for at, label in given:
        require_label(label, f"labels, row {at + 1}")
        if isinstance(label, str) != isinstance(given[0][1], str):
            first = f"{_show(given[0][1])}, the label of row {given[0][0] + 1}"
            kind = f"text, as is {first}" if isinstance(given[0][1], str) else f"a number, true or false, as is {first}"
            raise DataError(f"labels, row {at + 1}", kind, _show(label))


def _rank(grade: Any, order: Order, where: str) -> Any:
    """Return a number that is higher for a higher grade."""
    grade = plain(grade)
    if isinstance(order, list):
        if grade not in order:
            raise DataError(where, "a grade that `ordered` names", repr(grade))
        return order.index(grade)
    number = read_number(grade) if isinstance(grade, str) else grade
    if number is None or number in (math.inf, -math.inf):
        raise DataError(where, "a grade that is a number", repr(grade), "Pass the grades, from the lowest, as `ordered`.")
    return number


def _in_order(rows: list[Any], classes: NDArray[Any], groups: NDArray[np.int64], ranks: Sequence[Any]) -> Labelled:
    """Return grades in the order of their ranks.

    Args:
        rows: n grades.
        classes: the grades, each once.
        groups: (n,), place of each row's grade among `classes`.
        ranks: n ranks.

    Raises:
        DataError: if two grades have the same rank, as 4 and 4.0 do.
    """
    found: dict[Any, int] = {}
    for at, (rank, group) in enumerate(zip(ranks, groups.tolist(), strict=True)):
        first = found.setdefault(rank, group)
        if first != group:
            expected = f"one spelling of the grade {_show(classes[first])}"
            raise DataError(f"labels, row {at + 1}", expected, _show(rows[at]))
    places = np.array([found[rank] for rank in sorted(found)])
    return Labelled(rows, classes[places], Grades(np.argsort(places)[groups], len(classes)))


def _read_matrix(matrix: NDArray[Any], n: int) -> Labelled:
    if len(matrix) != n or matrix.shape[1] < 2:
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
    binary = matrix.astype(np.int64)
    return Labelled(binary, np.arange(binary.shape[1]), SeveralLabels(binary))


def _show(row: Any) -> str:
    """Return a label, a collection or a row of a matrix for a message, without the names of NumPy's types."""
    if isinstance(row, np.ndarray):
        return repr(row.tolist())
    return repr([plain(label) for label in row] if isinstance(row, COLLECTIONS) else plain(row))
