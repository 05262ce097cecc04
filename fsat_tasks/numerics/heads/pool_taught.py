"""Learn from the unlabelled pool: a teacher labels it softly, and a linear head and a memory of pool rows learn from it.

The teacher smooths rows over their neighbours in the pool and spreads labels along them. The student is a linear head on the
features as they are, fitted to shots and soft labels (distillation, Hinton et al. 2015), and, where left-out shots say that
it helps, a memory of the pool rows beside it.
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
"""Pool rows that are used, drawn with the seed: time grows with their square, and the memory is as large as they are."""
PULL = 0.8
"""Of the teacher's label spreading."""
SOFT_WEIGHT = 4.0
"""What the pool weighs in the student's fit, as a multiple of the shots; no pool row weighs more than a shot."""
STUDENT_RIDGE = 0.03
TOLERANCE, TOLERANCE_OF_FOLDS = 0.03, 0.1
"""Newton decrements to stop a fit at, times the root of all weights: about 0.0005 and 0.005 nats a row from the least."""
SHARES = (0.0, 0.25, 0.5, 1.0)
"""What the memory may count for beside the linear head."""
FOLDS = 4


@dataclass(frozen=True)
class Heads:
    """What is fitted on the shots that are seen; heads take mix_layers(features, layers), and give calibrated logits."""

    probe: LinearHead
    """Of the shots and the names alone."""
    student: LinearHead
    memory: Memory
    """With a share of 1."""

    def taught(self, share: float) -> LinearHead | TaughtHead:
        """Student and memory together."""
        memory = Memory(self.memory.basis, self.memory.keys, self.memory.labels, share)
        return TaughtHead(self.student, memory) if share else self.student


@dataclass(frozen=True)
class Teaching:
    """Shots, names and pool in the principal directions, as they are and smoothed over the pool."""

    shots: Array  # (n, directions)
    names: Array  # (classes, directions)
    pool: Array  # (used, directions)
    smooth_shots: Array
    smooth_names: Array
    smooth_pool: Array
    keys: NDArray[np.float32]  # (used, the strongest directions), of the pool, of unit length
    graph: sparse.csr_array  # (n + used, n + used), shots first
    basis: Array  # (layers * dim, directions), the strongest last
    labels: Labels  # (n,)
    setting: Candidate


@dataclass(frozen=True)
class PoolEvidence:
    """Probe and taught head on the shots, each hidden from both with all of its fold."""

    probe: HeldOut
    taught: HeldOut
    share: float
    """Of the memory, by the log-loss of the hidden shots."""
    soft_labels: list[Array]
    """Of each fold, (used, classes): the teacher's that knew no shot of the fold."""


def draw_pool(rows: int, seed: int, most: int = POOL_ROWS) -> NDArray[np.int64]:
    """Draw at most so many of the rows; their numbers, ascending."""
    return np.sort(np.random.default_rng(seed).choice(rows, min(rows, most), replace=False))


def prepare(shots: Features, labels: Labels, names: Features, pool: PoolDirections, setting: Candidate) -> Teaching:
    """Smooth the rows and link them: what does not depend on which shots are seen.

    Args:
        shots: (n, layers, dim).
        labels: (n,) in 0..classes-1.
        names: (classes, layers, dim), the class names' features.
        pool: of used rows, used > 0, on the setting's layers.
        setting: the layers, prior and ridge of the probe.
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
    """Probe, teacher and student by the shots that are seen, (n,); labels of the others play no part, nor they as pool rows."""
    probe, student, memory = _fit(teaching, seen, tolerance)
    probe, student = (LinearHead(head.weight @ teaching.basis.T, head.bias) for head in (probe, student))
    return Heads(probe, student, Memory(teaching.basis @ memory.basis, memory.keys, memory.labels, memory.share))


def hold_out(teaching: Teaching) -> PoolEvidence:
    """Evidence on shots that the heads do not know.

    One fold of the shots at a time is taken out altogether, and probe, teacher and student are made anew without it.
    Leave-one-out on smoothed rows would overstate the gain: neighbours carry a shot's label to the next shot.
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
    """Student and memory together at each of SHARES, by their held-out logits, (n, classes) each."""
    found = []
    for share in SHARES:
        # both repeat much of the same evidence: their mean, not their sum, has the scale of log-probabilities
        mean = judge((linear + share * remembered) / (1.0 + share), labels)
        found.append(replace(mean, temperature=mean.temperature * (1.0 + share)))
    return found


def _fit(teaching: Teaching, seen: NDArray[np.bool_], tolerance: float) -> tuple[LinearHead, LinearHead, Memory]:
    """Probe, student and memory, in the principal directions."""
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
