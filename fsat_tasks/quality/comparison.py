"""Comparison of two models on the same rows: accuracies, rows that only one of them gets right, and p-values."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


__all__ = ["compare_accuracy", "fewest_gained", "most_lost"]


def compare_accuracy(new: NDArray[np.bool_], old: NDArray[np.bool_], seed: int) -> dict[str, Any]:
    """Compare a new model with an older one, row by row.

    Args:
        new, old: (n,) whether each of the same rows is right.
        seed: seed of the bootstrap.

    Returns:
        A dict with the number of `rows`; the older model's `accuracy` and its 95 % interval, `accuracy_low` to `accuracy_high`;
        `gained`, the number of rows that only the new model gets right; `lost`, the number that only the older one gets right;
        and two p-values of McNemar's exact test. `p` belongs to the null hypothesis that the new model is no better, `worse_p` to
        the null hypothesis that it is no worse.
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
    """Fewest rows that a model must gain to be better beyond chance (p at most `significance`), if it loses `lost` rows."""
    return next(gained for gained in itertools.count(lost) if _chance(gained, lost) <= significance)


def most_lost(gained: int, significance: float) -> int:
    """Most rows that a model may lose and not be worse beyond chance (p at least `significance`), if it gains `gained` rows."""
    return next(lost for lost in itertools.count(gained) if _chance(lost, gained) < significance) - 1


def _chance(most: int, other: int) -> float:
    """Chance that a fair coin, thrown `most` + `other` times, shows heads at least `most` times; see `compare_paired`."""
    from scipy.stats import binom

    return float(binom.sf(most - 1, most + other, 0.5))
