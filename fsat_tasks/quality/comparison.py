"""Accuracy of two models beside each other, on the same rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


__all__ = ["beside"]


def beside(new: NDArray[np.bool_], old: NDArray[np.bool_], seed: int) -> dict[str, Any]:
    """Figures of an older model beside a new one: its accuracy with a 95 % interval, rows gained and lost, and p values.

    Args:
        new, old: (n,) whether each of the same rows is right.
    """
    from fsat_tasks.numerics.evidence.metrics import accuracy_interval
    from fsat_tasks.numerics.evidence.paired import compare_paired

    low, high = accuracy_interval(old, seed)
    paired = compare_paired(new, old)
    return {
        "rows": len(old),
        "accuracy": float(old.mean()),
        "accuracy_low": low,
        "accuracy_high": high,
        "gained": paired.gained,
        "lost": paired.lost,
        "p": paired.better_p,
        "worse_p": paired.worse_p,
    }
