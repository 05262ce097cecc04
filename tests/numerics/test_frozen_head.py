"""The search for the best head on frozen features."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from fsat_tasks.numerics import frozen_head
from fsat_tasks.numerics.calibration import fit_temperature
from fsat_tasks.numerics.frozen_head import MAX_DIRECTIONS, SHRINKAGE, START_PRIOR, fit_frozen_head, mix_layers
from fsat_tasks.numerics.gaussian import fit_discriminant
from fsat_tasks.numerics.probe import approximate_loo_logits, fit_probe

Array = NDArray[np.float64]

CLASSES, SHOTS, DIM = 4, 8, 24


def layered(signal: tuple[float, ...], seed: int) -> tuple[Array, NDArray[np.int64], Array]:
    """Features whose layers hold the class to different degrees, their labels, and names that say little."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(CLASSES), SHOTS)
    centres = rng.normal(size=(len(signal), CLASSES, DIM))
    rows = [strength * centres[at, labels] + rng.normal(size=(len(labels), DIM)) for at, strength in enumerate(signal)]
    names = rng.normal(size=(CLASSES, len(signal), DIM))
    return np.stack(rows, axis=1), labels, names


def test_mixed_rows_are_on_the_unit_sphere_and_each_layer_has_an_equal_share() -> None:
    features = np.random.default_rng(0).normal(size=(5, 4, 7)) * np.array([1.0, 10.0, 0.1, 3.0])[None, :, None]
    mixed = mix_layers(features, 3)
    assert mixed.shape == (5, 21)
    np.testing.assert_allclose(np.linalg.norm(mixed, axis=1), 1.0)
    np.testing.assert_allclose(np.linalg.norm(mixed.reshape(5, 3, 7), axis=2), 1 / np.sqrt(3))


def test_a_layer_of_zeros_stays_and_makes_no_warning() -> None:
    with np.errstate(all="raise"):
        assert not mix_layers(np.zeros((2, 3, 4)), 2).any()


@pytest.mark.parametrize("seed", range(3))
def test_deeper_layers_are_taken_where_only_they_know_the_classes(seed: int) -> None:
    features, labels, names = layered((0.0, 2.0, 2.0, 0.1), seed)
    assert fit_frozen_head(features, labels, names).chosen.layers > 1


@pytest.mark.parametrize("seed", range(3))
def test_the_last_layer_is_kept_where_the_others_are_noise(seed: int) -> None:
    features, labels, names = layered((0.0, 0.0, 0.0, 1.0), seed)
    assert fit_frozen_head(features, labels, names).chosen.layers == 1


def test_the_chosen_candidate_has_the_least_loss_of_those_on_its_layers() -> None:
    features, labels, names = layered((0.5, 0.5, 1.0), 5)
    result = fit_frozen_head(features, labels, names)
    same = [candidate.log_loss for candidate in result.trace if candidate.layers == result.chosen.layers]
    assert result.chosen.log_loss == min(same)


def test_the_head_in_feature_space_is_the_stated_sum_of_the_heads_fitted_there() -> None:
    features, labels, names = layered((0.0, 0.0, 1.0), 7)
    result = fit_frozen_head(features, labels, names)
    chosen = result.chosen
    rows, anchors = mix_layers(features, chosen.layers), mix_layers(names, chosen.layers)
    assert rows.shape[1] <= MAX_DIRECTIONS
    probe = fit_probe(rows, labels, anchors, chosen.prior, chosen.ridge)
    of_probe = fit_temperature(approximate_loo_logits(probe, rows, labels, anchors, chosen.prior, chosen.ridge), labels)
    discriminant, held_out = fit_discriminant(rows, labels, anchors, START_PRIOR, SHRINKAGE)
    scaled = probe.logits(rows) / of_probe, discriminant.logits(rows) / fit_temperature(held_out, labels)
    direct = (1 - chosen.share) * scaled[0] + chosen.share * scaled[1]
    np.testing.assert_allclose(result.head.logits(rows), direct, atol=2e-3)


def test_settings_are_screened_on_whole_classes_and_the_chosen_is_fitted_on_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frozen_head, "SCREEN_ROWS", 3 * SHOTS)
    features, labels, names = layered((0.0, 0.0, 1.0), 4)
    result = fit_frozen_head(features, labels, names)
    assert {candidate.rows for candidate in result.trace} == {3 * SHOTS, len(labels)}
    assert result.chosen.rows == len(labels)
    assert result.held_out.shape == (len(labels), CLASSES)


def left_out_by_refits(features: Array, labels: NDArray[np.int64], names: Array, prior: float, ridge: float) -> Array:
    """The discriminant's logits with each row left out and the ridge as given, row by row and class by class."""
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


@pytest.mark.parametrize("prior", [0.5, 2.0])
@pytest.mark.parametrize("counts", [(4, 4, 4), (1, 6), (2, 0, 3)])
def test_discriminant_leaves_out_exactly(counts: tuple[int, ...], prior: float) -> None:
    rng = np.random.default_rng(len(counts))
    labels = np.repeat(np.arange(len(counts)), counts)
    features, names = rng.normal(size=(len(labels), 5)), rng.normal(size=(len(counts), 5))
    _, held_out = fit_discriminant(features, labels, names, prior, 0.7)
    scatter = 0.0  # of all rows: its mean over the directions, times the shrinkage, is the ridge
    for c, name in enumerate(names):
        points, weights = np.vstack([features[labels == c], name]), np.append(np.ones(counts[c]), prior)
        scatter += float((weights[:, None] * (points - weights @ points / weights.sum()) ** 2).sum())
    np.testing.assert_allclose(held_out, left_out_by_refits(features, labels, names, prior, 0.7 * scatter / 5), rtol=1e-8)


def test_discriminant_is_scikit_learns_with_the_same_covariance() -> None:
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

    layers, labels, name_layers = layered((1.0,), 1)
    features, names = layers[:, 0], name_layers[:, 0]
    prior, shrinkage = 1e-9, 1e-9  # the names and the ridge fade
    wide = np.vstack([features, features + np.random.default_rng(2).normal(size=features.shape)])
    twice = np.concatenate([labels, labels])
    head, _ = fit_discriminant(wide, twice, names, prior, shrinkage)
    reference = LinearDiscriminantAnalysis(solver="lsqr", priors=np.full(CLASSES, 1 / CLASSES)).fit(wide, twice)
    logits, expected = head.logits(wide), wide @ reference.coef_.T + reference.intercept_
    centred = [each - each.mean(axis=1, keepdims=True) for each in (logits, expected)]
    np.testing.assert_allclose(centred[0], centred[1], rtol=1e-5, atol=1e-5)


def test_degenerate_features_make_no_warning_and_no_nan() -> None:
    labels = np.repeat(np.arange(3), 2)
    for features in (np.zeros((6, 3, 4)), np.ones((6, 3, 4))):
        result = fit_frozen_head(features, labels, features[:3])
        assert np.isfinite(result.head.weight).all() and np.isfinite(result.held_out).all()


def test_one_block_and_one_shot_a_class_give_finite_calibrated_logits() -> None:
    features, labels, names = layered((1.0, 1.0), 3)
    first = np.unique(labels, return_index=True)[1]
    result = fit_frozen_head(features[first], labels[first], names)
    assert np.isfinite(result.head.weight).all() and 0 < result.chosen.temperature < np.inf
