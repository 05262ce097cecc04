"""Learning from the unlabelled pool: a teacher gives the pool soft labels, and a student learns from these labels.

The teacher smooths rows over their neighbours in the pool, and spreads labels from neighbour to neighbour. The
student is a linear head on the features without smoothing. It is fitted to the shots and the soft labels
(distillation, Hinton et al. 2015). A memory of the pool rows is added if held-out shots show that it helps.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.special import softmax

from fsat_tasks.numerics.evidence.held_out import HeldOut, best_of, judge, stratified_folds
from fsat_tasks.numerics.geometry.layers import mix_layers
from fsat_tasks.numerics.geometry.neighbours import affinity_graph, nearest, smooth, spread, unit_rows
from fsat_tasks.numerics.geometry.pool_directions import KEY_DIRECTIONS, STRENGTH, PoolDirections
from fsat_tasks.numerics.heads.frozen import Candidate, fit_setting
from fsat_tasks.numerics.heads.memory import Memory, TaughtHead
from fsat_tasks.numerics.heads.probe import LinearHead, fit_softmax
from fsat_tasks.numerics.types import Array, Features, Labels
from fsat_tasks.runtime.parallel import side_by_side

__all__ = ["FOLDS", "Heads", "PoolEvidence", "Teaching", "draw_pool", "fit_heads", "hold_out", "judge_shares", "prepare"]

POOL_ROWS = 10_000
"""Maximum number of pool rows, drawn with the seed. The time grows with the square of this number, and the
head's memory stores all these rows."""
PULL = 0.8
"""Pull of the teacher's label spreading; see `spread`."""
SOFT_WEIGHT = 4.0
"""Total weight of the pool in the student's fit, relative to that of the shots. A pool row never weighs more than a shot."""
STUDENT_RIDGE = 0.03
"""Penalty of the student's weights."""
TOLERANCE, TOLERANCE_OF_FOLDS = 0.03, 0.1
"""Newton decrements, divided by the square root of the total weight, at which the student's fit stops: the first for
the final fit, the second in `hold_out`. The first leaves the loss about 0.0005 nats per row above its minimum, the
second about 0.005."""
SHARES = (0.0, 0.25, 0.5, 1.0)
"""Weights of the memory to try, relative to the linear head."""
FOLDS = 4
"""Number of folds of the shots. One fold at a time is held out."""


@dataclass(frozen=True)
class Heads:
    """Heads from `fit_heads`, fitted without the shots that are left out. They take mix_layers(features, layers) and
    return calibrated logits."""

    probe: LinearHead
    """Head fitted on shots and class names only."""
    student: LinearHead
    """Linear head fitted on shots, class names and the soft labels of the pool."""
    memory: Memory
    """Memory of the pool rows, with a weight (`share`) of 1 relative to the linear head."""

    def taught(self, share: float) -> LinearHead | TaughtHead:
        """Return the student with the memory at this weight, or the student alone if the weight is 0."""
        memory = Memory(self.memory.basis, self.memory.keys, self.memory.labels, share)
        return TaughtHead(self.student, memory) if share else self.student


@dataclass(frozen=True)
class Teaching:
    """Shots, class names and pool in the principal directions, both plain and smoothed over the pool."""

    shots: Array  # (n, directions)
    names: Array  # (classes, directions)
    pool: Array  # (used, directions)
    smooth_shots: Array
    smooth_names: Array
    smooth_pool: Array
    keys: NDArray[np.float32]  # (used, KEY_DIRECTIONS or fewer), pool rows of unit length
    graph: sparse.csr_array  # (n + used, n + used), shots first
    basis: Array  # (layers * dim, directions), the strongest last
    labels: Labels  # (n,)
    setting: Candidate


@dataclass(frozen=True)
class PoolEvidence:
    """Predictions of the probe and the taught head for the shots. A shot is predicted by heads that have not seen its fold."""

    probe: HeldOut
    taught: HeldOut
    share: float
    """Weight of the memory at which the log-loss on the held-out shots is lowest."""
    soft_labels: list[Array]
    """Soft labels of the pool for each fold, (used, classes), from the teacher that has seen no shot of the fold."""


def draw_pool(rows: int, seed: int, most: int = POOL_ROWS) -> NDArray[np.int64]:
    """Draw the indices of at most `most` pool rows, ascending.

    Args:
        rows: number of rows in the pool.
        seed: seed of the draw.
        most: largest number of rows to draw.
    """
    return np.sort(np.random.default_rng(seed).choice(rows, min(rows, most), replace=False))


def prepare(shots: Features, labels: Labels, names: Features, pool: PoolDirections, setting: Candidate) -> Teaching:
    """Project all rows, smooth them and link neighbours. The result serves every fit, whichever shots the fit leaves out.

    Args:
        shots: (n, layers, dim).
        labels: (n,) in 0..classes-1.
        names: (classes, layers, dim), features of the class names.
        pool: the pool rows to use, at least one, with the setting's number of layers.
        setting: setting of the probe.
    """
    rows = mix_layers(np.concatenate([shots, names]), setting.layers) @ pool.basis  # (n + classes, directions)
    found = nearest(unit_rows(rows[:, -KEY_DIRECTIONS:]), pool.keys)
    smoothed = smooth(unit_rows(rows), unit_rows(pool.rows), found, STRENGTH)
    near, anchors = np.split(rows, [len(shots)])
    smooth_near, smooth_anchors = np.split(smoothed, [len(shots)])
    graph = affinity_graph(found.of(np.arange(len(shots))), pool.near)
    return Teaching(
        near, anchors, pool.rows, smooth_near, smooth_anchors, pool.smoothed, pool.keys, graph, pool.basis, labels, setting
    )


def fit_heads(teaching: Teaching, seen: NDArray[np.bool_], tolerance: float = TOLERANCE) -> Heads:
    """Fit probe, teacher, student and memory.

    Args:
        teaching: result of `prepare`.
        seen: (n,), whether a shot is seen. All other shots are left out, both their labels and their features.
        tolerance: Newton decrement at which the student's fit stops, as for TOLERANCE.
    """
    probe, student, memory = _fit(teaching, seen, tolerance)
    probe, student = (LinearHead(head.weight @ teaching.basis.T, head.bias) for head in (probe, student))
    return Heads(probe, student, Memory(teaching.basis @ memory.basis, memory.keys, memory.labels, memory.share))


def hold_out(teaching: Teaching) -> PoolEvidence:
    """Judge probe and taught head on shots that they have not seen.

    One fold of the shots at a time is left out completely, and probe, teacher and student are fitted again
    without it. If a shot were left out of the student's fit but not of the teacher's, the gain would be
    overstated, because the teacher would have carried that shot's label to the shot's neighbours.
    """
    labels, shape = teaching.labels, (len(teaching.labels), len(teaching.names))
    fold = stratified_folds(labels, FOLDS)
    before, linear, remembered = np.empty(shape), np.empty(shape), np.empty(shape)
    fits = side_by_side(lambda k: _fit(teaching, fold != k, TOLERANCE_OF_FOLDS), FOLDS)
    for k, (probe, student, memory) in enumerate(fits):
        hidden = fold == k
        rows = teaching.shots[hidden]
        before[hidden], linear[hidden], remembered[hidden] = probe.logits(rows), student.logits(rows), memory.logits(rows)
    best, taught = best_of(judge_shares(linear, remembered, labels), fold)
    return PoolEvidence(judge(before, labels), taught, SHARES[best], [memory.labels for _, _, memory in fits])


def judge_shares(linear: Array, remembered: Array, labels: Labels) -> list[HeldOut]:
    """Judge the student with the memory added, once for each weight of the memory in `SHARES`.

    Args:
        linear: (n, classes), held-out logits of the student.
        remembered: (n, classes), held-out logits of the memory.
        labels: (n,).
    """
    found = []
    for share in SHARES:
        # student and memory share much of their evidence, so their mean, not their sum, has the scale of log-probabilities
        mean = judge((linear + share * remembered) / (1.0 + share), labels)
        found.append(replace(mean, temperature=mean.temperature * (1.0 + share)))
    return found


def _fit(teaching: Teaching, seen: NDArray[np.bool_], tolerance: float) -> tuple[LinearHead, LinearHead, Memory]:
    """Fit probe, teacher, student and memory in the principal directions, and return all but the teacher."""
    setting, labels = teaching.setting, teaching.labels[seen]
    classes, used = len(teaching.names), len(teaching.pool)
    probe = fit_setting(teaching.shots[seen], labels, teaching.names, setting)
    smoothed = fit_setting(teaching.smooth_shots[seen], labels, teaching.smooth_names, setting)
    views = probe.logits(teaching.pool), smoothed.logits(teaching.smooth_pool)
    start = np.mean([softmax(logits, axis=1) for logits in views], axis=0)  # (used, classes)
    kept, hard = np.concatenate([seen, np.ones(used, bool)]), np.eye(classes)[labels]
    soft = spread(teaching.graph[kept][:, kept], np.vstack([hard, start]), PULL)[len(labels) :]

    rows = np.vstack([teaching.shots[seen], teaching.names, teaching.pool])
    targets = np.vstack([hard, np.eye(classes), soft])
    share = min(SOFT_WEIGHT * len(labels) / used, 1.0)
    weights = np.concatenate([np.ones(len(labels)), np.full(classes, setting.prior), np.full(used, share)])
    student = fit_softmax(rows, targets, weights, STUDENT_RIDGE, probe, tolerance * float(np.sqrt(weights.sum())))
    basis = np.eye(rows.shape[1])[:, -KEY_DIRECTIONS:]
    return probe, student, Memory(basis, teaching.keys, soft, 1.0)
