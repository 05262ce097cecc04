"""Two models on the same rows: their accuracies, the rows that only one of them gets right, and what chance explains."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


__all__ = ["beside", "fewest_gained", "most_lost"]


def beside(new: NDArray[np.bool_], old: NDArray[np.bool_], seed: int) -> dict[str, Any]:
    """Compare a new model with an older one, row by row.

    Args:
        new, old: (n,) whether each of the same rows is right.
        seed: of the bootstrap.

    Returns:
        `rows`; the older model's `accuracy` with its 95 % interval, `accuracy_low` and `accuracy_high`; `gained` and `lost`, the
        rows that only the new model and only the older one gets right; and the p-values of McNemar's exact test, `p` (the new
        model is no better) and `worse_p` (it is no worse).
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


def fewest_gained(lost: int, significance: float) -> int:
    """Fewest rows that a model with so many lost rows must gain to be better beyond chance: p at most `significance`."""
    return next(gained for gained in itertools.count(lost) if _chance(gained, lost) <= significance)


def most_lost(gained: int, significance: float) -> int:
    """Most rows that a model with so many gained rows may lose and be no worse beyond chance: p at least `significance`."""
    return next(lost for lost in itertools.count(gained) if _chance(lost, gained) < significance) - 1


def _chance(most: int, other: int) -> float:
    """The chance that a fair coin falls on one side so often or more, as in `compare_paired`."""
    from scipy.stats import binom

    return float(binom.sf(most - 1, most + other, 0.5))
