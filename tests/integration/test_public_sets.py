"""The frozen head on public few-shot sets, against a logistic regression on the same features."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from fsat_tasks import load_encoder
from fsat_tasks.numerics.evidence.calibration import expected_calibration_error
from fsat_tasks.numerics.geometry.layers import mix_layers
from fsat_tasks.numerics.heads.frozen import fit_frozen_head


def read(folder: Path, split: str) -> tuple[list[str], list[str]]:
    rows = [json.loads(line) for line in (folder / f"{split}.jsonl").read_text("utf-8").splitlines()]
    return [row["text"] for row in rows], [row["label"] for row in rows]


@pytest.fixture(scope="module")
def sets() -> Path:
    folder = os.environ.get("FSAT_BENCHMARK_DATA")
    if not folder:
        pytest.skip("FSAT_BENCHMARK_DATA names no folder of public few-shot sets")
    return Path(folder)


@pytest.mark.parametrize(("name", "split"), [("banking77", "train_5"), ("trec", "train_32"), ("sst2", "train_32")])
def test_frozen_head_is_calibrated_and_no_worse_than_logistic_regression(
    name: str, split: str, sets: Path, encoder_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FSAT_STORE", str(encoder_store))
    encoder = load_encoder("all-MiniLM-L6-v2", "cpu")
    texts, labels = read(sets / name, split)
    query_texts, query_labels = read(sets / name, "test")
    classes = sorted(set(labels))
    rows, query = encoder.encode(texts, "all"), encoder.encode(query_texts, "all")  # (n, layers, dim)
    names = encoder.encode([label.replace("_", " ") for label in classes], "all")
    truth: NDArray[np.int64] = np.searchsorted(classes, query_labels)

    with threadpool_limits(1):
        tuned = fit_frozen_head(rows, np.searchsorted(classes, labels), names)
        peer = LogisticRegression(C=10, max_iter=1000).fit(rows[:, -1], labels)
    logits = tuned.head.logits(mix_layers(query, tuned.chosen.layers))
    accuracy = float((logits.argmax(axis=1) == truth).mean())
    assert accuracy >= peer.score(query[:, -1], query_labels)
    confidence = softmax(logits / tuned.chosen.temperature, axis=1).max(axis=1)
    assert expected_calibration_error(confidence, logits.argmax(axis=1) == truth) <= 0.1
