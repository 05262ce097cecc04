"""The anchored linear probe: multinomial logistic regression in which each class name counts as `prior` samples.

The name's embedding keeps a class with one or two shots near its meaning. With more shots, the data outweigh the
name. Lin et al. 2023 ("Multimodality Helps Unimodality") start a probe's fit at the name's embedding. Here the
embedding is an additional sample with a weight.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

from fsat_tasks.numerics.types import Array, Labels, Matrix, Vector

__all__ = ["LinearHead", "Objective", "fit_probe", "fit_softmax", "minimise"]

Floats = NDArray[np.float64] | NDArray[np.float32]
Pair = tuple[Array, Array, float]
"""A step, the change of the gradient along it, and the inner product of both."""
Objective = Callable[[Array, Floats, Floats, Floats, Array], tuple[float, Array, Floats]]
"""Function of theta (classes, dim + 1), rows, targets, weights and penalty (dim + 1,). It returns the value, the gradient
(classes, dim + 1), and the probabilities (n, classes)."""

INTERCEPT_RIDGE = 1e-6
"""Tiny penalty of the intercept, which the ridge does not penalise. Without it the Hessian may not be invertible."""

CURVED_ROWS = 96
"""Number of rows per class whose curvature is exact in the leave-one-out step."""
CORRECTED_ROWS = 128
"""Number of rows per class whose leverage is computed in full in the leave-one-out step."""


TOLERANCE = 1e-5
"""Newton decrement at which the solver stops: sqrt(gradient.T Hessian^-1 gradient). It is about as large as
the error of the logits."""
COARSE = 1e-2
"""Newton decrement at which the solver changes from single to double precision."""
MEMORY = 10
"""Number of pairs (step, change of the gradient) that L-BFGS keeps."""
MAX_ITERATIONS = 500
SHORTEST_STEP = 1e-6
"""Minimum step length of the line search, as a share of the full step."""
FIRST_REFRESH = 5
"""Iteration at which the solver first computes the curvature again. It does so again at iterations 10, 20, 40 and so on."""
GUESSED_CONFIDENCE = 0.5
"""Weight of the targets in the guessed probabilities. The remaining weight is divided evenly among all classes.
The first curvature is computed from these probabilities if the solver has no head to start from."""
SOLVER_CURVED_ROWS = 24, 96
"""Minimum and maximum number of rows per class whose curvature is exact in the solver. Between these bounds, the
number is the mean number of rows per class."""
SOLVER_CURVED_SIZE = 4_000_000
"""Maximum number of array elements, over all classes, in the rows with exact curvature: 32 MB."""


@dataclass(frozen=True)
class LinearHead:
    """Linear head: its logits are features @ weight.T + bias."""

    weight: Matrix  # (classes, dim)
    bias: Vector  # (classes,)

    def logits(self, features: Array) -> Array:
        """Return logits, (n, classes), for features (n, dim)."""
        return features @ self.weight.T + self.bias

    def shifted(self, offset: Array) -> LinearHead:
        """Return this head with `offset`, (classes,), added to its logits."""
        return LinearHead(self.weight, self.bias + offset)


def fit_probe(features: Array, labels: Labels, names: Array, prior: float, ridge: float) -> LinearHead:
    """Fit the probe: minimise the weighted log-loss of rows and class names plus ridge / 2 * ||weight||^2.

    Args:
        features: (n, dim).
        labels: (n,) in 0..classes-1. A class without rows is represented by its name.
        names: (classes, dim), features of the class names.
        prior: alpha > 0, number of rows that a class name counts as.
        ridge: penalty of the weights, > 0.
    """
    classes = len(names)
    targets = np.eye(classes)[np.concatenate([labels, np.arange(classes)])]
    weights = np.concatenate([np.ones(len(features)), np.full(classes, prior)])
    return fit_softmax(np.vstack([features, names]), targets, weights, ridge)


def fit_softmax(
    rows: Array,
    targets: Array,
    weights: Array,
    ridge: float,
    start: LinearHead | None = None,
    tolerance: float = TOLERANCE,
) -> LinearHead:
    """Minimise sum_i weights_i * cross-entropy(targets_i, softmax(logits_i)) + ridge / 2 * ||weight||^2.

    The solver is L-BFGS (Nocedal and Wright 2006, algorithm 7.4). Its initial matrix approximates the inverse
    of the Hessian's diagonal class blocks, in the rows' principal directions. The few rows with the highest
    curvature for a class enter this matrix exactly (Woodbury). The solver passes over the rows a third as often
    as plain L-BFGS.

    Args:
        rows: (n, dim).
        targets: (n, classes), each row a distribution.
        weights: (n,), none negative.
        ridge: penalty of the weights, > 0. The intercept is not penalised.
        start: head to start from, such as the fit at a similar ridge; by default zero.
        tolerance: Newton decrement at which the solver stops, about the largest error of the logits.

    Returns:
        The head. Its weights and biases sum to zero over the classes, so with two classes, one
        has the negative of the weights and bias of the other.
    """
    return minimise(_objective, rows, targets, weights, ridge, start, tolerance, centred=True)


def minimise(
    objective: Objective,
    rows: Array,
    targets: Array,
    weights: Array,
    ridge: float,
    start: LinearHead | None,
    tolerance: float,
    centred: bool = False,
) -> LinearHead:
    """Minimise an objective whose Hessian has the diagonal class blocks rows.T @ diag(weights * p * (1 - p)) @ rows + penalty.

    Args:
        objective: such as the softmax's cross-entropy or the binary log-loss of each class.
        rows, targets, weights, ridge, start, tolerance: as for `fit_softmax`.
        centred: True if the objective does not see the means over the classes, so that they are subtracted.
    """
    total, classes = weights.sum(), targets.shape[1]
    if not total > 0:
        return LinearHead(np.zeros((classes, rows.shape[1])), np.zeros(classes))
    # rows may be centred, because the intercept is not penalised; centring makes the intercept uncorrelated with the weights
    centre = weights @ rows / total  # (dim,)
    axes = _axes((rows - centre) * np.sqrt(weights)[:, None])  # (dim, directions)
    turned = np.hstack([(rows - centre) @ axes, np.ones((len(rows), 1))])  # (n, directions + 1)
    theta = np.zeros((classes, turned.shape[1]))
    if start is not None:
        theta[:, :-1], theta[:, -1] = start.weight @ axes, start.bias + start.weight @ centre
        theta -= theta.mean(axis=0) if centred else 0.0
    guess = None if start is not None else GUESSED_CONFIDENCE * targets + (1.0 - GUESSED_CONFIDENCE) / classes
    pairs: list[Pair] = []
    if tolerance < COARSE:
        singles = [array.astype(np.float32) for array in (turned, targets, weights)]
        theta, guess = _descend(objective, theta, singles[0], singles[1], singles[2], ridge, guess, pairs, COARSE), None
    theta = _descend(objective, theta, turned, targets, weights, ridge, guess, pairs, tolerance)
    theta -= theta.mean(axis=0) if centred else 0.0
    weight = theta[:, :-1] @ axes.T
    return LinearHead(weight, theta[:, -1] - weight @ centre)


def _axes(rows: Array) -> Array:
    """Return orthonormal directions along the rows' principal axes, which span the rows, (dim, directions)."""
    n, dim = rows.shape
    if n < dim:
        _, strengths, directions = linalg.svd(rows, full_matrices=False)
        kept: Array = directions[strengths > 1e-9 * strengths[0]].T
        return kept
    axes: Array = linalg.eigh(rows.T @ rows)[1]
    return axes


def _descend(
    objective: Objective,
    theta: Array,
    rows: Floats,
    targets: Floats,
    weights: Floats,
    ridge: float,
    guess: Array | None,
    pairs: list[Pair],
    tolerance: float,
) -> Array:
    """Minimise the objective by L-BFGS, in the precision of the rows, and return theta, (classes, dim + 1).

    Args:
        theta: (classes, dim + 1), weights and intercept to start from.
        rows: (n, dim + 1), with uncorrelated columns. The last column is one.
        guess: (n, classes), probabilities for the first curvature; None for the probabilities at theta.
        pairs: pairs that L-BFGS keeps, extended in place.
        tolerance: Newton decrement at which to stop.
    """
    penalty = np.append(np.full(rows.shape[1] - 1, ridge), 0.0)
    value, gradient, p = objective(theta, rows, targets, weights, penalty)
    refresh = FIRST_REFRESH
    inverse = _inverse_of_blocks(p if guess is None else guess, rows, weights, penalty)
    for iteration in range(MAX_ITERATIONS):
        if iteration == refresh:
            inverse, refresh = _inverse_of_blocks(p, rows, weights, penalty), 2 * refresh
        direction = -_quasi_newton(gradient, pairs, inverse)
        slope = float(np.vdot(gradient, direction))
        if slope > -(tolerance**2):
            break
        length, reached = 1.0, False
        while not reached and length > SHORTEST_STEP:
            step = length * direction
            new_value, new_gradient, p = objective(theta + step, rows, targets, weights, penalty)
            reached = new_value <= value + 1e-4 * length * slope  # Armijo's rule
            if not reached:  # the next length is at the minimum of the parabola through both values and the slope
                parabola = -0.5 * length * slope / (new_value - value - length * slope)
                length *= min(max(parabola, 0.1), 0.5)
        if not reached:  # a further step would lower the loss by less than the rounding error
            break
        change = new_gradient - gradient
        bend = float(np.vdot(step, change))
        if bend > 0:
            pairs.append((step, change, bend))
            del pairs[:-MEMORY]
        theta, value, gradient = theta + step, new_value, new_gradient
    return theta


def _objective(theta: Array, rows: Floats, targets: Floats, weights: Floats, penalty: Array) -> tuple[float, Array, Floats]:
    """Return the objective's value, its gradient (classes, dim + 1), and the probabilities (n, classes)."""
    logits = rows @ theta.T.astype(rows.dtype)  # (n, classes)
    logits -= logits.max(axis=1, keepdims=True)
    aimed = np.einsum("ij,ij->i", targets, logits)
    p = np.exp(logits, out=logits)
    sums = p.sum(axis=1)
    losses = np.log(sums) - aimed
    p /= sums[:, None]
    gradient = ((p - targets) * weights[:, None]).T @ rows
    pull = theta * penalty
    return float(losses.astype(np.float64) @ weights) + 0.5 * float(np.vdot(theta, pull)), gradient + pull, p


def _quasi_newton(gradient: Array, pairs: list[Pair], inverse: Callable[[Array], Array]) -> Array:
    """Multiply the gradient by the inverse Hessian of L-BFGS (two-loop recursion)."""
    rest, shares = gradient, []
    for step, change, bend in reversed(pairs):
        shares.append(float(np.vdot(step, rest)) / bend)
        rest = rest - shares[-1] * change
    result = inverse(rest)
    for (step, change, bend), share in zip(pairs, reversed(shares), strict=True):
        result = result + (share - float(np.vdot(change, result)) / bend) * step
    return result


def _inverse_of_blocks(p: Floats, rows: Floats, weights: Floats, penalty: Array) -> Callable[[Array], Array]:
    """Return a function that multiplies (classes, dim + 1) by the approximate inverse of the Hessian's class blocks.

    The rows with the highest curvature for a class enter exactly (Woodbury). All the remaining rows enter with their
    mean curvature. For this, only the squares of the columns are needed, because the columns are uncorrelated. `leverages` in
    `leave_one_out` uses nearly the same approximation.
    """
    classes, columns = p.shape[1], rows.shape[1]
    fitting = max(SOLVER_CURVED_SIZE // (classes * columns), 1)
    curved = min(int(np.clip(len(rows) // classes, *SOLVER_CURVED_ROWS)), fitting, len(rows))
    bends = (p * (1.0 - p) * weights[:, None]).T.astype(np.float64)  # (classes, n)
    most = np.argpartition(-bends, curved - 1, axis=1)[:, :curved]  # (classes, curved)
    own, counts = np.take_along_axis(bends, most, axis=1), weights[most]
    even = (bends.sum(axis=1) - own.sum(axis=1)) / np.maximum(weights.sum() - counts.sum(axis=1), 1e-6)  # (classes,)
    spectrum = weights @ np.square(rows)  # (dim + 1,)
    diagonal = 1.0 / (np.maximum(even, 0.0)[:, None] * spectrum + np.maximum(penalty, INTERCEPT_RIDGE))
    strength = np.sqrt(np.maximum(own - even[:, None] * counts, 0.0))
    half = rows[most] * strength[:, :, None]  # (classes, curved, dim + 1)
    scaled = half * diagonal[:, None, :]
    core = np.linalg.inv(np.eye(curved) + scaled @ half.transpose(0, 2, 1))  # (classes, curved, curved)

    def inverse(vectors: Array) -> Array:
        along = core @ (scaled @ vectors[:, :, None])  # (classes, curved, 1)
        product: Array = diagonal * vectors - (along.transpose(0, 2, 1) @ scaled)[:, 0]
        return product

    return inverse
