"""Each rung that fine-tunes the encoder, alone, with a stand-in for the fine-tuning: budget, evidence and next state."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from fsat_tasks.errors import DivergedError
from fsat_tasks.numerics.evidence.held_out import HeldOut, judge
from fsat_tasks.numerics.heads.pool_taught import FOLDS
from fsat_tasks.tuning.cross_fitting import CrossFit, CrossFitJob, probe_on_folds
from fsat_tasks.tuning.encoder_rungs import (
    BODY,
    BODY_POOL,
    BODY_PRIOR,
    SELF_TRAINING_PRIOR,
    try_body,
    try_body_pool,
    try_self_training,
)
from fsat_tasks.tuning.frozen_rungs import POOL, PROBE, PROTOTYPES, TAUGHT_PRIOR
from fsat_tasks.tuning.ladder import LADDER, RUNGS, run_ladder
from fsat_tasks.tuning.material import Material
from fsat_tasks.tuning.pace import Pace
from fsat_tasks.tuning.state import Incumbent, LadderSettings, Rung, Setup, State, Teacher
from fsat_tasks.tuning.trial import HeadKind, Skipped, Trial
from tuning.clusters import NOWHERE, cross_fitted, ladder_with, material

WEIGHTS, SIZE = 1_000_000, 1000


@pytest.fixture
def encoder(tmp_path: Path) -> Path:
    """A folder with an encoder of WEIGHTS weights, which only the plan reads."""
    save_file({"layer.weight": np.zeros((1000, WEIGHTS // 1000), np.float32)}, tmp_path / "model.safetensors")
    return tmp_path


def setup_of(given: Material, rungs: tuple[str, ...] = RUNGS, settings: LadderSettings | None = None) -> Setup:
    return Setup(given, settings or LadderSettings(), [rung for rung in LADDER if rung.name in rungs])


def evidence(given: Material) -> HeldOut:
    """Return the evidence of an incumbent that knows nothing."""
    return judge(np.zeros((len(given.labels), len(given.anchors))), given.labels)


def teacher(setup: Setup, log_loss: float = 1.0) -> Teacher:
    assert setup.pool is not None
    classes = len(setup.material.anchors)
    return Teacher([np.full((len(rows), classes), 1.0 / classes) for rows in setup.pool.folds], log_loss)


def watched(given: Material, seen: list[CrossFitJob]) -> Callable[[CrossFitJob], CrossFit]:
    """Return a stand-in for the fine-tuning that notes its jobs."""

    def cross_fit(job: CrossFitJob) -> CrossFit:
        seen.append(job)
        return cross_fitted(given)

    return cross_fit


def tried(result: Trial | Skipped) -> Trial:
    assert isinstance(result, Trial)
    return result


# ---- body


def test_body_is_compared_with_the_probe_on_its_own_folds_where_its_evidence_is_provisional() -> None:
    given = material()
    setup, held_out = setup_of(given), evidence(given)
    state = State(240.0, Incumbent(PROBE, held_out, provisional=True))
    result, after = try_body(setup, state, lambda _: cross_fitted(given))
    by_folds = probe_on_folds(given, setup.probe.chosen)
    incumbent = tried(result).incumbent
    assert incumbent is not None
    np.testing.assert_array_equal(incumbent.losses, by_folds.losses)
    assert after.incumbent == Incumbent(PROBE, incumbent)
    assert tried(result).prior is BODY_PRIOR


@pytest.mark.parametrize("rung", [PROTOTYPES, PROBE])
def test_body_leaves_other_evidence_as_it_is(rung: Rung) -> None:
    given = material()
    state = State(240.0, Incumbent(rung, evidence(given)))
    result, after = try_body(setup_of(given), state, lambda _: cross_fitted(given))
    assert tried(result).incumbent is state.evidence
    assert after.incumbent is state.incumbent


def test_body_hands_on_its_encoders_and_the_head_that_they_taught() -> None:
    given = material(pool=10)
    tuned = cross_fitted(given)
    result, after = try_body(setup_of(given), State(240.0), lambda _: tuned)
    assert after.body is tuned
    assert tuned.taught is not None and after.teacher is not None
    assert after.teacher.soft_labels is tuned.taught.fold_head.soft_labels
    fit = tried(result).fit()
    assert fit.kind is HeadKind.PROBE
    assert fit.weights is tuned.weights
    assert len(fit.pool) == 0


@pytest.mark.parametrize(("log_loss", "kept"), [(0.0, True), (9.0, False)])
def test_the_better_teacher_stays(log_loss: float, kept: bool) -> None:
    given = material(pool=10)
    setup = setup_of(given)
    before = teacher(setup, log_loss)
    _, after = try_body(setup, State(240.0, teacher=before), lambda _: cross_fitted(given))
    assert (after.teacher is before) is kept


def test_body_is_left_to_self_training_where_the_pool_teaches() -> None:
    given = material(pool=10)
    state = State(240.0, Incumbent(POOL, evidence(given)))
    result, after = try_body(setup_of(given), state, lambda _: cross_fitted(given))
    assert result == Skipped("The unlabelled rows tune the encoder further than the samples alone: see self-training.")
    assert after is state
    without = setup_of(given, ("prototypes", "probe", "pool", "body"))
    assert isinstance(try_body(without, state, lambda _: cross_fitted(given))[0], Trial)


def test_body_is_tried_where_the_budget_is_too_small_for_self_training(encoder: Path) -> None:
    given = material(shots=4, pool=200, folder=encoder, size=SIZE)
    setup = setup_of(given)
    seconds = setup.cost.seconds(6 * (FOLDS - 1) * given.shots.size, 100 * given.shots.size)
    state = State(seconds, Incumbent(POOL, evidence(given)))
    assert isinstance(try_body(setup, state, lambda _: cross_fitted(given))[0], Trial)


def test_a_tight_budget_takes_epochs_and_then_the_pool_from_body(encoder: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    given = material(pool=100, folder=encoder, size=SIZE)
    setup = setup_of(given)
    rows, pool = given.shots.size + given.anchors.size, given.pool.rows.size
    epoch = setup.cost.seconds((FOLDS - 1) * given.shots.size, 0)
    plain, with_pool = setup.cost.seconds(0, 9 * rows), setup.cost.seconds(0, 9 * rows + 5 * pool)
    jobs: list[CrossFitJob] = []
    for budget in (with_pool + 6.5 * epoch, with_pool + 4.5 * epoch, plain + 3.5 * epoch):
        _, after = try_body(setup, State(budget), watched(given, jobs))
        assert 0 <= after.budget < budget
    assert [job.tuning.epochs for job in jobs] == [6, 4, 3]
    assert [job.pool is None for job in jobs] == [False, False, True]
    assert [job.pace for job in jobs] == [Pace("body", epochs, epochs * epoch) for epochs in (6, 4, 3)]
    planned, budget = plain + 3 * epoch, plain + 3.5 * epoch
    assert caplog.messages[-1] == f"body: 3 epochs, planned at {planned:.0f} of {budget:.0f} s"
    result, after = try_body(setup, State(plain + 2.5 * epoch), watched(given, jobs))
    assert isinstance(result, Skipped)
    assert after.budget == plain + 2.5 * epoch


def test_encoders_whose_rotations_are_off_are_refused() -> None:
    given = material()
    result, after = try_body(setup_of(given), State(240.0), lambda _: cross_fitted(given, 0.01))
    assert result == Skipped("The adapters are no longer rotations: they are off by 0.01, more than 1e-03.")
    assert after.body is None


def test_a_rung_that_overruns_the_limit_by_the_clock_is_skipped(encoder: Path) -> None:
    def overrun(job: CrossFitJob) -> CrossFit:
        assert job.pace is not None
        job.pace.watch(lambda _: None, 100)(1)
        raise AssertionError("the deadline has passed")

    result, _ = try_body(setup_of(material(folder=encoder, size=9)), State(240.0, deadline=time.monotonic() - 1.0), overrun)
    assert result == Skipped("It was stopped, because the time is over (tune.limit_seconds).")


def test_fine_tuning_that_diverges_is_a_rung_that_is_skipped_and_paid_for(encoder: Path) -> None:
    def diverge(_: CrossFitJob) -> CrossFit:
        raise DivergedError("the body diverged")

    result, after = try_body(setup_of(material(folder=encoder, size=9)), State(240.0), diverge)
    assert result == Skipped("the body diverged")
    assert after.budget < 240.0


# ---- body-pool


def test_body_pool_needs_the_encoders_of_body_and_a_pool() -> None:
    given = material()
    setup = setup_of(given)
    assert try_body_pool(setup, State(240.0))[0] == Skipped("It needs the rung 'body', which gave no encoder.")
    state = State(240.0, body=cross_fitted(given))
    assert try_body_pool(setup, state)[0] == Skipped("There are no unlabelled rows besides the samples.")


def test_body_pool_is_taught_by_the_pool_on_the_encoders_of_body() -> None:
    given = material(pool=10)
    tuned = cross_fitted(given)
    held_out = evidence(given)
    result, _ = try_body_pool(setup_of(given), State(240.0, Incumbent(BODY, held_out), body=tuned))
    trial = tried(result)
    assert tuned.taught is not None
    assert (trial.held_out, trial.incumbent, trial.prior) == (tuned.taught.held_out, held_out, TAUGHT_PRIOR)
    fit = trial.fit()
    assert fit.kind is HeadKind.TAUGHT
    assert len(fit.pool) == len(given.pool)


def test_body_pool_is_given_no_credit_where_left_out_samples_are_not_told_apart() -> None:
    given = material(pool=10)
    tuned = cross_fitted(given)
    blind = replace(tuned, probe=replace(tuned.probe, fold_head=replace(tuned.probe.fold_head, held_out=evidence(given))))
    result, _ = try_body_pool(setup_of(given), State(240.0, Incumbent(BODY, evidence(given)), body=blind))
    assert tried(result).prior is None


# ---- self-training


def test_self_training_says_what_it_needs() -> None:
    without, given = material(), material(pool=10)
    few = replace(given, shots=given.shots.at(np.arange(3)), answers=given.answers.at(np.arange(3)))
    for rows, expected in (
        (without, "There are no unlabelled rows besides the samples."),
        (few, "There are fewer samples than the 4 groups that would be left out in turn."),
        (given, "It needs the rung 'pool' or 'body', and neither gave a model."),
    ):
        assert try_self_training(setup_of(rows), State(240.0))[0] == Skipped(expected)


@pytest.mark.parametrize(("rung", "prior"), [(PROBE, None), (POOL, BODY_PRIOR), (BODY, None), (BODY_POOL, SELF_TRAINING_PRIOR)])
def test_the_prior_counts_for_self_training_where_the_pool_taught_the_incumbent(rung: Rung, prior: object) -> None:
    given = material(pool=10)
    setup = setup_of(given)
    state = State(240.0, Incumbent(rung, evidence(given)), teacher(setup))
    result, _ = try_self_training(setup, state, lambda _: cross_fitted(given))
    assert tried(result).prior is prior


def test_self_training_takes_the_pool_rows_of_each_fold_with_the_teachers_labels(tmp_path: Path) -> None:
    given, jobs = material(pool=10, size=3), list[CrossFitJob]()
    setup = setup_of(given, settings=LadderSettings(seed=5, checkpoints=tmp_path, self_training_epochs=1))
    state = State(240.0, teacher=teacher(setup))
    try_self_training(setup, state, watched(given, jobs))
    (job,) = jobs
    assert (job.seed, job.checkpoints, job.tuning.epochs) == (5 + FOLDS, tmp_path, 1)
    assert setup.pool is not None and state.teacher is not None
    assert len(job.soft_rows) == FOLDS
    for rows, labels, soft in zip(setup.pool.folds, state.teacher.soft_labels, job.soft_rows, strict=True):
        assert soft.rows == setup.pool.rows.at(rows).prepared
        np.testing.assert_allclose(soft.soft_labels, labels, rtol=1e-6)


def test_a_tight_budget_takes_pool_rows_from_self_training(encoder: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    given, jobs = material(pool=200, folder=encoder, size=SIZE), list[CrossFitJob]()
    setup = setup_of(given)
    full = State(1e9, teacher=teacher(setup))
    _, after = try_self_training(setup, full, watched(given, jobs))
    spent = full.budget - after.budget
    _, after = try_self_training(setup, replace(full, budget=0.8 * spent), watched(given, jobs))
    assert 0 <= after.budget < 0.01 * spent
    all_rows, fewer = (len(job.soft_rows[0].rows) for job in jobs)
    assert all_rows == len(given.pool)
    assert 500 < fewer < all_rows
    planned = 0.8 * spent - after.budget
    said = f"self-training: 2 epochs of {fewer} unlabelled rows a fold, planned at {planned:.0f} of {0.8 * spent:.0f} s"
    assert caplog.messages[-1] == said
    assert all(job.pace is not None and 0 < job.pace.seconds < spent for job in jobs)
    result, _ = try_self_training(setup, replace(full, budget=0.2 * spent), watched(given, jobs))
    assert isinstance(result, Skipped)


# ---- on the ladder


def test_a_budget_that_is_too_small_says_what_was_planned(encoder: Path) -> None:
    fit = run_ladder(material(pool=2, folder=encoder, size=SIZE), LadderSettings(budget_seconds=0.0))
    reasons = {rung.name: rung.reason for rung in fit.trace}
    for name in ("body", "self-training"):
        assert re.fullmatch(r"It would take about \d+ s; 0 s of the budget are left \(tune.budget_seconds\)\.", reasons[name])
    assert reasons["body-pool"] == "It needs the rung 'body', which gave no encoder."
    assert fit.weights is None


def test_rungs_that_fine_tune_say_what_they_need() -> None:
    trace = run_ladder(material(2, 1), LadderSettings()).trace
    assert {rung.name: rung.reason for rung in trace[3:]} == {
        "body": "There are fewer samples than the 4 groups that would be left out in turn.",
        "body-pool": "It needs the rung 'body', which gave no encoder.",
        "self-training": "There are no unlabelled rows besides the samples.",
    }
    assert not any(rung.taken for rung in trace[3:])


def test_where_the_pool_taught_the_whole_ladder_leaves_the_body_to_self_training() -> None:
    given = material(8, 8, pool=60, spread=2.0, folder=NOWHERE)
    ladder = ladder_with(lambda _: cross_fitted(given))
    trace = run_ladder(given, LadderSettings(), ladder).trace
    assert [rung.reason for rung in trace[3:5]] == [
        "The unlabelled rows tune the encoder further than the samples alone: see self-training.",
        "It needs the rung 'body', which gave no encoder.",
    ]
    assert trace[5].log_loss is not None
    without = LadderSettings(rungs=("prototypes", "probe", "pool", "body"))
    assert run_ladder(given, without, ladder).trace[3].log_loss is not None
