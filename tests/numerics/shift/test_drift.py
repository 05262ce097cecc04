"""Drift tests against plain float64 references, at a valid level, and with the power that they are there for."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.spatial.distance import cdist, pdist
from scipy.special import softmax
from scipy.stats import binom, hypergeom
from threadpoolctl import threadpool_limits

from fsat_tasks.numerics.shift.class_shares import shares_apart, weighted_shares
from fsat_tasks.numerics.shift.drift import feature_shift, holm, label_shift, scope_rise
from fsat_tasks.numerics.shift.label_shift import log_posterior

Array = NDArray[np.float64]
SEEDS = st.integers(0, 2**32 - 1)


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Limit numpy to one thread, as `watch` does: so small products are slower on several threads."""
    with threadpool_limits(1):
        yield


# ---- the figures


def plain_mmd(reference: Array, window: Array) -> float:
    """Return the squared MMD by Gretton et al. (2012), eq. 5, term by term."""
    width = np.median(pdist(np.vstack([window, reference])))

    def mean(one: Array, other: Array) -> float:
        return float(np.exp(-np.square(cdist(one, other)) / (2 * width**2)).mean())

    return mean(window, window) + mean(reference, reference) - 2 * mean(window, reference)


@given(st.integers(1, 30), st.integers(2, 30), st.integers(1, 5), SEEDS)
def test_mmd_is_that_of_its_definition(n: int, m: int, dim: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    window, reference = 0.5 + rng.normal(size=(n, dim)), rng.normal(size=(m, dim))
    found = feature_shift(reference, window, seed, draws=9)
    assert found.figure == pytest.approx(plain_mmd(reference, window), abs=2e-6)


@given(st.integers(1, 30), st.integers(1, 30), st.integers(2, 6), SEEDS)
def test_label_distance_is_that_of_its_definition(n: int, m: int, classes: int, seed: int) -> None:
    rows = np.random.default_rng(seed).dirichlet(np.ones(classes), n + m)
    a, b = rows[:n].mean(axis=0), rows[n:].mean(axis=0)
    expected = np.sum(np.square(a - b) / rows.mean(axis=0))
    assert label_shift(rows[n:], rows[:n], seed, draws=9).figure == pytest.approx(expected, rel=1e-4, abs=1e-7)


def test_scope_rise_is_the_hypergeometric_tail() -> None:
    reference, window = np.arange(200) < 10, np.arange(50) < 7
    found = scope_rise(reference, window)
    assert (found.figure, found.by_chance) == (0.14, 0.05)
    assert found.p_value == pytest.approx(hypergeom.sf(6, 250, 17, 50))
    assert scope_rise(window, reference).p_value > 0.9  # a fall is no rise


def test_rows_that_are_all_the_same_are_no_drift() -> None:
    same = np.ones((20, 3))
    assert feature_shift(same, same, 0).p_value == label_shift(same / 3, same / 3, 0).p_value == 1.0
    assert scope_rise(np.zeros(5, bool), np.zeros(5, bool)).p_value == 1.0


def test_same_seed_same_answer() -> None:
    rows = np.random.default_rng(0).normal(size=(60, 4))
    assert feature_shift(rows[:40], rows[40:], 3) == feature_shift(rows[:40], rows[40:], 3)


# ---- the level


def test_holm_by_hand() -> None:
    assert holm(np.array([0.01, 0.04, 0.03])).tolist() == pytest.approx([0.03, 0.06, 0.06])
    assert holm(np.array([0.9, 0.8])).tolist() == [1.0, 1.0]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=6))
def test_holm_is_never_below_the_p_values_nor_above_bonferronis(values: list[float]) -> None:
    p_values = np.array(values)
    adjusted = holm(p_values)
    assert (adjusted >= p_values).all() and (adjusted <= np.minimum(len(values) * p_values, 1.0) + 1e-12).all()
    assert (np.diff(adjusted[np.argsort(p_values, kind="stable")]) >= 0).all()


@settings(max_examples=4)
@given(st.integers(5, 40), st.integers(5, 80), st.integers(1, 3), SEEDS)
def test_p_values_are_valid_whatever_the_rows(n: int, m: int, copies: int, seed: int) -> None:
    """P-values of exchangeable rows, some repeated, are at most a with probability a, up to binomial chance."""
    rng, draws, runs = np.random.default_rng(seed), 19, 200
    distinct = rng.dirichlet(np.full(4, 0.3), (n + m) // copies + 1)
    p_values = []
    for run in range(runs):
        rows = distinct[rng.integers(len(distinct), size=n + m)]
        found = [test(rows[n:], rows[:n], run, draws) for test in (feature_shift, label_shift)]
        p_values.append([*(shift.p_value for shift in found), scope_rise(rows[n:, 0] > 0.5, rows[:n, 0] > 0.5).p_value])
    for level in (0.05, 0.2, 0.5):
        assert (np.array(p_values) <= level).sum(axis=0).max() <= binom.ppf(1 - 1e-5, runs, level)


# ---- windows of 500 rows, simulated: ten classes, a head that is right in four of five


CLASSES, DIM, WINDOW, REFERENCE = 10, 16, 500, 1000


def draw_rows(shares: Array, rows: int, rng: np.random.Generator) -> tuple[Array, Array, NDArray[np.bool_]]:
    """Draw features around a corner for each class, a linear head's probabilities, and True for rows out of scope."""
    features = 1.7 * np.eye(CLASSES, DIM)[rng.choice(CLASSES, rows, p=shares)] + rng.normal(size=(rows, DIM))
    logits = 1.7 * features[:, :CLASSES]
    return features, softmax(logits, axis=1), logits.max(axis=1) < 1.0


def share_of_alarms(shares: Array, windows: int, seed: int) -> float:
    """Return the share of windows with these class shares that count as drift from a reference with equal shares."""
    rng = np.random.default_rng(seed)
    equal = np.full(CLASSES, 1 / CLASSES)
    alarms = 0
    for number in range(windows):
        old, new = draw_rows(equal, REFERENCE, rng), draw_rows(shares, WINDOW, rng)
        shifts = (
            feature_shift(old[0], new[0], number, draws=99),
            label_shift(old[1], new[1], number, draws=199),
            scope_rise(old[2], new[2]),
        )
        alarms += bool((holm(np.array([shift.p_value for shift in shifts])) <= 0.05).any())
    return alarms / windows


def test_at_most_five_in_a_hundred_windows_without_a_change_are_called_drift() -> None:
    assert share_of_alarms(np.full(CLASSES, 1 / CLASSES), 200, seed=0) <= 0.05


def test_a_label_shift_of_total_variation_three_tenths_is_seen_in_95_of_100_windows() -> None:
    up = np.arange(CLASSES) % 2 == 0
    shares = np.where(up, 1.6, 0.4) / CLASSES  # the hardest: every class moves by the same share
    assert 0.5 * np.abs(shares - 1 / CLASSES).sum() == pytest.approx(0.3)
    assert share_of_alarms(shares, 60, seed=1) >= 0.95


@pytest.mark.parametrize("change", ["features", "scope"])
def test_other_texts_and_more_texts_out_of_scope_are_seen_by_their_tests(change: str) -> None:
    rng = np.random.default_rng(2)
    equal = np.full(CLASSES, 1 / CLASSES)
    old, new = draw_rows(equal, REFERENCE, rng), draw_rows(equal, WINDOW, rng)
    if change == "features":  # along a direction that no class has
        moved = new[0] + 0.5 * np.eye(DIM)[-1]
        assert feature_shift(old[0], moved, 0).p_value == 0.001
    else:
        assert scope_rise(old[2], new[2] | (np.arange(WINDOW) < 50)).p_value < 0.001


# ---- class shares


@settings(max_examples=20)
@given(st.integers(2, 5), SEEDS)
def test_shares_are_the_most_likely_ones(classes: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows, source = rng.dirichlet(np.ones(classes), 50), rng.dirichlet(np.full(classes, 5.0))
    (shares,) = weighted_shares(rows, source, source, np.ones((1, 50)), 500)
    assert shares.sum() == pytest.approx(1.0)
    relative = np.log(rows) - np.log(source)
    reached = log_posterior(relative, np.maximum(shares, 1e-300), source, 0.0)
    for other in rng.dirichlet(np.ones(classes), 20):
        assert log_posterior(relative, other, source, 0.0) <= reached + 1e-3


def test_rows_that_count_twice_are_rows_that_come_twice() -> None:
    rng = np.random.default_rng(0)
    rows, source, counts = rng.dirichlet(np.ones(3), 20), np.full(3, 1 / 3), rng.integers(0, 4, 20)
    weighted = weighted_shares(rows, source, source, counts[None].astype(float), 50)
    repeated = weighted_shares(np.repeat(rows, counts, axis=0), source, source, np.ones((1, counts.sum())), 50)
    assert weighted == pytest.approx(repeated)


@pytest.mark.parametrize("moved", [0.0, 0.3])
def test_intervals_hold_the_true_shares_and_their_distance(moved: float) -> None:
    rng = np.random.default_rng(3)
    equal = np.full(CLASSES, 1 / CLASSES)
    shares = equal * (1 + 2 * moved * np.where(np.arange(CLASSES) % 2, 1, -1))
    held, inside = [], []
    for number in range(10):
        found = shares_apart(draw_rows(equal, REFERENCE, rng)[1], draw_rows(shares, WINDOW, rng)[1], equal, number)
        held.append(found.total_variation_low <= moved <= found.total_variation_high)
        inside.append((found.low <= shares) & (shares <= found.high))
        assert found.total_variation_low <= found.total_variation <= found.total_variation_high
    assert np.mean(held) >= 0.8 and np.mean(inside) >= 0.88
