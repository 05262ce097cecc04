"""Is one classifier better than another on the same rows? Only rows on which one alone is right can tell."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Paired", "compare_paired", "paired_drop"]

RESAMPLES = 2000


@dataclass(frozen=True)
class Paired:
    """A classifier beside an older one."""

    gained: int
    """Rows on which the new one alone is right."""
    lost: int
    """Rows on which the old one alone is right."""
    better_p: float
    """Of a new one that is no better, to gain as many of the rows in dispute or more."""
    worse_p: float
    """Of a new one that is no worse, to lose as many or more."""


def compare_paired(new: NDArray[np.bool_], old: NDArray[np.bool_]) -> Paired:
    """McNemar's exact test, one-sided: the rows in dispute are a fair coin's throws where neither is better.

    On 300 rows a gain of 5 points is significant (p <= 0.05) in 85 % of draws where one row in ten is in dispute, in 69 % where
    three in twenty are.

    Args:
        new, old: (n,) whether each row is right.
    """
    from scipy.stats import binom

    gained, lost = int((new & ~old).sum()), int((old & ~new).sum())
    dispute = binom(gained + lost, 0.5)
    better, worse = (float(dispute.sf(count - 1)) for count in (gained, lost))
    return Paired(gained, lost, better, worse)


def paired_drop(
    before: NDArray[np.bool_], after: NDArray[np.bool_], seed: int, level: float = 0.95
) -> tuple[float, float, float]:
    """How much accuracy falls from `before` to `after` on the same rows: the drop, and its percentile bootstrap interval.

    Resampled rows that fall, rise or stay are multinomial, so they are drawn as such.
    """
    rows = len(before)
    fall, rise = int((before & ~after).sum()), int((after & ~before).sum())
    drawn = np.random.default_rng(seed).multinomial(rows, np.array([fall, rise, rows - fall - rise]) / rows, RESAMPLES)
    tail = (1.0 - level) / 2.0
    low, high = np.quantile((drawn[:, 0] - drawn[:, 1]) / rows, [tail, 1.0 - tail])
    return (fall - rise) / rows, float(low), float(high)
