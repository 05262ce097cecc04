"""The student on made-up clusters, the gate that refuses it, and pools that are too small, odd or copies."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import softmax
from threadpoolctl import threadpool_limits

from fsat_tasks.numerics import distil
from fsat_tasks.numerics.distil import Evidence, PoolHead, adapt_to_pool
from fsat_tasks.numerics.frozen_head import Candidate, FrozenHead, mix_layers
from fsat_tasks.numerics.probe import LinearHead, fit_probe

Array = NDArray[np.float64]
Labels = NDArray[np.int64]
LAYERS, DIM = 3, 16


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    with threadpool_limits(1):
        yield


def clusters(classes: int, rows: int, seed: int, centres_seed: int = 0, spread: float = 0.6) -> tuple[Array, Labels]:
    """(rows * classes, LAYERS, DIM) around the classes' centres, and the labels."""
    centres = np.random.default_rng(centres_seed).normal(size=(classes, LAYERS, DIM))
    labels = np.repeat(np.arange(classes), rows)
    return centres[labels] + spread * np.random.default_rng(seed).normal(size=(len(labels), LAYERS, DIM)), labels


def names_of(classes: int) -> Array:
    return clusters(classes, 1, 99, spread=3.0)[0]


def frozen_head(features: Array, labels: Labels, names: Array) -> FrozenHead:
    """The frozen head at one setting, without the search."""
    rows, anchors = mix_layers(features, 2), mix_layers(names, 2)
    head = fit_probe(rows, labels, anchors, 1.0, 0.03)
    return FrozenHead(head, Candidate(2, 1.0, 0.03, 1.0, 0.0, 0.0), [], head.logits(rows))


def adapt(features: Array, labels: Labels, classes: int, pool: Array, seed: int = 0) -> tuple[PoolHead, FrozenHead]:
    names = names_of(classes)
    frozen = frozen_head(features, labels, names)
    return adapt_to_pool(features, labels, names, pool, frozen, seed), frozen


def accuracy(head: LinearHead, layers: int, features: Array, labels: Labels) -> float:
    return float((head.logits(mix_layers(features, layers)).argmax(axis=1) == labels).mean())


def assert_sound(result: PoolHead, classes: int) -> None:
    assert np.isfinite(result.head.weight).all()
    assert np.isfinite(result.head.bias).all()
    assert np.isfinite(result.temperature) and result.temperature > 0
    assert result.soft_labels.shape == (len(result.pool_rows), classes)
    np.testing.assert_allclose(result.soft_labels.sum(axis=1), 1.0)
    assert (np.diff(result.pool_rows) > 0).all()
    assert result.why.startswith("accepted" if result.accepted else "refused")


def assert_frozen(result: PoolHead, frozen: FrozenHead, pool: Array) -> None:
    assert not result.accepted
    assert result.head is frozen.head
    assert result.temperature == frozen.chosen.temperature
    if not len(result.pool_rows):
        return
    rows = mix_layers(pool[result.pool_rows], result.layers)
    np.testing.assert_allclose(result.soft_labels, softmax(frozen.head.logits(rows) / frozen.chosen.temperature, axis=1))


def test_clustered_pool_makes_a_better_head_and_it_is_accepted() -> None:
    features, labels = clusters(8, 4, 1, spread=1.6)
    pool, truth = clusters(8, 80, 2, spread=1.6)
    fresh, fresh_labels = clusters(8, 100, 3, spread=1.6)
    result, frozen = adapt(features, labels, 8, pool)
    assert_sound(result, 8)
    assert result.accepted, result.why
    assert result.evidence is not None
    assert result.evidence.gain > result.evidence.standard_error
    before = accuracy(frozen.head, 2, fresh, fresh_labels)
    assert accuracy(result.head, result.layers, fresh, fresh_labels) > before + 0.02
    assert (result.soft_labels.argmax(axis=1) == truth[result.pool_rows]).mean() > before


def test_pool_whose_clusters_cut_across_the_classes_is_refused() -> None:
    features, labels = clusters(4, 6, 1, spread=1.0)
    pool = clusters(2, 150, 2, centres_seed=5, spread=0.3)[0]
    features[:, 1:] += 2.0 * pool[np.arange(len(labels)) % 2 * 150, 1:]  # half of each class lies near each cluster
    result, frozen = adapt(features, labels, 4, pool)
    assert_sound(result, 4)
    assert_frozen(result, frozen, pool)
    assert "log-loss" in result.why


@pytest.mark.parametrize(
    ("gains", "before", "after", "better"),
    [
        ([0.1, 0.2, 0.3], 0.5, 0.5, True),
        ([0.1, 0.2, 0.3], 0.5, 0.4, False),  # accuracy is lost
        ([1.0, -0.9, 0.0], 0.5, 0.9, False),  # within a standard error
        ([0.0, 0.0, 0.0], 0.5, 0.5, False),
    ],
)
def test_student_needs_a_gain_beyond_its_standard_error_and_no_loss_of_accuracy(
    gains: list[float], before: float, after: float, better: bool
) -> None:
    evidence = Evidence(1.0, np.zeros((3, 2)), np.ones(3), np.ones(3) - gains, before, after)
    assert evidence.better is better


def test_labels_of_hidden_shots_are_not_looked_at() -> None:
    features, labels = clusters(3, 4, 1)
    names = names_of(3)
    frozen = frozen_head(features, labels, names)
    shots, anchors, pool = (mix_layers(rows, 2) for rows in (features, names, clusters(3, 20, 2)[0]))
    task = distil._prepare(shots, anchors, pool, labels, frozen)
    seen = np.arange(len(labels)) % 4 != 0
    other = replace(task, labels=np.where(seen, labels, (labels + 1) % 3))
    for one, two in zip(distil._fit(task, seen, 0.1)[:2], distil._fit(other, seen, 0.1)[:2], strict=True):
        np.testing.assert_array_equal(one.weight, two.weight)


def test_same_seed_gives_the_same_head_and_large_pools_are_drawn_from(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distil, "POOL_ROWS", 60)
    features, labels = clusters(4, 5, 1, spread=1.2)
    pool = clusters(4, 500, 2, spread=1.2)[0]
    first, again, other = (adapt(features, labels, 4, pool, seed)[0] for seed in (0, 0, 1))
    np.testing.assert_array_equal(first.head.weight, again.head.weight)
    np.testing.assert_array_equal(first.pool_rows, again.pool_rows)
    assert len(first.pool_rows) == 60
    assert first.pool_rows.tolist() != other.pool_rows.tolist()


FEATURES, LABELS = clusters(3, 5, 1)


@pytest.mark.parametrize("pool", [FEATURES[:0], FEATURES, np.repeat(FEATURES, 3, axis=0)], ids=["none", "shots", "copies"])
def test_pool_without_a_new_row_leaves_the_frozen_head(pool: Array) -> None:
    result, frozen = adapt(FEATURES, LABELS, 3, pool)
    assert_sound(result, 3)
    assert_frozen(result, frozen, pool)
    assert result.evidence is None


@pytest.mark.parametrize(
    "pool",
    [
        clusters(3, 1, 2)[0][:1],
        clusters(3, 1, 2)[0],
        np.repeat(clusters(3, 1, 2)[0], 20, axis=0),
        clusters(3, 30, 2)[0][:60],  # the last class is not there
        np.zeros((8, LAYERS, DIM)),
        np.concatenate([FEATURES, clusters(3, 10, 2)[0]]).astype(np.float16),
    ],
    ids=["one row", "three rows", "duplicates", "class missing", "zeros", "half precision, with the shots"],
)
def test_odd_pools_give_a_sound_head(pool: Array) -> None:
    result, frozen = adapt(FEATURES, LABELS, 3, pool)
    assert_sound(result, 3)
    fresh, truth = clusters(3, 50, 9)
    assert accuracy(result.head, result.layers, fresh, truth) >= accuracy(frozen.head, 2, fresh, truth) - 0.03


@pytest.mark.parametrize(("classes", "shots"), [(2, 8), (2, 2), (2, 1), (12, 1)])
def test_few_classes_and_single_shots(classes: int, shots: int) -> None:
    features, labels = clusters(classes, shots, 1, spread=1.0)
    result, _ = adapt(features, labels, classes, clusters(classes, 40, 2, spread=1.0)[0])
    assert_sound(result, classes)
    assert (result.evidence is None) == (classes * shots < 4)


def test_class_without_a_shot_is_kept() -> None:
    features, labels = clusters(4, 6, 1)
    there = labels != 2
    result, _ = adapt(features[there], labels[there], 4, clusters(4, 40, 2)[0])
    assert_sound(result, 4)


def test_features_that_are_all_equal_or_zero() -> None:
    labels = np.repeat(np.arange(3), 4)
    for features in (np.ones((12, LAYERS, DIM)), np.zeros((12, LAYERS, DIM))):
        result, _ = adapt(features, labels, 3, np.concatenate([features, clusters(3, 5, 2)[0]]))
        assert_sound(result, 3)


def test_a_thousand_classes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distil, "FOLDS", 2)  # for time
    features, labels = clusters(1000, 1, 1, spread=0.2)
    result, _ = adapt(features, labels, 1000, clusters(1000, 1, 2, spread=0.2)[0])
    assert_sound(result, 1000)
