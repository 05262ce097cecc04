"""Gaussian discriminant analysis against its definition and scikit-learn, leave-one-out against refits."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import multivariate_normal
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from fsat_tasks.numerics.gaussian import fit_gaussian, gaussian_loo_logits

Array = NDArray[np.float64]
Labels = NDArray[np.int64]
Sample = tuple[Array, Labels, Array]

seeds = st.integers(0, 2**32 - 1)
priors = st.floats(0.1, 8.0)
shrinkages = st.floats(0.02, 1.0)
dims = st.sampled_from([2, 3, 12, 60])  # below, about, and beyond the rows and names
few = settings(max_examples=50)


def unit(rows: Array) -> Array:
    scaled: Array = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return scaled


def draw(classes: int, dim: int, seed: int, rows: int = 15) -> Sample:
    """Rows of random classes: some classes have one row, some none."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, rows)
    names = unit(rng.normal(size=(classes, dim)))
    return unit(names[labels] + 0.7 * rng.normal(size=(rows, dim))), labels, names


def reference_moments(sample: Sample, prior: float, shrinkage: float) -> tuple[Array, Array]:
    """Means and covariance as the docstring states them, row by row."""
    features, labels, names = sample
    classes, dim = names.shape
    means, scatter = np.empty_like(names), np.zeros((dim, dim))
    for c in range(classes):
        rows = np.vstack([names[c], features[labels == c]])
        weights = np.array([prior] + [1.0] * (len(rows) - 1))
        means[c] = weights @ rows / weights.sum()
        for weight, row in zip(weights, rows, strict=True):
            scatter += weight * np.outer(row - means[c], row - means[c])
    s = scatter / (len(features) + prior * classes)
    return means, (1 - shrinkage) * s + shrinkage * np.trace(s) / dim * np.eye(dim)


def refitted_logits(sample: Sample, prior: float, shrinkage: float) -> Array:
    """Leave-one-out the slow way."""
    features, labels, names = sample
    logits = []
    for i in range(len(features)):
        rest = np.arange(len(features)) != i
        logits.append(fit_gaussian(features[rest], labels[rest], names, prior, shrinkage).logits(features[i : i + 1])[0])
    return np.array(logits)


def centred(logits: Array) -> Array:
    shifted: Array = logits - logits.mean(axis=1, keepdims=True)
    return shifted


@few
@given(st.integers(2, 6), dims, seeds, priors, shrinkages)
def test_logits_are_log_densities_up_to_what_classes_share(
    classes: int, dim: int, seed: int, prior: float, shrinkage: float
) -> None:
    sample = draw(classes, dim, seed)
    means, covariance = reference_moments(sample, prior, shrinkage)
    densities = np.stack([multivariate_normal(mean, covariance).logpdf(sample[0]).reshape(-1) for mean in means], axis=1)
    logits = fit_gaussian(*sample, prior, shrinkage).logits(sample[0])
    np.testing.assert_allclose(centred(logits), centred(densities), rtol=1e-8, atol=1e-8)


def test_logits_are_those_of_scikit_learn_where_each_name_is_one_row() -> None:
    rng = np.random.default_rng(0)
    names, labels = rng.normal(size=(4, 10)), np.repeat(np.arange(4), 5)
    features = names[labels] + rng.normal(size=(20, 10))
    model = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=0.3)
    model.fit(np.vstack([features, names]), np.concatenate([labels, np.arange(4)]))
    logits = fit_gaussian(features, labels, names, 1.0, 0.3).logits(features)
    np.testing.assert_allclose(centred(logits), centred(model.decision_function(features)), atol=1e-9)


@few
@given(st.integers(1, 6), dims, seeds, priors, shrinkages)
def test_leave_one_out_is_that_of_refits(classes: int, dim: int, seed: int, prior: float, shrinkage: float) -> None:
    sample = draw(classes, dim, seed)
    exact = refitted_logits(sample, prior, shrinkage)
    np.testing.assert_allclose(gaussian_loo_logits(*sample, prior, shrinkage), exact, rtol=1e-8, atol=1e-8)


def test_leave_one_out_is_that_of_refits_for_one_shot_a_class_and_repeated_rows() -> None:
    features, _, names = draw(5, 8, 3, rows=5)
    for rows, labels in ((features, np.arange(5)), (np.vstack([features] * 3), np.tile(np.arange(5), 3))):
        sample = rows, labels, names
        exact = refitted_logits(sample, 1.0, 0.2)
        np.testing.assert_allclose(gaussian_loo_logits(*sample, 1.0, 0.2), exact, rtol=1e-8, atol=1e-8)


def test_full_shrinkage_is_the_nearest_mean() -> None:
    sample = draw(5, 12, 4)
    means, _ = reference_moments(sample, 2.0, 1.0)
    distances = np.square(sample[0][:, None] - means).sum(axis=2)
    assert (fit_gaussian(*sample, 2.0, 1.0).logits(sample[0]).argmax(1) == distances.argmin(1)).all()


def test_names_alone_classify() -> None:
    names = unit(np.random.default_rng(0).normal(size=(4, 6)))
    none = np.empty((0, 6)), np.empty(0, np.int64)
    assert fit_gaussian(*none, names, 1.0, 0.1).logits(names).argmax(1).tolist() == [0, 1, 2, 3]
    assert gaussian_loo_logits(*none, names, 1.0, 0.1).shape == (0, 4)


@few
@given(seeds, priors)
def test_rotation_of_the_features_does_not_matter(seed: int, prior: float) -> None:
    features, labels, names = draw(4, 20, seed, rows=8)
    turn = np.linalg.qr(np.random.default_rng(seed).normal(size=(20, 20)))[0]
    logits = gaussian_loo_logits(features, labels, names, prior, 0.1)
    turned = gaussian_loo_logits(features @ turn, labels, names @ turn, prior, 0.1)
    np.testing.assert_allclose(turned, logits, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("dim", [1, 5, 50])
@pytest.mark.parametrize("fill", [0.0, 1.0])
@pytest.mark.parametrize("shrinkage", [1e-3, 1.0])
def test_equal_rows_and_zeros_stay_finite(dim: int, fill: float, shrinkage: float) -> None:
    rows = np.full((6, dim), fill / np.sqrt(dim))
    sample = rows, np.array([0, 0, 0, 1, 1, 2]), rows[:4], 1.0, shrinkage
    for logits in (fit_gaussian(*sample).logits(rows), gaussian_loo_logits(*sample)):
        assert np.isfinite(logits).all()
        np.testing.assert_allclose(logits, logits[:, :1].repeat(4, axis=1), rtol=1e-6, atol=1e-6)


def test_spread_from_one_row_only_is_gone_without_it() -> None:
    names = np.eye(3)
    sample = np.vstack([names, unit(np.ones((1, 3)))]), np.array([0, 1, 2, 0]), names
    held_out = gaussian_loo_logits(*sample, 1.0, 0.01)
    assert np.isfinite(held_out).all()
    np.testing.assert_allclose(held_out[3], refitted_logits(sample, 1.0, 0.01)[3], rtol=1e-4)


def test_a_thousand_classes_in_many_dimensions() -> None:
    rng = np.random.default_rng(0)
    names = unit(rng.normal(size=(1000, 384)))
    labels = np.arange(1500) % 1000
    features = unit(names[labels] + 0.05 * rng.normal(size=(1500, 384)))
    held_out = gaussian_loo_logits(features, labels, names, 1.0, 0.1)
    assert held_out.shape == (1500, 1000)
    assert (held_out.argmax(1) == labels).mean() > 0.95
