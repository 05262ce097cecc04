"""Rungs that fine-tune the encoder: on the samples alone, or on the samples together with soft-labelled pool rows.

For their evidence, one fold of the samples at a time is left out; see `cross_fit`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from fsat_tasks.errors import DivergedError
from fsat_tasks.numerics.evidence.held_out import Prior
from fsat_tasks.numerics.heads.answers import Answers
from fsat_tasks.numerics.heads.pool_taught import FOLDS
from fsat_tasks.tuning.cross_fitting import (
    DISTANCES,
    SHARE_OF_SHOTS,
    CrossFit,
    CrossFitJob,
    SoftRows,
    TunedHead,
    cross_fit,
    probe_on_folds,
)
from fsat_tasks.tuning.frozen_rungs import NO_POOL, TOO_FEW, taught_prior
from fsat_tasks.tuning.jobs import FineTuningSettings
from fsat_tasks.tuning.pace import LimitReachedError, Pace
from fsat_tasks.tuning.state import Incumbent, Need, Rung, Setup, State, Teacher
from fsat_tasks.tuning.task_pool import TaskPool
from fsat_tasks.tuning.trial import Fit, HeadKind, Skipped, Trial, fit_head

__all__ = ["BODY", "BODY_POOL", "SELF_TRAINING", "CrossFitter", "try_body", "try_body_pool", "try_self_training"]


log = logging.getLogger(__name__)

CrossFitter = Callable[[CrossFitJob], CrossFit]

FEWEST_EPOCHS = 3
"""Minimum number of epochs of fine-tuning on the samples. The rung is skipped if the budget does not allow this many."""
FEWEST_SELF_TRAINING_ROWS = 500
"""Minimum number of pool rows on which a fold's encoder is fine-tuned. If the budget allows, all pool rows that were
drawn for the fold are used."""
BODY_PRIOR = Prior(0.01, 0.03)
"""Expected gain of a fine-tuned encoder over the pretrained one. On 44 draws of benchmarks/ladder, the gain was 0.01 to 0.02 nats
on intents, 0.05 on product names and 0.26 on question types."""
SELF_TRAINING_PRIOR = Prior(0.0, 0.04)
"""Expected gain of self-training over an encoder that was fine-tuned on the samples."""
MAX_ORTHOGONALITY_ERROR = 1e-3
"""Maximum orthogonality error that `fine_tune` may report. Above it, the adapters are no longer rotations."""


@dataclass(frozen=True, kw_only=True)
class EncoderTrial(Trial):
    """A head on features of the fine-tuned encoder."""

    answers: Answers
    tuned: CrossFit
    found: TunedHead

    def fit(self) -> Fit:
        tuned, chosen = self.tuned, self.found.fold_head
        pool = tuned.pool if chosen.soft_labels else tuned.pool[:0]
        return Fit(
            head=fit_head(tuned.shots, self.answers, tuned.anchors, pool, chosen.setting, chosen.share),
            kind=HeadKind.TAUGHT if chosen.soft_labels else HeadKind.PROBE,
            layers=chosen.setting.layers,
            setting=chosen.setting,
            share=chosen.share,
            held_out=self.held_out,
            weights=tuned.weights,
            shots=tuned.shots,
            anchors=tuned.anchors,
            pool=pool,
            unseen=self.found.unseen,
        )


def try_body(setup: Setup, state: State, cross_fit: CrossFitter = cross_fit) -> tuple[Trial | Skipped, State]:
    """Try the probe on features of an encoder that is fine-tuned on the samples."""
    material, settings = setup.material, setup.settings
    if len(material.answers) < FOLDS:
        return TOO_FEW, state
    if _is_left_to_self_training(setup, state):
        return Skipped("The unlabelled rows tune the encoder further than the samples alone: see self-training."), state
    plan = _plan_epochs(setup, state.budget)
    if plan.amount == 0:
        return _over_budget(plan, state), state
    log.info("body: %d epochs, planned at %.0f of %.0f s", plan.amount, plan.seconds, state.budget)
    state = state.spend(plan.seconds)
    if state.incumbent is not None and state.incumbent.provisional:
        state = state.judged_by_folds(probe_on_folds(material, setup.probe.chosen))
    job = CrossFitJob(
        material=material,
        setting=setup.probe.chosen,
        tuning=FineTuningSettings(settings.fine_tuning, plan.amount),
        seed=settings.seed,
        device=settings.device,
        checkpoints=settings.checkpoints,
        pool=plan.pool,
        pace=Pace("body", plan.amount, plan.training, state.deadline),
    )
    tuned, state = _cross_fit(job, state, cross_fit)
    if isinstance(tuned, Skipped):
        return tuned, state
    state = replace(state, body=tuned)
    return _trial(setup, state, tuned, tuned.probe, BODY_PRIOR), state


def try_body_pool(setup: Setup, state: State) -> tuple[Trial | Skipped, State]:
    """Try the head that is taught by the pool, on features of the encoder that the rung `body` has fine-tuned."""
    if state.body is None:
        return Skipped("It needs the rung 'body', which gave no encoder."), state
    if state.body.taught is None:
        return NO_POOL, state
    prior = taught_prior(setup.material.answers, state.body.probe.held_out)
    return _trial(setup, state, state.body, state.body.taught, prior), state


def try_self_training(setup: Setup, state: State, cross_fit: CrossFitter = cross_fit) -> tuple[Trial | Skipped, State]:
    """Try an encoder that is fine-tuned on samples and on pool rows with the teacher's soft labels.

    The fine-tuning starts from the pretrained encoder, not from the encoder of the rung `body`.
    """
    settings, pool, teacher = setup.settings, setup.pool, state.teacher
    if pool is None:
        return NO_POOL, state
    if len(setup.material.answers) < FOLDS:
        return TOO_FEW, state
    if teacher is None:
        return Skipped("It needs the rung 'pool' or 'body', and neither gave a model."), state
    plan = _plan_rows(setup, pool, state.budget)
    if plan.amount == 0:
        return _over_budget(plan, state), state
    epochs = settings.self_training_epochs
    message = "self-training: %d epochs of %d unlabelled rows a fold, planned at %.0f of %.0f s"
    log.info(message, epochs, plan.amount, plan.seconds, state.budget)
    state = state.spend(plan.seconds)
    job = CrossFitJob(
        material=setup.material,
        setting=setup.probe.chosen,
        tuning=FineTuningSettings(settings.fine_tuning, epochs, temperature=0.1, contrastive=0.2),
        seed=settings.seed + FOLDS,
        device=settings.device,
        checkpoints=settings.checkpoints,
        pool=pool,
        soft_rows=[
            SoftRows(pool.rows.at(rows[: plan.amount]).prepared, soft[: plan.amount].astype(np.float32))
            for rows, soft in zip(pool.folds, teacher.soft_labels, strict=True)
        ],
        pace=Pace("self-training", epochs, plan.training, state.deadline),
    )
    prior = _self_training_prior(state.incumbent)
    tuned, state = _cross_fit(job, state, cross_fit)
    if isinstance(tuned, Skipped):
        return tuned, state
    return NO_POOL if tuned.taught is None else _trial(setup, state, tuned, tuned.taught, prior), state


BODY = Rung("body", try_body, Need.BUDGET)
BODY_POOL = Rung("body-pool", try_body_pool, Need.POOL | Need.BODY)
SELF_TRAINING = Rung("self-training", try_self_training, Need.POOL | Need.BUDGET)


@dataclass(frozen=True)
class _Plan:
    """The amount of fine-tuning that the budget allows, and the planned seconds."""

    amount: int
    """Number of epochs, or of pool rows of each fold; 0 if the budget does not allow the minimum."""
    seconds: float
    """Planned seconds; if `amount` is 0, the seconds that the minimum would take."""
    training: float
    """The part of the planned seconds that training takes; encoding takes the rest."""
    pool: TaskPool | None
    """Pool that will be encoded with the tuned encoders; None if the budget leaves no time for it."""


def _plan_epochs(setup: Setup, budget: float) -> _Plan:
    """Plan the epochs of fine-tuning on the samples. If there is no time to encode the pool, the plan has no pool."""
    epoch, most = setup.cost.seconds((FOLDS - 1) * setup.material.shots.size, 0), setup.settings.epochs
    for pool in (setup.pool, None):
        fixed = _encoding_seconds(setup, pool)
        epochs = most if epoch == 0 else min(int((budget - fixed) / epoch), most)
        if epochs >= FEWEST_EPOCHS:
            return _Plan(epochs, fixed + epochs * epoch, epochs * epoch, pool)
    return _Plan(0, fixed + FEWEST_EPOCHS * epoch, 0.0, None)


def _plan_rows(setup: Setup, pool: TaskPool, budget: float) -> _Plan:
    """Plan the number of pool rows on which each fold's encoder is fine-tuned, besides the samples."""
    most, epochs = len(pool.folds[0]), setup.settings.self_training_epochs
    samples = setup.cost.seconds((FOLDS - 1) * epochs * setup.material.shots.size, 0)
    fixed = _encoding_seconds(setup, pool) + samples
    # samples are repeated until their number is SHARE_OF_SHOTS times that of the pool rows
    size = int(FOLDS * epochs * (1.0 + SHARE_OF_SHOTS) * pool.rows.size)
    row = setup.cost.seconds(size, 0) / len(pool.rows)
    rows = most if row == 0 else min(int((budget - fixed) / row), most)
    fewest = min(FEWEST_SELF_TRAINING_ROWS, most)
    if rows < fewest:
        return _Plan(0, fixed + row * fewest, 0.0, pool)
    return _Plan(rows, fixed + row * rows, samples + row * rows, pool)


def _encoding_seconds(setup: Setup, pool: TaskPool | None) -> float:
    """Return the planned seconds of encoding.

    Each fold's encoder encodes the samples and anchors at each of the DISTANCES in cross_fitting.py. It encodes the fold's pool
    rows once. The mean encoder encodes all samples, anchors and pool rows once.
    """
    rows = setup.material.shots.size + setup.material.anchors.size
    unlabelled = 0
    if pool is not None:
        unlabelled = sum(pool.rows.at(fold).size for fold in pool.folds) + pool.rows.size
    return setup.cost.seconds(0, (len(DISTANCES) * FOLDS + 1) * rows + unlabelled)


def _over_budget(plan: _Plan, state: State) -> Skipped:
    return Skipped(
        f"It would take about {plan.seconds:.0f} s; {state.budget:.0f} s of the budget are left (tune.budget_seconds)."
    )


def _is_left_to_self_training(setup: Setup, state: State) -> bool:
    """True if the incumbent's head is taught by the pool, and a rung of the ladder can fine-tune on it within the budget."""
    if state.incumbent is None or not state.incumbent.rung.taught or setup.pool is None:
        return False
    if not any(Need.POOL | Need.BUDGET in rung.needs for rung in setup.rungs):
        return False
    return _plan_rows(setup, setup.pool, state.budget).amount > 0


def _self_training_prior(incumbent: Incumbent | None) -> Prior | None:
    """Return the expected gain over an incumbent whose head is taught by the pool; None for any other incumbent."""
    if incumbent is None or not incumbent.rung.taught:
        return None
    return BODY_PRIOR if incumbent.rung.frozen else SELF_TRAINING_PRIOR


def _cross_fit(job: CrossFitJob, state: State, cross_fit: CrossFitter) -> tuple[CrossFit | Skipped, State]:
    """Fine-tune fold by fold. If the resulting pool-taught head beats the teacher, it becomes the teacher of later rungs."""
    try:
        tuned = cross_fit(job)
    except DivergedError as error:
        return Skipped(str(error)), state
    except LimitReachedError:
        return Skipped("It was stopped, because the time is over (tune.limit_seconds)."), state
    if tuned.orthogonality_error > MAX_ORTHOGONALITY_ERROR:
        off = f"{tuned.orthogonality_error:.1g}, more than {MAX_ORTHOGONALITY_ERROR:.0e}"
        return Skipped(f"The adapters are no longer rotations: they are off by {off}."), state
    if tuned.taught is not None:
        state = state.taught_by(Teacher(tuned.taught.fold_head.soft_labels, tuned.taught.held_out.log_loss))
    return tuned, state


def _trial(setup: Setup, state: State, tuned: CrossFit, found: TunedHead, prior: Prior | None) -> Trial:
    return EncoderTrial(
        held_out=found.held_out,
        incumbent=state.evidence,
        prior=prior,
        answers=setup.material.answers,
        tuned=tuned,
        found=found,
    )
