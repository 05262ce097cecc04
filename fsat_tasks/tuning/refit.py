"""Refit of a tuned model's head on more samples. The head is fitted as the rung that was taken fits it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from fsat_tasks.numerics.evidence.held_out import HeldOut, judge
from fsat_tasks.numerics.geometry.layers import mix_layers
from fsat_tasks.numerics.geometry.neighbours import is_copy
from fsat_tasks.numerics.heads.answers import Answers
from fsat_tasks.numerics.heads.one_label import OneLabel
from fsat_tasks.numerics.heads.prototypes import fit_prototypes, prototype_loo_logits
from fsat_tasks.numerics.types import Features
from fsat_tasks.tuning.frozen_rungs import PROTOTYPE_PRIOR
from fsat_tasks.tuning.trial import Fit, HeadKind, fit_head

__all__ = ["refit_rung"]


def refit_rung(fit: Fit, shots: Features, answers: Answers, anchors: Features) -> Fit:
    """Fit the head again on more samples. The encoder and the settings stay as they are.

    Args:
        fit: the model before the refit.
        shots: features (n, layers, dim) from the model's encoder, first of the samples that `fit` has, then of the new ones.
        answers: answers of the n samples; there may be new classes.
        anchors: features (classes, layers, dim) of the class names, from the model's encoder.
    """
    if fit.kind is HeadKind.PROTOTYPES:
        assert isinstance(answers, OneLabel), "prototypes are of classes"
        labels = answers.labels
        rows, names = mix_layers(shots, fit.layers), mix_layers(anchors, fit.layers)
        held_out = judge(prototype_loo_logits(rows, labels, names, PROTOTYPE_PRIOR), labels, natural=False)
        head = fit_prototypes(rows, labels, names, PROTOTYPE_PRIOR)
        return replace(fit, head=head, held_out=held_out, shots=shots, anchors=anchors)
    probe = answers.refit(shots, anchors, fit.setting)
    held_out = answers.judge(probe.held_out)
    if fit.kind is HeadKind.PROBE and fit.weights is None:
        return replace(fit, head=probe.head, held_out=held_out, shots=shots, anchors=anchors)
    # The old samples were used to tune the encoder or to make the pool's soft labels. If only the probe
    # leaves an old sample out, the evidence on this sample is too good. So the old samples keep the evidence that they have.
    pool = fit.pool
    if len(pool):  # a new sample may be a pool row that somebody has labelled
        pool = pool[~is_copy(mix_layers(pool, fit.layers), mix_layers(shots, fit.layers))]
    return replace(
        fit,
        head=fit_head(shots, answers, anchors, pool, fit.setting, fit.share),
        held_out=_joined(fit.held_out, held_out),
        shots=shots,
        anchors=anchors,
        pool=pool,
    )


def _joined(old: HeldOut, refitted: HeldOut) -> HeldOut:
    """Return the old evidence for old samples and the refit's for new ones. With new classes, all of it is the refit's."""
    if old.logits.shape[1] != refitted.logits.shape[1]:
        return replace(refitted, temperature=old.temperature)
    parts = ((old.logits, refitted.logits), (old.losses, refitted.losses), (old.right, refitted.right))
    logits, losses, right = (np.concatenate([before, after[len(before) :]]) for before, after in parts)
    return replace(refitted, logits=logits, temperature=old.temperature, losses=losses, right=right)
