"""Single labels that users of the library pass: what can be a label, which labels are one class, and how classes come back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fsat_tasks.errors import DataError

__all__ = ["find_classes", "is_plain", "kind_of", "plain", "require_label", "require_utf8"]

LABELS = (str, bool, int, float, np.bool_, np.integer, np.floating)


def plain(value: Any) -> Any:
    """Return a value as Python's own text, number or boolean. Labels are of one class if these are equal.

    NumPy's types lose their type, and so do subclasses of str, such as the members of a `(str, Enum)` class.
    """
    if isinstance(value, str):
        return str.__str__(value)
    return value.item() if isinstance(value, np.generic) else value


def is_plain(label: Any) -> bool:
    """Return whether a label is Python's or NumPy's own text, number or boolean, and no member of another class."""
    return isinstance(label, np.generic) or type(label) in (str, bool, int, float)


def require_label(label: Any, where: str) -> None:
    """Raise DataError if a value cannot be a label."""
    expected = "a label (text, a number, true or false)"
    if not isinstance(label, LABELS) or label != label:
        raise DataError(where, expected, "none" if label is None or isinstance(label, LABELS) else type(label).__name__)
    if not isinstance(label, str):
        return
    if not label.strip():
        raise DataError(where, expected, f"blank text, {plain(label)!r}")
    require_utf8(label, where, expected)


def require_utf8(text: str, where: str, expected: str) -> None:
    """Raise DataError if a text has half of a surrogate pair."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise DataError(where, expected, "half of a surrogate pair") from None


def kind_of(values: Sequence[Any]) -> type | None:
    """Return the type that has a place for all of the plain labels: str, float, int or bool. None if there are no labels."""
    for kind in (str, float, int):
        if any(isinstance(value, kind) and not isinstance(value, bool) for value in values):
            return kind
    return bool if values else None


def find_classes(labels: Sequence[Any]) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Return the classes in ascending order, as they were first passed, and the place of each label among them, (n,)."""
    values = [plain(label) for label in labels]
    passed: dict[Any, Any] = {}
    for value, label in zip(values, labels, strict=True):
        passed.setdefault(value, label)
    place = {value: i for i, value in enumerate(sorted(passed))}
    return _array([passed[value] for value in place]), np.array([place[value] for value in values], np.int64)


def _array(labels: list[Any]) -> NDArray[Any]:
    """Return labels as an array; of objects if NumPy's types would cut them, round them or lose the class of a text."""
    array = np.array(labels)
    keeps_text = all(type(label) in (str, np.str_) for label in labels if isinstance(label, str))
    if not keeps_text or array.tolist() != [plain(label) for label in labels]:
        array = np.empty(len(labels), object)
        array[:] = labels
    return array
