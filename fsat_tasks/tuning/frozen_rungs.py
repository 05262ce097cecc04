"""Rungs on the pretrained encoder: prototypes, the probe, and the head that is taught by the pool.

There is no validation set. The evidence of the prototypes and of the probe is leave-one-out evidence, computed in
closed form. For the evidence of the head that is taught by the pool, one fold of the samples at a time is left out.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from fsat_tasks.numerics.evidence.held_out import HeldOut, Prior, judge
from fsat_tasks.numerics.geometry.layers import mix_layers
from fsat_tasks.numerics.heads.answers import Answers, Teachable
from fsat_tasks.numerics.heads.memory import TaughtHead
from fsat_tasks.numerics.heads.one_label import OneLabel
from fsat_tasks.numerics.heads.pool_taught import FOLDS, Teaching, fit_heads, hold_out, prepare
from fsat_tasks.numerics.heads.probe import LinearHead
from fsat_tasks.numerics.heads.prototypes import fit_prototypes, prototype_loo_logits
from fsat_tasks.tuning.state import Need, Rung, Setup, State, Teacher
from fsat_tasks.tuning.task_pool import TaskPool
from fsat_tasks.tuning.trial import Fit, HeadKind, Skipped, Trial

__all__ = [
    "NO_POOL",
    "POOL",
    "PROBE",
    "PROTOTYPES",
    "PROTOTYPE_PRIOR",
    "TAUGHT_PRIOR",
    "TOO_FEW",
    "taught_prior",
    "try_pool",
    "try_probe",
    "try_prototypes",
]


PROTOTYPE_PRIOR = 1.0
"""Number of rows that a class anchor counts as. A class anchor is the features of a class name."""
PROBE_PRIOR = Prior(0.1, 0.1)
"""Expected gain of the probe over prototypes. On 54 development splits of four data sets, the gain was 0.11 nats on average, with
a standard deviation of 0.1. No development split had rows of a test set."""
TAUGHT_PRIOR = Prior(0.01, 0.03)
"""Expected gain of a head that is taught by the pool over the probe on the same encoder, if the classes lie apart. It was learnt
on draws of benchmarks/ladder."""
LEAST_EXPLAINED = 0.5
"""Share of the uncertainty about the labels that the probe must explain on left-out samples, so that the classes lie apart. Below
it, neighbours in the pool often have different labels, and the pool teaches as much that is wrong as that is right."""
NO_POOL = Skipped("There are no unlabelled rows besides the samples.")
TOO_FEW = Skipped(f"There are fewer samples than the {FOLDS} groups that would be left out in turn.")


@dataclass(frozen=True, kw_only=True)
class FrozenTrial(Trial):
    """A head on the pretrained encoder's features, fitted before the trial."""

    setup: Setup
    head: LinearHead | TaughtHead
    kind: HeadKind
    layers: int

    def fit(self) -> Fit:
        material = self.setup.material
        return Fit(
            head=self.head,
            kind=self.kind,
            layers=self.layers,
            setting=self.setup.probe.chosen,
            held_out=self.held_out,
            shots=material.shots.features,
            anchors=material.anchors.features,
            pool=material.shots.features[:0],
        )


@dataclass(frozen=True, kw_only=True)
class PoolTrial(Trial):
    """A head on the pretrained encoder's features, taught by the pool."""

    setup: Setup
    teaching: Teaching
    share: float
    pool: TaskPool

    def fit(self) -> Fit:
        material = self.setup.material
        heads = fit_heads(self.teaching, np.ones(len(material.answers), bool))
        return Fit(
            head=heads.taught(self.share),
            kind=HeadKind.TAUGHT,
            layers=self.setup.probe.chosen.layers,
            setting=self.setup.probe.chosen,
            share=self.share,
            held_out=self.held_out,
            shots=material.shots.features,
            anchors=material.anchors.features,
            pool=self.pool.rows.features,
        )


def try_prototypes(setup: Setup, state: State) -> tuple[Trial, State]:
    """Try the head whose class vectors are prototypes (MAP class means on the unit sphere), on features of the last layer."""
    material = setup.material
    rows, anchors = mix_layers(material.shots.features, 1), mix_layers(material.anchors.features, 1)
    logits = prototype_loo_logits(rows, material.labels, anchors, PROTOTYPE_PRIOR)
    trial = FrozenTrial(
        held_out=judge(logits, material.labels, natural=False),
        incumbent=state.evidence,
        setup=setup,
        head=fit_prototypes(rows, material.labels, anchors, PROTOTYPE_PRIOR),
        kind=HeadKind.PROTOTYPES,
        layers=1,
    )
    return trial, state


def try_probe(setup: Setup, state: State) -> tuple[Trial, State]:
    """Try the anchored linear probe. Leave-one-out evidence chooses its layers, ridge and prior."""
    trial = FrozenTrial(
        held_out=setup.material.answers.judge(setup.probe.held_out),
        incumbent=state.evidence,
        prior=PROBE_PRIOR,
        provisional=True,
        setup=setup,
        head=setup.probe.head,
        kind=HeadKind.PROBE,
        layers=setup.probe.chosen.layers,
    )
    return trial, state


def try_pool(setup: Setup, state: State) -> tuple[Trial | Skipped, State]:
    """Try the head that is taught by the unlabelled pool, on features of the pretrained encoder."""
    material, pool = setup.material, setup.pool
    if pool is None:
        return NO_POOL, state
    if len(material.answers) < FOLDS:
        return TOO_FEW, state
    assert isinstance(material.answers, Teachable), "this rung is not tried on answers that a pool cannot teach"
    shots, anchors = material.shots.features, material.anchors.features
    teaching = prepare(shots, material.answers, anchors, pool.directions, setup.probe.chosen)
    evidence = hold_out(teaching)
    soft_labels = [soft[rows] for rows, soft in zip(pool.folds, evidence.soft_labels, strict=True)]
    state = state.taught_by(Teacher(soft_labels, evidence.taught.log_loss)).judged_by_folds(evidence.probe)
    trial = PoolTrial(
        held_out=evidence.taught,
        incumbent=state.evidence,
        prior=taught_prior(material.answers, evidence.probe),
        setup=setup,
        teaching=teaching,
        share=evidence.share,
        pool=pool,
    )
    return trial, state


def taught_prior(answers: Answers, probe: HeldOut) -> Prior | None:
    """Return the expected gain of a head that is taught by the pool; None, if the classes do not lie apart.

    Args:
        answers: answers of the samples.
        probe: evidence of the probe on the same encoder.
    """
    if not isinstance(answers, OneLabel):  # the prior was learnt on rows with one label
        return None
    explained = 1.0 - probe.log_loss / math.log(answers.classes)
    return TAUGHT_PRIOR if explained > LEAST_EXPLAINED else None


PROTOTYPES = Rung("prototypes", try_prototypes)
PROBE = Rung("probe", try_probe)
POOL = Rung("pool", try_pool, Need.POOL)
