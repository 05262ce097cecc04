"""Label shift: class shares of unlabelled target rows, and evidence that they differ from those of the labelled samples (shots).

Under label shift, P(class) changes and P(x | class) does not. So a calibrated head is corrected by adding
log(target share / source share) of each class to its logits. The source shares are the class shares that the
head was fitted on. The added terms are the same for every row, so the correction changes only the head's bias.
"""

from __future__ import annotations

import numpy as np
from scipy.special import log_softmax, logsumexp

from fsat_tasks.numerics.types import Array, Labels

__all__ = ["ShiftEvidence", "estimate_target_prior", "shift_evidence", "shift_strength", "shots_prior"]


ROWS_PER_SHOT = 8.0
"""Factor in the number of rows that the source shares count as; see `shift_strength`."""
MAX_STEPS = 300
"""Maximum number of EM steps."""
TOLERANCE = 1e-6
"""EM stops at a step that changes the shares by less than this, summed over the classes."""

ShiftEvidence = tuple[float, float]
"""A difference in nats, and its standard error. The difference is the mean log-likelihood ratio of the target rows minus that
of held-out shots; see `shift_evidence`."""


def shots_prior(labels: Labels, classes: int) -> Array:
    """Return the class shares that a probe was fitted on, (classes,). Each class name counts as one more shot of its class."""
    counts = np.bincount(labels, minlength=classes) + 1.0
    prior: Array = counts / counts.sum()
    return prior


def shift_strength(rows: int, shots: int, classes: int) -> float:
    """Return the argument `strength` of `estimate_target_prior`: the number of rows that the source shares should count as.

    The number has two terms. One row per class guards against the sampling noise of the target rows. A further
    ROWS_PER_SHOT * rows / (shots per class) rows guard against the errors of the head. A head with few shots
    misjudges the share of some class, and more target rows do not reduce this error.

    Args:
        rows: number of target rows.
        shots: number of shots in all.
        classes: number of classes.
    """
    return classes * (1.0 + ROWS_PER_SHOT * rows / max(shots, 1))


def estimate_target_prior(logits: Array, source: Array, strength: float) -> Array:
    """Estimate the target's class shares by EM (Saerens, Latinne and Decaestecker 2002, eq. 2.9), as a MAP estimate.

    The Dirichlet prior has its mode at the source shares. Each step raises `log_posterior`, which is concave,
    so the start does not matter. Without target rows the result is the source shares.

    Args:
        logits: (n, classes), calibrated under the source shares.
        source: (classes,), class shares of the source; positive, sum to 1.
        strength: number of rows that the source shares count as, > 0.

    Returns:
        Class shares of the target, (classes,), positive.
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
    """Return the class shares, (classes,), after one E step and one M step.

    Args:
        relative: (n, classes), log P(class | row) - log source.
        prior: (classes,), class shares before the step.
        source, strength: as for `estimate_target_prior`.
    """
    joint = relative + np.log(prior)
    mine = np.exp(joint - logsumexp(joint, axis=1, keepdims=True))  # (n, classes)
    step: Array = (mine.sum(axis=0) + strength * source) / (len(relative) + strength)
    return step


def log_posterior(relative: Array, prior: Array, source: Array, strength: float) -> float:
    """Return the objective that `em_step` raises: log-likelihood plus log density of the prior, without constant terms.

    Arguments are those of `em_step`.
    """
    return float(logsumexp(relative + np.log(prior), axis=1).sum() + strength * (source @ np.log(prior)))


def shift_evidence(logits: Array, folds: Labels, labels: Labels, source: Array) -> ShiftEvidence:
    """Measure the evidence of a label shift, in the direction of the shift that the target rows seem to have.

    The target's class shares are estimated on one half of the target rows. The score of a row is the
    log-likelihood ratio of these shares to the source shares (as in Lipton, Wang and Smola 2018, section 5). The
    mean score of the other half is compared with that of shots that the head has not seen. Without a shift, the
    head makes the same errors on both, so a weak head alone gives no evidence. If only the target rows were used,
    an error of the head would look like a shift.

    Args:
        logits: (folds, n + shots, classes), logits of the n target rows, then of the shots. The head of each
            fold has not seen that fold's shots.
        folds: (shots,) in 0..folds-1, fold in which each shot was held out.
        labels: (shots,).
        source: (classes,), class shares of the source; positive, sum to 1.

    Returns:
        The difference of the means and its standard error. Both are 0.0 with fewer than two target rows or
        two shots.
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
    # shots are drawn class by class, so only the spread within classes counts;
    # with one shot per class there is no such spread, so the spread of all shots is used
    spread = float(np.square(within).sum()) / freedom if freedom > 0 else float(on_shots.var(ddof=1))
    error = np.sqrt(on_target.var() / len(on_target) + spread / shots)
    return float(on_target.mean() - on_shots.mean()), float(error)
