"""Encoders tuned fold by fold: the rows that each is tuned on, and the mean encoder with its evidence."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
from scipy.special import softmax

from fsat_tasks.encoders.source import EncoderSource
from fsat_tasks.errors import DivergedError
from fsat_tasks.numerics.evidence.held_out import stratified_folds
from fsat_tasks.numerics.geometry.layers import mix_layers
from fsat_tasks.numerics.geometry.pool_directions import find_directions
from fsat_tasks.numerics.heads.frozen import fit_frozen_head
from fsat_tasks.numerics.heads.pool_taught import FOLDS
from fsat_tasks.tuning.cross_fitting import DISTANCES, CrossFitJob, SoftRows, _training_rows, cross_fit
from fsat_tasks.tuning.fine_tuning import Weights, encode_rows, load_torch_encoder, tuned_weights
from fsat_tasks.tuning.jobs import FineTuningSettings, TuningJob
from fsat_tasks.tuning.ladder import FROZEN_RUNGS, RUNGS, run_ladder
from fsat_tasks.tuning.material import Material
from fsat_tasks.tuning.state import LadderSettings
from fsat_tasks.tuning.task_pool import TaskPool
from fsat_tasks.tuning.trial import fit_head
from tuning.clusters import always, taken
from tuning.tiny_encoder import CLASSES, FAST, one_hot, texts, tiny_material

SHORT = LadderSettings(budget_seconds=60.0, epochs=3, self_training_epochs=1)


def job_of(given: Material) -> CrossFitJob:
    """Return a job of two epochs, in which every fold sees the whole pool."""
    setting = fit_frozen_head(given.shots.features, given.labels, given.anchors.features).chosen
    pool = None
    if len(given.pool):
        rows = given.pool.rows
        pool = TaskPool(rows, find_directions(rows.features, 1), (np.arange(len(rows)),) * FOLDS)
    return CrossFitJob(material=given, setting=setting, tuning=replace(FAST, epochs=2), seed=0, pool=pool)


def test_the_mean_encoder_is_given_with_evidence_for_each_shot(source: EncoderSource) -> None:
    given = tiny_material(source, pool=5)
    found = cross_fit(job_of(given))
    encoder = load_torch_encoder(source, "cpu", found.weights)
    np.testing.assert_array_equal(found.shots, encode_rows(encoder, given.shots.prepared))
    np.testing.assert_array_equal(found.anchors, encode_rows(encoder, given.anchors.prepared))
    np.testing.assert_array_equal(found.pool, encode_rows(encoder, given.pool.rows.prepared))
    assert found.taught is not None
    for head in (found.probe, found.taught):
        assert head.held_out.logits.shape == (len(given.labels), CLASSES)
        assert np.isfinite(head.held_out.logits).all()
        assert head.unseen.shape == (len(given.labels), 2)
    assert [soft.shape for soft in found.taught.fold_head.soft_labels] == [(len(given.pool), CLASSES)] * FOLDS


def test_without_a_pool_no_head_is_taught(source: EncoderSource) -> None:
    found = cross_fit(job_of(tiny_material(source)))
    assert found.taught is None
    assert len(found.pool) == 0


def test_each_encoder_is_shown_the_shots_outside_its_fold(source: EncoderSource) -> None:
    given, shown = tiny_material(source), list[TuningJob]()

    def watched(
        jobs: Sequence[TuningJob], checkpoints: Path | None, report: Callable[[int], None]
    ) -> list[tuple[Weights, float]]:
        shown.extend(jobs)
        return [(tuned_weights(load_torch_encoder(job.source, "cpu")), 0.001 * job.seed) for job in jobs]

    found = cross_fit(job_of(given), watched)
    assert found.orthogonality_error == 0.003
    assert [job.seed for job in shown] == list(range(FOLDS))
    fold = stratified_folds(given.labels, FOLDS)
    for k, job in enumerate(shown):
        seen = np.flatnonzero(fold != k)
        assert job.training.rows == [given.shots.prepared[i] for i in seen.tolist()]
        np.testing.assert_array_equal(job.training.targets, one_hot(given.labels[seen]))


def test_features_that_are_no_numbers_are_an_error_of_their_own(source: EncoderSource) -> None:
    def diverged(
        jobs: Sequence[TuningJob], checkpoints: Path | None, report: Callable[[int], None]
    ) -> list[tuple[Weights, float]]:
        weights = tuned_weights(load_torch_encoder(source, "cpu"))
        return [({name: torch.full_like(weight, torch.nan) for name, weight in weights.items()}, 0.0)] * len(jobs)

    with pytest.raises(DivergedError, match="fine-tuning diverged"):
        cross_fit(job_of(tiny_material(source)), diverged)


def test_pool_rows_are_tuned_on_with_their_soft_labels_beside_repeated_shots(source: EncoderSource) -> None:
    given, seen = tiny_material(source, pool=12), np.arange(4 * CLASSES) % 4 != 0
    rng = np.random.default_rng(0)
    soft = SoftRows(given.pool.rows.prepared[:30], rng.dirichlet(np.ones(CLASSES), 30).astype(np.float32))
    training = _training_rows(given, seen, soft)
    shots = [given.shots.prepared[i] for i in np.flatnonzero(seen).tolist()]
    assert training.rows == [*shots, *soft.rows]  # 9 and 30: a quarter
    np.testing.assert_array_equal(training.targets[:9], one_hot(given.labels[seen]))
    np.testing.assert_array_equal(training.targets[9:], soft.soft_labels)
    seen[2:] = False  # one shot, eight times
    assert list(_training_rows(given, seen, soft).rows)[:8] == [given.shots.prepared[1]] * 8


def test_soft_labels_of_the_pool_take_part(source: EncoderSource) -> None:
    given = tiny_material(source, pool=4)
    truth = np.repeat(np.eye(CLASSES), 4, axis=0)
    soft = SoftRows(given.pool.rows.prepared, (0.8 * truth + 0.2 / CLASSES).astype(np.float32))
    job = replace(job_of(given), tuning=FineTuningSettings("lora", epochs=1))
    without, taught = (cross_fit(replace(job, soft_rows=rows)) for rows in ((), (soft,) * FOLDS))
    assert not np.array_equal(without.shots, taught.shots)
    assert np.isfinite(taught.shots).all()
    assert without.orthogonality_error == taught.orthogonality_error == 0


def test_the_tuned_weights_themselves_are_among_the_distances() -> None:
    assert 1.0 in DISTANCES


# ---- the whole ladder


@pytest.mark.parametrize(("method", "pool"), [("full", 0), ("oft", 6)])
def test_the_whole_ladder_gives_finite_calibrated_heads(source: EncoderSource, method: Literal["full", "oft"], pool: int) -> None:
    given = tiny_material(source, pool=pool)
    fit = run_ladder(given, replace(SHORT, fine_tuning=method))
    assert [rung.name for rung in fit.trace] == list(RUNGS)
    assert all((rung.log_loss is not None) == (pool > 0 or rung.name in ("prototypes", "probe", "body")) for rung in fit.trace)
    encoder = load_torch_encoder(source, "cpu", fit.weights)
    features = encode_rows(encoder, texts(np.repeat(np.arange(CLASSES), 5), 9))
    logits = fit.head.logits(mix_layers(features, fit.layers)) / fit.held_out.temperature
    np.testing.assert_allclose(softmax(logits, axis=1).sum(axis=1), 1.0)
    np.testing.assert_array_equal(fit.shots, encode_rows(encoder, given.shots.prepared))


def test_a_tuned_encoder_is_taken_where_it_is_better_and_its_head_is_fitted_on_its_features(source: EncoderSource) -> None:
    given = tiny_material(source, pool=6)
    fit = run_ladder(given, SHORT, compare=always(True))
    assert taken(fit) == [*FROZEN_RUNGS, "self-training"]
    assert fit.weights is not None
    encoder = load_torch_encoder(source, "cpu", fit.weights)
    np.testing.assert_array_equal(fit.anchors, encode_rows(encoder, given.anchors.prepared))
    again = fit_head(fit.shots, given.answers, fit.anchors, fit.pool, fit.setting, fit.share)
    rows = mix_layers(fit.shots, fit.layers)
    np.testing.assert_allclose(again.logits(rows), fit.head.logits(rows), atol=1e-6)
