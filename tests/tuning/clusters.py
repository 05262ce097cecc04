"""Made-up clusters in place of texts, and stand-ins for results that the ladder would compute from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fsat_tasks.encoders.prepare import Prepared
from fsat_tasks.encoders.source import EncoderSource
from fsat_tasks.numerics.evidence.held_out import Comparison, judge
from fsat_tasks.numerics.geometry.layers import mix_layers
from fsat_tasks.numerics.heads.folds import FoldHead
from fsat_tasks.numerics.heads.frozen import fit_frozen_head
from fsat_tasks.numerics.heads.one_label import OneLabel
from fsat_tasks.numerics.heads.pool_taught import FOLDS
from fsat_tasks.numerics.types import Array, Labels
from fsat_tasks.tuning.cross_fitting import CrossFit, TunedHead
from fsat_tasks.tuning.encoder_rungs import BODY, BODY_POOL, SELF_TRAINING, CrossFitter, try_body, try_self_training
from fsat_tasks.tuning.frozen_rungs import POOL, PROBE, PROTOTYPES
from fsat_tasks.tuning.ladder import Compare
from fsat_tasks.tuning.material import Material, Pool, Rows
from fsat_tasks.tuning.state import Rung
from fsat_tasks.tuning.trial import Fit

LAYERS, DIM = 3, 24
NOWHERE = Path("nowhere")


def clusters(classes: int, rows: int, seed: int, spread: float) -> tuple[Array, Labels]:
    """Draw features (classes * rows, LAYERS, DIM) around the classes' centres, and return the labels too."""
    centres = np.random.default_rng(0).normal(size=(classes, LAYERS, DIM))
    labels = np.repeat(np.arange(classes), rows)
    return centres[labels] + spread * np.random.default_rng(seed).normal(size=(len(labels), LAYERS, DIM)), labels


def rows_of(features: Array, size: int = 0) -> Rows:
    """Return rows with these features, each of this size."""
    return Rows(features.astype(np.float32), [Prepared({}, size)] * len(features))


def material(
    classes: int = 5, shots: int = 4, pool: int = 0, spread: float = 1.5, folder: Path = NOWHERE, size: int = 0
) -> Material:
    """Return `shots` samples per class, anchors that say a little, and `pool` unlabelled rows per class."""
    features, labels = clusters(classes, shots, 1, spread)
    anchors, unlabelled = clusters(classes, 1, 99, 3.0)[0], clusters(classes, pool, 2, spread)[0]
    source = EncoderSource("none", folder, {"normalize": True})
    return Material(
        source, rows_of(features, size), OneLabel(labels, classes), rows_of(anchors, size), Pool(rows_of(unlabelled, size))
    )


def with_shots(features: Array, labels: Labels, classes: int, pool: int = 20) -> Material:
    """Return the anchors and the pool of `material` with these shots."""
    return replace(material(classes, 1, pool), shots=rows_of(features), answers=OneLabel(labels, classes))


def calibrated(fit: Fit, features: NDArray[np.floating]) -> Array:
    """Return calibrated logits of features (n, LAYERS, DIM): logits over the temperature."""
    logits: Array = fit.head.logits(mix_layers(features, fit.layers)) / fit.held_out.temperature
    return logits


def always(better: bool) -> Compare:
    """Return a comparison that always, or never, finds the challenger better."""
    return lambda *_: Comparison(1.0 if better else -1.0, 0.0, 0.0)


def cross_fitted(given: Material, error: float = 0.0) -> CrossFit:
    """Return the result of a fine-tuning that changed no feature, with heads that are right and sure on every sample."""
    held_out = judge(np.eye(len(given.anchors))[given.labels], given.labels)
    setting = fit_frozen_head(given.shots.features, given.labels, given.anchors.features).chosen
    head, pool = FoldHead(setting, held_out), given.pool.rows.features
    soft_labels = (np.full((len(pool), len(given.anchors)), 1.0 / len(given.anchors)),) * FOLDS
    unseen = np.zeros((len(given.labels), 2))
    return CrossFit(
        weights={},
        shots=given.shots.features,
        anchors=given.anchors.features,
        pool=pool,
        probe=TunedHead(head, unseen),
        taught=TunedHead(replace(head, soft_labels=soft_labels), unseen) if len(pool) else None,
        orthogonality_error=error,
    )


def ladder_with(cross_fit: CrossFitter) -> tuple[Rung, ...]:
    """Return the ladder with this stand-in for fine-tuning."""
    return (
        PROTOTYPES,
        PROBE,
        POOL,
        replace(BODY, attempt=partial(try_body, cross_fit=cross_fit)),
        BODY_POOL,
        replace(SELF_TRAINING, attempt=partial(try_self_training, cross_fit=cross_fit)),
    )


def taken(fit: Fit) -> Sequence[str]:
    """Return the names of the rungs that were taken."""
    return [rung.name for rung in fit.trace if rung.taken]
