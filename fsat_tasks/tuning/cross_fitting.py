"""Encoders fine-tuned fold by fold. Each is tuned without one fold of the samples and judged on that fold.

The result is the mean of the encoders' weights. So no encoder has to be tuned on all samples. Weights that were tuned from the
same pretrained weights lie in the same basin of the loss. Their mean is as good as an encoder tuned on all samples ("model
soups", Wortsman et al. 2022; measured in docs/method.md). The left-out samples also decide how far to go from the
pretrained weights to the tuned ones (WiSE-FT, Wortsman et al. 2022b), and which layers the heads read.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from fsat_tasks.encoders.prepare import Prepared
from fsat_tasks.errors import DivergedError
from fsat_tasks.numerics.evidence.held_out import HeldOut
from fsat_tasks.numerics.heads.answers import Setting, Teachable
from fsat_tasks.numerics.heads.folds import FoldHead, FoldView, best_fold_head, depths, probe_folds, teach_folds
from fsat_tasks.numerics.heads.pool_taught import FOLDS
from fsat_tasks.numerics.types import Array, Features
from fsat_tasks.runtime.parallel import side_by_side
from fsat_tasks.runtime.progress import show_progress
from fsat_tasks.tuning.jobs import FineTuningSettings, TrainingRows, TuningJob
from fsat_tasks.tuning.material import Material
from fsat_tasks.tuning.pace import Pace
from fsat_tasks.tuning.task_pool import TaskPool
from fsat_tasks.tuning.workers import tune_encoders

if TYPE_CHECKING:
    from fsat_tasks.tuning.fine_tuning import Weights

    TuneEncoders = Callable[[Sequence[TuningJob], Path | None, Callable[[int], None]], list[tuple[Weights, float]]]
    """Takes the jobs, a folder of checkpoints and a progress callback; returns weights and orthogonality error of each job."""

__all__ = ["CrossFit", "CrossFitJob", "SoftRows", "TunedHead", "cross_fit", "probe_on_folds"]


SHARE_OF_SHOTS = 0.25
"""Ratio of shots to pool rows in fine-tuning. The shots are repeated until this ratio is about reached."""
DISTANCES = (1.0, 0.5)
"""Distances from the pretrained weights to try. At 0 are the pretrained weights, and at 1 the tuned ones."""


@dataclass(frozen=True)
class SoftRows:
    """Pool rows on which one fold's encoder is fine-tuned, besides the shots."""

    rows: Sequence[Prepared]  # m
    soft_labels: NDArray[np.float32]  # (m, classes), from a teacher that was fitted without the shots of the fold


@dataclass(frozen=True, kw_only=True)
class CrossFitJob:
    """Rows and settings for one call of `cross_fit`."""

    material: Material
    setting: Setting
    """Setting of the heads that are fitted on the tuned features."""
    tuning: FineTuningSettings
    seed: int
    device: Literal["cpu", "cuda"] = "cpu"
    checkpoints: Path | None = None
    """Folder in which each fold's tuned encoder is kept. If the run is killed, the next run takes it from there."""
    pool: TaskPool | None = None
    """Pool rows that teach a head on the tuned features; with None, only the probe is fitted."""
    soft_rows: Sequence[SoftRows] = ()
    """Pool rows on which each fold's encoder is fine-tuned; empty to use only the shots."""
    pace: Pace | None = None
    """Planned time. The log says if the work takes far longer."""


@dataclass(frozen=True)
class TunedHead:
    """A head on the mean encoder's features. Its evidence comes from the folds' encoders."""

    fold_head: FoldHead
    unseen: Array
    """(n, 2): the two inputs of the scope score for each sample (`scope.unseen_views`), from an encoder not tuned on it."""

    @property
    def held_out(self) -> HeldOut:
        return self.fold_head.held_out


@dataclass(frozen=True, kw_only=True)
class CrossFit:
    """The mean of encoders that were fine-tuned fold by fold, with the heads on its features and their evidence."""

    weights: Weights
    shots: Features  # (n, layers, dim), by the mean encoder
    anchors: Features  # (classes, layers, dim)
    pool: Features  # (m, layers, dim)
    probe: TunedHead
    taught: TunedHead | None
    """The head that is taught by the pool. Its `fold_head` also keeps the pool's soft labels from each fold's teacher. None
    without a pool."""
    orthogonality_error: float


def cross_fit(job: CrossFitJob, tune: TuneEncoders = tune_encoders) -> CrossFit:
    """Fine-tune one encoder per fold without that fold's samples, judge it on these samples, and return the mean encoder.

    Args:
        job: rows and settings.
        tune: function that fine-tunes the folds' encoders.

    Raises:
        DivergedError: if features are NaN or infinite.
    """
    from fsat_tasks.tuning.fine_tuning import average_weights, encode_rows, load_torch_encoder, weights_between

    material, answers = job.material, job.material.answers
    tuned = _tune_folds(job, tune)
    folds = _FoldEncoders(job, [weights for weights, _ in tuned])
    views = {distance: folds.views(distance) for distance in DISTANCES}
    if not all(np.isfinite(part).all() for fold in views.values() for view in fold for part in (view.shots, view.names)):
        raise DivergedError("fine-tuning diverged: the encoder's features are NaN or infinite")
    settings = depths(job.setting, material.shots.features.shape[1])
    tried = [(distance, probe_folds(views[distance], answers, setting)) for distance in DISTANCES for setting in settings]
    best, probe = best_fold_head([head for _, head in tried], answers)
    distance = tried[best][0]
    seen, taught = views[distance], None
    if job.pool is not None:
        assert isinstance(answers, Teachable), "only answers that a pool can teach are given one"
        seen = folds.with_pool(seen, distance, job.pool)
        _, taught = best_fold_head([head for setting in settings for head in teach_folds(seen, answers, setting)], answers)
    mean = weights_between(folds.pretrained, average_weights([weights for weights, _ in tuned]), distance)
    encoder = load_torch_encoder(material.source, job.device, mean)
    return CrossFit(
        weights=mean,
        shots=encode_rows(encoder, material.shots.prepared),
        anchors=_or_zeros(encode_rows(encoder, material.anchors.prepared), material),
        pool=encode_rows(encoder, [] if job.pool is None else job.pool.rows.prepared),
        probe=TunedHead(probe, probe.unseen(seen, answers)),
        taught=None if taught is None else TunedHead(taught, taught.unseen(seen, answers)),
        orthogonality_error=max(error for _, error in tuned),
    )


def probe_on_folds(material: Material, setting: Setting) -> HeldOut:
    """Judge the probe on the pretrained encoder's features, on the same folds on which fine-tuned encoders are judged."""
    features = material.shots.features
    view = FoldView(features, material.anchors.features, features[:0])
    return probe_folds([view] * FOLDS, material.answers, setting).held_out


def _tune_folds(job: CrossFitJob, tune: TuneEncoders) -> list[tuple[Weights, float]]:
    """Fine-tune the encoder of each fold, and return its weights and its orthogonality error."""
    fold = job.material.answers.folds(FOLDS)
    jobs = []
    for k in range(FOLDS):
        training = _training_rows(job.material, fold != k, job.soft_rows[k] if job.soft_rows else None)
        jobs.append(TuningJob(job.material.source, training, job.tuning, job.seed + k, job.device))
    rows = job.tuning.epochs * sum(len(one.training) for one in jobs)
    with show_progress("fine-tune the encoder", rows) as report:
        return tune(jobs, job.checkpoints, report if job.pace is None else job.pace.watch(report, rows))


class _FoldEncoders:
    """Encoders of all folds, at any distance from the pretrained one."""

    def __init__(self, job: CrossFitJob, tuned: Sequence[Weights]) -> None:
        from fsat_tasks.tuning.fine_tuning import load_torch_encoder, tuned_weights

        self._job, self._tuned = job, tuned
        self.pretrained = tuned_weights(load_torch_encoder(job.material.source, "cpu"))

    def views(self, distance: float) -> list[FoldView]:
        """Return the features of samples and anchors from each fold's encoder. Pool rows are not encoded."""
        material = self._job.material
        own = [material.shots.prepared, material.anchors.prepared]
        none = material.shots.features[:0]
        return [FoldView(shots, _or_zeros(anchors, material), none) for shots, anchors in self._encode(distance, [own] * FOLDS)]

    def with_pool(self, views: Sequence[FoldView], distance: float, pool: TaskPool) -> list[FoldView]:
        """Add to each view the features of the pool rows that are drawn for its fold (`pool.folds`), from that fold's encoder."""
        encoded = self._encode(distance, [[pool.rows.at(rows).prepared] for rows in pool.folds])
        return [replace(view, pool=part) for view, (part,) in zip(views, encoded, strict=True)]

    def _encode(self, distance: float, parts: Sequence[Sequence[Sequence[Prepared]]]) -> list[list[Features]]:
        """Encode the parts of each fold with that fold's encoder, at this distance from the pretrained weights."""
        from fsat_tasks.tuning.fine_tuning import encode_rows, load_torch_encoder, one_thread_each, weights_between

        source, device = self._job.material.source, self._job.device
        encoders = [
            load_torch_encoder(source, device, weights_between(self.pretrained, weights, distance)) for weights in self._tuned
        ]
        with one_thread_each():
            return side_by_side(lambda k: [encode_rows(encoders[k], part, exact=False) for part in parts[k]], FOLDS)


def _or_zeros(anchors: Features, material: Material) -> Features:
    """Return the class anchors, or features of zeros if the task has none."""
    return anchors if len(anchors) else np.zeros((len(material.anchors), *anchors.shape[1:]), np.float32)


def _training_rows(material: Material, seen: NDArray[np.bool_], soft: SoftRows | None) -> TrainingRows:
    """Return the shots in the mask `seen` that have a label, and the soft rows.

    With soft rows, the shots are repeated; see `SHARE_OF_SHOTS`.
    """
    seen = seen & np.isin(np.arange(len(seen)), material.answers.members()[0])  # a row without a label has no target
    hard = material.answers.at(seen).shares()  # (shots, groups)
    shots, vectors = material.shots.at(np.flatnonzero(seen)).prepared, _class_vectors(material, seen)
    if soft is None:
        return TrainingRows(shots, hard, vectors)
    repeats = max(round(len(soft.rows) * SHARE_OF_SHOTS / len(shots)), 1)
    return TrainingRows([*list(shots) * repeats, *soft.rows], np.vstack([hard] * repeats + [soft.soft_labels]), vectors)


def _class_vectors(material: Material, seen: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return the initial class vectors (groups, dim), each the sum of a group's anchor and samples on the last layer."""
    shots, anchors = material.shots.features[seen, -1].astype(np.float64), material.anchors.features[:, -1].astype(np.float64)
    return material.answers.at(seen).group_sums(shots, anchors).astype(np.float32)
