"""Paired comparison of two models on the same rows.

In a comparison of right answers, only rows that exactly one of the models gets right (discordant) count.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Paired", "compare_paired", "compare_paired_errors", "lower_loss_p", "no_worse_p", "paired_drop"]

RESAMPLES = 2000
"""Number of bootstrap samples."""
PERMUTATIONS = 9999
"""Number of random permutations of a permutation test."""
PERMUTED_CELLS = 4_000_000
"""Number of losses that are permuted at once, which bounds the memory."""


@dataclass(frozen=True)
class Paired:
    """Result of a new classifier against an old one."""

    gained: int
    """Number of rows that only the new classifier gets right."""
    lost: int
    """Number of rows that only the old classifier gets right."""
    better_p: float
    """One-sided p-value: the chance that a model which is no better wins at least `gained` of the discordant rows."""
    worse_p: float
    """One-sided p-value: the chance that a model which is no worse loses at least `lost` of the discordant rows."""


def compare_paired(new: NDArray[np.bool_], old: NDArray[np.bool_]) -> Paired:
    """Compare two classifiers by McNemar's exact test, one-sided in both directions.

    If neither classifier is better, the new one wins each discordant row with probability 1/2. On 300 rows of which
    one in ten is discordant, a gain of 5 points is significant (p <= 0.05) in 85 % of draws. If three in twenty
    are discordant, the gain is significant in 69 % of draws.

    Args:
        new, old: (n,), whether each row is right.
    """
    from scipy.stats import binom

    gained, lost = int((new & ~old).sum()), int((old & ~new).sum())
    dispute = binom(gained + lost, 0.5)
    better, worse = (float(dispute.sf(count - 1)) for count in (gained, lost))
    return Paired(gained, lost, better, worse)


def compare_paired_errors(new: NDArray[np.floating], old: NDArray[np.floating]) -> Paired:
    """Compare two models by the exact sign test on their errors.

    A row is gained if the new model errs less, and lost if it errs more. If an error is 0 or 1, this is McNemar's test.

    Args:
        new, old: (n,), errors on the same rows, none negative.
    """
    return compare_paired(new < old, old < new)


def lower_loss_p(new: NDArray[np.floating], old: NDArray[np.floating], seed: int) -> float:
    """Return the one-sided p-value of the null hypothesis that the new model's mean loss is no lower than the old one's.

    This is the permutation test of paired samples: if neither model is better, the two losses of a row may change places.

    Args:
        new, old: (n,), losses on the same rows.
        seed: seed of the permutations.
    """
    from scipy.stats import permutation_test

    def difference(one: NDArray[np.floating], other: NDArray[np.floating], axis: int) -> NDArray[np.floating]:
        means: NDArray[np.floating] = (one - other).mean(axis=axis)
        return means

    found = permutation_test(
        (new, old),
        difference,
        permutation_type="samples",
        alternative="less",
        n_resamples=PERMUTATIONS,
        batch=max(1, PERMUTED_CELLS // len(new)),
        vectorized=True,
        rng=np.random.default_rng(seed),
    )
    return float(found.pvalue)


def no_worse_p(gained: int, lost: int, rows: int, margin: float) -> float:
    """Return the one-sided p-value of the null hypothesis that the new classifier has lost `margin` of the accuracy, or more.

    This is the score test of a difference of paired proportions (Tango 1998, Statistics in Medicine 17, equations 2 to 5).

    Args:
        gained, lost: numbers of rows that only the new classifier gets right, and only the old one.
        rows: number of all rows.
        margin: share in 0..1.
    """
    from scipy.stats import norm

    # share of lost rows that is likeliest if the accuracy falls by just the margin: the root of a x**2 + b x + c
    a, b, c = 2.0 * rows, (gained - lost - 2.0 * rows) * margin - gained - lost, lost * margin * (1.0 + margin)
    share = (np.sqrt(max(b * b - 4.0 * a * c, 0.0)) - b) / (2.0 * a)
    spread = np.sqrt(rows * max(2.0 * share - margin - margin**2, 0.0))
    shift = gained - lost + rows * margin
    return float(norm.sf(shift / spread)) if spread > 0.0 else float(shift <= 0.0)


def paired_drop(
    before: NDArray[np.bool_], after: NDArray[np.bool_], seed: int, level: float = 0.95
) -> tuple[float, float, float]:
    """Return the drop in accuracy from `before` to `after` on the same rows, and its percentile bootstrap interval.

    In a bootstrap sample, the numbers of rows that turn wrong, turn right or stay are multinomial. So they are
    drawn directly.

    Args:
        before, after: (n,), whether each row is right.
        seed: seed of the draws.
        level: confidence level, in 0..1.

    Returns:
        The drop, and the low and the high end of its interval.
    """
    rows = len(before)
    fall, rise = int((before & ~after).sum()), int((after & ~before).sum())
    drawn = np.random.default_rng(seed).multinomial(rows, np.array([fall, rise, rows - fall - rise]) / rows, RESAMPLES)
    tail = (1.0 - level) / 2.0
    low, high = np.quantile((drawn[:, 0] - drawn[:, 1]) / rows, [tail, 1.0 - tail])
    return (fall - rise) / rows, float(low), float(high)
