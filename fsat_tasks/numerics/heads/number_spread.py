"""Numbers that a model in float32 can tell apart."""

from __future__ import annotations

import numpy as np

from fsat_tasks.numerics.types import Array

__all__ = ["spread_problem"]

LEAST_SHARE = 1e-4
"""Minimum standard deviation, as a share of the largest number. Float32 has seven digits, of which an answer needs three."""
LEAST_SPREAD = 1e-30
"""Minimum standard deviation, because squares of smaller numbers vanish."""


def spread_problem(values: Array) -> tuple[str, str, str] | None:
    """Return what was expected, what came and what to do, if a graph in float32 cannot tell the numbers apart.

    Args:
        values: (n,), finite.
    """
    largest = float(np.abs(values).max())
    spread = largest * float(np.std(values / largest)) if largest > 0.0 else 0.0
    if spread == 0.0:
        return None  # all numbers are the same, which another check says
    if spread < LEAST_SPREAD:
        return "numbers that are not so small", f"a standard deviation of {spread:.3g}", "Write them in a smaller unit."
    if spread < LEAST_SHARE * largest:
        came = f"numbers up to {largest:.6g} with a standard deviation of {spread:.3g}"
        return "numbers that float32 can tell apart", came, "Subtract an offset from all of them, such as their minimum."
    return None
