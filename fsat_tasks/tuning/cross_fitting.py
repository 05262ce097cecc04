"""The ladder's upper rung: a body tuned without each fold of the samples gives the evidence, and their mean is the result.

So the time that evidence costs is not spent twice. The mean of weights tuned from one start lies in the same basin, and is as
good as a body tuned on all samples ("model soups", Wortsman et al. 2022; measured in docs/method.md). How much of the way from
the pretrained weights to go, and which layers to read, is told by the samples left out (WiSE-FT, Wortsman et al. 2022b).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from fsat_tasks.errors import DivergedError
from fsat_tasks.numerics.evidence.held_out import HeldOut, stratified_folds
from fsat_tasks.numerics.heads.folds import FoldHead, FoldView, best_fold_head, depths, probe_folds, teach_folds
from fsat_tasks.numerics.heads.frozen import Candidate
from fsat_tasks.numerics.heads.pool_taught import FOLDS
from fsat_tasks.numerics.heads.prototypes import class_sums
from fsat_tasks.numerics.types import Array, Features
from fsat_tasks.runtime.parallel import side_by_side
from fsat_tasks.runtime.progress import progress
from fsat_tasks.tuning.material import Material, Rows
from fsat_tasks.tuning.workers import BodyJob, tune_bodies

if TYPE_CHECKING:
    from fsat_tasks.tuning.fine_tuning import BodySettings, TokenRows, Weights

__all__ = ["CrossFit", "FoldPool", "TunedHead", "cross_fit", "probe_on_folds"]


SHARE_OF_SHOTS = 0.25
"""The shots are repeated until they are about so large a share of the pool."""
DISTANCES = (1.0, 0.5)
"""From the pretrained weights, as a share of the way to the tuned ones."""


@dataclass(frozen=True)
class FoldPool:
    """The pool rows that one fold's body sees, and what the best teacher that knew no shot of the fold says of them."""

    rows: NDArray[np.int64]  # (m,) numbers of pool rows
    soft_labels: Array | None  # (m, classes); None before there is a teacher


@dataclass(frozen=True)
class TunedHead:
    """A head on the mean body's features, and what its fold bodies' evidence is."""

    fold_head: FoldHead
    unseen: Array  # (n, 2) `scope.unseen_views` of the samples by the bodies that had not seen them

    @property
    def held_out(self) -> HeldOut:
        return self.fold_head.held_out


@dataclass(frozen=True)
class CrossFit:
    """Bodies tuned fold by fold, and their mean; with the evidence of heads on the tuned features."""

    weights: Weights
    """Of the mean body, as the next three."""
    shots: Features  # (n, layers, dim)
    names: Features
    pool: Features
    probe: TunedHead
    taught: TunedHead | None
    """By the pool; None without one."""
    pools: list[FoldPool]
    """Of each fold, with the soft labels of the tuned bodies' teachers; empty without a pool."""
    orthogonality_error: float


def cross_fit(
    material: Material,
    setting: Candidate,
    settings: BodySettings,
    pools: Sequence[FoldPool],
    lesson: int,
    seed: int,
    device: Literal["cpu", "cuda"],
    checkpoints: Path | None,
) -> CrossFit:
    """Tune a body without each fold, judge it on that fold, and take the mean of all.

    Args:
        setting: of the heads that are fitted on the tuned features.
        pools: of each fold; empty without a pool.
        lesson: how many of these rows, the first ones, take part in the tuning with their soft labels.
        checkpoints: a folder where each fold's body is kept once it is tuned, and found by a run that follows a killed one.

    Raises:
        DivergedError: where a body's features are no numbers any more.
    """
    from fsat_tasks.tuning.fine_tuning import (
        average_weights,
        encode_rows,
        load_body,
        one_thread_each,
        tuned_weights,
        weights_between,
    )

    labels = material.labels
    fold = stratified_folds(labels, FOLDS)
    jobs = []
    for k in range(FOLDS):
        rows, targets = _training_rows(material, fold != k, pools[k] if lesson else None, lesson)
        jobs.append(BodyJob(material.source, rows, targets, _class_vectors(material, fold != k), settings, seed + k, device))
    with progress("tune the body", settings.epochs * sum(len(job.rows) for job in jobs)) as report:
        tuned = tune_bodies(jobs, checkpoints, report)
    pretrained = tuned_weights(load_body(material.source, "cpu"))

    def encode(distance: float, parts: list[list[Rows]]) -> list[list[Features]]:
        """The parts of each fold by its own body, that far from the pretrained one."""
        bodies = [load_body(material.source, device, weights_between(pretrained, weights, distance)) for weights, _ in tuned]
        with one_thread_each():
            return side_by_side(lambda k: [encode_rows(bodies[k], part.tokens, exact=False) for part in parts[k]], FOLDS)

    empty = material.pool.features[:0]
    own = [[material.shots, material.names]] * FOLDS
    views = {d: [FoldView(shots, names, empty) for shots, names in encode(d, own)] for d in DISTANCES}
    if not all(np.isfinite(part).all() for folds in views.values() for view in folds for part in (view.shots, view.names)):
        raise DivergedError("the body diverged: its features are no numbers any more")
    settings_tried = depths(setting, material.shots.features.shape[1])
    tried = [(d, probe_folds(views[d], labels, at)) for d in DISTANCES for at in settings_tried]
    best, probe = best_fold_head([head for _, head in tried], labels)
    distance = tried[best][0]
    seen = views[distance]
    taught = None
    if pools:
        parts = encode(distance, [[material.pool.at(pool.rows)] for pool in pools])
        seen = [replace(view, pool=part) for view, (part,) in zip(seen, parts, strict=True)]
        _, taught = best_fold_head([head for at in settings_tried for head in teach_folds(seen, labels, at)], labels)
        pools = [replace(pool, soft_labels=soft) for pool, soft in zip(pools, taught.soft_labels, strict=True)]
    mean = weights_between(pretrained, average_weights([weights for weights, _ in tuned]), distance)
    body = load_body(material.source, device, mean)
    pool_rows = material.pool.tokens if pools else []
    shots, names, pool = (encode_rows(body, tokens) for tokens in (material.shots.tokens, material.names.tokens, pool_rows))
    return CrossFit(
        mean,
        shots,
        names,
        pool,
        TunedHead(probe, probe.unseen(seen, labels)),
        None if taught is None else TunedHead(taught, taught.unseen(seen, labels)),
        list(pools),
        max(error for _, error in tuned),
    )


def _training_rows(material: Material, seen: NDArray[np.bool_], pool: FoldPool | None, lesson: int) -> tuple[TokenRows, Features]:
    """Token ids and targets (rows, classes): the shots that are seen, and the first `lesson` pool rows if there is a pool."""
    hard = np.eye(len(material.names), dtype=np.float32)[material.labels[seen]]
    shots = material.shots.at(np.flatnonzero(seen)).tokens
    if pool is None:
        return shots, hard
    assert pool.soft_labels is not None
    repeats = max(round(lesson * SHARE_OF_SHOTS / len(shots)), 1)
    taught = material.pool.at(pool.rows[:lesson]).tokens
    return [*list(shots) * repeats, *taught], np.vstack([hard] * repeats + [pool.soft_labels[:lesson].astype(np.float32)])


def _class_vectors(material: Material, seen: NDArray[np.bool_]) -> NDArray[np.float32]:
    """(classes, dim): where the tuned body's class vectors start, the sums of name and samples on the last layer."""
    shots, names = material.shots.features[seen, -1].astype(np.float64), material.names.features[:, -1].astype(np.float64)
    return class_sums(shots, material.labels[seen], names, 1.0).astype(np.float32)


def probe_on_folds(material: Material, setting: Candidate) -> HeldOut:
    """The probe on the pretrained encoder's features, by the folds that judge bodies."""
    view = FoldView(material.shots.features, material.names.features, material.pool.features)
    return probe_folds([view] * FOLDS, material.labels, setting).held_out
