"""Numbers in labels, and the places of labels among the classes."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["chances_of", "class_numbers", "read_number", "write_number"]

NUMBER = r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?"
"""Pattern of a number as text."""
LARGEST_WHOLE = 1e15
"""Size above which not every whole number has a float of its own."""


def read_number(value: object) -> float | None:
    """Return a cell as a finite number, or None. Python's own reader would also take 1_000, nan and other scripts' digits."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    if isinstance(value, str) and not re.fullmatch(NUMBER, value, re.ASCII):
        return None
    try:
        number = float(value)
    except OverflowError:  # an integer beyond the largest float
        return None
    return number if math.isfinite(number) else None


def write_number(number: float) -> str:
    """Return a finite number in its shortest form, so that 4, 4.0 and 04 are the same text."""
    return str(int(number)) if number.is_integer() and abs(number) < LARGEST_WHOLE else repr(number)


def chances_of(probabilities: NDArray[np.floating], classes: NDArray[np.int64]) -> NDArray[np.floating]:
    """Return the probability of each row's class, (n,), from probabilities (n, classes)."""
    import numpy as np

    return probabilities[np.arange(len(classes)), classes]


def class_numbers(labels: Sequence[str], classes: Sequence[str]) -> NDArray[np.int64]:
    """Return the place of each label among the classes, (n,)."""
    import numpy as np

    number = {label: i for i, label in enumerate(classes)}
    return np.array([number[label] for label in labels], np.int64)
