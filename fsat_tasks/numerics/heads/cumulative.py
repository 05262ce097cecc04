"""Cumulative logits: one direction with ordered cut points tells the grade of a row (proportional odds, McCullagh 1980).

A row's score is its position along the direction. The log-odds of a grade above grade j are the score minus cut j. Written in
scores and cuts, the negative log-likelihood of a grade has three terms:

    log(1 + exp(lower cut - score)) + log(1 + exp(score - upper cut)) - log(1 - exp(lower cut - upper cut))

The lowest grade has the second term only, and the highest grade the first term only. All terms are convex, and the last one is
infinite where the cuts meet. So the optimum is unique, and its cuts are in order.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import linalg
from scipy.special import expit

from fsat_tasks.numerics.types import Array, Labels

__all__ = ["Cumulative", "fit_cumulative", "grade_losses"]

CUT_ROWS = 0.1
"""Number of rows that every grade gets at the centre of all rows. They keep the cuts in order and finite: between grades
without rows, and where the rows are separated perfectly."""
TOLERANCE = 1e-6
"""Newton decrement at which the fit stops."""
MAX_ITERATIONS = 100
SHORTEST_STEP = 1e-9
"""Minimum step length of the line search, as a share of the full step."""
KEPT_GAP = 0.1
"""Minimum share of the gap between two cuts that stays after a leave-one-out step. One Newton step alone could let cuts cross."""


@dataclass(frozen=True)
class Cumulative:
    """A fit: the score of a row is rows @ direction, and logit j is the score minus cut j."""

    direction: Array  # (dim,)
    cuts: Array  # (grades - 1,), ascending
    loo_logits: Array  # (n, grades - 1), approximate leave-one-out logits of the rows of the fit

    def logits(self, rows: Array) -> Array:
        """Return logits, (n, grades - 1), for rows (n, dim)."""
        logits: Array = (rows @ self.direction)[:, None] - self.cuts
        return logits


def grade_losses(logits: Array, grades: Labels) -> Array:
    """Negative log-likelihood of each row's grade, (n,), in nats. It is infinite where the logits of a grade's two ends meet.

    Args:
        logits: (n, grades - 1), falling in each row; logit j is the log-odds of a grade above grade j.
        grades: (n,) in 0..grades-1.
    """
    ends = np.full((len(grades), 1), np.inf)
    bounded = np.hstack([ends, logits, -ends])  # (n, grades + 1)
    at = np.arange(len(grades))
    lower, upper = bounded[at, grades], bounded[at, grades + 1]
    inner = np.isfinite(lower) & np.isfinite(upper)
    gap = np.full(len(grades), np.inf)
    np.subtract(lower, upper, out=gap, where=inner)
    losses: Array = np.logaddexp(0.0, -lower) + np.logaddexp(0.0, upper) + _gap_losses(np.maximum(gap, 0.0))
    return losses


def _gap_losses(gap: Array) -> Array:
    """Return -log(1 - exp(-gap)), without cancellation."""
    losses = np.full(gap.shape, np.inf)
    np.log(-np.expm1(-gap), out=losses, where=gap > 0.0)
    return np.where(gap > 0.0, -losses, np.inf)


def fit_cumulative(rows: Array, grades: Labels, weights: Array, count: int, ridge: float) -> Cumulative:
    """Minimise the weighted negative log-likelihood plus ridge / 2 * ||direction||^2 by Newton's method.

    Args:
        rows: (n, dim).
        grades: (n,) in 0..count-1. A grade may have no rows.
        weights: (n,), none negative.
        count: number of grades, at least 2.
        ridge: penalty of the direction, > 0. The cuts have the weak prior of CUT_ROWS.
    """
    problem = _Problem(rows, grades, weights, count, ridge)
    theta = problem.start()
    value, gradient = problem.objective(theta)
    for _ in range(MAX_ITERATIONS):
        step = -linalg.solve(problem.hessian(theta), gradient, assume_a="pos")
        slope = float(gradient @ step)
        if slope > -(TOLERANCE**2):
            break
        length = 1.0
        while length > SHORTEST_STEP:
            new_value, new_gradient = problem.objective(theta + length * step)
            if new_value <= value + 1e-4 * length * slope:  # Armijo's rule; the value is infinite where cuts cross
                break
            length *= 0.5
        else:  # a further step would lower the loss by less than the rounding error
            break
        theta, value, gradient = theta + length * step, new_value, new_gradient
    return problem.fitted(theta)


class _Problem:
    """The objective over theta, (dim + grades - 1,): direction and cuts. Rows are centred, and each grade gets a row of zeros."""

    def __init__(self, rows: Array, grades: Labels, weights: Array, count: int, ridge: float) -> None:
        self.n, self.ridge = len(rows), ridge
        total = weights.sum()
        self.centre = weights @ rows / total if total > 0 else np.zeros(rows.shape[1])  # (dim,)
        self.rows = np.vstack([rows - self.centre, np.zeros((count, rows.shape[1]))])  # (n + grades, dim)
        self.grades = np.concatenate([grades, np.arange(count)])
        self.weights = np.concatenate([weights, np.full(count, CUT_ROWS)])
        at = np.arange(count - 1)
        self.above = (self.grades[:, None] > at).astype(np.float64)  # (n + grades, grades - 1)
        self.ends = (self.grades[:, None] == at) | (self.grades[:, None] == at + 1)  # cuts at the two ends of a row's grade
        self.masses = np.bincount(self.grades, self.weights, count)  # (grades,) weight of each grade

    def start(self) -> Array:
        """Return no direction, and the cuts of the grades' shares."""
        shares = np.cumsum(self.masses) / self.masses.sum()
        return np.concatenate([np.zeros(self.rows.shape[1]), np.log(shares[:-1] / (1.0 - shares[:-1]))])

    def logits(self, theta: Array) -> Array:
        """Return logits of the centred rows, (n + grades, grades - 1)."""
        dim = self.rows.shape[1]
        logits: Array = (self.rows @ theta[:dim])[:, None] - theta[dim:]
        return logits

    def objective(self, theta: Array) -> tuple[float, Array]:
        """Return value and gradient. The value is infinite if the cuts are not ascending."""
        dim = self.rows.shape[1]
        direction, gaps = theta[:dim], np.diff(theta[dim:])
        if not (gaps > 0.0).all():
            return np.inf, np.zeros_like(theta)
        logits = self.logits(theta)
        signed = np.where(self.above > 0.0, -logits, logits)
        value = self.weights @ (np.logaddexp(0.0, signed) * self.ends).sum(axis=1)
        value += self.masses[1:-1] @ _gap_losses(gaps) + 0.5 * self.ridge * direction @ direction
        residual = self.residual(logits) * self.weights[:, None]
        of_cuts = -residual.sum(axis=0) + _spread(-self.masses[1:-1] / np.expm1(gaps))
        return float(value), np.concatenate([residual.sum(axis=1) @ self.rows + self.ridge * direction, of_cuts])

    def residual(self, logits: Array) -> Array:
        """Return the slope of each row's first two terms along its logits, (n + grades, grades - 1)."""
        residual: Array = self.ends * (expit(logits) - self.above)
        return residual

    def curvature(self, logits: Array) -> Array:
        """Return the second derivative of each row's first two terms along its logits, (n + grades, grades - 1)."""
        p = expit(logits)
        curvature: Array = self.ends * p * (1.0 - p)
        return curvature

    def hessian(self, theta: Array) -> Array:
        """Return the matrix of second derivatives, (dim + grades - 1, dim + grades - 1)."""
        dim = self.rows.shape[1]
        bends = self.curvature(self.logits(theta)) * self.weights[:, None]
        hessian = np.empty((len(theta), len(theta)))
        hessian[:dim, :dim] = (self.rows * bends.sum(axis=1)[:, None]).T @ self.rows + self.ridge * np.eye(dim)
        hessian[:dim, dim:] = -self.rows.T @ bends
        hessian[dim:, :dim] = hessian[:dim, dim:].T
        hessian[dim:, dim:] = np.diag(bends.sum(axis=0)) + _laplacian(self.masses[1:-1] * _gap_bends(np.diff(theta[dim:])))
        return hessian

    def fitted(self, theta: Array) -> Cumulative:
        """Return the fit in the space of the rows before centring, with its leave-one-out logits."""
        dim = self.rows.shape[1]
        direction = theta[:dim]
        return Cumulative(direction, theta[dim:] + self.centre @ direction, self._loo_logits(theta))

    def _loo_logits(self, theta: Array) -> Array:
        """Return leave-one-out logits of the rows of the fit, (n, grades - 1), by one Newton step each.

        This is approximate leave-one-out (Rad and Maleki 2020, eq. 9). A row's loss is a function of the row's logits. The
        step is exact for the joint Hessian of direction and cuts.
        """
        leverage, (slope, bend) = self._leverages(theta), self._row_terms(theta)
        freed = np.linalg.solve(np.eye(slope.shape[1]) - bend @ leverage, slope[:, :, None])
        stepped = self.logits(theta)[: self.n] + (leverage @ freed)[:, :, 0]
        return _in_order(stepped, np.diff(theta[self.rows.shape[1] :]))

    def _leverages(self, theta: Array) -> Array:
        """Return the inverse Hessian between each two logits of a row, for the first n rows, (n, grades - 1, grades - 1)."""
        dim, rows = self.rows.shape[1], self.rows[: self.n]
        inverse = linalg.inv(self.hessian(theta))
        along = np.einsum("ij,ij->i", rows @ inverse[:dim, :dim], rows)  # (n,)
        across = rows @ inverse[:dim, dim:]  # (n, grades - 1)
        leverages: Array = along[:, None, None] - across[:, :, None] - across[:, None, :] + inverse[dim:, dim:]
        return leverages

    def _row_terms(self, theta: Array) -> tuple[Array, Array]:
        """Return first and second derivatives of the first n rows' losses along their logits, (n, cuts) and (n, cuts, cuts)."""
        n, gaps, at = self.n, np.diff(theta[self.rows.shape[1] :]), np.arange(self.ends.shape[1])
        logits, grades = self.logits(theta), self.grades[: self.n]
        slope = self.residual(logits)[:n]
        bend = np.zeros((n, len(at), len(at)))
        bend[:, at, at] = self.curvature(logits)[:n]
        inner = np.flatnonzero((grades > 0) & (grades < len(at)))  # rows with a gap between two cuts
        lower, upper = grades[inner] - 1, grades[inner]
        pull, stiff = 1.0 / np.expm1(gaps[lower]), _gap_bends(gaps[lower])
        slope[inner, lower] -= pull
        slope[inner, upper] += pull
        for one, other, sign in ((lower, lower, 1.0), (upper, upper, 1.0), (lower, upper, -1.0), (upper, lower, -1.0)):
            bend[inner, one, other] += sign * stiff
        weights = self.weights[:n]
        return slope * weights[:, None], bend * weights[:, None, None]


def _in_order(logits: Array, gaps: Array) -> Array:
    """Move logits, (n, cuts), so that KEPT_GAP of each gap stays. The mean of a row's logits does not change."""
    kept = np.maximum(-np.diff(logits, axis=1), KEPT_GAP * gaps)  # (n, cuts - 1)
    fallen = np.hstack([np.zeros((len(logits), 1)), -np.cumsum(kept, axis=1)])
    ordered: Array = fallen + (logits - fallen).mean(axis=1, keepdims=True)
    return ordered


def _spread(of_gaps: Array) -> Array:
    """Return the slope along the cuts, (cuts,), from the slope along the gaps between them, (cuts - 1,)."""
    padded = np.concatenate([[0.0], of_gaps, [0.0]])
    slope: Array = padded[:-1] - padded[1:]
    return slope


def _laplacian(of_gaps: Array) -> Array:
    """Return second derivatives along the cuts, (cuts, cuts), from those along the gaps between them, (cuts - 1,)."""
    differences = np.diff(np.eye(len(of_gaps) + 1), axis=0)  # (cuts - 1, cuts)
    laplacian: Array = differences.T @ (of_gaps[:, None] * differences)
    return laplacian


def _gap_bends(gap: Array) -> Array:
    """Return the second derivative of -log(1 - exp(-gap)): exp(gap) / (exp(gap) - 1)^2."""
    return np.asarray(0.25 / np.sinh(0.5 * np.minimum(gap, 700.0)) ** 2)
