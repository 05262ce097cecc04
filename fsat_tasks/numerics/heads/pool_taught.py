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

from fsat_tasks.numerics.evidence.held_out import HeldOut, best_of
from fsat_tasks.numerics.geometry.layers import mix_layers
from fsat_tasks.numerics.geometry.neighbours import affinity_graph, nearest, smooth, unit_rows
from fsat_tasks.numerics.geometry.pool_directions import KEY_DIRECTIONS, STRENGTH, PoolDirections
from fsat_tasks.numerics.heads.answers import Setting, Teachable
from fsat_tasks.numerics.heads.memory import Memory, TaughtHead
from fsat_tasks.numerics.heads.probe import LinearHead
from fsat_tasks.numerics.types import Array, Features
from fsat_tasks.runtime.parallel import side_by_side

__all__ = ["FOLDS", "Heads", "PoolEvidence", "Teaching", "draw_pool", "fit_heads", "hold_out", "judge_shares", "prepare"]

POOL_ROWS = 10_000
"""Maximum number of pool rows, drawn with the seed. The time grows with the square of this number, and the
head's memory stores all these rows."""
TOLERANCE, TOLERANCE_OF_FOLDS = 0.03, 0.1
"""Newton decrements, divided by the square root of the total weight, at which the student's fit stops: the first for
the final fit, the second in `hold_out`. The first leaves the loss about 0.0005 nats per row above its minimum, the
second about 0.005."""
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
    answers: Teachable
    setting: Setting


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


def prepare(shots: Features, answers: Teachable, names: Features, pool: PoolDirections, setting: Setting) -> Teaching:
    """Project all rows, smooth them and link neighbours. The result serves every fit, whichever shots the fit leaves out.

    Args:
        shots: (n, layers, dim).
        answers: answers of the shots.
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
        near, anchors, pool.rows, smooth_near, smooth_anchors, pool.smoothed, pool.keys, graph, pool.basis, answers, setting
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
    answers, shape = teaching.answers, (len(teaching.answers), len(teaching.names))
    fold = answers.folds(FOLDS)
    before, linear, remembered = np.empty(shape), np.empty(shape), np.empty(shape)
    fits = side_by_side(lambda k: _fit(teaching, fold != k, TOLERANCE_OF_FOLDS), FOLDS)
    for k, (probe, student, memory) in enumerate(fits):
        hidden = fold == k
        rows = teaching.shots[hidden]
        before[hidden], linear[hidden], remembered[hidden] = probe.logits(rows), student.logits(rows), memory.logits(rows)
    best, taught = best_of(judge_shares(linear, remembered, answers), fold)
    return PoolEvidence(answers.judge(before), taught, answers.memory_shares[best], [memory.labels for _, _, memory in fits])


def judge_shares(linear: Array, remembered: Array, answers: Teachable) -> list[HeldOut]:
    """Judge the student with the memory added, once for each weight of the memory in `memory_shares`.

    Args:
        linear: (n, classes), held-out logits of the student.
        remembered: (n, classes), held-out logits of the memory.
        answers: answers of the shots.
    """
    found = []
    for share in answers.memory_shares:
        # student and memory share much of their evidence, so their mean, not their sum, has the scale of log-probabilities
        mean = answers.judge((linear + share * remembered) / (1.0 + share))
        found.append(replace(mean, temperature=mean.temperature * (1.0 + share)))
    return found


def _fit(teaching: Teaching, seen: NDArray[np.bool_], tolerance: float) -> tuple[LinearHead, LinearHead, Memory]:
    """Fit probe, teacher, student and memory in the principal directions, and return all but the teacher."""
    answers = teaching.answers.at(seen)
    classes, used = len(teaching.names), len(teaching.pool)
    probe = answers.fit(teaching.shots[seen], teaching.names, teaching.setting)
    soft = teaching.answers.teach(teaching, seen, probe.logits(teaching.pool))

    rows = np.vstack([teaching.shots[seen], teaching.names, teaching.pool])
    targets = np.vstack([answers.targets(), np.eye(classes), soft])
    share = min(answers.pool_weight * len(answers) / used, 1.0)
    weights = np.concatenate(
        [np.ones(len(answers)), np.full(classes, answers.anchor_weight(teaching.setting)), np.full(used, share)]
    )
    student = answers.fit_soft(rows, targets, weights, answers.student_ridge, probe, tolerance * float(np.sqrt(weights.sum())))
    basis = np.eye(rows.shape[1])[:, -KEY_DIRECTIONS:]
    return probe, student, Memory(basis, teaching.keys, soft, 1.0)
