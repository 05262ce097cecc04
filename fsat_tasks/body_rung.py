"""The ladder's upper rung: a body tuned without each fold of the samples gives the evidence, and their mean is the result.

So the time that evidence costs is not spent twice. The mean of weights tuned from one start lies in the same basin, and is as
good as a body tuned on all samples ("model soups", Wortsman et al. 2022; measured in docs/method.md).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from fsat_tasks.body_process import BodyJob, tune_bodies
from fsat_tasks.device import available_cores, tuning_class
from fsat_tasks.encoder_source import EncoderSource
from fsat_tasks.numerics.distil import FOLDS, fit_heads, prepare
from fsat_tasks.numerics.evidence import HeldOut, judge, stratified_folds
from fsat_tasks.numerics.frozen_head import Candidate, fit_setting, mix_layers
from fsat_tasks.numerics.probe import LinearHead
from fsat_tasks.numerics.prototypes import class_sums
from fsat_tasks.progress import progress

if TYPE_CHECKING:
    from fsat_tasks.body import BodySettings, TokenRows, Weights

__all__ = ["CrossFit", "Material", "Rows", "cross_fit", "planned_seconds", "probe_on_folds"]

Features = NDArray[np.float32]
Array = NDArray[np.float64]
Labels = NDArray[np.int64]

RATES = {"torch-cpu-fp32": 25e9, "torch-cpu-bf16": 50e9, "torch-cuda-bf16": 2e13}
"""Floating point operations a second that training reaches, of a core or a GPU. Plans are made with these figures and not
with a clock: a busy machine takes longer, but tunes the same model."""
OPERATIONS_A_WEIGHT = 6
"""Of each token: two forward, four backward."""
SHARE_OF_SHOTS = 0.25
"""The shots are repeated until they are about so large a share of the pool."""


@dataclass(frozen=True)
class Rows:
    """Texts as token ids, with the pretrained encoder's features of them."""

    features: Features  # (n, layers, dim)
    tokens: TokenRows

    def __len__(self) -> int:
        return len(self.features)


@dataclass(frozen=True)
class Material:
    """What there is to tune on."""

    source: EncoderSource
    shots: Rows
    labels: Labels  # (n,) in 0..classes-1
    names: Rows  # the classes' names, in the classes' order
    pool: Rows  # unlabelled, may be empty


@dataclass(frozen=True)
class CrossFit:
    """Bodies tuned fold by fold, and their mean; with what heads on the tuned features say of samples that were left out."""

    weights: Weights
    """Of the mean body, as the next three."""
    shots: Features  # (n, layers, dim)
    names: Features
    pool: Features
    probe: HeldOut
    student: HeldOut | None
    """Of the student that the pool taught; None without a pool."""
    soft_labels: list[Array]  # of each fold, (used, classes): the teacher's that knew no shot of the fold
    orthogonality_error: float


def cross_fit(
    material: Material,
    setting: Candidate,
    settings: BodySettings,
    soft_labels: list[Array] | None,
    seed: int,
    device: Literal["cpu", "cuda"],
    checkpoints: Path | None,
) -> CrossFit:
    """Tune a body without each fold, judge it on that fold, and take the mean of all.

    Args:
        setting: of the heads that are fitted on the tuned features.
        soft_labels: of each fold, (pool, classes), by which the pool takes part in the tuning; None leaves it out.
        checkpoints: a folder where each fold's body is kept once it is tuned, and found by a run that follows a killed one.
    """
    from fsat_tasks.body import average_weights, encode_rows, load_body

    labels, shape = material.labels, (len(material.labels), len(material.names))
    fold = stratified_folds(labels, FOLDS)
    probe, student = np.empty(shape), np.empty(shape)
    jobs = []
    for k in range(FOLDS):
        rows, targets = _training_rows(material, fold != k, None if soft_labels is None else soft_labels[k])
        vectors = _class_vectors(material, fold != k)
        jobs.append(BodyJob(material.source, rows, targets, vectors, settings, seed + k, device))
    with progress("tune the body", settings.epochs * sum(len(job.rows) for job in jobs)) as report:
        bodies = tune_bodies(jobs, checkpoints, report)
    soft = []
    for k, (weights, _) in enumerate(bodies):
        seen = fold != k
        body = load_body(material.source, device, weights)
        views = [encode_rows(body, part.tokens) for part in (material.shots, material.names, material.pool)]
        with threadpool_limits(1):  # products this small lose by sharing
            heads = _heads(views, labels, setting, seen)
        hidden = mix_layers(views[0][~seen], setting.layers)
        probe[~seen], student[~seen] = heads[0].logits(hidden), heads[1].logits(hidden)
        soft.append(heads[2])
    mean = average_weights([weights for weights, _ in bodies])
    body = load_body(material.source, device, mean)
    shots, names, pool = (encode_rows(body, part.tokens) for part in (material.shots, material.names, material.pool))
    taught = judge(student, labels) if len(material.pool) else None
    return CrossFit(mean, shots, names, pool, judge(probe, labels), taught, soft, max(error for _, error in bodies))


def _training_rows(material: Material, seen: NDArray[np.bool_], soft: Array | None) -> tuple[TokenRows, NDArray[np.float32]]:
    """Token ids and targets (rows, classes): the shots that are seen, and the pool with its soft labels if there are any."""
    hard = np.eye(len(material.names), dtype=np.float32)[material.labels[seen]]
    shots = [material.shots.tokens[i] for i in np.flatnonzero(seen).tolist()]
    if soft is None:
        return shots, hard
    repeats = max(round(len(material.pool) * SHARE_OF_SHOTS / len(shots)), 1)
    sharp = np.square(soft)  # a teacher that averages its neighbours is less certain than it is right
    sharp /= sharp.sum(axis=1, keepdims=True)
    return shots * repeats + list(material.pool.tokens), np.vstack([hard] * repeats + [sharp.astype(np.float32)])


def _heads(
    views: list[Features], labels: Labels, setting: Candidate, seen: NDArray[np.bool_]
) -> tuple[LinearHead, LinearHead, Array]:
    """Probe, student and soft labels on the features of shots, names and pool; without a pool the probe is the student."""
    shots, names, pool = views
    if len(pool):
        heads = fit_heads(prepare(shots, labels, names, pool, setting), seen)
        return heads.probe, heads.student, heads.soft_labels
    rows, anchors = mix_layers(shots[seen], setting.layers), mix_layers(names, setting.layers)
    probe = fit_setting(rows, labels[seen], anchors, setting)
    return probe, probe, np.empty((0, len(names)))


def _class_vectors(material: Material, seen: NDArray[np.bool_]) -> NDArray[np.float32]:
    """(classes, dim): where the tuned body's class vectors start, the sums of name and samples on the last layer."""
    shots, names = material.shots.features[seen, -1].astype(np.float64), material.names.features[:, -1].astype(np.float64)
    return class_sums(shots, material.labels[seen], names, 1.0).astype(np.float32)


def probe_on_folds(material: Material, setting: Candidate) -> HeldOut:
    """The probe on the pretrained encoder's features, by the folds that judge bodies."""
    labels = material.labels
    rows, anchors = mix_layers(material.shots.features, setting.layers), mix_layers(material.names.features, setting.layers)
    fold, logits = stratified_folds(labels, FOLDS), np.empty((len(labels), len(anchors)))
    for k in range(FOLDS):
        seen = fold != k
        logits[~seen] = fit_setting(rows[seen], labels[seen], anchors, setting).logits(rows[~seen])
    return judge(logits, labels)


def planned_seconds(source: EncoderSource, tokens: int, device: Literal["cpu", "cuda"]) -> float:
    """About how long training over so many tokens takes on the device."""
    from safetensors import safe_open

    weights = 0
    for path in source.folder.glob("model*.safetensors"):
        with safe_open(path, "np") as file:
            shapes = {name: file.get_slice(name).get_shape() for name in file.keys()}  # noqa: SIM118
        weights += sum(int(np.prod(shape)) for name, shape in shapes.items() if "embedding" not in name)
    cores = 1 if device == "cuda" else min(available_cores(), FOLDS)  # a fold is tuned on one
    return OPERATIONS_A_WEIGHT * weights * tokens / (cores * RATES[tuning_class(device)])
