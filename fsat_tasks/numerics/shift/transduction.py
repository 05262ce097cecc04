"""Transduction: each target row's prediction is moved towards those of similar target rows, if this helps on held-out shots.

The refinement starts from a head's calibrated predictions. It is safe because the penalty KL(refined || predicted)
keeps the refined predictions near those of the head. The entry point is `adapt_to_target`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.special import log_softmax, softmax

from fsat_tasks.numerics.geometry.neighbours import largest
from fsat_tasks.numerics.heads.answers import Answers, Setting
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
"""Number of neighbours of a row."""
SIMILARITY_SCALE = 0.1
"""A neighbour has the weight exp(similarity / SIMILARITY_SCALE)."""
BLOCK = 1024
"""Number of rows in a block. The similarities of one block to all rows are in memory at a time."""
FOLDS = 4
"""Number of folds of the shots. One fold at a time is held out."""
MAX_STEPS = 50
"""Maximum number of steps of `laplacian_shot`."""
TOLERANCE = 1e-4
"""Change at which `laplacian_shot` stops. The absolute changes of a row's probabilities in one step are summed over the
classes, and the mean of these sums over all rows is compared with this number."""
PULL = 1.0
"""Weight of the neighbours in `laplacian_shot`, in nats. With 2 instead of 1, tasks that gain from refinement gain more,
and tasks that lose by it lose more."""
SHIFT_ERRORS = 1.645
"""Number of standard errors above which evidence of a label shift is significant: a one-sided test at 5 %."""


@dataclass(frozen=True)
class Adaptation:
    """Adapted predictions for the target rows, and the reason for each decision."""

    probabilities: Array  # (n, classes)
    bias: Array  # (classes,), log(target / source), to be added to calibrated logits; zeros if no evidence of a shift was found
    refined: bool
    """True if the neighbours were used. If False, the probabilities are the head's, with the bias added to its logits."""
    reason: str
    """Text with the evidence on both questions: whether there is a label shift, and whether the neighbours help."""


def neighbour_links(rows: Array, among: Array, same: bool) -> sparse.csr_array:
    """Find the rows in `among` that are nearest to each row. Return their softmax weights, (n, m), at most NEIGHBOURS per row.

    The weights of a row sum to 1. Similarities are inner products, so rows should have unit length. Memory use
    grows with BLOCK * m.

    Args:
        rows: (n, dim).
        among: (m, dim).
        same: whether `rows` and `among` are the same rows. If so, no row is its own neighbour.
    """
    n, m = len(rows), len(among)
    count = min(NEIGHBOURS, m - same)
    if n == 0 or count < 1:
        return sparse.csr_array((n, m))
    near, weights = np.empty((n, count), np.int64), np.empty((n, count))
    single = among.astype(np.float32)  # single precision takes half the time; the order of near ties does not matter
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
    """Return the symmetric graph D^-1/2 (links + links.T) D^-1/2, (n, n), with eigenvalues in [-1, 1].

    A row without links stays without links in the graph.
    """
    both = links + links.T
    degree = np.asarray(both.sum(axis=1), np.float64).ravel()
    scale = sparse.diags_array(1.0 / np.sqrt(np.where(degree > 0, degree, 1.0)))
    return sparse.csr_array(scale @ both @ scale)


def laplacian_shot(graph: sparse.csr_array, logits: Array, pull: float) -> Array:
    """Refine predictions by LaplacianShot (Ziko et al. 2020, eq. 7), where each row is kept near the head's prediction p.

    In the paper, each row is kept near a prototype instead. This function minimises

        sum_i KL(z_i || p_i) - pull / 2 * sum_ij graph_ij z_i . z_j

    and updates all rows at once. A step lowers the linearised objective by at least ||step||^2. The error of the
    linearisation is at most pull / 2 * ||step||^2. So the objective never rises for pull <= 2.

    Args:
        graph: (n, n), result of `affinities`.
        logits: (n, classes), calibrated.
        pull: weight of the neighbours, in 0..2.

    Returns:
        Refined probabilities z, (n, classes).
    """
    z: Array = softmax(logits, axis=1)
    for _ in range(MAX_STEPS):
        following = softmax(logits + pull * (graph @ z), axis=1)
        moved = float(np.abs(following - z).sum())
        z = following
        if moved <= TOLERANCE * len(z):
            break
    return z


def hidden_shot_logits(features: Array, shots: Array, answers: Answers, names: Array, setting: Setting) -> tuple[Array, Labels]:
    """Fit one head for each fold of the shots, without that fold, and return each head's logits for target rows and shots.

    Leave-one-out logits of the shots cannot be used here, because `adapt_to_target` moves a shot's prediction towards
    those of its neighbours. With leave-one-out, the predictions for these neighbours would come from a head that had
    learnt from the shot, so they would reveal the shot's label.

    Args:
        features: (n, dim), features of the target rows.
        shots: (m, dim), features of the shots.
        answers: answers of the shots.
        names: (classes, dim), features of the class names.
        setting: setting of the head.

    Returns:
        Calibrated logits of the target rows, then of the shots, (folds, n + m, classes); and the fold in which
        each shot was held out, (m,). Each class is spread over the folds.
    """
    folds = answers.folds(FOLDS)
    rows = np.vstack([features, shots])
    heads = (answers.at(folds != fold).fit(shots[folds != fold], names, setting) for fold in range(FOLDS))
    return np.stack([head.logits(rows) for head in heads]), folds


def adapt_to_target(features: Array, logits: Array, shots: Array, labels: Labels, hidden: Array, folds: Labels) -> Adaptation:
    """Adapt predictions to the target's class shares and to neighbouring rows, each only if there is evidence for it.

    The bias is set to log(target share / source share) of each class if there is significant evidence of a label shift. The
    neighbours (`laplacian_shot`) are used if they improve the log-loss of held-out shots by more than one standard
    error and do not lower the accuracy on these shots. For this test of the neighbours, the predictions for each fold
    of the shots are refined together with those for the target rows. Both the fold's and the target rows' predictions come
    from a head that has seen none of the fold's labels. In the test, a shot has the weight (target share / source share)
    of its class, because the shots are balanced and the target may not be.

    Args:
        features: (n, dim), features of the target rows, of unit length.
        logits: (n, classes), calibrated logits of the head to adapt.
        shots: (m, dim), features of the shots, of unit length.
        labels: (m,).
        hidden: (folds, n + m, classes), logits from `hidden_shot_logits`.
        folds: (m,), folds from `hidden_shot_logits`.
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
    """Refine the shots' predictions fold by fold, together with those for the target rows.

    Returns:
        The shots' refined log-probabilities, (m, classes).
    """
    n = len(features)
    refined = np.empty((len(shots), logits.shape[2]))
    for fold in np.unique(folds):
        mine = np.flatnonzero(folds == fold)
        # Links from target rows to shots are left out. So the links from shots to target rows get twice the weight,
        # which is the weight that links in both directions would have together.
        to_rows = 2.0 * neighbour_links(shots[mine], features, same=False)
        graph = affinities(sparse.csr_array(sparse.block_array([[links, None], [to_rows, sparse.csr_array((len(mine),) * 2)]])))
        z = laplacian_shot(graph, logits[fold, np.concatenate([np.arange(n), n + mine])], PULL)
        refined[mine] = np.log(np.maximum(z[n:], np.finfo(np.float64).tiny))
    return refined


def _paired(before: Array, after: Array, labels: Labels, weights: Array) -> tuple[float, float, float]:
    """Compare log-probabilities before and after a change, (m, classes) each, with a weight for each shot.

    Returns:
        The weighted mean gain in log-likelihood, its standard error (infinite below two shots), and the gain
        in accuracy.
    """
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
