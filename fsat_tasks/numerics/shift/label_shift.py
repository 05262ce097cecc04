"""Class shares of unlabelled target rows, and whether there is evidence that they differ from the shots' at all.

Under label shift P(x | class) stays and P(class) moves, so a calibrated head is put right by adding
log(target / source) to its logits: a static head again.
"""

from __future__ import annotations

import numpy as np
from scipy.special import log_softmax, logsumexp

from fsat_tasks.numerics.types import Array, Labels

__all__ = ["ShiftEvidence", "estimate_target_prior", "shift_evidence", "shift_strength", "shots_prior"]


ROWS_PER_SHOT = 8.0
"""See `shift_strength`: the shots' worth of the source prior per target row and shot of a class."""
MAX_STEPS = 300
TOLERANCE = 1e-6
"""The sum over the classes of the last step's changes below which the estimate stands."""

ShiftEvidence = tuple[float, float]
"""Mean log-likelihood ratio per target row over that of hidden shots, and its standard error, in nats."""


def shots_prior(labels: Labels, classes: int) -> Array:
    """The class shares that a probe was fitted on, (classes,): the shots, and each class name as one more row."""
    counts = np.bincount(labels, minlength=classes) + 1.0
    prior: Array = counts / counts.sum()
    return prior


def shift_strength(rows: int, shots: int, classes: int) -> float:
    """Rows that the source prior counts for beside `rows` target rows, for `estimate_target_prior`.

    One row a class against the sampling noise of the target rows, and ROWS_PER_SHOT * rows / (shots per class) against
    the noise of the head: a head of few shots misreads some class's share, by as much for many target rows as for few.
    """
    return classes * (1.0 + ROWS_PER_SHOT * rows / max(shots, 1))


def estimate_target_prior(logits: Array, source: Array, strength: float) -> Array:
    """The target's class shares by EM (Saerens, Latinne and Decaestecker 2002, eq. 2.9), as a MAP estimate.

    The Dirichlet prior has its mode at the source prior. Each step raises `log_posterior`, which is concave, so the
    start does not matter; without target rows the source prior comes back.

    Args:
        logits: (n, classes), calibrated under the source prior.
        source: (classes,), positive, sums to 1.
        strength: > 0, the rows that the source prior counts for.

    Returns:
        (classes,), positive.
    """
    relative = log_softmax(logits, axis=1) - np.log(source)  # (n, classes)
    prior = source
    for _ in range(MAX_STEPS):
        following = em_step(relative, prior, source, strength)
        moved = float(np.abs(following - prior).sum())
        prior = following
        if moved < TOLERANCE:
            break
    return prior


def em_step(relative: Array, prior: Array, source: Array, strength: float) -> Array:
    """One E and M step from `prior`, (classes,); relative: log P(class | row) - log source."""
    joint = relative + np.log(prior)
    mine = np.exp(joint - logsumexp(joint, axis=1, keepdims=True))  # (n, classes)
    step: Array = (mine.sum(axis=0) + strength * source) / (len(relative) + strength)
    return step


def log_posterior(relative: Array, prior: Array, source: Array, strength: float) -> float:
    """What `em_step` raises: log-likelihood of the rows under `prior`, up to a constant, plus the log Dirichlet density."""
    return float(logsumexp(relative + np.log(prior), axis=1).sum() + strength * (source @ np.log(prior)))


def shift_evidence(logits: Array, folds: Labels, labels: Labels, source: Array) -> ShiftEvidence:
    """A two-sample test of "no label shift" in the direction of the shift that the target rows seem to have.

    The prior is estimated on one half of the target rows; the log-likelihood ratio of that prior against the source is
    then compared between the other half and shots that the head has not seen. Without shift the two samples are alike,
    head errors included, so a weak head makes no evidence; one sample alone cannot tell an error from a shift.
    (Likelihood-ratio scores as a shift detector: Lipton, Wang and Smola 2018, section 5, with the ratio as the score.)

    Args:
        logits: (folds, n + shots, classes) of the target rows, then the shots, by heads that did not see that fold's shots.
        folds: (shots,) in 0..folds-1, the fold in which a shot was hidden.
        labels: (shots,).
        source: (classes,), positive, sums to 1.

    Returns:
        The mean and its standard error; both 0.0 with fewer than two target rows or two shots.
    """
    shots, classes = len(labels), len(source)
    n = logits.shape[1] - shots
    if n < 2 or shots < 2:
        return 0.0, 0.0
    relative = log_softmax(logits, axis=2) - np.log(source)  # (folds, n + shots, classes)
    sums, counts, on_shots = np.zeros(n), np.zeros(n), np.zeros(shots)
    for fold in np.unique(folds):
        half = np.arange(n) % 2 == fold % 2
        strength = shift_strength(int(half.sum()), shots, classes)
        prior = estimate_target_prior(logits[fold, :n][half], source, strength)
        ratio = logsumexp(relative[fold] + np.log(prior), axis=1)  # (n + shots,)
        sums[~half] += ratio[:n][~half]
        counts[~half] += 1.0
        on_shots[folds == fold] = ratio[n:][folds == fold]
    on_target = sums[counts > 0] / counts[counts > 0]
    within = on_shots - (np.bincount(labels, on_shots, classes) / np.maximum(np.bincount(labels, minlength=classes), 1))[labels]
    freedom = shots - len(np.unique(labels))
    # the shots are a stratified sample, by class; one shot a class says nothing of the spread within a class
    spread = float(np.square(within).sum()) / freedom if freedom > 0 else float(on_shots.var(ddof=1))
    error = np.sqrt(on_target.var() / len(on_target) + spread / shots)
    return float(on_target.mean() - on_shots.mean()), float(error)
