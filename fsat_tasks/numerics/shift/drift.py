"""Is a window of rows from the distribution that a reference is from: three two-sample tests, and what they say together.

Each is exact for any number of rows: as long as rows of both are exchangeable, a p-value is at most a with a chance of at most a.
What is computed from a row (features, probabilities, a scope score) must not depend on which of the two it is from: a head that
was taught by the reference's rows is surer of them than of new ones, and every window would seem to have drifted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import pdist
from scipy.stats import fisher_exact

from fsat_tasks.numerics.types import Array

__all__ = ["DRAWS", "Shift", "feature_shift", "holm", "label_shift", "scope_rise"]

Rows = NDArray[np.floating]
Mask = NDArray[np.bool_]

DRAWS = 999
"""Permutations of a test: its p-value is a multiple of 1/1000."""
BLOCK = 250
"""Permutations that are in memory at a time."""
ROUNDING = 1e-5
"""Relative; a permutation that gives the same statistic but for this counts as equal, which is on the safe side."""
MEDIAN_ROWS = 500
"""Of the pooled rows, whose median distance is the kernel's width: more say the same."""


@dataclass(frozen=True)
class Shift:
    """How far a window is from the reference, and whether that may be chance."""

    figure: float
    by_chance: float
    """What the figure is in the mean where nothing has changed."""
    p_value: float


def feature_shift(reference: Rows, window: Rows, seed: int, draws: int = DRAWS) -> Shift:
    """The squared maximum mean discrepancy of two samples (Gretton et al. 2012, eq. 5), tested by permutation.

    The kernel is Gaussian, exp(-d^2 / (2 median^2)), at the median distance of the pooled rows, which a permutation leaves alone.
    Its matrix is computed once; with zero mean in rows and columns, a permutation costs one product with a 0/1 vector.

    Args:
        reference: (m, dim), m >= 1.
        window: (n, dim), n >= 1.
    """
    rows = np.vstack([window, reference])
    kernel = _kernel(rows)
    kernel -= kernel.mean(axis=0)
    kernel -= kernel.mean(axis=1, keepdims=True)

    def statistic(inside: NDArray[np.float32]) -> Array:
        found: Array = np.einsum("dr,dr->d", inside @ kernel, inside).astype(np.float64)
        return found

    return _permute(statistic, len(window), len(rows), seed, draws)


def label_shift(reference: Array, window: Array, seed: int, draws: int = DRAWS) -> Shift:
    """The chi-square distance of two samples' mean predicted probabilities, sum_c (a_c - b_c)^2 / mean_c, tested by permutation.

    Black-box shift detection (Lipton, Wang and Smola 2018, section 4), with probabilities in place of labels (Rabanser et al.
    2019): any classifier will do, right or wrong, since its errors are the same on both sides.

    Args:
        reference: (m, classes) probabilities, m >= 1.
        window: (n, classes), n >= 1.
    """
    rows = np.vstack([window, reference])
    mean = rows.mean(axis=0)
    scaled = ((rows - mean) / np.sqrt(np.maximum(mean, np.finfo(np.float32).tiny))).astype(np.float32)

    def statistic(inside: NDArray[np.float32]) -> Array:
        found: Array = np.square(inside @ scaled).sum(axis=1).astype(np.float64)
        return found

    return _permute(statistic, len(window), len(rows), seed, draws)


def scope_rise(reference: Mask, window: Mask) -> Shift:
    """The share of rows out of scope, and Fisher's exact test, one-sided, of whether it is higher in the window.

    Args:
        reference: (m,) whether a row is out of scope, by a threshold that was set before.
        window: (n,), likewise.
    """
    table = [[int(window.sum()), int((~window).sum())], [int(reference.sum()), int((~reference).sum())]]
    p_value = float(fisher_exact(table, alternative="greater").pvalue)
    return Shift(float(window.mean()), float(reference.mean()), min(p_value, 1.0))


def holm(p_values: Array) -> Array:
    """Adjusted p-values, (tests,): the chance that any true hypothesis gets one at most a is at most a (Holm 1979)."""
    order = np.argsort(p_values)
    adjusted = np.empty(len(p_values))
    adjusted[order] = np.minimum(np.maximum.accumulate(p_values[order] * np.arange(len(p_values), 0, -1)), 1.0)
    return adjusted


def _kernel(rows: Rows) -> NDArray[np.float32]:
    """(rows, rows); single precision, as the features are."""
    step = -(-len(rows) // MEDIAN_ROWS)
    width = float(np.median(pdist(rows[::step]))) if len(rows) > step else 0.0
    single = np.asarray(rows - rows.mean(axis=0), np.float32) / np.float32(width or 1.0)
    squares = np.einsum("rd,rd->r", single, single)
    kernel: NDArray[np.float32] = single @ single.T
    kernel -= 0.5 * squares
    kernel -= 0.5 * squares[:, None]
    return np.exp(np.minimum(kernel, 0.0, out=kernel), out=kernel)


def _permute(statistic: Callable[[NDArray[np.float32]], Array], window: int, rows: int, seed: int, draws: int) -> Shift:
    """Test by a statistic that is a quadratic form of the window's indicator over rows whose mean is zero.

    Args:
        statistic: (block, rows) of 0 and 1 -> (block,).
    """
    found = np.concatenate([statistic(block) for block in _windows(window, rows, seed, draws)])
    found *= (1.0 / window + 1.0 / max(rows - window, 1)) ** 2
    observed, drawn = found[0], found[1:]
    as_far = drawn >= observed - ROUNDING * abs(observed)
    return Shift(float(observed), float(drawn.mean()), float((1 + as_far.sum()) / (1 + draws)))


def _windows(window: int, rows: int, seed: int, draws: int) -> Iterator[NDArray[np.float32]]:
    """The window itself, the first `window` rows, and then `draws` random ones, as blocks (block, rows) of 0 and 1."""
    rng = np.random.default_rng(seed)
    first = (np.arange(rows) < window).astype(np.float32)
    yield first[None]
    for start in range(0, draws, BLOCK):
        yield rng.permuted(np.tile(first, (min(BLOCK, draws - start), 1)), axis=1)
