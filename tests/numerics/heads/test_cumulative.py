"""Cumulative logits: the optimum, the order of the cuts, and leave-one-out logits against exact refits."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit

from fsat_tasks.numerics.heads.cumulative import CUT_ROWS, fit_cumulative, grade_losses

Array = NDArray[np.float64]
Labels = NDArray[np.int64]

GRADES = 4


def graded(n: int, dim: int, seed: int, noise: float = 1.0) -> tuple[Array, Labels]:
    """Draw rows along a direction, and grades that are quarters of it."""
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(n, dim))
    score = rows[:, 0] + noise * rng.logistic(size=n)
    return rows, np.argsort(np.argsort(score)) * GRADES // n


def plain_objective(theta: Array, rows: Array, grades: Labels, weights: Array, ridge: float) -> float:
    """The penalised likelihood as differences of sigmoids, with its prior rows of zeros around the rows' mean."""
    dim = rows.shape[1]
    rows = np.vstack([rows - weights @ rows / weights.sum(), np.zeros((GRADES, dim))])
    grades, weights = np.append(grades, np.arange(GRADES)), np.append(weights, np.full(GRADES, CUT_ROWS))
    above = expit((rows @ theta[:dim])[:, None] - theta[dim:])
    above = np.hstack([np.ones((len(rows), 1)), above, np.zeros((len(rows), 1))])
    at = np.arange(len(rows))
    p = above[at, grades] - above[at, grades + 1]
    if (p <= 0).any():
        return float("inf")
    return float(-weights @ np.log(p) + 0.5 * ridge * theta[:dim] @ theta[:dim])


def test_fit_is_the_minimum_that_a_general_minimiser_finds() -> None:
    rows, grades = graded(40, 3, 0)
    weights = np.random.default_rng(1).uniform(0.5, 2.0, 40)
    fit = fit_cumulative(rows, grades, weights, GRADES, 0.5)
    centre = weights @ rows / weights.sum()
    ours = np.concatenate([fit.direction, fit.cuts - centre @ fit.direction])
    arguments = (rows, grades, weights, 0.5)
    start = np.array([0.0, 0.0, 0.0, -1.0, 0.0, 1.0])
    options = {"xatol": 1e-9, "fatol": 1e-12, "maxiter": 20000, "maxfev": 20000}
    found = minimize(plain_objective, start, args=arguments, method="Nelder-Mead", options=options)
    assert plain_objective(ours, *arguments) <= found.fun + 1e-9
    np.testing.assert_allclose(ours, found.x, atol=1e-4)


def test_with_two_grades_the_fit_is_logistic_regression() -> None:
    from sklearn.linear_model import LogisticRegression

    rng = np.random.default_rng(2)
    rows = rng.normal(size=(60, 4))
    grades = (rows[:, 0] + rng.logistic(size=60) > 0).astype(np.int64)
    fit = fit_cumulative(rows, grades, np.ones(60), 2, 0.3)
    reference = LogisticRegression(C=1 / 0.3, tol=1e-10, max_iter=5000)
    weights = np.append(np.ones(60), [CUT_ROWS, CUT_ROWS])
    reference.fit(np.vstack([rows, rows.mean(axis=0), rows.mean(axis=0)]), np.append(grades, [0, 1]), weights)
    np.testing.assert_allclose(fit.direction, reference.coef_[0], atol=1e-4)
    np.testing.assert_allclose(-fit.cuts, reference.intercept_, atol=1e-4)


def test_a_row_of_weight_two_is_two_rows() -> None:
    rows, grades = graded(20, 3, 3)
    double = fit_cumulative(rows, grades, np.full(20, 2.0), GRADES, 0.5)
    twice = fit_cumulative(np.vstack([rows, rows]), np.append(grades, grades), np.ones(40), GRADES, 0.5)
    np.testing.assert_allclose(double.direction, twice.direction, atol=1e-7)
    np.testing.assert_allclose(double.cuts, twice.cuts, atol=1e-7)


@pytest.mark.parametrize("dim", [3, 60])
@pytest.mark.parametrize("ridge", [0.3, 3.0])
def test_leave_one_out_logits_are_near_those_of_exact_refits(dim: int, ridge: float) -> None:
    rows, grades = graded(32, dim, 4)
    fit = fit_cumulative(rows, grades, np.ones(32), GRADES, ridge)
    exact = np.empty_like(fit.loo_logits)
    for i in range(32):
        kept = np.arange(32) != i
        exact[i] = fit_cumulative(rows[kept], grades[kept], np.ones(31), GRADES, ridge).logits(rows[i : i + 1])[0]
    approximate, seen = np.abs(fit.loo_logits - exact), np.abs(fit.logits(rows) - exact)
    assert approximate.mean() < 0.06 * seen.mean()
    assert grade_losses(fit.loo_logits, grades).mean() == pytest.approx(grade_losses(exact, grades).mean(), rel=0.02)


@pytest.mark.parametrize("present", [(0, 3), (1, 2), (2,), (0, 1, 2)])
def test_grades_without_rows_keep_the_cuts_finite_and_in_order(present: tuple[int, ...]) -> None:
    rows = np.random.default_rng(5).normal(size=(12, 3))
    grades = np.resize(np.array(present, np.int64), 12)
    fit = fit_cumulative(rows, grades, np.ones(12), GRADES, 0.1)
    assert np.isfinite(fit.cuts).all() and (np.diff(fit.cuts) > 0).all()
    assert np.isfinite(fit.loo_logits).all() and np.isfinite(grade_losses(fit.loo_logits, grades)).all()


def test_separated_rows_and_a_single_row_of_each_grade_stay_finite() -> None:
    rows = np.arange(GRADES, dtype=np.float64)[:, None] * 100.0
    fit = fit_cumulative(rows, np.arange(GRADES), np.ones(GRADES), GRADES, 1e-4)
    assert (fit.logits(rows) > 0).sum(axis=1).tolist() == [0, 1, 2, 3]
    assert np.isfinite(grade_losses(fit.loo_logits, np.arange(GRADES))).all()


@settings(max_examples=60, deadline=None)
@given(
    hnp.arrays(np.float64, (9, 3), elements=st.floats(-1e3, 1e3)),
    hnp.arrays(np.int64, 9, elements=st.integers(0, GRADES - 1)),
    st.sampled_from([0.01, 1.0]),
)
def test_any_rows_give_ordered_cuts_and_ordered_leave_one_out_logits(rows: Array, grades: Labels, ridge: float) -> None:
    fit = fit_cumulative(rows, grades, np.ones(9), GRADES, ridge)
    assert (np.diff(fit.cuts) > 0).all()
    assert (np.diff(fit.loo_logits, axis=1) < 0).all()


def test_losses_have_no_cancellation() -> None:
    """Between logits 40 and 40 - 1e-9, the probability is 1e-9 * exp(-40). A difference of sigmoids rounds it to zero."""
    losses = grade_losses(np.array([[40.0, 40.0 - 1e-9]]), np.array([1]))
    assert losses[0] == pytest.approx(40.0 - np.log(1e-9), rel=1e-6)
    assert expit(40.0) - expit(40.0 - 1e-9) == 0.0


@given(hnp.arrays(np.float64, 3, elements=st.floats(-30, 30)))
def test_probabilities_from_losses_sum_to_one(cuts: Array) -> None:
    cuts = np.sort(cuts)
    logits = np.tile(-cuts, (GRADES, 1))
    assert np.exp(-grade_losses(logits, np.arange(GRADES))).sum() == pytest.approx(1.0)


def test_where_logits_cross_the_grade_between_them_has_an_infinite_loss_and_no_warning() -> None:
    with np.errstate(all="raise"):
        losses = grade_losses(np.array([[0.0, 1.0], [0.0, 0.0]]), np.array([1, 1]))
    assert np.isposinf(losses).all()
