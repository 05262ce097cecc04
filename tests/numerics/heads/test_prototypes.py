"""Prototypes: directions and concentration against closed forms, leave-one-out against refits."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from fsat_tasks.numerics.heads.probe import LinearHead
from fsat_tasks.numerics.heads.prototypes import class_sums, fit_prototypes, prototype_loo_logits

Array = NDArray[np.float64]
Labels = NDArray[np.int64]

DIM = 7
seeds = st.integers(0, 2**32 - 1)
priors = st.floats(0.1, 8.0)
few = settings(max_examples=50)


def unit(rows: Array) -> Array:
    scaled: Array = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return scaled


def draw(classes: int, seed: int, rows: int = 20) -> tuple[Array, Labels, Array]:
    """Draw rows of random classes. Some classes have one row, some none."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, rows)
    names = unit(rng.normal(size=(classes, DIM)))
    return unit(names[labels] + 0.7 * rng.normal(size=(rows, DIM))), labels, names


def parts(head: LinearHead) -> tuple[Array, float]:
    lengths = np.linalg.norm(head.weight, axis=1)
    np.testing.assert_allclose(lengths, lengths[0])
    return head.weight / lengths[:, None], float(lengths[0])


@few
@given(st.integers(1, 8), seeds, priors)
def test_direction_is_that_of_the_weighted_sum(classes: int, seed: int, prior: float) -> None:
    features, labels, names = draw(classes, seed)
    directions, _ = parts(fit_prototypes(features, labels, names, prior))
    for c in range(classes):
        total = prior * names[c]
        for row in features[labels == c]:
            total = total + row
        np.testing.assert_allclose(directions[c], total / np.linalg.norm(total), atol=1e-12)
        np.testing.assert_allclose(class_sums(features, labels, names, prior)[c], total, atol=1e-12)


def test_concentration_of_one_class_is_the_closed_form() -> None:
    # two rows and a name at right angles: a sum of length sqrt(3) over 3 rows
    rows = np.eye(5)[:3]
    _, concentration = parts(fit_prototypes(rows[:2], np.zeros(2, np.int64), rows[2:], 1.0))
    r = np.sqrt(3) / 3
    assert concentration == pytest.approx(r * (5 - r**2) / (1 - r**2), rel=1e-12)


def test_concentration_is_that_of_the_distribution_that_rows_were_drawn_from() -> None:
    # in three dimensions the cosine to the mean is 1 + log(u + (1 - u) exp(-2 kappa)) / kappa
    rng = np.random.default_rng(0)
    kappa, rows, classes = 12.0, 30000, 2
    cosine = 1 + np.log((u := rng.random(rows)) + (1 - u) * np.exp(-2 * kappa)) / kappa
    angle = rng.uniform(0, 2 * np.pi, rows)
    sine = np.sqrt(1 - cosine**2)
    features = np.stack([sine * np.cos(angle), sine * np.sin(angle), cosine], axis=1)
    labels = np.arange(rows) % classes
    features[labels == 1] = features[labels == 1][:, [2, 0, 1]]  # the other class points elsewhere
    _, found = parts(fit_prototypes(features, labels, np.eye(3)[[2, 0]], 1.0))
    assert found == pytest.approx(kappa, rel=0.05)  # the closed form is within a few percent of the likelihood's


@few
@given(st.integers(1, 8), seeds, priors)
def test_leave_one_out_is_that_of_refits_at_the_full_concentration(classes: int, seed: int, prior: float) -> None:
    features, labels, names = draw(classes, seed)
    _, concentration = parts(fit_prototypes(features, labels, names, prior))
    held_out = prototype_loo_logits(features, labels, names, prior)
    for i in range(len(labels)):
        rest = np.arange(len(labels)) != i
        directions, _ = parts(fit_prototypes(features[rest], labels[rest], names, prior))
        np.testing.assert_allclose(held_out[i], concentration * directions @ features[i], atol=1e-9 * concentration)


@few
@given(st.integers(1, 8), seeds, priors)
def test_a_row_more_or_less_like_its_class_never_gains_by_being_left_out(classes: int, seed: int, prior: float) -> None:
    features, labels, names = draw(classes, seed)
    own = np.arange(len(labels)), labels
    full = fit_prototypes(features, labels, names, prior).logits(features)
    assert (prototype_loo_logits(features, labels, names, prior)[own] <= full[own] + 1e-9).all()


def test_names_alone_classify() -> None:
    names = unit(np.random.default_rng(0).normal(size=(4, DIM)))
    head = fit_prototypes(np.empty((0, DIM)), np.empty(0, np.int64), names, 1.0)
    assert head.logits(names).argmax(1).tolist() == [0, 1, 2, 3]
    assert prototype_loo_logits(np.empty((0, DIM)), np.empty(0, np.int64), names, 1.0).shape == (0, 4)


def test_without_its_only_row_a_class_has_its_name() -> None:
    features, names = unit(np.array([[1.0, 1.0, 0.0]])), np.eye(3)[:2]
    head = fit_prototypes(features, np.zeros(1, np.int64), names, 2.0)
    _, concentration = parts(head)
    held_out = prototype_loo_logits(features, np.zeros(1, np.int64), names, 2.0)
    np.testing.assert_allclose(held_out, concentration * features @ names.T)


@pytest.mark.parametrize("dim", [1, 2, 50])
@pytest.mark.parametrize("fill", [0.0, 1.0])
def test_equal_rows_and_zeros_stay_finite(dim: int, fill: float) -> None:
    rows = np.full((6, dim), fill / np.sqrt(dim))
    sample = rows, np.array([0, 0, 0, 1, 1, 2]), rows[:4], 1.0
    for logits in (fit_prototypes(*sample).logits(rows), prototype_loo_logits(*sample)):
        assert logits.shape == (6, 4)
        assert np.isfinite(logits).all()
        np.testing.assert_allclose(logits, logits[0, 0])


def test_rows_that_cancel_their_name_leave_no_direction() -> None:
    names = np.eye(3)[:2]
    sample = -names[:1], np.zeros(1, np.int64), names, 1.0
    np.testing.assert_array_equal(fit_prototypes(*sample).weight[0], 0.0)
    assert np.isfinite(prototype_loo_logits(*sample)).all()


def test_a_thousand_classes() -> None:
    rng = np.random.default_rng(0)
    names = unit(rng.normal(size=(1000, 384)))
    labels = np.arange(1500) % 1000
    features = unit(names[labels] + 0.05 * rng.normal(size=(1500, 384)))
    held_out = prototype_loo_logits(features, labels, names, 1.0)
    assert (held_out.argmax(1) == labels).mean() > 0.95
