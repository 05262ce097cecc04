"""Learn from the unlabelled pool: a teacher labels it softly, a linear student learns from it.

The teacher needs the pool beside it: it smooths rows over their neighbours there and spreads labels along them. The
student is a plain linear head on the features as they are, so what is exported knows no pool. (Soft labels by
distillation: Hinton et al. 2015. Teacher: `smooth` and `spread`.)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import linalg, sparse
from scipy.special import softmax

from fsat_tasks.numerics.evidence import Comparison, HeldOut, compare, judge, stratified_folds
from fsat_tasks.numerics.frozen_head import Candidate, Features, fit_setting, mix_layers
from fsat_tasks.numerics.neighbours import affinity_graph, is_copy, smooth, spread
from fsat_tasks.numerics.probe import Array, Labels, LinearHead, fit_softmax

__all__ = ["FOLDS", "Heads", "PoolEvidence", "Teaching", "draw_pool", "fit_heads", "hold_out", "prepare"]

POOL_ROWS = 4096
"""Pool rows that are used, drawn with the seed: time grows with their square."""
DIRECTIONS = 384
"""Principal directions of shots, names and pool that all fits run in."""
STRENGTH = 0.5
"""Of the teacher's smoothing, over one hop."""
PULL = 0.8
"""Of the teacher's label spreading."""
SOFT_WEIGHT = 4.0
"""What the pool weighs in the student's fit, as a multiple of the shots; no pool row weighs more than a shot."""
STUDENT_RIDGE = 0.03
TOLERANCE, TOLERANCE_OF_FOLDS = 0.03, 0.1
"""Newton decrements to stop a fit at, times the root of all weights: about 0.0005 and 0.005 nats a row from the least."""
FOLDS = 4


@dataclass(frozen=True)
class Heads:
    """What is fitted on the shots that are seen; heads take mix_layers(features, layers), and give calibrated logits."""

    probe: LinearHead
    """Of the shots and the names alone."""
    student: LinearHead
    soft_labels: Array  # (used, classes), the teacher's


@dataclass(frozen=True)
class Teaching:
    """Shots, names and pool in the principal directions, as they are and smoothed over the pool."""

    shots: Array  # (n, directions)
    names: Array  # (classes, directions)
    pool: Array  # (used, directions)
    smooth_shots: Array
    smooth_names: Array
    smooth_pool: Array
    graph: sparse.csr_array  # (n + used, n + used), shots first
    basis: Array  # (layers * dim, directions)
    labels: Labels  # (n,)
    setting: Candidate


@dataclass(frozen=True)
class PoolEvidence:
    """Probe and student on the shots, each hidden from both with all of its fold."""

    probe: HeldOut
    student: HeldOut

    @property
    def comparison(self) -> Comparison:
        return compare(self.student, self.probe)


def draw_pool(features: Features, shots: Features, layers: int, seed: int) -> NDArray[np.int64]:
    """Numbers of at most POOL_ROWS pool rows, ascending, without copies of a shot.

    Args:
        features: (m, layers, dim) of the pool, m of any size, 0 too.
        shots: (n, layers, dim).
        layers: the last so many decide what a copy is.
    """
    drawn = np.sort(np.random.default_rng(seed).choice(len(features), min(len(features), POOL_ROWS), replace=False))
    if len(drawn) == 0:
        return np.empty(0, np.int64)
    used: NDArray[np.int64] = drawn[~is_copy(mix_layers(features[drawn], layers), mix_layers(shots, layers))].astype(np.int64)
    return used


def prepare(shots: Features, labels: Labels, names: Features, pool: Features, setting: Candidate) -> Teaching:
    """Smooth the rows and link them: what does not depend on which shots are seen.

    Args:
        shots: (n, layers, dim).
        labels: (n,) in 0..classes-1.
        names: (classes, layers, dim), the class names' features.
        pool: (used, layers, dim), used > 0.
        setting: the layers, prior and ridge of the probe.
    """
    mixed = mix_layers(np.concatenate([shots, names, pool]), setting.layers)  # (n + classes + used, layers * dim)
    basis = _principal_directions(mixed)
    near, anchors, rows = np.split(mixed @ basis, [len(shots), len(shots) + len(names)])
    base = _unit(rows)
    smoothed, smooth_pool = smooth(_unit(np.vstack([near, anchors])), base, STRENGTH)
    smooth_shots, smooth_names = np.split(smoothed, [len(shots)])
    graph = affinity_graph(np.vstack([_unit(near), base]))
    return Teaching(near, anchors, rows, smooth_shots, smooth_names, smooth_pool, graph, basis, labels, setting)


def fit_heads(teaching: Teaching, seen: NDArray[np.bool_], tolerance: float = TOLERANCE) -> Heads:
    """Probe, teacher and student by the shots that are seen, (n,); the others play no part, not even as pool rows."""
    probe, student, soft = _fit(teaching, seen, tolerance)
    back = [LinearHead(head.weight @ teaching.basis.T, head.bias) for head in (probe, student)]
    return Heads(back[0], back[1], soft)


def hold_out(teaching: Teaching) -> PoolEvidence:
    """Evidence on shots that both heads do not know.

    One fold of the shots at a time is taken out altogether, and probe, teacher and student are made anew without it.
    Leave-one-out on smoothed rows would overstate the gain: neighbours carry a shot's label to the next shot.
    """
    labels = teaching.labels
    fold = stratified_folds(labels, FOLDS)
    before, after = np.empty((len(labels), len(teaching.names))), np.empty((len(labels), len(teaching.names)))
    for k in range(FOLDS):
        hidden = fold == k
        probe, student, _ = _fit(teaching, ~hidden, TOLERANCE_OF_FOLDS)
        before[hidden], after[hidden] = probe.logits(teaching.shots[hidden]), student.logits(teaching.shots[hidden])
    return PoolEvidence(judge(before, labels), judge(after, labels))


def _fit(teaching: Teaching, seen: NDArray[np.bool_], tolerance: float) -> tuple[LinearHead, LinearHead, Array]:
    """Probe, student and soft labels (used, classes), in the principal directions."""
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
    return probe, fit_softmax(rows, targets, weights, STUDENT_RIDGE, probe, tolerance * float(np.sqrt(weights.sum()))), soft


def _principal_directions(rows: Array) -> Array:
    """(dim, directions): orthonormal, the strongest DIRECTIONS of the rows."""
    dim = rows.shape[1]
    directions: Array = linalg.eigh(rows.T @ rows, subset_by_index=(max(dim - DIRECTIONS, 0), dim - 1))[1]
    return directions


def _unit(rows: Array) -> Array:
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    unit: Array = rows / np.where(norms > 0, norms, 1.0)
    return unit
