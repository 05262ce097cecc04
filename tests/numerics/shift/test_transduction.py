"""The refiner against its stated objective and brute force; the gate on rows where neighbours help, hurt and say nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import log_softmax, softmax, xlogy
from threadpoolctl import threadpool_limits

from fsat_tasks.numerics.geometry.neighbours import GROUP
from fsat_tasks.numerics.heads.frozen import Candidate, fit_setting, refit_frozen_head
from fsat_tasks.numerics.heads.one_label import OneLabel
from fsat_tasks.numerics.shift import transduction
from fsat_tasks.numerics.shift.transduction import (
    NEIGHBOURS,
    Adaptation,
    adapt_to_target,
    affinities,
    hidden_shot_logits,
    laplacian_shot,
    neighbour_links,
)

Array = NDArray[np.float64]
Labels = NDArray[np.int64]
Sample = tuple[Array, Array, Array, Labels]
"""Target rows (n, dim), their logits, shots, labels."""


def setting_of(shots: Array, labels: Labels, names: Array) -> Candidate:
    """Return the start of the head's search, with the temperatures that leave-one-out evidence gives it."""
    start = Candidate(1, 1.0, 0.03, 0.2, 1.0, 1.0, 1.0, 0.0, 0.0, len(labels))
    return refit_frozen_head(shots[:, None], labels, names[:, None], start).chosen if len(labels) else start


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    with threadpool_limits(1):
        yield


def unit(rows: Array) -> Array:
    scaled: Array = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return scaled


def clusters(labels: Labels, centres: Array, spread: float, seed: int) -> Array:
    return unit(centres[labels] + spread * np.random.default_rng(seed).normal(size=(len(labels), centres.shape[1])))


def draw(seed: int, n: int = 60, classes: int = 4, dim: int = 6) -> Sample:
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(classes, dim))
    truth, labels = rng.integers(0, classes, n), np.arange(2 * classes) % classes
    logits = 2.0 * rng.normal(size=(n, classes)) + np.eye(classes)[truth]
    return clusters(truth, centres, 0.7, seed + 1), logits, clusters(labels, centres, 0.7, seed + 2), labels


def kept_to_the_prediction(z: Array, logits: Array) -> float:
    return float((xlogy(z, z) - z * log_softmax(logits, axis=1)).sum())


def never_rises(run: Callable[[], Array], objective: Callable[[Array], float], monkeypatch: pytest.MonkeyPatch) -> None:
    values = []
    for steps in range(12):
        monkeypatch.setattr(transduction, "MAX_STEPS", steps)
        values.append(objective(run()))
    assert np.all(np.diff(values) <= 1e-9 * np.abs(values[0]))
    assert values[-1] < values[0]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("pull", [0.5, 2.0])
def test_laplacian_shot_never_raises_its_objective(seed: int, pull: float, monkeypatch: pytest.MonkeyPatch) -> None:
    features, logits, _, _ = draw(seed)
    graph = affinities(neighbour_links(features, features, same=True))

    def objective(z: Array) -> float:
        return kept_to_the_prediction(z, logits) - pull / 2 * float((z * (graph @ z)).sum())

    never_rises(lambda: laplacian_shot(graph, logits, pull), objective, monkeypatch)


def test_rows_without_neighbours_keep_their_prediction() -> None:
    features, logits, _, _ = draw(0)
    alone = affinities(neighbour_links(features[:1], features[:1], same=True))
    assert laplacian_shot(alone, logits[:1], 2.0) == pytest.approx(softmax(logits[:1], axis=1))
    graph = affinities(neighbour_links(features, features, same=True))
    assert laplacian_shot(graph, logits, 0.0) == pytest.approx(softmax(logits, axis=1))


@pytest.mark.parametrize("m", [5, 300, GROUP * (NEIGHBOURS + 4) + 17])
def test_links_are_those_of_brute_force(m: int) -> None:
    rows = unit(np.random.default_rng(m).normal(size=(m, 8)))
    links = neighbour_links(rows, rows, same=True).toarray()
    similarity = rows @ rows.T - 3.0 * np.eye(m)
    nearest = np.argsort(-similarity, axis=1)[:, : min(NEIGHBOURS, m - 1)]
    expected = np.zeros((m, m))
    weights = softmax(np.take_along_axis(similarity, nearest, axis=1) / 0.1, axis=1)
    np.put_along_axis(expected, nearest, weights, axis=1)
    np.testing.assert_allclose(links, expected, atol=1e-5)


def test_affinities_are_symmetric_with_eigenvalues_up_to_one() -> None:
    rows = draw(1)[0]
    graph = affinities(neighbour_links(rows, rows, same=True)).toarray()
    assert graph == pytest.approx(graph.T)
    spectrum = np.linalg.eigvalsh(graph)
    assert spectrum[0] >= -1.0 - 1e-9
    assert spectrum[-1] == pytest.approx(1.0)


@pytest.mark.parametrize("features", [np.zeros((30, 6)), np.tile(unit(np.ones((1, 6))), (30, 1))])
def test_equal_rows_give_finite_probabilities(features: Array) -> None:
    logits = draw(2, n=30)[1]
    graph = affinities(neighbour_links(features, features, same=True))
    assert laplacian_shot(graph, logits, 1.0).sum(axis=1) == pytest.approx(np.ones(30))


def test_hidden_logits_are_those_of_refits_without_the_fold() -> None:
    features, _, shots, labels = draw(3, dim=20)
    names = unit(np.random.default_rng(4).normal(size=(4, 20)))
    setting = setting_of(shots, labels, names)
    logits, folds = hidden_shot_logits(features, shots, OneLabel(labels, len(names)), names, setting)
    for fold in range(len(logits)):
        head = fit_setting(shots[folds != fold], labels[folds != fold], names, setting)
        assert logits[fold] == pytest.approx(head.logits(np.vstack([features, shots])))
    assert all(len(set(folds[labels == c])) == (labels == c).sum() for c in range(4))


def adapted(truth: Labels, labels: Labels, spread: float, seed: int, shown: Labels | None = None) -> tuple[Adaptation, Array]:
    """Adapt a head on shots with the labels `shown`, by default their own. Returns also the head's own probabilities."""
    centres = np.random.default_rng(seed).normal(size=(5, 30))
    features, shots = clusters(truth, centres, spread, seed + 1), clusters(labels, centres, spread, seed + 2)
    names = unit(centres + 2.0 * np.random.default_rng(seed + 3).normal(size=centres.shape))
    shown = labels if shown is None else shown
    setting = setting_of(shots, shown, names)
    logits = fit_setting(shots, shown, names, setting).logits(features)
    hidden, folds = hidden_shot_logits(features, shots, OneLabel(shown, len(names)), names, setting)
    return adapt_to_target(features, logits, shots, shown, hidden, folds), softmax(logits, axis=1)


def accuracy(probabilities: Array, truth: Labels) -> float:
    return float((probabilities.argmax(axis=1) == truth).mean())


def test_neighbours_are_heard_where_they_help_and_balanced_rows_get_no_bias() -> None:
    truth, labels = np.arange(400) % 5, np.arange(40) % 5
    for seed in range(0, 30, 10):
        adaptation, own = adapted(truth, labels, spread=1.2, seed=seed)
        assert adaptation.refined, adaptation.reason
        assert not adaptation.bias.any()
        assert accuracy(adaptation.probabilities, truth) >= accuracy(own, truth)


def test_a_label_shift_is_found_beside_balanced_shots() -> None:
    truth, labels = np.repeat(np.arange(5), [250, 100, 30, 15, 5]), np.arange(40) % 5
    for seed in range(0, 30, 10):
        adaptation, own = adapted(truth, labels, spread=1.5, seed=seed)
        assert adaptation.bias[0] > 0.0 > adaptation.bias[4], adaptation.reason
        assert accuracy(adaptation.probabilities, truth) > accuracy(own, truth)


def test_shots_with_random_labels_prove_nothing() -> None:
    """The head has learnt the labels by heart, so a head that has seen a shot would make the shot's neighbours look right."""
    refused = []
    for seed in range(0, 100, 10):
        labels = np.arange(40) % 5
        shown = np.random.default_rng(seed).permutation(labels)
        refused.append(not adapted(np.arange(200) % 5, labels, spread=1.2, seed=seed, shown=shown)[0].refined)
    assert np.mean(refused) >= 0.8


@pytest.mark.parametrize("rows", [0, 1, 2])
@pytest.mark.parametrize("labels", [np.arange(5), np.array([0, 0, 1]), np.array([2]), np.zeros(0, np.int64)])
def test_few_rows_or_shots_leave_the_prediction(rows: int, labels: Labels) -> None:
    adaptation, own = adapted(np.arange(rows), labels, spread=1.0, seed=0)
    assert adaptation.probabilities.shape == own.shape
    assert adaptation.refined or adaptation.probabilities == pytest.approx(own)
    assert "refused" in adaptation.reason
