"""A tiny encoder, and texts of three classes for it as token ids."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from transformers import BertConfig, BertModel

from fsat_tasks.encoders.prepare import Prepared
from fsat_tasks.encoders.source import EncoderSource
from fsat_tasks.encoders.text_preparer import prepare_ids
from fsat_tasks.numerics.heads.one_label import OneLabel
from fsat_tasks.numerics.types import Features, Labels
from fsat_tasks.tuning.fine_tuning import encode_rows, load_torch_encoder
from fsat_tasks.tuning.jobs import FineTuningSettings
from fsat_tasks.tuning.material import Material, Pool, Rows

VOCABULARY, DIM, LAYERS, CLASSES = 100, 32, 3, 3
START, END = 1, 2
"""Tokens around every text."""
FAST = FineTuningSettings(epochs=8, learning_rate=3e-3, rows_per_step=8)
"""Settings that learn in a second, in several steps an epoch."""


def write_encoder(folder: Path) -> EncoderSource:
    """Write a random BERT of two blocks into a folder."""
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=VOCABULARY,
        hidden_size=DIM,
        num_hidden_layers=LAYERS - 1,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=64,
        initializer_range=0.2,
    )
    BertModel(config).save_pretrained(folder, safe_serialization=True)
    return EncoderSource("tiny", folder, {"pooling": "mean", "normalize": True, "max_tokens": 64})


def texts(labels: Labels, seed: int) -> list[Prepared]:
    """Draw token ids, 3 to 12 per text: four in ten are from the class's own ten words, the others from all words."""
    rng = np.random.default_rng(seed)
    rows = []
    for label in labels:
        length = int(rng.integers(3, 13))
        own, other = 10 + 10 * label + rng.integers(0, 10, length), rng.integers(10, VOCABULARY, length)
        rows.append(prepare_ids([START, *np.where(rng.random(length) < 0.4, own, other).tolist(), END]))
    return rows


LABELS = np.repeat(np.arange(CLASSES), 12)
SHOTS = texts(LABELS, 0)


def one_hot(labels: Labels) -> Features:
    """Return the labels as one-hot rows, (n, CLASSES)."""
    return np.eye(CLASSES, dtype=np.float32)[labels]


def class_means(features: Features, labels: Labels) -> Features:
    """Return the class means on the last layer, (CLASSES, dim)."""
    return np.stack([features[labels == c, -1].mean(axis=0) for c in range(CLASSES)])


def tiny_material(source: EncoderSource, shots: int = 4, pool: int = 0) -> Material:
    """Return a task's rows. Each class has `shots` samples, an anchor of three of its words, and `pool` unlabelled rows."""
    encoder = load_torch_encoder(source, "cpu")

    def rows_of(rows: Sequence[Prepared]) -> Rows:
        return Rows(encode_rows(encoder, rows), rows)

    labels = np.repeat(np.arange(CLASSES), shots)
    anchors = [prepare_ids([START, 10 + 10 * c, 11 + 10 * c, 12 + 10 * c, END]) for c in range(CLASSES)]
    unlabelled = texts(np.repeat(np.arange(CLASSES), pool), 2)
    return Material(source, rows_of(texts(labels, 1)), OneLabel(labels, CLASSES), rows_of(anchors), Pool(rows_of(unlabelled)))
