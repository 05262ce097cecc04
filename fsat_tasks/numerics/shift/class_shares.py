"""Class shares of two samples of unlabelled rows, the distance between them, and confidence intervals."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import norm

from fsat_tasks.numerics.types import Array

__all__ = ["SharesApart", "shares_apart", "weighted_shares"]


DRAWS = 200
"""Number of bootstrap samples."""
STEPS, FURTHER_STEPS = 200, 30
"""Numbers of EM steps. The estimate from all rows starts at the source shares and takes STEPS. The estimates from
two random halves of the rows and from the bootstrap samples start at that result and take FURTHER_STEPS."""
LEVEL = 0.95
"""Confidence level of the intervals."""


@dataclass(frozen=True)
class SharesApart:
    """Class shares of two samples, called the reference and the window, and their total variation distance.

    The window's shares and the distance have 95 % intervals.
    """

    reference: Array  # (classes,)
    window: Array  # (classes,)
    low: Array  # (classes,), lower ends of the window's shares
    high: Array  # (classes,), upper ends
    total_variation: float
    """Half the sum over the classes of the absolute differences of shares, minus the bias that sampling adds."""
    total_variation_low: float
    total_variation_high: float


def weighted_shares(probabilities: Array, source: Array, start: Array, counts: Array, steps: int) -> Array:
    """Estimate class shares by EM (Saerens, Latinne and Decaestecker 2002, eq. 2.9), for many weightings of rows at once.

    Args:
        probabilities: (n, classes), calibrated under the source shares.
        source: (classes,), class shares that the probabilities are calibrated for; positive, sum to 1.
        start: (classes,), shares to start from; positive, sum to 1.
        counts: (draws, n), weight of each row in each draw.
        steps: number of EM steps.

    Returns:
        Class shares of each draw, (draws, classes).
    """
    ratio = probabilities / source  # (n, classes)
    weights = counts / counts.sum(axis=1, keepdims=True)
    shares = np.tile(start, (len(counts), 1))
    for _ in range(steps):
        evidence = np.maximum(shares @ ratio.T, np.finfo(np.float64).tiny)  # (draws, n)
        shares *= (weights / evidence) @ ratio
    return shares


def shares_apart(reference: Array, window: Array, source: Array, seed: int) -> SharesApart:
    """Estimate the class shares of two samples and their distance, with bootstrap intervals.

    Sampling noise makes the distance between two estimates too large, and more so with more classes. This
    bias is estimated by the bootstrap, as the mean distance of the bootstrap samples minus the distance of
    the estimates. It is subtracted once (Davison and Hinkley 1997, section 2.2.3). If there is a
    shift, one subtraction removes the bias. If there is none, some bias remains.

    The interval of the distance is meant to be too wide rather than too narrow. Its upper end comes from the
    distance without the correction. Its lower end comes from another estimate, which is not too large on
    average: one half of the rows tells which classes have a larger share in the window than in the reference, and the
    other half tells by how much.

    Args:
        reference: (m, classes), probabilities calibrated under the source shares; m >= 2.
        window: (n, classes), probabilities calibrated under the source shares; n >= 2.
        source: (classes,), class shares that the probabilities are calibrated for; positive, sum to 1.
        seed: seed of the bootstrap.
    """
    rng = np.random.default_rng(seed)
    old, new = (_all_shares(rows, source, rng) for rows in (reference, window))
    change = new - old  # (3 + draws, classes): all rows, one half, the other half, draws
    one_half, other_half = change[1], change[2]
    grown = np.sign(change[0])
    split = 0.25 * float(np.sign(one_half) @ other_half + np.sign(other_half) @ one_half)
    distance, drawn = 0.5 * float(np.abs(change[0]).sum()), 0.5 * np.abs(change[3:]).sum(axis=1)
    far = float(norm.ppf(0.5 + LEVEL / 2))
    low = split - far * float((0.5 * change[3:] @ grown).std())
    high = distance + float(np.quantile(drawn, 0.5 + LEVEL / 2) - drawn.mean())
    estimate = np.clip([2 * distance - drawn.mean(), low, high], 0.0, 1.0)
    least, most = np.quantile(new[3:], (0.5 - LEVEL / 2, 0.5 + LEVEL / 2), axis=0)
    return SharesApart(old[0], new[0], least, most, *map(float, estimate))


def _all_shares(rows: Array, source: Array, rng: np.random.Generator) -> Array:
    """Estimate shares of all rows, of a random half, of the other half, and of bootstrap samples, (3 + draws, classes)."""
    n = len(rows)
    everything = np.ones((1, n))
    half = np.isin(np.arange(n), rng.permutation(n)[: n // 2]).astype(np.float64)
    start = weighted_shares(rows, source, source, everything, STEPS)
    counts = np.vstack([half, 1.0 - half, rng.multinomial(n, np.full(n, 1.0 / n), DRAWS)])
    return np.vstack([start, weighted_shares(rows, source, start[0], counts, FURTHER_STEPS)])
