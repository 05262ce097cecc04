"""Numbers that users of the library pass. An error message names the row that is wrong."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Set
from typing import Any

import numpy as np

from fsat_tasks.errors import DataError
from fsat_tasks.estimators.label_values import plain
from fsat_tasks.numerics.heads.number_spread import spread_problem
from fsat_tasks.numerics.types import Array
from fsat_tasks.targets.number import LARGEST

__all__ = ["read_numbers", "require_spread"]


def read_numbers(numbers: Any, n: int) -> Array:
    """Return the numbers of n texts, (n,).

    Raises:
        DataError: if there is not one finite number for each text.
    """
    if n == 0:
        raise DataError("texts", "at least one text", "none")
    if isinstance(numbers, str | bytes | Mapping | Set) or getattr(numbers, "ndim", 1) != 1 or not isinstance(numbers, Iterable):
        raise DataError("numbers", "a list of numbers", type(numbers).__name__)
    rows = list(numbers)
    if len(rows) != n:
        raise DataError("numbers", f"one for each of the {n} texts", f"{len(rows)}")
    for at, number in enumerate(rows):
        is_number = isinstance(number, int | float | np.integer | np.floating) and not isinstance(number, bool)
        if not is_number or not (isinstance(number, int) or math.isfinite(number)):
            raise DataError(f"numbers, row {at + 1}", "a finite number", "none" if number is None else repr(plain(number)))
        if abs(number) > LARGEST:
            raise DataError(f"numbers, row {at + 1}", f"a number of at most {LARGEST:g} in size", repr(plain(number)))
    return np.array(rows, np.float64)


def require_spread(values: Array, least: int) -> None:
    """Raise DataError if there are fewer numbers than `least`, or if they do not differ."""
    if len(values) < least:
        raise DataError("numbers", f"at least {least}", str(len(values)))
    if (values == values[0]).all():
        raise DataError("numbers", "numbers that differ", f"{values[0]:g} in every row")
    if problem := spread_problem(values):
        raise DataError("numbers", *problem)
