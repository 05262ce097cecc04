"""The ladder on made-up clusters: rungs that are taken, rungs that are refused and why, and odd or bad input."""

from __future__ import annotations

import re
import time
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import cast

import numpy as np
import pytest
from scipy.special import softmax

from fsat_tasks.errors import DataError
from fsat_tasks.numerics.evidence.calibration import fit_temperature, log_loss
from fsat_tasks.numerics.evidence.held_out import Comparison, HeldOut, Prior, compare
from fsat_tasks.numerics.geometry.layers import mix_layers
from fsat_tasks.numerics.heads.frozen import Candidate, fit_frozen_head
from fsat_tasks.numerics.heads.probe import LinearHead
from fsat_tasks.numerics.heads.prototypes import fit_prototypes
from fsat_tasks.tuning import ladder
from fsat_tasks.tuning.cross_fitting import probe_on_folds
from fsat_tasks.tuning.frozen_rungs import NO_POOL, PROBE
from fsat_tasks.tuning.ladder import FROZEN_RUNGS, RUNGS, run_ladder
from fsat_tasks.tuning.material import Material, Pool
from fsat_tasks.tuning.state import LadderSettings, Rung
from fsat_tasks.tuning.trial import Fit, fit_head
from tuning.clusters import (
    DIM,
    LAYERS,
    always,
    calibrated,
    clusters,
    cross_fitted,
    ladder_with,
    material,
    taken,
    with_shots,
)

FROZEN = LadderSettings(rungs=FROZEN_RUNGS)


def assert_sound(fit: Fit, given: Material) -> None:
    classes = len(given.anchors)
    assert [rung.name for rung in fit.trace] == list(FROZEN_RUNGS)
    assert fit.trace[0].taken
    assert np.isfinite(calibrated(fit, given.anchors.features)).all()
    assert 0 < fit.held_out.temperature < np.inf
    assert fit.held_out.logits.shape == (len(given.labels), classes)
    assert fit.unseen is None
    assert fit.weights is None
    last = [rung for rung in fit.trace if rung.taken][-1]
    assert (last.log_loss, last.accuracy) == (fit.held_out.log_loss, fit.held_out.accuracy)


def test_names_of_the_rungs_are_public() -> None:
    assert RUNGS == ("prototypes", "probe", "pool", "body", "body-pool", "self-training")
    assert FROZEN_RUNGS == ("prototypes", "probe", "pool")


def test_clusters_are_learnt_up_to_the_pool_and_each_rung_lowers_the_loss() -> None:
    given = material(8, 8, pool=60, spread=2.0)
    fit = run_ladder(given, FROZEN)
    assert_sound(fit, given)
    assert taken(fit) == list(FROZEN_RUNGS)
    assert fit.trace[0].reason == "The first rung: there is nothing to compare it with."
    assert len(fit.pool) == len(given.pool)
    fresh, truth = clusters(8, 100, 3, 2.0)
    losses = [
        log_loss(calibrated(run_ladder(given, LadderSettings(rungs=FROZEN_RUNGS[:count])), fresh), truth) for count in (1, 2, 3)
    ]
    assert losses[0] > losses[1] > losses[2]


def test_moving_line_names_each_rung_that_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []

    def show_work(label: str) -> AbstractContextManager[None]:
        said.append(label)
        return nullcontext()

    monkeypatch.setattr(ladder, "show_work", show_work)
    run_ladder(material(8, 8), FROZEN)
    assert list(dict.fromkeys(said)) == ["rung prototypes", "rung probe", "rung pool"]


@pytest.mark.parametrize("seed", range(4))
def test_a_rung_is_taken_just_where_its_reason_says_that_it_is_better(seed: int) -> None:
    rng = np.random.default_rng(seed)
    features, labels = clusters(4, int(rng.integers(2, 8)), seed + 5, float(rng.uniform(0.5, 3.0)))
    given = with_shots(features, labels, 4)
    fit = run_ladder(given, replace(FROZEN, seed=seed))
    assert_sound(fit, given)
    for rung in fit.trace[1:]:
        numbers = re.fullmatch(r"log-loss (\S+) \(standard error (\S+)\)(, expected (\S+))?, accuracy (\S+)", rung.detail)
        assert numbers is not None, rung.detail
        loss, error, accuracy = (float(numbers[group]) for group in (1, 2, 5))
        if numbers[4] is not None:  # with a prior; how much accuracy may be lost depends on rows that are not told
            assert not rung.taken or float(numbers[4]) < 0
        else:
            assert rung.taken == (-loss > error and accuracy >= 0)


def test_shots_whose_labels_are_random_are_not_taught_by_the_pool() -> None:
    tops = []
    for seed in range(6):
        features, labels = clusters(5, 8, seed, 1.0)
        given = with_shots(features, np.random.default_rng(seed).permutation(labels), 5, pool=10)
        tops.append(taken(run_ladder(given, FROZEN))[-1])
    assert tops.count("pool") <= 1


def test_a_pool_that_betters_a_refused_probe_must_better_the_prototypes_too() -> None:
    """With one shot per class the probe often seems worse than the prototypes; a student that beats the probe may, too."""

    def without_prior(challenger: HeldOut, incumbent: HeldOut, prior: Prior | None) -> Comparison:
        return compare(challenger, incumbent)

    refused = 0
    for seed in range(6):
        features, labels = clusters(5, 1, seed, 1.0)
        fit = run_ladder(with_shots(features, labels, 5, pool=40), FROZEN, compare=without_prior)
        first, probe, pool = fit.trace
        refused += not probe.taken
        assert first.log_loss is not None and pool.log_loss is not None
        assert not pool.taken or probe.taken or pool.log_loss < first.log_loss
    assert refused >= 3


def test_where_no_rung_is_better_the_prototypes_stay() -> None:
    given = material(pool=10)
    fit = run_ladder(given, FROZEN, compare=always(False))
    assert_sound(fit, given)
    rows, anchors = mix_layers(given.shots.features, 1), mix_layers(given.anchors.features, 1)
    assert isinstance(fit.head, LinearHead)
    np.testing.assert_array_equal(fit.head.weight, fit_prototypes(rows, given.labels, anchors, 1.0).weight)
    assert fit.layers == 1


def test_rungs_that_are_not_asked_for_are_not_tried() -> None:
    for asked, tried in (
        ((), ["prototypes"]),
        (("probe",), ["prototypes", "probe"]),
        (("pool",), ["prototypes", "pool"]),
    ):
        assert [rung.name for rung in run_ladder(material(pool=5), LadderSettings(rungs=asked)).trace] == tried


def test_the_baseline_is_the_probe_whatever_is_taken() -> None:
    given = material()
    probe = fit_frozen_head(given.shots.features, given.labels, given.anchors.features)
    for asked in ((), ("probe",)):
        baseline = run_ladder(given, LadderSettings(rungs=asked)).baseline
        assert baseline is not None
        np.testing.assert_array_equal(baseline.head.weight, probe.head.weight)


def test_a_ladder_whose_first_rung_is_skipped_is_refused() -> None:
    with pytest.raises(ValueError, match="the first of the ladder, none, must not be skipped"):
        run_ladder(material(), FROZEN, (Rung("none", lambda _, state: (NO_POOL, state)),))


def test_the_first_rung_is_taken_whatever_it_is() -> None:
    fit = run_ladder(material(), LadderSettings(), (PROBE,), always(False))
    assert [(rung.taken, rung.reason) for rung in fit.trace] == [(True, "The first rung: there is nothing to compare it with.")]


def test_head_of_the_ladder_is_the_one_fitted_again_at_its_setting() -> None:
    given = material(4, 5, pool=20)
    for rungs in (("probe",), FROZEN_RUNGS):
        fit = run_ladder(given, LadderSettings(rungs=rungs), compare=always(True))
        head = fit_head(fit.shots, given.answers, fit.anchors, fit.pool, fit.setting, fit.share)
        rows = mix_layers(given.shots.features, fit.layers)
        # the probe of a setting comes calibrated
        scale = 1.0 if len(fit.pool) else cast(Candidate, fit.setting).temperature
        np.testing.assert_allclose(scale * head.logits(rows), fit.head.logits(rows), atol=1e-6)


@pytest.mark.parametrize("rungs", [(), ("probe",), FROZEN_RUNGS])
def test_temperature_costs_little_against_the_best_on_fresh_rows(rungs: tuple[str, ...]) -> None:
    fit = run_ladder(material(8, 10, pool=60, spread=2.0), LadderSettings(rungs=rungs))
    fresh, truth = clusters(8, 200, 3, 2.0)
    logits = calibrated(fit, fresh)
    assert log_loss(logits, truth) < 1.1 * log_loss(logits / fit_temperature(logits, truth), truth)
    assert log_loss(logits, truth) == pytest.approx(fit.held_out.log_loss, abs=0.15)


def test_rungs_that_fine_tune_are_compared_with_the_probe_on_the_same_folds() -> None:
    """The probe's leave-one-out evidence would be unfair: for it, the probe has seen more samples."""
    given = material(pool=10)
    seen: list[HeldOut] = []

    def only_the_probe(challenger: HeldOut, incumbent: HeldOut, prior: Prior | None) -> Comparison:
        seen.append(incumbent)
        return Comparison(1.0 if len(seen) == 1 else -1.0, 0.0, 0.0)

    asked = LadderSettings(rungs=("probe", "pool", "body"))
    run_ladder(given, asked, ladder_with(lambda _: cross_fitted(given)), only_the_probe)
    of_probe, of_pool, of_body = seen
    setting = fit_frozen_head(given.shots.features, given.labels, given.anchors.features).chosen
    np.testing.assert_allclose(of_pool.losses, probe_on_folds(given, setting).losses, atol=0.02)
    assert of_body is of_pool
    assert not np.array_equal(of_probe.losses, of_body.losses)


def test_all_rungs_are_compared_with_the_prototypes_where_these_stay() -> None:
    given, seen = material(pool=10), list[HeldOut]()

    def refuse(challenger: HeldOut, incumbent: HeldOut, prior: Prior | None) -> Comparison:
        seen.append(incumbent)
        return Comparison(-1.0, 0.0, 0.0)

    asked = LadderSettings(rungs=("probe", "pool", "body"))
    run_ladder(given, asked, ladder_with(lambda _: cross_fitted(given)), refuse)
    assert len(seen) == 3
    assert all(incumbent is seen[0] for incumbent in seen)


@pytest.mark.parametrize("classes", [2, 6])
@pytest.mark.parametrize("pool", [0, 20])
def test_one_shot_a_class(classes: int, pool: int) -> None:
    given = material(classes, 1, pool, spread=0.5)
    assert_sound(run_ladder(given, FROZEN), given)


def test_samples_that_are_there_many_times_and_under_two_labels() -> None:
    features, labels = clusters(3, 3, 1, 1.0)
    for again in (labels, (labels + 1) % 3):
        given = with_shots(np.concatenate([features] * 3), np.concatenate([labels, labels, again]), 3)
        assert_sound(run_ladder(given, FROZEN), given)


def test_a_class_that_the_pool_never_shows_is_still_found() -> None:
    given = material(4, 6, pool=30, spread=1.0)
    given = replace(given, pool=Pool(given.pool.rows.at(np.arange(90))))
    fit = run_ladder(given, FROZEN)
    assert_sound(fit, given)
    fresh, truth = clusters(4, 50, 3, 1.0)
    assert (calibrated(fit, fresh)[truth == 3].argmax(axis=1) == 3).mean() > 0.8


def test_a_class_without_a_sample_is_kept() -> None:
    features, labels = clusters(4, 5, 1, 1.0)
    given = with_shots(features[labels != 2], labels[labels != 2], 4)
    assert_sound(run_ladder(given, FROZEN), given)


@pytest.mark.parametrize("row", [0, -1])
def test_a_pool_of_one_row(row: int) -> None:
    given = material(pool=10)
    given = replace(given, pool=Pool(given.pool.rows.at(np.array([row]))))
    assert_sound(run_ladder(given, FROZEN), given)


def test_a_thousand_classes_of_one_shot_take_seconds() -> None:
    given = material(1000, 1, spread=0.2)
    started = time.process_time()
    fit = run_ladder(given, FROZEN)
    assert time.process_time() - started < 20
    assert_sound(fit, given)
    assert (calibrated(fit, given.shots.features).argmax(axis=1) == given.labels).mean() > 0.9


def test_same_seed_gives_the_same_fit() -> None:
    first, again = (run_ladder(material(pool=20), replace(FROZEN, seed=7)) for _ in range(2))
    rows = mix_layers(material().shots.features, first.layers)
    np.testing.assert_array_equal(first.head.logits(rows), again.head.logits(rows))
    np.testing.assert_array_equal(first.held_out.logits, again.held_out.logits)
    assert [(rung.taken, rung.reason) for rung in first.trace] == [(rung.taken, rung.reason) for rung in again.trace]


@pytest.mark.parametrize("part", ["samples", "class names", "unlabelled rows"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_features_that_are_not_finite_are_refused_with_their_row(part: str, value: float) -> None:
    given = material(pool=3)
    rows = {"samples": given.shots, "class names": given.anchors, "unlabelled rows": given.pool.rows}[part]
    rows.features[2, 1, 4] = value
    rows.features[4, 0, 0] = value
    with pytest.raises(DataError, match=f"features of the {part}, row 3: expected finite numbers"):
        run_ladder(given, FROZEN)


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_features_that_are_all_the_same_are_refused(value: float) -> None:
    with pytest.raises(DataError, match="features of the samples: expected texts that differ"):
        run_ladder(with_shots(np.full((6, LAYERS, DIM), value), np.arange(6) % 3, 3), FROZEN)


def test_balanced_classes_count_alike_however_many_samples_they_have() -> None:
    features, labels = clusters(3, 24, 1, 2.0)
    kept = np.concatenate([np.flatnonzero(labels == c)[:n] for c, n in enumerate((24, 6, 3))])
    given = with_shots(features[kept], labels[kept], 3)
    settings = LadderSettings(rungs=FROZEN_RUNGS[:2])
    plain, balanced = (run_ladder(given, each) for each in (settings, replace(settings, class_weight="balanced")))
    fresh, truth = clusters(3, 200, 3, 2.0)
    recalls = [[(calibrated(fit, fresh)[truth == c].argmax(1) == c).mean() for c in range(3)] for fit in (plain, balanced)]
    assert np.mean(recalls[1]) > np.mean(recalls[0])
    assert np.ptp(recalls[1]) < np.ptp(recalls[0])


def test_balancing_does_nothing_to_classes_of_equal_size() -> None:
    given = material()
    plain, balanced = (run_ladder(given, each) for each in (FROZEN, replace(FROZEN, class_weight="balanced")))
    expected, found = (softmax(calibrated(fit, given.shots.features), axis=1) for fit in (plain, balanced))
    np.testing.assert_allclose(found, expected, atol=1e-9)
