"""The search for the best head on frozen features."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from fsat_tasks.numerics.frozen_head import MAX_DIRECTIONS, fit_frozen_head, mix_layers
from fsat_tasks.numerics.probe import fit_probe

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


def test_the_head_in_feature_space_is_the_probe_fitted_there() -> None:
    features, labels, names = layered((0.0, 0.0, 1.0), 7)
    result = fit_frozen_head(features, labels, names)
    rows, anchors = mix_layers(features, result.chosen.layers), mix_layers(names, result.chosen.layers)
    assert rows.shape[1] <= MAX_DIRECTIONS
    direct = fit_probe(rows, labels, anchors, result.chosen.prior, result.chosen.ridge)
    np.testing.assert_allclose(result.head.logits(rows), direct.logits(rows), atol=2e-3)


def test_one_block_and_one_shot_a_class_give_finite_calibrated_logits() -> None:
    features, labels, names = layered((1.0, 1.0), 3)
    first = np.unique(labels, return_index=True)[1]
    result = fit_frozen_head(features[first], labels[first], names)
    assert np.isfinite(result.head.weight).all() and 0 < result.chosen.temperature < np.inf
