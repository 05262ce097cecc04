"""The anchored linear probe against a plain minimiser, and its approximate leave-one-out against real refits."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax
from threadpoolctl import threadpool_limits

from fsat_tasks.numerics.evidence.calibration import log_loss
from fsat_tasks.numerics.heads.leave_one_out import approximate_loo_logits
from fsat_tasks.numerics.heads.probe import LinearHead, fit_probe, fit_softmax

Array = NDArray[np.float64]
Labels = NDArray[np.int64]
Sample = tuple[Array, Labels, Array]

DIM = 12
classes_counts = st.integers(2, 6)
seeds = st.integers(0, 2**32 - 1)
priors = st.floats(0.25, 8.0)
ridges = st.floats(0.01, 3.0)
few = settings(max_examples=25)  # an example is one or more fits


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    with threadpool_limits(1):  # as tune does: products this small lose by sharing
        yield


def unit(rows: Array) -> Array:
    scaled: Array = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return scaled


def draw(classes: int, shots: int, seed: int, spread: float = 1.5) -> Sample:
    """Draw rows around class centres, labels, and class anchors that are noisy centres; all of unit length."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(classes, DIM))
    labels = np.repeat(np.arange(classes), shots)
    features = centres[labels] + spread * rng.normal(size=(len(labels), DIM))
    return unit(features), labels, unit(centres + 0.5 * rng.normal(size=centres.shape))


def objective(weight: Array, bias: Array, sample: Sample, prior: float, ridge: float) -> tuple[float, Array, Array]:
    """Return the objective as fit_probe's docstring states it, and its gradient, class by class and row by row."""
    features, labels, names = sample
    loss, d_weight, d_bias = ridge / 2 * float((weight**2).sum()), ridge * weight, np.zeros_like(bias)
    rows = [(row, int(label), 1.0) for row, label in zip(features, labels, strict=True)]
    rows += [(name, label, prior) for label, name in enumerate(names)]
    for row, label, count in rows:
        logits = weight @ row + bias
        loss -= count * float(log_softmax(logits)[label])
        residual = count * softmax(logits)
        residual[label] -= count
        d_weight, d_bias = d_weight + np.outer(residual, row), d_bias + residual
    return loss, d_weight, d_bias


def reference_fit(sample: Sample, prior: float, ridge: float) -> LinearHead:
    names = sample[2]
    size = names.size

    def flat(theta: Array) -> tuple[float, Array]:
        loss, d_weight, d_bias = objective(theta[:size].reshape(names.shape), theta[size:], sample, prior, ridge)
        return loss, np.concatenate([d_weight.ravel(), d_bias])

    found = minimize(flat, np.zeros(size + len(names)), jac=True, method="BFGS", options={"gtol": 1e-8, "maxiter": 5000})
    return LinearHead(found.x[:size].reshape(names.shape), found.x[size:])


def refitted_logits(sample: Sample, prior: float, ridge: float) -> Array:
    """Return leave-one-out logits by a refit without each row."""
    features, labels, names = sample
    logits = []
    for i in range(len(features)):
        rest = np.arange(len(features)) != i
        logits.append(fit_probe(features[rest], labels[rest], names, prior, ridge).logits(features[i : i + 1])[0])
    return np.array(logits)


@few
@given(classes_counts, st.integers(1, 8), seeds, priors, ridges)
def test_gradient_of_the_stated_objective_is_near_zero_at_the_fit(
    classes: int, shots: int, seed: int, prior: float, ridge: float
) -> None:
    sample = draw(classes, shots, seed)
    head = fit_probe(*sample, prior, ridge)
    assert head.weight.dtype == head.bias.dtype == np.float64
    assert (head.weight.shape, head.bias.shape) == ((classes, DIM), (classes,))
    _, d_weight, d_bias = objective(head.weight, head.bias, sample, prior, ridge)
    # the solver stops at 1e-5 of the mean loss
    bound = 2e-5 * (len(sample[0]) + classes * prior)
    assert max(np.abs(d_weight).max(), np.abs(d_bias).max()) < bound


@pytest.mark.parametrize("classes", [2, 3, 5])
@pytest.mark.parametrize("ridge", [0.1, 1.0])
def test_fit_is_the_one_of_an_independent_minimiser(classes: int, ridge: float) -> None:
    sample = draw(classes, 4, classes)
    head, reference = fit_probe(*sample, 2.0, ridge), reference_fit(sample, 2.0, ridge)
    np.testing.assert_allclose(head.weight, reference.weight, atol=2e-3)
    np.testing.assert_allclose(head.bias - head.bias.mean(), reference.bias - reference.bias.mean(), atol=2e-3)


@few
@given(classes_counts, seeds, st.integers(1, 4), ridges)
def test_a_name_counts_for_as_many_rows_as_the_prior_says(classes: int, seed: int, prior: int, ridge: float) -> None:
    features, labels, names = draw(classes, 3, seed)
    anchored = fit_probe(features, labels, names, float(prior + 1), ridge)
    repeated = fit_probe(
        np.vstack([features, *[names] * prior]), np.concatenate([labels, *[np.arange(classes)] * prior]), names, 1.0, ridge
    )
    np.testing.assert_allclose(anchored.logits(features), repeated.logits(features), atol=0.02)


@few
@given(classes_counts, st.integers(1, 6), seeds, priors, ridges)
def test_order_of_rows_does_not_matter(classes: int, shots: int, seed: int, prior: float, ridge: float) -> None:
    features, labels, names = draw(classes, shots, seed)
    order = np.random.default_rng(seed).permutation(len(labels))
    head, shuffled = (fit_probe(features[rows], labels[rows], names, prior, ridge) for rows in (slice(None), order))
    np.testing.assert_allclose(shuffled.logits(names), head.logits(names), atol=0.02)
    # exact for one head: then only the order of the sums differs
    held_out = approximate_loo_logits(head, features, labels, names, prior, ridge)
    held_out_shuffled = approximate_loo_logits(head, features[order], labels[order], names, prior, ridge)
    np.testing.assert_allclose(held_out_shuffled, held_out[order], atol=1e-7)


@few
@given(classes_counts, seeds, priors, ridges)
def test_numbering_of_classes_does_not_matter(classes: int, seed: int, prior: float, ridge: float) -> None:
    features, labels, names = draw(classes, 3, seed)
    order = np.random.default_rng(seed).permutation(classes)  # new class c is old class order[c]
    head = fit_probe(features, labels, names, prior, ridge)
    renamed = fit_probe(features, np.argsort(order)[labels], names[order], prior, ridge)
    logits, again = head.logits(features)[:, order], renamed.logits(features)
    np.testing.assert_allclose(softmax(again, axis=1), softmax(logits, axis=1), atol=5e-3)


def centred(logits: Array) -> Array:
    shifted: Array = logits - logits.mean(axis=1, keepdims=True)
    return shifted


@pytest.mark.parametrize("classes", [2, 5, 40])
@pytest.mark.parametrize("ridge", [0.03, 1.0])
def test_solver_reaches_scikit_learns_answer(classes: int, ridge: float) -> None:
    from sklearn.linear_model import LogisticRegression

    features, labels, _ = draw(classes, 5, classes)
    weights = np.random.default_rng(0).uniform(0.5, 3.0, len(labels))
    head = fit_softmax(features, np.eye(classes)[labels], weights, ridge, tolerance=1e-7)
    # scikit-learn penalises the difference of two classes' weights, of which the square is twice ||weight||^2
    strength = ridge / 2 if classes == 2 else ridge
    model = LogisticRegression(C=1 / strength, tol=1e-10, max_iter=10_000, solver="newton-cg")
    model.fit(features, labels, sample_weight=weights)
    expected = features @ model.coef_.T + model.intercept_
    if classes == 2:
        expected = np.hstack([-expected, expected]) / 2
    np.testing.assert_allclose(centred(head.logits(features)), centred(expected), atol=1e-5)


@few
@given(classes_counts, st.integers(1, 8), seeds, ridges)
def test_solver_zeroes_the_gradient_for_soft_targets_from_any_start(classes: int, shots: int, seed: int, ridge: float) -> None:
    rng = np.random.default_rng(seed)
    rows, targets = rng.normal(size=(shots * classes, DIM)), rng.dirichlet(np.ones(classes), shots * classes)
    weights = rng.uniform(0.0, 2.0, len(rows))
    start = LinearHead(rng.normal(size=(classes, DIM)), rng.normal(size=classes))
    cold, warm = (fit_softmax(rows, targets, weights, ridge, begin, 1e-7) for begin in (None, start))
    residual = weights[:, None] * (softmax(cold.logits(rows), axis=1) - targets)
    np.testing.assert_allclose(residual.T @ rows + ridge * cold.weight, 0.0, atol=1e-5)
    np.testing.assert_allclose(residual.sum(axis=0), 0.0, atol=1e-5)
    np.testing.assert_allclose(warm.logits(rows), cold.logits(rows), atol=1e-4)


def test_two_classes_are_mirror_images() -> None:
    features, labels, _ = draw(2, 6, 0)
    head = fit_softmax(features, np.eye(2)[labels], np.ones(len(labels)), 0.1)
    np.testing.assert_allclose(head.weight[0], -head.weight[1], atol=1e-12)
    np.testing.assert_allclose(head.bias[0], -head.bias[1], atol=1e-12)


@pytest.mark.parametrize("rows", [np.zeros((6, DIM)), np.ones((6, DIM)), np.empty((0, DIM))])
def test_solver_on_rows_that_say_nothing_gives_the_targets_shares(rows: Array) -> None:
    targets = np.tile([0.5, 0.3, 0.2], (len(rows), 1))
    head = fit_softmax(rows, targets, np.ones(len(rows)), 0.1)
    expected = targets if len(rows) else np.empty((0, 3))
    np.testing.assert_allclose(softmax(head.logits(rows), axis=1) if len(rows) else expected, expected, atol=1e-5)
    assert np.isfinite(head.weight).all() and np.isfinite(head.bias).all()


def test_solver_stays_finite_where_a_class_has_no_target_and_the_ridge_is_tiny() -> None:
    features, labels, _ = draw(3, 4, 1, spread=0.1)
    head = fit_softmax(features, np.eye(4)[labels], np.ones(len(labels)), 1e-6)
    assert np.isfinite(head.logits(features)).all()
    assert (head.logits(features).argmax(axis=1) == labels).all()


def test_thousand_classes_of_one_row_are_told_apart() -> None:
    rows = unit(np.random.default_rng(0).normal(size=(1000, 48)))
    head = fit_softmax(rows, np.eye(1000), np.ones(1000), 0.1, tolerance=1e-2)
    assert (head.logits(rows).argmax(axis=1) == np.arange(1000)).all()


def test_class_names_alone_classify() -> None:
    _, _, names = draw(5, 1, 0)
    none = np.empty((0, DIM))
    head = fit_probe(none, np.empty(0, np.int64), names, 1.0, 0.1)
    assert head.logits(names).argmax(1).tolist() == [0, 1, 2, 3, 4]


def test_class_without_a_row_is_found_by_its_name() -> None:
    features, labels, names = draw(4, 5, 1, spread=0.5)
    there = labels != 2
    head = fit_probe(features[there], labels[there], names, 1.0, 0.1)
    assert (head.logits(features)[labels == 2].argmax(1) == 2).mean() >= 0.8


@pytest.mark.parametrize("classes", [2, 4])
def test_class_with_one_shot_is_fitted_and_left_out(classes: int) -> None:
    features, labels, names = draw(classes, 5, 2, spread=0.4)
    kept = np.flatnonzero((labels != 0) | (np.arange(len(labels)) == 0))
    sample = features[kept], labels[kept], names
    head = fit_probe(*sample, 1.0, 0.1)
    assert head.logits(features[:1]).argmax() == 0
    held_out = approximate_loo_logits(head, *sample, 1.0, 0.1)
    assert np.isfinite(held_out).all()
    # without its only row the class still has its name
    np.testing.assert_allclose(held_out[0], refitted_logits(sample, 1.0, 0.1)[0], atol=0.4)


@pytest.mark.parametrize(
    ("classes", "loss", "correlation", "share"), [(2, 0.04, 0.999, 0.05), (3, 0.15, 0.97, 0.25), (6, 0.15, 0.97, 0.25)]
)
@pytest.mark.parametrize("ridge", [0.03, 0.1, 1.0])
def test_approximate_leave_one_out_is_near_that_of_refits(
    classes: int, loss: float, correlation: float, share: float, ridge: float
) -> None:
    """Two classes share one exact Newton step. More classes have a step each, which was measured to be up to 17 % too long."""
    sample = draw(classes, 5, classes)
    head = fit_probe(*sample, 1.0, ridge)
    approximate, exact = approximate_loo_logits(head, *sample, 1.0, ridge), refitted_logits(sample, 1.0, ridge)
    assert abs(log_loss(approximate, sample[1]) - log_loss(exact, sample[1])) < loss
    full = head.logits(sample[0])
    shifts = (approximate - full).ravel(), (exact - full).ravel()
    assert np.corrcoef(*shifts)[0, 1] > correlation
    errors, shift = np.abs(approximate - exact), np.abs(full - exact)
    assert errors.mean() < share * shift.mean()
    assert errors.max() < 3 * share * shift.max()


@few
@given(classes_counts, st.integers(2, 5), seeds, priors, ridges)
def test_leaving_a_row_out_lowers_its_own_class_as_refits_do(
    classes: int, shots: int, seed: int, prior: float, ridge: float
) -> None:
    sample = draw(classes, shots, seed)
    own = np.arange(len(sample[1])), sample[1]
    head = fit_probe(*sample, prior, ridge)
    full = head.logits(sample[0])
    approximate = approximate_loo_logits(head, *sample, prior, ridge)
    assert (approximate[own] < full[own]).all()
    assert (refitted_logits(sample, prior, ridge)[own] < full[own]).all()
    others = np.ones_like(full, bool)
    others[own] = False
    assert (approximate[others] > full[others]).all()
