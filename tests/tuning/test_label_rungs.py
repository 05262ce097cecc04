"""The ladder on rows with several labels: the pool teaches them, and an encoder is fine-tuned on them."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from fsat_tasks.encoders.prepare import Prepared
from fsat_tasks.encoders.source import EncoderSource
from fsat_tasks.encoders.text_preparer import prepare_ids
from fsat_tasks.numerics.evidence.scaling import binary_losses
from fsat_tasks.numerics.heads.several_labels import SeveralLabels
from fsat_tasks.numerics.types import Array
from fsat_tasks.tuning.cross_fitting import CrossFit, CrossFitJob, cross_fit
from fsat_tasks.tuning.encoder_rungs import BODY, try_body
from fsat_tasks.tuning.fine_tuning import encode_rows, load_torch_encoder
from fsat_tasks.tuning.frozen_rungs import POOL, PROBE
from fsat_tasks.tuning.ladder import run_ladder
from fsat_tasks.tuning.material import Material, Pool, Rows
from fsat_tasks.tuning.state import LadderSettings
from tuning.clusters import DIM, LAYERS, NOWHERE, calibrated, rows_of, taken
from tuning.tiny_encoder import CLASSES, END, FAST, START, texts

MANY = 8


def draw_labels(rows: int, classes: int, seed: int) -> NDArray[np.int64]:
    """Draw two different labels for each row, (rows, classes)."""
    rng = np.random.default_rng(seed)
    matrix = np.zeros((rows, classes), np.int64)
    for row in matrix:
        row[rng.choice(classes, 2, replace=False)] = 1
    return matrix


def sums(matrix: NDArray[np.int64], seed: int) -> Array:
    """Draw features (n, LAYERS, DIM), each near the sum of its labels' centres."""
    centres = np.random.default_rng(0).normal(size=(matrix.shape[1], LAYERS, DIM))
    noise = np.random.default_rng(seed).normal(size=(len(matrix), LAYERS, DIM))
    features: Array = np.einsum("nc,cld->nld", matrix, centres) + 1.5 * noise
    return features


def sums_of_clusters(shots: int, pool: int) -> Material:
    """Return rows with two labels each, and class names that say a little."""
    matrix, names = draw_labels(shots, MANY, 1), sums(np.eye(MANY, dtype=np.int64), 99)
    unlabelled = Pool(rows_of(sums(draw_labels(pool, MANY, 2), 2)))
    return Material(
        EncoderSource("none", NOWHERE, {}), rows_of(sums(matrix, 1)), SeveralLabels(matrix), rows_of(names), unlabelled
    )


def joined_texts(matrix: NDArray[np.int64], seed: int) -> list[Prepared]:
    """Draw token ids for each row: a text of its one label after a text of its other label."""
    labels = np.nonzero(matrix)[1].reshape(-1, 2)
    parts = [[row.arrays["input_ids"].tolist()[1:-1] for row in texts(labels[:, k], seed + k)] for k in (0, 1)]
    return [prepare_ids([START, *one, *other, END]) for one, other in zip(*parts, strict=True)]


def joined_material(source: EncoderSource, shots: int) -> Material:
    """Return texts with two labels each, and anchors of three words of each label."""
    encoder, matrix = load_torch_encoder(source, "cpu"), draw_labels(shots, CLASSES, 1)
    anchors = [prepare_ids([START, 10 + 10 * c, 11 + 10 * c, 12 + 10 * c, END]) for c in range(CLASSES)]
    rows, names = (Rows(encode_rows(encoder, part), part) for part in (joined_texts(matrix, 5), anchors))
    return Material(source, rows, SeveralLabels(matrix), names, Pool(rows.at(np.arange(0))))


def test_pool_is_taken_and_lowers_the_loss_on_new_rows() -> None:
    given = sums_of_clusters(40, 400)
    truth = draw_labels(400, MANY, 3)
    fits = [run_ladder(given, LadderSettings(), ladder) for ladder in ([PROBE], [PROBE, POOL])]
    assert taken(fits[1]) == ["probe", "pool"]
    losses = [binary_losses(calibrated(fit, sums(truth, 3)), truth.astype(np.float64)).mean() for fit in fits]
    assert losses[1] < losses[0]


def test_body_is_taken_and_lowers_the_loss_on_new_texts(source: EncoderSource) -> None:
    def fast(job: CrossFitJob) -> CrossFit:
        return cross_fit(replace(job, tuning=FAST))

    given = joined_material(source, 48)
    body = replace(BODY, attempt=partial(try_body, cross_fit=fast))
    fits = [run_ladder(given, LadderSettings(), ladder) for ladder in ([PROBE], [PROBE, body])]
    assert taken(fits[1]) == ["probe", "body"]
    truth = draw_labels(300, CLASSES, 3)
    losses = []
    for fit in fits:
        features = encode_rows(load_torch_encoder(source, "cpu", fit.weights), joined_texts(truth, 7))
        losses.append(binary_losses(calibrated(fit, features), truth.astype(np.float64)).mean())
    assert losses[1] < losses[0]
