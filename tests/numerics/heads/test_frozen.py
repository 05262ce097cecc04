"""The search for the best head on frozen features."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from fsat_tasks.numerics.evidence.calibration import fit_temperature
from fsat_tasks.numerics.geometry.layers import mix_layers
from fsat_tasks.numerics.heads import frozen as frozen_head
from fsat_tasks.numerics.heads.discriminant import fit_discriminant
from fsat_tasks.numerics.heads.frozen import (
    MAX_DIRECTIONS,
    SHRINKAGE,
    START_PRIOR,
    fit_frozen_head,
    fit_setting,
    refit_frozen_head,
)
from fsat_tasks.numerics.heads.leave_one_out import approximate_loo_logits
from fsat_tasks.numerics.heads.probe import fit_probe

Array = NDArray[np.float64]

CLASSES, SHOTS, DIM = 4, 8, 24


def layered(signal: tuple[float, ...], seed: int) -> tuple[Array, NDArray[np.int64], Array]:
    """Draw features whose layers hold the class to different degrees, their labels, and class anchors that say little."""
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


def test_no_rows_stay_no_rows() -> None:
    assert mix_layers(np.zeros((0, 3, 4)), 2).shape == (0, 8)


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


@pytest.mark.parametrize("screen", [3 * SHOTS, 400])
def test_a_fit_at_the_found_setting_is_the_found_head_calibrated(screen: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frozen_head, "SCREEN_ROWS", screen)
    features, labels, names = layered((0.0, 1.0, 1.0), 6)
    found = fit_frozen_head(features, labels, names)
    rows, anchors = (mix_layers(part, found.chosen.layers) for part in (features, names))
    head = fit_setting(rows, labels, anchors, found.chosen)
    np.testing.assert_allclose(head.logits(rows), found.head.logits(rows) / found.chosen.temperature, atol=1e-9)
    # its rows left out are calibrated too
    assert fit_temperature(found.held_out, labels) == pytest.approx(found.chosen.temperature)


def test_a_fit_at_a_setting_does_not_see_a_rotation_or_the_order_of_the_rows() -> None:
    features, labels, names = layered((0.0, 1.0), 8)
    chosen = fit_frozen_head(features, labels, names).chosen
    rows, anchors = (mix_layers(part, chosen.layers) for part in (features, names))
    head = fit_setting(rows, labels, anchors, chosen)
    rng = np.random.default_rng(0)
    rotation, order = np.linalg.qr(rng.normal(size=(rows.shape[1],) * 2))[0], rng.permutation(len(labels))
    turned = fit_setting(rows[order] @ rotation, labels[order], anchors @ rotation, chosen)
    np.testing.assert_allclose(turned.logits(rows @ rotation), head.logits(rows), atol=5e-3)


def test_a_class_without_a_row_is_fitted_from_its_name() -> None:
    features, labels, names = layered((0.0, 2.0), 9)
    names = np.stack([features[labels == c].mean(axis=0) for c in range(CLASSES)])
    chosen = fit_frozen_head(features, labels, names).chosen
    rows, anchors = (mix_layers(part, chosen.layers) for part in (features, names))
    head = fit_setting(rows[labels != 2], labels[labels != 2], anchors, chosen)
    assert (head.logits(rows[labels == 2]).argmax(axis=1) == 2).mean() > 0.8


def test_a_refit_on_the_same_samples_is_the_found_head() -> None:
    features, labels, names = layered((0.0, 1.0, 1.0), 6)
    found = fit_frozen_head(features, labels, names)
    again = refit_frozen_head(features, labels, names, found.chosen)
    assert again.chosen == found.chosen
    assert again.trace == [found.chosen]
    np.testing.assert_array_equal(again.held_out, found.held_out)
    np.testing.assert_array_equal(again.head.weight, found.head.weight)


def test_a_refit_with_more_samples_and_a_new_class_keeps_the_setting_and_takes_new_temperatures() -> None:
    features, labels, names = layered((0.0, 1.0), 10)
    known = labels < CLASSES - 1
    found = fit_frozen_head(features[known], labels[known], names[: CLASSES - 1])
    more = refit_frozen_head(features, labels, names, found.chosen)
    for field in ("layers", "prior", "ridge", "share"):
        assert getattr(more.chosen, field) == getattr(found.chosen, field)
    assert more.held_out.shape == (len(labels), CLASSES)
    assert more.chosen.rows == len(labels)
    assert more.chosen.temperature == fit_temperature(more.held_out, labels)
