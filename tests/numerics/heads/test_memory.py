"""The memory of pool rows against brute force."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from fsat_tasks.numerics.geometry.neighbours import unit_rows
from fsat_tasks.numerics.heads.memory import DOUBT, LEAST_WEIGHT, NEAREST, SHARPNESS, Memory, TaughtHead
from fsat_tasks.numerics.heads.probe import LinearHead

Array = NDArray[np.float64]
DIM, DIRECTIONS, CLASSES = 8, 5, 4


def draw(rows: int, seed: int) -> tuple[Memory, Array]:
    """Draw a memory of pool rows, and rows to ask it."""
    rng = np.random.default_rng(seed)
    basis = np.linalg.qr(rng.normal(size=(DIM, DIRECTIONS)))[0]
    keys = unit_rows(rng.normal(size=(rows, DIRECTIONS)))
    return Memory(basis, keys, rng.dirichlet(np.ones(CLASSES), rows), 0.5), rng.normal(size=(6, DIM))


@given(st.integers(1, 60), st.integers(0, 2**32 - 1))
def test_answer_is_the_stated_mean_of_the_nearest_rows_labels(rows: int, seed: int) -> None:
    memory, texts = draw(rows, seed)
    for text, found in zip(texts, memory.logits(texts), strict=True):
        key = text @ memory.basis
        cosines = memory.keys @ key / np.linalg.norm(key)
        best = np.argsort(-cosines)[:NEAREST]
        closeness = np.exp(SHARPNESS * (cosines[best] - cosines[best[0]]))
        weight = closeness - closeness[-1] + LEAST_WEIGHT
        mean = weight @ memory.labels[best] / weight.sum()
        np.testing.assert_allclose(np.exp(found), (1 - DOUBT) * mean + DOUBT / CLASSES, rtol=1e-4)


def test_a_text_of_the_pool_is_answered_with_its_own_label() -> None:
    keys = np.eye(DIRECTIONS)
    memory = Memory(np.eye(DIRECTIONS), keys, np.eye(DIRECTIONS), 1.0)
    np.testing.assert_allclose(np.exp(memory.logits(keys)).diagonal(), 1.0 - DOUBT + DOUBT / DIRECTIONS, atol=1e-5)


def test_which_of_two_rows_as_near_comes_last_makes_no_difference() -> None:
    """Rounding decides which of the two rows is the 20th. The answer must not jump with it."""
    rng = np.random.default_rng(0)
    angles = np.sort(rng.uniform(0.1, 0.3, NEAREST + 1))
    angles[-1] = angles[-2]
    labels = rng.dirichlet(np.ones(CLASSES), NEAREST + 1)
    answers = []
    for tilt in (-1e-7, 1e-7):
        turned = angles + tilt * (np.arange(NEAREST + 1) == NEAREST)
        keys = np.column_stack([np.cos(turned), np.sin(turned)])
        answers.append(Memory(np.eye(2), keys, labels, 1.0).logits(np.array([[1.0, 0.0]])))
    np.testing.assert_allclose(answers[0], answers[1], atol=2e-5)


@pytest.mark.parametrize("row", [np.zeros(DIM), np.full(DIM, 1e-30)])
def test_a_row_of_no_length_has_a_finite_answer(row: Array) -> None:
    memory, _ = draw(30, 0)
    assert np.isfinite(memory.logits(row[None])).all()


def test_head_and_memory_are_added_and_shifted_together() -> None:
    memory, texts = draw(30, 0)
    rng = np.random.default_rng(1)
    linear, offset = LinearHead(rng.normal(size=(CLASSES, DIM)), rng.normal(size=CLASSES)), rng.normal(size=CLASSES)
    head = TaughtHead(linear, memory)
    np.testing.assert_allclose(head.logits(texts), linear.logits(texts) + 0.5 * memory.logits(texts))
    np.testing.assert_allclose(head.shifted(offset).logits(texts), head.logits(texts) + offset)
