"""Drift tests: three tests of whether two samples of rows, a window and a reference, have the same distribution.

Each test is exact for any number of rows: if the rows of both samples are exchangeable, P(p-value <= a) <= a.

All values of a row (features, probabilities, scope score) must be computed in the same way for both samples. A head that
was fitted on the reference's rows breaks this rule. Such a head is more certain of those rows than of new ones,
so every window would seem to drift.
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
"""Number of permutations per test. With this number, the p-value of a test is a multiple of 1/1000."""
BLOCK = 250
"""Number of permutations in memory at a time."""
ROUNDING = 1e-5
"""Relative tolerance for rounding errors. If the statistic of a permutation is lower than that of the window by less
than this tolerance, the two statistics count as equal. The tolerance can only raise the p-value."""
MEDIAN_ROWS = 500
"""Approximate number of rows from which `feature_shift` computes the width of its kernel. More rows hardly change the width."""


@dataclass(frozen=True)
class Shift:
    """Result of a test: the distance of a window from the reference, and its p-value."""

    figure: float
    """Test statistic of the window."""
    by_chance: float
    """Value to compare `figure` with: the mean of the permutations' statistics. For `scope_rise`, it is the share of
    out-of-scope rows in the reference."""
    p_value: float


def feature_shift(reference: Rows, window: Rows, seed: int, draws: int = DRAWS) -> Shift:
    """Test features by the squared maximum mean discrepancy (Gretton et al. 2012, eq. 5) and permutation.

    The kernel is Gaussian, exp(-d^2 / (2 median^2)). The median distance is taken over the rows of both samples
    together, so a permutation does not change it. The kernel matrix is computed and centred only once. Each
    permutation then costs one product with a 0/1 vector.

    Args:
        reference: (m, dim), m >= 1.
        window: (n, dim), n >= 1.
        seed: seed of the permutations.
        draws: number of permutations.
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
    """Test predicted class shares by a permutation test of their chi-square distance, sum_c (a_c - b_c)^2 / mean_c.

    For class c, a_c and b_c are the mean predicted probabilities in the two samples, and mean_c is
    the mean in both together. This is black-box shift detection (Lipton,
    Wang and Smola 2018, section 4) with probabilities in place of labels (Rabanser et al. 2019). The
    classifier need not be accurate, because it makes the same errors on both samples.

    Args:
        reference: (m, classes), probabilities, m >= 1.
        window: (n, classes), probabilities, n >= 1.
        seed: seed of the permutations.
        draws: number of permutations.
    """
    rows = np.vstack([window, reference])
    mean = rows.mean(axis=0)
    scaled = ((rows - mean) / np.sqrt(np.maximum(mean, np.finfo(np.float32).tiny))).astype(np.float32)

    def statistic(inside: NDArray[np.float32]) -> Array:
        found: Array = np.square(inside @ scaled).sum(axis=1).astype(np.float64)
        return found

    return _permute(statistic, len(window), len(rows), seed, draws)


def scope_rise(reference: Mask, window: Mask) -> Shift:
    """Test whether the share of out-of-scope rows is higher in the window, by Fisher's exact test, one-sided.

    Args:
        reference: (m,), whether each row is out of scope, by a threshold that was set without these rows.
        window: (n,), whether each row is out of scope, by the same threshold.

    Returns:
        The share of out-of-scope rows in the window as `figure`, that in the reference as `by_chance`, and the p-value.
    """
    table = [[int(window.sum()), int((~window).sum())], [int(reference.sum()), int((~reference).sum())]]
    p_value = float(fisher_exact(table, alternative="greater").pvalue)
    return Shift(float(window.mean()), float(reference.mean()), min(p_value, 1.0))


def holm(p_values: Array) -> Array:
    """Return p-values adjusted for several tests, (tests,), by the method of Holm (1979).

    For each level a, the chance that at least one true null hypothesis gets an adjusted p-value <= a is at most a.
    """
    order = np.argsort(p_values)
    adjusted = np.empty(len(p_values))
    adjusted[order] = np.minimum(np.maximum.accumulate(p_values[order] * np.arange(len(p_values), 0, -1)), 1.0)
    return adjusted


def _kernel(rows: Rows) -> NDArray[np.float32]:
    """Return the Gaussian kernel matrix, (rows, rows), in single precision like the features."""
    step = -(-len(rows) // MEDIAN_ROWS)
    width = float(np.median(pdist(rows[::step]))) if len(rows) > step else 0.0
    single = np.asarray(rows - rows.mean(axis=0), np.float32) / np.float32(width or 1.0)
    squares = np.einsum("rd,rd->r", single, single)
    kernel: NDArray[np.float32] = single @ single.T
    kernel -= 0.5 * squares
    kernel -= 0.5 * squares[:, None]
    return np.exp(np.minimum(kernel, 0.0, out=kernel), out=kernel)


def _permute(statistic: Callable[[NDArray[np.float32]], Array], window: int, rows: int, seed: int, draws: int) -> Shift:
    """Run a permutation test whose statistic is a quadratic form of the window's indicator vector.

    The indicator is 1 for each row of the window and 0 for each row of the reference.

    Args:
        statistic: function that takes indicators of 0 and 1, (block, rows), and returns statistics, (block,).
            It must be centred, so that a constant vector gives zero.
        window: number of rows in the window.
        rows: number of rows in both samples together.
        seed: seed of the permutations.
        draws: number of permutations.
    """
    found = np.concatenate([statistic(block) for block in _windows(window, rows, seed, draws)])
    found *= (1.0 / window + 1.0 / max(rows - window, 1)) ** 2
    observed, drawn = found[0], found[1:]
    as_far = drawn >= observed - ROUNDING * abs(observed)
    return Shift(float(observed), float(drawn.mean()), float((1 + as_far.sum()) / (1 + draws)))


def _windows(window: int, rows: int, seed: int, draws: int) -> Iterator[NDArray[np.float32]]:
    """Yield indicators of 0 and 1 in blocks (block, rows): first the window, then `draws` random windows.

    An indicator is 1 for each row of its window. A random window has as many rows as the real one.
    """
    rng = np.random.default_rng(seed)
    first = (np.arange(rows) < window).astype(np.float32)
    yield first[None]
    for start in range(0, draws, BLOCK):
        yield rng.permuted(np.tile(first, (min(BLOCK, draws - start), 1)), axis=1)
