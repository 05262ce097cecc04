"""The Gaussian discriminant against scikit-learn's, and its leave-one-out against refits row by row."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from fsat_tasks.numerics.heads.discriminant import fit_discriminant

Array = NDArray[np.float64]
Labels = NDArray[np.int64]
Sample = tuple[Array, Labels, Array]

few = settings(max_examples=25)


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    with threadpool_limits(1):
        yield


def draw(counts: tuple[int, ...], dim: int, seed: int) -> Sample:
    """Draw rows around class centres, their labels, and class anchors that are noisy centres."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(len(counts), dim))
    labels = np.repeat(np.arange(len(counts)), counts)
    return centres[labels] + rng.normal(size=(len(labels), dim)), labels, centres + rng.normal(size=centres.shape)


def left_out_by_refits(sample: Sample, prior: float, ridge: float) -> Array:
    """Return the discriminant's logits with each row left out and the given ridge, row by row and class by class."""
    features, labels, names = sample
    logits = []
    for i in range(len(features)):
        kept = np.arange(len(features)) != i
        rows, own = features[kept], labels[kept]
        scatter, means = ridge * np.eye(features.shape[1]), []
        for c, name in enumerate(names):
            points, weights = np.vstack([rows[own == c], name]), np.append(np.ones(int((own == c).sum())), prior)
            means.append(weights @ points / weights.sum())
            scatter += ((points - means[c]) * weights[:, None]).T @ (points - means[c])
        inverse = np.linalg.inv(scatter)
        logits.append([features[i] @ inverse @ mean - mean @ inverse @ mean / 2 for mean in means])
    return len(features) * np.array(logits)


def ridge_of(sample: Sample, prior: float, shrinkage: float) -> float:
    """Return the mean of the scatter over the directions, times the shrinkage."""
    features, labels, names = sample
    scatter = 0.0
    for c, name in enumerate(names):
        rows = features[labels == c]
        points, weights = np.vstack([rows, name]), np.append(np.ones(len(rows)), prior)
        scatter += float((weights[:, None] * (points - weights @ points / weights.sum()) ** 2).sum())
    return float(shrinkage * scatter / features.shape[1])


@pytest.mark.parametrize("prior", [0.5, 2.0])
@pytest.mark.parametrize("counts", [(4, 4, 4), (1, 6), (2, 0, 3), (1, 1, 1)])
def test_rows_are_left_out_exactly(counts: tuple[int, ...], prior: float) -> None:
    sample = draw(counts, 5, len(counts))
    _, held_out = fit_discriminant(*sample, prior, 0.7)
    expected = left_out_by_refits(sample, prior, ridge_of(sample, prior, 0.7))
    np.testing.assert_allclose(held_out, expected, rtol=1e-8)


@few
@given(st.integers(0, 2**32 - 1), st.floats(0.25, 8.0), st.floats(0.05, 3.0))
def test_rows_are_left_out_exactly_at_any_setting(seed: int, prior: float, shrinkage: float) -> None:
    sample = draw((3, 1, 4), 6, seed)
    _, held_out = fit_discriminant(*sample, prior, shrinkage)
    expected = left_out_by_refits(sample, prior, ridge_of(sample, prior, shrinkage))
    np.testing.assert_allclose(held_out, expected, rtol=1e-6, atol=1e-6)


def test_it_is_scikit_learns_with_the_same_covariance() -> None:
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

    features, labels, names = draw((16, 16, 16, 16), 24, 1)
    head, _ = fit_discriminant(features, labels, names, prior=1e-9, shrinkage=1e-9)  # the names and the ridge fade
    reference = LinearDiscriminantAnalysis(solver="lsqr", priors=np.full(4, 1 / 4)).fit(features, labels)
    logits, expected = head.logits(features), features @ reference.coef_.T + reference.intercept_
    centred = [each - each.mean(axis=1, keepdims=True) for each in (logits, expected)]
    np.testing.assert_allclose(centred[0], centred[1], rtol=1e-5, atol=1e-5)


@few
@given(st.integers(0, 2**32 - 1))
def test_a_rotation_of_the_features_changes_nothing(seed: int) -> None:
    features, labels, names = draw((3, 4, 2), 6, seed)
    rotation = np.linalg.qr(np.random.default_rng(seed).normal(size=(6, 6)))[0]
    (head, held_out), (turned, turned_out) = (
        fit_discriminant(features @ by, labels, names @ by, 1.0, 1.0) for by in (np.eye(6), rotation)
    )
    np.testing.assert_allclose(turned.logits(features @ rotation), head.logits(features), atol=1e-8)
    np.testing.assert_allclose(turned_out, held_out, atol=1e-8)


@pytest.mark.parametrize("features", [np.zeros((6, 4)), np.ones((6, 4)), np.repeat(np.eye(4)[:3], 2, axis=0)])
def test_rows_without_scatter_give_finite_logits(features: Array) -> None:
    labels = np.repeat(np.arange(3), 2)
    head, held_out = fit_discriminant(features, labels, features[::2], 1.0, 1.0)
    assert np.isfinite(head.logits(features)).all()
    assert np.isfinite(held_out).all()


def test_a_thousand_classes_of_one_row_find_their_names() -> None:
    rng = np.random.default_rng(0)
    names = rng.normal(size=(1000, 32))
    head, held_out = fit_discriminant(names + 0.1 * rng.normal(size=names.shape), np.arange(1000), names, 1.0, 1.0)
    assert (head.logits(names).argmax(axis=1) == np.arange(1000)).mean() > 0.99
    assert (held_out.argmax(axis=1) == np.arange(1000)).mean() > 0.99  # without its row a class still has its name
