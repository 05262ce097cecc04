"""Soft labels of a pool whose rows are sums of their labels' vectors."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import logit

from fsat_tasks.numerics.evidence.scaling import binary_losses
from fsat_tasks.numerics.geometry.pool_directions import find_directions
from fsat_tasks.numerics.heads.label_parts import infer_labels
from fsat_tasks.numerics.heads.pool_taught import prepare
from fsat_tasks.numerics.heads.several_labels import SeveralLabels

Array = NDArray[np.float64]
CLASSES, DIM = 12, 30


def draw(rows: int, seed: int) -> tuple[Array, Array, Array]:
    """Draw noisy sums of the vectors of one or two labels, the labels, and the vectors."""
    vectors = np.random.default_rng(0).normal(size=(CLASSES, DIM))
    rng = np.random.default_rng(seed)
    matrix = np.zeros((rows, CLASSES))
    matrix[np.arange(rows), rng.permutation(rows) % CLASSES] = 1
    matrix[np.arange(rows), rng.integers(0, CLASSES, rows)] = 1
    features = matrix @ vectors + rng.normal(size=(rows, DIM))
    return features / np.linalg.norm(features, axis=1, keepdims=True), matrix, vectors / np.linalg.norm(vectors, axis=1)[:, None]


def test_soft_labels_of_the_pool_have_a_lower_log_loss_than_the_head() -> None:
    shots, matrix, names = draw(36, 1)
    pool, truth, _ = draw(600, 2)
    answers = SeveralLabels(matrix.astype(np.int64))
    probe = answers.search(shots[:, None], names[:, None])
    directions = find_directions(pool[:, None], 1, np.concatenate([shots, names])[:, None])
    teaching = prepare(shots[:, None], answers, names[:, None], directions, probe.chosen)
    logits = probe.head.logits(pool) / answers.judge(probe.held_out).temperature
    found = np.clip(answers.teach(teaching, np.ones(36, bool), logits), 1e-9, 1.0 - 1e-9)
    assert binary_losses(logit(found), truth).mean() < binary_losses(logits, truth).mean()


def test_pool_has_as_many_labels_in_a_row_as_the_shots() -> None:
    shots, matrix, names = draw(36, 1)
    pool, _, _ = draw(400, 2)
    logits = np.random.default_rng(0).normal(-2.0, 1.0, (400, CLASSES))
    found = infer_labels(shots, matrix, names, pool, 4.0 * matrix - 2.0, logits)
    assert found.sum(axis=1).mean() == pytest.approx(matrix.sum(axis=1).mean(), rel=0.05)


def test_one_pool_row_that_is_all_zeros_and_names_of_zeros_give_probabilities() -> None:
    shots, matrix, _ = draw(12, 1)
    zeros = np.zeros((CLASSES, DIM))
    found = infer_labels(shots, matrix, zeros, zeros[:1], matrix - 0.5, zeros[:1, :CLASSES])
    assert found.shape == (1, CLASSES)
    assert ((found >= 0.0) & (found <= 1.0)).all()


def test_all_rows_alike_give_probabilities() -> None:
    rows = np.ones((4, 3))
    found = infer_labels(rows, np.ones((4, 2)), rows[:2], rows, np.zeros((4, 2)), np.zeros((4, 2)))
    assert ((found >= 0.0) & (found <= 1.0)).all()
