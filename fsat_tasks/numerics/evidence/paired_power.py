"""Power of McNemar's exact test: how often it sees a gain, and how many rows it needs for that."""

from __future__ import annotations

import numpy as np

__all__ = ["chance_to_see", "rows_to_see"]

MOST_ROWS = 1_000_000
"""Number of rows above which none is looked for."""
REST = 1e-9
"""Probability on either side of the numbers of discordant rows that are left out of a sum."""


def chance_to_see(rows: int, gained: float, lost: float, significance: float) -> float:
    """Return the probability that the one-sided exact test finds the new model better (p at most `significance`).

    Given the number of discordant rows, the gained ones among them are binomial. The sum is over that number.

    Args:
        rows: number of rows on which both models are judged.
        gained, lost: probabilities that a row is gained or lost. A row is discordant with the probability of both together.
        significance: bound of the p-value.
    """
    from scipy.stats import binom

    discordant = binom(rows, gained + lost)
    counts = np.arange(discordant.ppf(REST), discordant.isf(REST) + 1)  # (counts,)
    enough = binom.isf(significance, counts, 0.5) + 1  # (counts,), fewest gained rows that are significant
    return float(discordant.pmf(counts) @ binom.sf(enough - 1, counts, gained / (gained + lost)))


def rows_to_see(gained: float, lost: float, significance: float, power: float = 0.8) -> int | None:
    """Return the number of rows on which the test finds the new model better with the probability `power`.

    The power rises with the rows but for small steps, since counts are whole. The result is exact but for such a step.

    Args:
        gained, lost: probabilities that a row is gained or lost, `gained` greater than `lost`.

    Returns:
        the number of rows; None if it is above a million.
    """
    few, many = 0, 1
    while chance_to_see(many, gained, lost, significance) < power:
        few, many = many, 2 * many
        if few >= MOST_ROWS:
            return None
    while many - few > 1:
        middle = (few + many) // 2
        few, many = (few, middle) if chance_to_see(middle, gained, lost, significance) >= power else (middle, many)
    return many
