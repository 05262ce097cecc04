"""Encoders fine-tuned fold by fold: each without a fold of the samples, which gives the evidence; their mean is the result.

So the time that evidence costs is not spent twice. The mean of weights tuned from one start lies in the same basin, and is as
good as an encoder tuned on all samples ("model soups", Wortsman et al. 2022; measured in docs/method.md). The samples left out
tell how much of the way from the pretrained weights to go, and which layers to read (WiSE-FT, Wortsman et al. 2022b).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
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
from fsat_tasks.tuning.jobs import FineTuningSettings, TokenRows, TrainingRows, TuningJob
from fsat_tasks.tuning.material import Material
from fsat_tasks.tuning.task_pool import TaskPool
from fsat_tasks.tuning.workers import tune_encoders

if TYPE_CHECKING:
    from fsat_tasks.tuning.fine_tuning import Weights

    TuneEncoders = Callable[[Sequence[TuningJob], Path | None, Callable[[int], None]], list[tuple[Weights, float]]]
    """The jobs, the folder of checkpoints and the progress -> each job's weights and orthogonality error."""

__all__ = ["CrossFit", "CrossFitJob", "SoftRows", "TunedHead", "cross_fit", "probe_on_folds"]


SHARE_OF_SHOTS = 0.25
"""The shots are repeated until they are about so large a share of the pool rows."""
DISTANCES = (1.0, 0.5)
"""Distances from the pretrained weights that are tried, as a share of the way to the tuned ones."""


@dataclass(frozen=True)
class SoftRows:
    """Pool rows that one fold's encoder is fine-tuned on, beside the shots."""

    tokens: TokenRows  # m rows
    soft_labels: NDArray[np.float32]  # (m, classes), by a teacher that knew no shot of the fold


@dataclass(frozen=True, kw_only=True)
class CrossFitJob:
    """What is fine-tuned fold by fold, and how."""

    material: Material
    setting: Candidate
    """Setting of the heads that are fitted on the tuned features."""
    tuning: FineTuningSettings
    seed: int
    device: Literal["cpu", "cuda"] = "cpu"
    checkpoints: Path | None = None
    """A folder where each fold's encoder is kept once it is tuned, and found by a run that follows a killed one."""
    pool: TaskPool | None = None
    """Pool rows that teach a head on the tuned features; None for the probe alone."""
    soft_rows: Sequence[SoftRows] = ()
    """Pool rows that take part in the tuning, for each fold; empty if the shots alone do."""


@dataclass(frozen=True)
class TunedHead:
    """A head on the mean encoder's features; its evidence is by the folds' encoders."""

    fold_head: FoldHead
    unseen: Array  # (n, 2) `scope.unseen_views` of the samples by the encoders that had not seen them

    @property
    def held_out(self) -> HeldOut:
        return self.fold_head.held_out


@dataclass(frozen=True, kw_only=True)
class CrossFit:
    """The mean of encoders that were fine-tuned fold by fold, with the evidence of heads on its features."""

    weights: Weights
    shots: Features  # (n, layers, dim), by the mean encoder
    anchors: Features  # (classes, layers, dim)
    pool: Features  # (m, layers, dim)
    probe: TunedHead
    taught: TunedHead | None
    """The head that the pool teaches, with its soft labels for each fold; None without a pool."""
    orthogonality_error: float


def cross_fit(job: CrossFitJob, tune: TuneEncoders = tune_encoders) -> CrossFit:
    """Fine-tune an encoder without each fold, judge it on that fold, and take the mean of all.

    Args:
        job: what is tuned, and how.
        tune: fine-tunes the folds' encoders.

    Raises:
        DivergedError: for features that are no finite numbers.
    """
    from fsat_tasks.tuning.fine_tuning import average_weights, encode_rows, load_torch_encoder, weights_between

    material, labels = job.material, job.material.labels
    tuned = _tune_folds(job, tune)
    folds = _FoldEncoders(job, [weights for weights, _ in tuned])
    views = {distance: folds.views(distance) for distance in DISTANCES}
    if not all(np.isfinite(part).all() for fold in views.values() for view in fold for part in (view.shots, view.names)):
        raise DivergedError("the body diverged: its features are no numbers any more")
    settings = depths(job.setting, material.shots.features.shape[1])
    tried = [(distance, probe_folds(views[distance], labels, setting)) for distance in DISTANCES for setting in settings]
    best, probe = best_fold_head([head for _, head in tried], labels)
    distance = tried[best][0]
    seen, taught = views[distance], None
    if job.pool is not None:
        seen = folds.with_pool(seen, distance, job.pool)
        _, taught = best_fold_head([head for setting in settings for head in teach_folds(seen, labels, setting)], labels)
    mean = weights_between(folds.pretrained, average_weights([weights for weights, _ in tuned]), distance)
    encoder = load_torch_encoder(material.source, job.device, mean)
    return CrossFit(
        weights=mean,
        shots=encode_rows(encoder, material.shots.tokens),
        anchors=encode_rows(encoder, material.anchors.tokens),
        pool=encode_rows(encoder, [] if job.pool is None else job.pool.rows.tokens),
        probe=TunedHead(probe, probe.unseen(seen, labels)),
        taught=None if taught is None else TunedHead(taught, taught.unseen(seen, labels)),
        orthogonality_error=max(error for _, error in tuned),
    )


def probe_on_folds(material: Material, setting: Candidate) -> HeldOut:
    """Judge the probe on the pretrained encoder's features by the folds that judge fine-tuned encoders."""
    features = material.shots.features
    view = FoldView(features, material.anchors.features, features[:0])
    return probe_folds([view] * FOLDS, material.labels, setting).held_out


def _tune_folds(job: CrossFitJob, tune: TuneEncoders) -> list[tuple[Weights, float]]:
    """The weights of each fold's encoder, and its orthogonality error."""
    fold = stratified_folds(job.material.labels, FOLDS)
    jobs = []
    for k in range(FOLDS):
        training = _training_rows(job.material, fold != k, job.soft_rows[k] if job.soft_rows else None)
        jobs.append(TuningJob(job.material.source, training, job.tuning, job.seed + k, job.device))
    with progress("fine-tune the encoder", job.tuning.epochs * sum(len(one.training) for one in jobs)) as report:
        return tune(jobs, job.checkpoints, report)


class _FoldEncoders:
    """The encoders of all folds, at any distance from the pretrained one."""

    def __init__(self, job: CrossFitJob, tuned: Sequence[Weights]) -> None:
        from fsat_tasks.tuning.fine_tuning import load_torch_encoder, tuned_weights

        self._job, self._tuned = job, tuned
        self.pretrained = tuned_weights(load_torch_encoder(job.material.source, "cpu"))

    def views(self, distance: float) -> list[FoldView]:
        """Samples and anchors, by each fold's encoder."""
        material = self._job.material
        own = [material.shots.tokens, material.anchors.tokens]
        none = material.shots.features[:0]
        return [FoldView(shots, anchors, none) for shots, anchors in self._encode(distance, [own] * FOLDS)]

    def with_pool(self, views: Sequence[FoldView], distance: float, pool: TaskPool) -> list[FoldView]:
        """The views with the pool rows that each fold's encoder sees."""
        encoded = self._encode(distance, [[pool.rows.at(rows).tokens] for rows in pool.folds])
        return [replace(view, pool=part) for view, (part,) in zip(views, encoded, strict=True)]

    def _encode(self, distance: float, parts: Sequence[Sequence[TokenRows]]) -> list[list[Features]]:
        """The parts of each fold by its own encoder, that far from the pretrained one."""
        from fsat_tasks.tuning.fine_tuning import encode_rows, load_torch_encoder, one_thread_each, weights_between

        source, device = self._job.material.source, self._job.device
        encoders = [
            load_torch_encoder(source, device, weights_between(self.pretrained, weights, distance)) for weights in self._tuned
        ]
        with one_thread_each():
            return side_by_side(lambda k: [encode_rows(encoders[k], part, exact=False) for part in parts[k]], FOLDS)


def _training_rows(material: Material, seen: NDArray[np.bool_], soft: SoftRows | None) -> TrainingRows:
    """The shots that are seen; beside soft rows they are repeated until they are `SHARE_OF_SHOTS` of these."""
    hard = np.eye(len(material.anchors), dtype=np.float32)[material.labels[seen]]  # (shots, classes)
    shots, vectors = material.shots.at(np.flatnonzero(seen)).tokens, _class_vectors(material, seen)
    if soft is None:
        return TrainingRows(shots, hard, vectors)
    repeats = max(round(len(soft.tokens) * SHARE_OF_SHOTS / len(shots)), 1)
    return TrainingRows([*list(shots) * repeats, *soft.tokens], np.vstack([hard] * repeats + [soft.soft_labels]), vectors)


def _class_vectors(material: Material, seen: NDArray[np.bool_]) -> NDArray[np.float32]:
    """(classes, dim): where the class vectors start, the sums of anchor and samples on the last layer."""
    shots, anchors = material.shots.features[seen, -1].astype(np.float64), material.anchors.features[:, -1].astype(np.float64)
    return class_sums(shots, material.labels[seen], anchors, 1.0).astype(np.float32)
