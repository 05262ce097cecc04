"""The scope score against brute force, its leave-one-out against real refits, and its purpose: far rows get low scores."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import sklearn.metrics
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.special import softmax

from fsat_tasks.numerics.heads import scope
from fsat_tasks.numerics.heads.one_label import OneLabel
from fsat_tasks.numerics.heads.scope import (
    BLOCK,
    ScopeModel,
    area_under_roc,
    coverage_threshold,
    false_positive_rate,
    scope_scores,
)

Array = NDArray[np.float64]
Labels = NDArray[np.int64]
Sample = tuple[Array, Labels, Array]

DIM = 12
SHARPNESS = 12.0
classes_counts = st.integers(2, 6)
shots_counts = st.integers(1, 8)
seeds = st.integers(0, 2**32 - 1)
few = settings(max_examples=30)


def fit_scope(features: Array, labels: Labels, names: Array, *others: Any, **more: Any) -> ScopeModel:
    """Fit the scope model of rows with one label each."""
    return scope.fit_scope(features, OneLabel(labels, len(names)), names, *others, **more)


def unit(rows: Array) -> Array:
    scaled: Array = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return scaled


def draw(classes: int, shots: int, seed: int, spread: float = 0.5) -> Sample:
    """Draw rows around class centres, labels, and class anchors that are noisy centres; all of unit length."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(classes, DIM))
    labels = np.repeat(np.arange(classes), shots)
    features = centres[labels] + spread * rng.normal(size=(len(labels), DIM))
    return unit(features), labels, unit(centres + 0.5 * rng.normal(size=centres.shape))


def centroid_logits(rows: Array, sample: Sample) -> Array:
    """A head simple enough to refit without each row."""
    features, labels, names = sample
    sums = names + np.eye(len(names))[labels].T @ features
    return SHARPNESS * rows @ unit(sums).T


def held_out_logits(sample: Sample) -> Array:
    features, labels, names = sample
    rest = [np.arange(len(labels)) != i for i in range(len(labels))]
    return np.array([centroid_logits(features[i], (features[r], labels[r], names)) for i, r in enumerate(rest)]).reshape(
        len(labels), len(names)
    )


def fit(sample: Sample, outside: Array | None = None) -> ScopeModel:
    return fit_scope(*sample, 2.0, held_out_logits(sample), outside)


def views_by_hand(row: Array, logits: Array, sample: Sample, outside: Array) -> list[float]:
    """Return the views as the module's docstring states them, one row and one neighbour after the other."""
    features, labels, names = sample
    p = softmax(logits / 2.0)
    certainty = float(sum(q * np.log(q) for q in p))
    sums = [names[c] + features[labels == c].sum(axis=0) for c in range(len(names))]
    prototype = max(float(row @ s) / float(np.linalg.norm(s)) for s in sums)
    bank = [*features, *names]
    relative = []
    for j, member in enumerate(bank):
        others = sorted((float(member @ other) for k, other in enumerate(bank) if k != j), reverse=True)[:5]
        relative.append(float(row @ member) - float(np.mean(others)))
    views = [certainty, prototype, float(np.mean(sorted(relative, reverse=True)[:3]))]
    return [*views, -max(float(row @ far) for far in outside)] if len(outside) else views


@few
@given(classes_counts, st.integers(2, 5), seeds, st.integers(0, 4))
def test_score_is_the_sum_of_the_stated_views_in_standard_deviations(classes: int, shots: int, seed: int, far: int) -> None:
    sample = draw(classes, shots, seed)
    rng = np.random.default_rng(seed)
    rows, outside = unit(rng.normal(size=(4, DIM))), unit(rng.normal(size=(far + 1, DIM)))[1:]
    model = fit(sample, outside)
    logits = centroid_logits(rows, sample)
    views = np.array([views_by_hand(row, some, sample, outside) for row, some in zip(rows, logits, strict=True)])
    expected = (views - model.centre) @ model.weight
    np.testing.assert_allclose(scope_scores(model, rows, logits), expected, atol=1e-8)


@few
@given(classes_counts, shots_counts, seeds, st.booleans())
def test_held_out_score_is_that_of_a_fit_without_the_row(classes: int, shots: int, seed: int, twice: bool) -> None:
    sample = draw(classes, shots, seed)
    if twice:  # every row has a twin, so that all nearest cosines are tied
        sample = np.repeat(sample[0], 2, axis=0), np.repeat(sample[1], 2), sample[2]
    features, labels, names = sample
    held_out = held_out_logits(sample)
    model = fit_scope(*sample, 2.0, held_out)
    refitted = []
    for i in range(len(labels)):
        rest = np.arange(len(labels)) != i
        without = fit_scope(features[rest], labels[rest], names, 2.0, held_out[rest])
        without = replace(without, centre=model.centre, weight=model.weight, nearest=model.nearest)
        refitted.append(scope_scores(without, features[i : i + 1], held_out[i : i + 1])[0])
    np.testing.assert_allclose(model.held_out, refitted, atol=1e-6)


@few
@given(classes_counts, st.integers(2, 8), seeds)
def test_held_out_views_count_alike(classes: int, shots: int, seed: int) -> None:
    sample = draw(classes, shots, seed)
    model = fit(sample)
    assert abs(model.held_out.mean()) < 1e-9
    # a sum of three standardised views
    assert model.held_out.std() <= 3.0 + 1e-9


@few
@given(classes_counts, st.integers(1, 6), seeds)
def test_order_of_rows_and_of_classes_does_not_matter(classes: int, shots: int, seed: int) -> None:
    features, labels, names = sample = draw(classes, shots, seed)
    rng = np.random.default_rng(seed)
    order, renamed = rng.permutation(len(labels)), rng.permutation(classes)  # new class c is old class renamed[c]
    shuffled = features[order], np.argsort(renamed)[labels[order]], names[renamed]
    np.testing.assert_allclose(fit(shuffled).held_out, fit(sample).held_out[order], atol=1e-6)


def test_rows_in_scope_score_higher_than_rows_far_away_and_rows_between_classes() -> None:
    sample, inside = draw(8, 10, 3, spread=0.3), draw(8, 50, 3, spread=0.3)
    names, rng = sample[2], np.random.default_rng(0)
    far = unit(rng.normal(size=(200, DIM)))
    between = unit(names[rng.integers(0, 4, 200)] + names[rng.integers(4, 8, 200)])
    model = fit(sample)
    inside_scores = scope_scores(model, inside[0], centroid_logits(inside[0], sample))
    for rows in (far, between):
        assert area_under_roc(inside_scores, scope_scores(model, rows, centroid_logits(rows, sample))) > 0.95


def test_a_far_row_is_found_where_the_probabilities_are_sure() -> None:
    """Two classes split the plane, so that a row on the far side of one is sure of it."""
    angles = np.deg2rad(np.concatenate([np.linspace(-5, 5, 6), np.linspace(85, 95, 6)]))
    rows = np.column_stack([np.cos(angles), np.sin(angles), np.zeros(12)])
    sample = rows, np.repeat([0, 1], 6), np.eye(3)[:2]
    far = unit(np.array([[1.0, -2.0, 0.0]]))
    logits = centroid_logits(far, sample)
    assert softmax(logits).max() > 0.999
    model = fit(sample)
    assert scope_scores(model, far, logits)[0] < model.held_out.min()


def test_out_of_scope_rows_lower_the_scores_around_them() -> None:
    sample = draw(5, 8, 1)
    rng = np.random.default_rng(1)
    kinds = unit(rng.normal(size=(3, DIM)))
    known, new = (unit(np.repeat(kinds, 20, axis=0) + 0.15 * rng.normal(size=(60, DIM))) for _ in range(2))
    inside = draw(5, 40, 1)[0]
    areas = []
    for outside in (None, known):
        model = fit(sample, outside)
        areas.append(
            area_under_roc(*(scope_scores(model, rows, centroid_logits(rows, sample)) for rows in (inside, new))),
        )
    assert areas[1] > areas[0]


def test_threshold_keeps_the_asked_share_of_new_rows() -> None:
    kept = []
    for seed in range(20):
        features, labels, names = draw(5, 40, seed)
        is_shot = np.arange(len(labels)) % 40 < 10
        sample = features[is_shot], labels[is_shot], names
        model = fit(sample)
        new = features[~is_shot]
        kept.append((scope_scores(model, new, centroid_logits(new, sample)) >= coverage_threshold(model.held_out, 0.9)).mean())
    assert 0.87 < np.mean(kept) < 0.93


@given(st.integers(1, 60), seeds, st.floats(0.05, 0.95))
def test_threshold_is_reached_by_the_asked_share_of_the_samples(rows: int, seed: int, coverage: float) -> None:
    scores = np.random.default_rng(seed).normal(size=rows)
    threshold = coverage_threshold(scores, coverage)
    assert (scores >= threshold).mean() >= coverage
    assert threshold in {-np.inf, *scores}


def test_threshold_of_too_few_samples_keeps_everything() -> None:
    assert coverage_threshold(np.arange(18.0), 0.95) == -np.inf
    assert coverage_threshold(np.arange(19.0), 0.95) == 0.0
    assert coverage_threshold(np.empty(0), 0.5) == -np.inf


def test_blocks_do_not_show() -> None:
    """There are more rows than a block has. Each row alone gets the same score as among the others."""
    sample = draw(6, BLOCK // 6 + 10, 2)
    model = fit_scope(*sample, 1.0, centroid_logits(sample[0], sample))
    rows = sample[0][[0, BLOCK - 1, BLOCK, len(sample[0]) - 1]]
    everything = scope_scores(model, sample[0], centroid_logits(sample[0], sample))
    alone = [scope_scores(model, row[None], centroid_logits(row[None], sample))[0] for row in rows]
    np.testing.assert_allclose(alone, everything[[0, BLOCK - 1, BLOCK, -1]], atol=1e-9)


@pytest.mark.parametrize("classes", [2, 3, 7])
def test_one_shot_a_class(classes: int) -> None:
    sample = draw(classes, 1, 0)
    model = fit(sample)
    assert np.isfinite(model.held_out).all()
    assert np.isfinite(scope_scores(model, sample[0], centroid_logits(sample[0], sample))).all()


def test_class_without_a_shot_is_in_scope_by_its_name() -> None:
    features, labels, names = draw(6, 8, 4, spread=0.3)
    there = labels != 2
    sample = features[there], labels[there], names
    model = fit(sample)
    far = unit(np.random.default_rng(0).normal(size=(100, DIM)))
    scores = [scope_scores(model, rows, centroid_logits(rows, sample)) for rows in (features[~there], far)]
    assert area_under_roc(scores[0], scores[1]) > 0.85


def test_no_shots_leave_the_names_and_no_rows_give_no_scores() -> None:
    names = unit(np.eye(2, DIM))
    model = fit_scope(np.empty((0, DIM)), np.empty(0, np.int64), names, 1.0, np.empty((0, 2)))
    assert model.held_out.shape == (0,)
    rows = unit(np.vstack([names[:1], np.ones((1, DIM))]))
    near, far = scope_scores(model, rows, SHARPNESS * rows @ names.T)
    assert near > far
    assert scope_scores(model, rows[:0], np.empty((0, 2))).shape == (0,)


def test_features_all_equal_say_nothing() -> None:
    features = np.tile(unit(np.ones((1, DIM))), (9, 1))
    labels, names = np.repeat(np.arange(3), 3), features[:3]
    model = fit_scope(features, labels, names, 1.0, np.zeros((9, 3)), features[:2])
    np.testing.assert_allclose(model.held_out, 0.0, atol=1e-9)
    np.testing.assert_allclose(scope_scores(model, features, np.zeros((9, 3))), 0.0, atol=1e-9)


def test_logits_of_any_size_give_finite_scores() -> None:
    sample = draw(3, 3, 0)
    held_out = 1e6 * held_out_logits(sample)
    model = fit_scope(*sample, 0.01, held_out)
    assert np.isfinite(scope_scores(model, sample[0], held_out)).all()


def test_a_thousand_classes() -> None:
    sample = draw(1000, 1, 5)
    model = fit_scope(*sample, 1.0, centroid_logits(sample[0], sample))
    assert np.isfinite(model.held_out).all()


@given(st.integers(1, 40), st.integers(1, 40), seeds)
def test_area_is_that_of_scikit_learn(inside: int, outside: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, 12, inside + outside) / 4  # with ties
    truth = np.arange(inside + outside) < inside
    area = area_under_roc(scores[truth], scores[~truth])
    np.testing.assert_allclose(area, sklearn.metrics.roc_auc_score(truth, scores), atol=1e-12)


@given(st.integers(1, 40), st.integers(1, 40), seeds, st.sampled_from([0.0, 0.5, 0.9, 0.95, 1.0]))
def test_false_positive_rate_is_the_least_at_the_recall(inside: int, outside: int, seed: int, recall: float) -> None:
    rng = np.random.default_rng(seed)
    inner, outer = rng.integers(0, 12, inside) / 4, rng.integers(0, 12, outside) / 4
    enough = [t for t in inner if (inner >= t).mean() >= recall - 1e-12]
    assert false_positive_rate(inner, outer, recall) == (outer >= max(enough)).mean()


def test_unseen_views_are_those_of_a_row_that_is_scored() -> None:
    """The last two views of `scope_scores` before they are standardised, of rows that are not in the bank."""
    sample, rows = draw(3, 4, 0), draw(3, 5, 1)[0]
    model = fit(sample)
    to_prototypes = (rows @ model.prototypes.T).max(axis=1)
    nearness = np.sort(rows @ model.bank.T - model.usual, axis=1)[:, -model.nearest :].mean(axis=1)
    np.testing.assert_allclose(
        scope.unseen_views(sample[0], OneLabel(sample[1], len(sample[2])), sample[2], rows),
        np.column_stack([to_prototypes, nearness]),
    )


def test_unseen_views_take_the_place_of_those_of_the_first_samples() -> None:
    sample = draw(3, 4, 0)
    plain = fit(sample)
    low = np.full((6, 2), -0.5)  # far below what the samples themselves have
    model = fit_scope(*sample, 2.0, held_out_logits(sample), unseen=low)
    assert model.held_out[:6].max() < model.held_out[6:].min()
    np.testing.assert_array_equal(model.bank, plain.bank)
    assert not np.array_equal(model.centre, plain.centre)
