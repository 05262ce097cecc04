"""The student on made-up clusters, the evidence that refuses it, and pools that are too small, odd or copies."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from fsat_tasks.numerics.evidence.held_out import Comparison, compare, stratified_folds
from fsat_tasks.numerics.geometry.layers import mix_layers
from fsat_tasks.numerics.geometry.pool_directions import find_directions
from fsat_tasks.numerics.heads import pool_taught as distil
from fsat_tasks.numerics.heads.frozen import Candidate, refit_frozen_head
from fsat_tasks.numerics.heads.memory import TaughtHead
from fsat_tasks.numerics.heads.one_label import OneLabel
from fsat_tasks.numerics.heads.pool_taught import Heads, PoolEvidence, Teaching, draw_pool, fit_heads, hold_out, prepare
from fsat_tasks.numerics.heads.probe import LinearHead

Array = NDArray[np.float64]
Labels = NDArray[np.int64]
LAYERS, DIM, MIXED = 3, 16, 2
START = Candidate(MIXED, 1.0, 0.03, 0.2, 1.0, 1.0, 1.0, 0.0, 0.0, 0)


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    with threadpool_limits(1):
        yield


def clusters(classes: int, rows: int, seed: int, centres_seed: int = 0, spread: float = 0.6) -> tuple[Array, Labels]:
    """Draw features (rows * classes, LAYERS, DIM) around the classes' centres, and return the labels too."""
    centres = np.random.default_rng(centres_seed).normal(size=(classes, LAYERS, DIM))
    labels = np.repeat(np.arange(classes), rows)
    return centres[labels] + spread * np.random.default_rng(seed).normal(size=(len(labels), LAYERS, DIM)), labels


def names_of(classes: int) -> Array:
    return clusters(classes, 1, 99, spread=3.0)[0]


def teach(
    features: Array, labels: Labels, classes: int, pool: Array, seed: int = 0, most: int = distil.POOL_ROWS
) -> tuple[Teaching, Labels]:
    """Return the input of the heads, at one setting without the search, and the numbers of the pool rows that are used."""
    names = names_of(classes)
    setting = refit_frozen_head(features, labels, names, START).chosen
    drawn = draw_pool(len(pool), seed, most)
    view = find_directions(pool[drawn], MIXED, np.concatenate([features, names]))
    fresh = view.fresh(features)
    return prepare(features, OneLabel(labels, classes), names, view.at(fresh), setting), drawn[fresh]


def fit(teaching: Teaching) -> Heads:
    return fit_heads(teaching, np.ones(len(teaching.answers), bool))


def gain(evidence: PoolEvidence) -> Comparison:
    return compare(evidence.taught, evidence.probe)


def accuracy(head: LinearHead | TaughtHead, features: Array, labels: Labels) -> float:
    return float((head.logits(mix_layers(features, MIXED)).argmax(axis=1) == labels).mean())


def assert_sound(teaching: Teaching) -> tuple[Heads, PoolEvidence]:
    """Check that the heads and their evidence are finite, and have the documented shapes."""
    heads, evidence = fit(teaching), hold_out(teaching)
    shape = len(teaching.answers), len(teaching.names)
    for head in (heads.probe, heads.student):
        assert head.weight.shape == (shape[1], MIXED * DIM)
        assert np.isfinite(head.weight).all()
        assert np.isfinite(head.bias).all()
    soft = heads.memory.labels
    assert soft.shape == (len(teaching.pool), shape[1])
    assert (soft >= 0).all()
    np.testing.assert_allclose(soft.sum(axis=1), 1.0)
    assert evidence.share in OneLabel.memory_shares
    assert [labels.shape for labels in evidence.soft_labels] == [soft.shape] * distil.FOLDS
    for held_out in (evidence.probe, evidence.taught):
        assert held_out.logits.shape == shape
        assert np.isfinite(held_out.logits).all()
        assert 0 < held_out.temperature < np.inf
    return heads, evidence


def test_clustered_pool_makes_a_better_head_and_the_evidence_says_so() -> None:
    features, labels = clusters(8, 4, 1, spread=1.6)
    pool, truth = clusters(8, 80, 2, spread=1.6)
    fresh, fresh_labels = clusters(8, 100, 3, spread=1.6)
    teaching, used = teach(features, labels, 8, pool)
    heads, evidence = assert_sound(teaching)
    assert gain(evidence).better, str(gain(evidence))
    before = accuracy(heads.probe, fresh, fresh_labels)
    assert accuracy(heads.student, fresh, fresh_labels) > before + 0.02
    assert accuracy(heads.taught(evidence.share), fresh, fresh_labels) > before + 0.02
    assert (heads.memory.labels.argmax(axis=1) == truth[used]).mean() > before


def test_pool_whose_clusters_cut_across_the_classes_is_refused() -> None:
    features, labels = clusters(4, 6, 1, spread=1.0)
    pool = clusters(2, 150, 2, centres_seed=5, spread=0.3)[0]
    features[:, 1:] += 2.0 * pool[np.arange(len(labels)) % 2 * 150, 1:]  # half of each class lies near each cluster
    evidence = assert_sound(teach(features, labels, 4, pool)[0])[1]
    assert not gain(evidence).better, str(gain(evidence))


def test_probe_is_the_one_of_the_setting_in_the_space_of_the_features() -> None:
    features, labels = clusters(4, 5, 1, spread=1.2)
    pool, names = clusters(4, 20, 2, spread=1.2)[0], names_of(4)
    teaching, _ = teach(features, labels, 4, pool)
    seen = np.arange(len(labels)) % 3 != 0
    rows, anchors = mix_layers(features, MIXED), mix_layers(names, MIXED)
    expected = OneLabel(labels[seen], 4).fit(rows[seen], anchors, teaching.setting).logits(rows)
    np.testing.assert_allclose(fit_heads(teaching, seen).probe.logits(rows), expected, atol=5e-3)


def test_evidence_is_of_heads_fitted_without_the_fold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(OneLabel, "memory_shares", (0.5,))  # one candidate, so that none is chosen fold by fold
    features, labels = clusters(3, 5, 1, spread=1.2)
    teaching, _ = teach(features, labels, 3, clusters(3, 20, 2, spread=1.2)[0])
    evidence, fold = hold_out(teaching), stratified_folds(labels, distil.FOLDS)
    rows = mix_layers(features, MIXED)
    for k in range(distil.FOLDS):
        heads = fit_heads(teaching, fold != k, distil.TOLERANCE_OF_FOLDS)
        np.testing.assert_array_equal(heads.memory.labels, evidence.soft_labels[k])
        for head, held_out in ((heads.probe, evidence.probe), (heads.taught(evidence.share), evidence.taught)):
            raw = held_out.logits[fold == k] * held_out.temperature
            np.testing.assert_allclose(raw, head.logits(rows[fold == k]), atol=1e-8)


def test_labels_of_hidden_shots_are_not_looked_at() -> None:
    features, labels = clusters(3, 4, 1)
    teaching, _ = teach(features, labels, 3, clusters(3, 20, 2)[0])
    seen = np.arange(len(labels)) % 4 != 0
    other = replace(teaching, answers=OneLabel(np.where(seen, labels, (labels + 1) % 3), 3))
    one, two = fit_heads(teaching, seen), fit_heads(other, seen)
    for first, second in ((one.probe, two.probe), (one.student, two.student)):
        np.testing.assert_array_equal(first.weight, second.weight)
    np.testing.assert_array_equal(one.memory.labels, two.memory.labels)


def test_same_seed_gives_the_same_head_and_large_pools_are_drawn_from() -> None:
    features, labels = clusters(4, 5, 1, spread=1.2)
    pool = clusters(4, 500, 2, spread=1.2)[0]
    (first, used), (again, same), (_, others) = (teach(features, labels, 4, pool, seed, 60) for seed in (0, 0, 1))
    np.testing.assert_array_equal(fit(first).student.weight, fit(again).student.weight)
    np.testing.assert_array_equal(used, same)
    assert len(used) == 60
    assert (np.diff(used) > 0).all()
    assert used.tolist() != others.tolist()


FEATURES, LABELS = clusters(3, 5, 1)


@pytest.mark.parametrize("pool", [FEATURES, np.repeat(FEATURES, 3, axis=0)], ids=["shots", "copies"])
def test_pool_without_a_new_row_has_none_to_use(pool: Array) -> None:
    used = find_directions(pool, MIXED).fresh(FEATURES)
    assert used.shape == (0,)
    assert used.dtype == np.int64


def test_nothing_is_drawn_from_an_empty_pool() -> None:
    assert draw_pool(0, 0).shape == (0,)


def test_copies_of_shots_are_left_out_and_the_rest_is_used() -> None:
    pool = np.concatenate([clusters(3, 2, 2)[0], FEATURES[[1, 5]], clusters(3, 1, 3)[0]])
    assert find_directions(pool.astype(np.float16), MIXED).fresh(FEATURES).tolist() == [0, 1, 2, 3, 4, 5, 8, 9, 10]


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
    heads, evidence = assert_sound(teach(FEATURES, LABELS, 3, pool)[0])
    fresh, truth = clusters(3, 50, 9)
    stands = heads.taught(evidence.share) if gain(evidence).better else heads.probe
    assert accuracy(stands, fresh, truth) >= accuracy(heads.probe, fresh, truth) - 0.03


@pytest.mark.parametrize(("classes", "shots"), [(2, 8), (2, 2), (2, 1), (12, 1)])
def test_few_classes_and_single_shots(classes: int, shots: int) -> None:
    features, labels = clusters(classes, shots, 1, spread=1.0)
    assert_sound(teach(features, labels, classes, clusters(classes, 40, 2, spread=1.0)[0])[0])


def test_class_without_a_shot_is_kept() -> None:
    features, labels = clusters(4, 6, 1)
    there = labels != 2
    assert_sound(teach(features[there], labels[there], 4, clusters(4, 40, 2)[0])[0])


def test_features_that_are_all_equal_or_zero() -> None:
    labels = np.repeat(np.arange(3), 4)
    for features in (np.ones((12, LAYERS, DIM)), np.zeros((12, LAYERS, DIM))):
        assert_sound(teach(features, labels, 3, np.concatenate([features, clusters(3, 5, 2)[0]]))[0])


def test_a_thousand_classes_of_one_shot() -> None:
    features, labels = clusters(1000, 1, 1, spread=0.2)
    heads = fit(teach(features, labels, 1000, clusters(1000, 1, 2, spread=0.2)[0])[0])
    assert np.isfinite(heads.student.weight).all()
    assert accuracy(heads.student, features, labels) > 0.9
