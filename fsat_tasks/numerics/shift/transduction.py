"""Unlabelled target rows that help to label each other, and the gate that says whether they may.

The refiner starts from a head's calibrated prediction and is held to it by KL(refined || predicted), which is what keeps it
safe. `adapt_to_target` is what the product calls.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.special import log_softmax, softmax

from fsat_tasks.numerics.evidence.held_out import stratified_folds
from fsat_tasks.numerics.geometry.neighbours import largest
from fsat_tasks.numerics.heads.frozen import Candidate, fit_setting
from fsat_tasks.numerics.shift.label_shift import estimate_target_prior, shift_evidence, shift_strength, shots_prior
from fsat_tasks.numerics.types import Array, Labels

__all__ = [
    "Adaptation",
    "adapt_to_target",
    "affinities",
    "hidden_shot_logits",
    "laplacian_shot",
    "neighbour_links",
]


NEIGHBOURS = 10
SIMILARITY_SCALE = 0.1
"""Neighbours weigh exp(similarity / this)."""
BLOCK = 1024
"""Rows whose similarities to all others are held at a time."""
FOLDS = 4
MAX_STEPS = 50
TOLERANCE = 1e-4
"""The mean over the rows of the last step's changes below which the assignments stand."""
PULL = 1.0
"""Of `laplacian_shot`, for a row whose neighbours agree, in nats. At 2 it gains more where it helps and loses more where not."""
SHIFT_ERRORS = 1.645
"""Standard errors above zero that the evidence of a label shift must lie: a one-sided test at 5 %."""


@dataclass(frozen=True)
class Adaptation:
    """What came of the target rows, and why."""

    probabilities: Array  # (n, classes)
    bias: Array  # (classes,) log(target / source), to be added to the calibrated logits; zeros where no shift is accepted
    refined: bool
    """Whether the neighbours count; if not, the probabilities are the head's own, with the bias."""
    reason: str


def neighbour_links(rows: Array, among: Array, same: bool) -> sparse.csr_array:
    """Softmax weights of each row to its nearest rows `among`, (n, m); sums to 1 a row, NEIGHBOURS or m entries each.

    Similarities are inner products, so rows should be of unit length. Memory is BLOCK * m.

    Args:
        rows: (n, dim).
        among: (m, dim).
        same: whether both are the same rows, so that no row is its own neighbour.
    """
    n, m = len(rows), len(among)
    count = min(NEIGHBOURS, m - same)
    if n == 0 or count < 1:
        return sparse.csr_array((n, m))
    near, weights = np.empty((n, count), np.int64), np.empty((n, count))
    single = among.astype(np.float32)  # half the time; the order of near ties does not matter
    for start in range(0, n, BLOCK):
        similarity = rows[start : start + BLOCK].astype(np.float32) @ single.T  # (block, m)
        own = np.arange(len(similarity))
        if same:
            similarity[own, start + own] = -np.inf
        best = largest(similarity, count)  # (block, count)
        near[start : start + BLOCK] = best
        weights[start : start + BLOCK] = softmax(similarity[own[:, None], best].astype(np.float64) / SIMILARITY_SCALE, axis=1)
    return sparse.csr_array((weights.ravel(), (np.repeat(np.arange(n), count), near.ravel())), shape=(n, m))


def affinities(links: sparse.csr_array) -> sparse.csr_array:
    """D^-1/2 (links + links.T) D^-1/2, (n, n): symmetric, with eigenvalues in [-1, 1]; a row without links stays alone."""
    both = links + links.T
    degree = np.asarray(both.sum(axis=1), np.float64).ravel()
    scale = sparse.diags_array(1.0 / np.sqrt(np.where(degree > 0, degree, 1.0)))
    return sparse.csr_array(scale @ both @ scale)


def laplacian_shot(graph: sparse.csr_array, logits: Array, pull: float) -> Array:
    """LaplacianShot (Ziko et al. 2020, eq. 7) with the head's prediction p in place of the distance to prototypes.

    Minimises sum_i KL(z_i || p_i) - pull / 2 * sum_ij graph_ij z_i . z_j. All rows move at once: a step lowers the
    linearised objective by ||step||^2 or more, and what it leaves out is pull / 2 * ||step||^2 at most, so the objective
    never rises for pull <= 2.

    Args:
        graph: (n, n), of `affinities`.
        logits: (n, classes), calibrated.
        pull: 0..2.

    Returns:
        (n, classes).
    """
    z: Array = softmax(logits, axis=1)
    for _ in range(MAX_STEPS):
        following = softmax(logits + pull * (graph @ z), axis=1)
        moved = float(np.abs(following - z).sum())
        z = following
        if moved <= TOLERANCE * len(z):
            break
    return z


def hidden_shot_logits(features: Array, shots: Array, labels: Labels, names: Array, setting: Candidate) -> tuple[Array, Labels]:
    """Refits of the head without one fold of the shots each: what the target rows look like to one that has not seen these.

    The leave-one-out logits of the shots do not serve here: the head that predicts a hidden shot's neighbours has learnt
    from that shot, and they would give its label away.

    Args:
        features: (n, dim), target rows.
        shots: (m, dim).
        labels: (m,).
        names: (classes, dim).
        setting: what `fit_frozen_head` chose.

    Returns:
        Calibrated logits of the target rows and then the shots, (folds, n + m, classes), and the fold in which each
        shot was hidden, (m,); each class is spread over the folds.
    """
    folds = stratified_folds(labels, FOLDS)
    rows = np.vstack([features, shots])
    heads = (fit_setting(shots[folds != fold], labels[folds != fold], names, setting) for fold in range(FOLDS))
    return np.stack([head.logits(rows) for head in heads]), folds


def adapt_to_target(features: Array, logits: Array, shots: Array, labels: Labels, hidden: Array, folds: Labels) -> Adaptation:
    """The target rows' class probabilities, adapted to their class shares and their neighbours where that is shown to help.

    The class shares are taken over on evidence of a label shift. The neighbours (`laplacian_shot`) are
    heard only where that makes the hidden shots' log-loss better by more than one standard error, and their
    accuracy no worse, in batches of the target rows and one fold of the shots, as seen by a head that knows no label
    of the fold. There, a shot weighs as its class does in the target: shots are balanced and the target need not be.

    Args:
        features: (n, dim), of unit length.
        logits: (n, classes), calibrated, by the head that is to be adapted.
        shots: (m, dim), of unit length.
        labels: (m,).
        hidden: (folds, n + m, classes), of `hidden_shot_logits`.
        folds: (m,).
    """
    n, classes = logits.shape
    source = shots_prior(labels, classes)
    evidence, error = shift_evidence(hidden, folds, labels, source)
    shifted = evidence > SHIFT_ERRORS * error
    prior = estimate_target_prior(logits, source, shift_strength(n, len(labels), classes)) if shifted else source
    bias = np.log(prior / source)
    reason = f"label shift {'accepted' if shifted else 'refused'}: {evidence:.3f} nats a row, standard error {error:.3f}"
    links = neighbour_links(features, features, same=True)
    weights = (prior / source)[labels]  # (m,)
    before = log_softmax(hidden[folds, n + np.arange(len(labels))] + bias, axis=1)  # (m, classes)
    after = _refined_shots(features, links, shots, hidden + bias, folds)
    gain, error, right = _paired(before, after, labels, weights)
    refined = gain > error and right >= 0.0
    reason += f"; neighbours {'accepted' if refined else 'refused'}: hidden shots' log-loss {-gain:+.3f} nats, "
    reason += f"standard error {error:.3f}, accuracy {right:+.3f}"
    probabilities = laplacian_shot(affinities(links), logits + bias, PULL) if refined else softmax(logits + bias, axis=1)
    return Adaptation(probabilities, bias, refined, reason)


def _refined_shots(features: Array, links: sparse.csr_array, shots: Array, logits: Array, folds: Labels) -> Array:
    """Log-probabilities of the shots, (m, classes), each fold refined among the target rows."""
    n = len(features)
    refined = np.empty((len(shots), logits.shape[2]))
    for fold in np.unique(folds):
        mine = np.flatnonzero(folds == fold)
        # a shot links to rows and they not to it: counted twice, the links weigh as if they were mutual
        to_rows = 2.0 * neighbour_links(shots[mine], features, same=False)
        graph = affinities(sparse.csr_array(sparse.block_array([[links, None], [to_rows, sparse.csr_array((len(mine),) * 2)]])))
        z = laplacian_shot(graph, logits[fold, np.concatenate([np.arange(n), n + mine])], PULL)
        refined[mine] = np.log(np.maximum(z[n:], np.finfo(np.float64).tiny))
    return refined


def _paired(before: Array, after: Array, labels: Labels, weights: Array) -> tuple[float, float, float]:
    """Weighted mean gain in log-likelihood, its standard error (infinite below two shots), and gain in accuracy."""
    if len(labels) < 2:
        return 0.0, np.inf, 0.0
    at = np.arange(len(labels))
    shares = weights / weights.sum()
    gains = after[at, labels] - before[at, labels]
    gain = float(shares @ gains)
    right = (after.argmax(axis=1) == labels).astype(np.float64) - (before.argmax(axis=1) == labels)
    squares = np.square(shares)
    error = np.sqrt(squares @ np.square(gains - gain) / max(1.0 - float(squares.sum()), np.finfo(np.float64).eps))
    return gain, float(error), float(shares @ right)
