"""Heads of classes without an anchor: features of zeros in the anchor's place say nothing, and the samples' means decide."""

from __future__ import annotations

import numpy as np
import pytest

from fsat_tasks.numerics.geometry.neighbours import unit_rows
from fsat_tasks.numerics.heads.discriminant import fit_discriminant
from fsat_tasks.numerics.heads.frozen import fit_frozen_head
from fsat_tasks.numerics.heads.one_label import OneLabel
from fsat_tasks.numerics.heads.prototypes import fit_prototypes, prototype_loo_logits
from fsat_tasks.numerics.heads.scope import fit_scope, scope_scores
from fsat_tasks.numerics.types import Array, Labels

CLASSES, DIM = 3, 8
NONE = np.zeros((CLASSES, DIM))


def draw(rows: int, seed: int) -> tuple[Array, Labels]:
    """Draw unit rows around the centres of the classes, and their labels."""
    centres = np.random.default_rng(0).normal(size=(CLASSES, DIM)) * 2
    labels = np.arange(rows) % CLASSES
    return unit_rows(centres[labels] + np.random.default_rng(seed).normal(size=(rows, DIM))), labels


ROWS, LABELS = draw(18, 1)
NEW, TRUTH = draw(60, 2)
MEANS = unit_rows(np.stack([ROWS[c == LABELS].sum(axis=0) for c in range(CLASSES)]))


def test_prototypes_are_the_means_of_the_samples() -> None:
    head = fit_prototypes(ROWS, LABELS, NONE, 4.0)
    np.testing.assert_allclose(unit_rows(head.weight), MEANS)
    np.testing.assert_allclose(head.bias, 0.0)


def test_prototype_left_out_is_the_mean_of_the_other_samples() -> None:
    logits = prototype_loo_logits(ROWS, LABELS, NONE, 4.0)
    scale = np.linalg.norm(fit_prototypes(ROWS, LABELS, NONE, 4.0).weight[0])
    for i, label in enumerate(LABELS.tolist()):
        others = ROWS[(label == LABELS) & (np.arange(len(ROWS)) != i)].sum(axis=0)
        assert logits[i, label] == pytest.approx(scale * ROWS[i] @ others / np.linalg.norm(others))


def test_discriminant_that_leaves_a_sample_out_decides_as_one_that_has_not_seen_it() -> None:
    _, held_out = fit_discriminant(ROWS, LABELS, NONE, 1.0, 1.0)
    assert (held_out.argmax(axis=1) == LABELS).mean() > 0.8
    for i in range(len(ROWS)):
        seen = np.arange(len(ROWS)) != i
        again, _ = fit_discriminant(ROWS[seen], LABELS[seen], NONE, 1.0, 1.0)
        assert again.logits(ROWS[i : i + 1]).argmax() == held_out[i].argmax()


def test_frozen_head_is_as_good_as_the_nearest_mean() -> None:
    head = fit_frozen_head(ROWS[:, None], LABELS, NONE[:, None])
    right = (head.head.logits(NEW).argmax(axis=1) == TRUTH).mean()
    assert right >= ((NEW @ MEANS.T).argmax(axis=1) == TRUTH).mean() - 0.05
    assert np.isfinite(head.held_out).all()


def test_scope_compares_with_the_samples_alone() -> None:
    answers, logits = OneLabel(LABELS, CLASSES), prototype_loo_logits(ROWS, LABELS, NONE, 1.0)
    model = fit_scope(ROWS, answers, NONE, 1.0, logits)
    np.testing.assert_array_equal(model.bank, ROWS)
    np.testing.assert_allclose(model.prototypes, MEANS)
    far = unit_rows(-MEANS.sum(axis=0, keepdims=True))
    head = fit_prototypes(ROWS, LABELS, NONE, 1.0)
    assert scope_scores(model, far, head.logits(far))[0] < scope_scores(model, NEW, head.logits(NEW)).min()
