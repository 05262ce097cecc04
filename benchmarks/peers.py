"""The peers of fsat: functions that take rows and a context and return an outcome. Their settings are tuned on no data set."""

from __future__ import annotations

import json
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.data import SplitRows
from benchmarks.outcome import Context, Outcome
from benchmarks.setfit_env import WORKER, setfit_python

__all__ = ["k_nearest_neighbours", "logistic_regression", "nearest_prototype", "setfit"]

Array = NDArray[np.float64]
NEIGHBOURS = 5


def logistic_regression(rows: SplitRows, context: Context) -> Outcome:
    """Fit scikit-learn's logistic regression, with its defaults, on last-layer features."""
    from sklearn.linear_model import LogisticRegression

    return _on_features(rows, context, lambda x, y: LogisticRegression().fit(x, y).predict_proba)


def nearest_prototype(rows: SplitRows, context: Context) -> Outcome:
    """Take the softmax of the negative squared distance to each class's mean (Snell et al. 2017, equation 2)."""

    def fit(x: Array, y: NDArray[np.int64]) -> Callable[[Array], Array]:
        means = np.stack([x[y == c].mean(axis=0) for c in range(len(rows.classes))])  # (classes, dim)
        return lambda query: _softmax(2.0 * query @ means.T - np.square(means).sum(axis=1))

    return _on_features(rows, context, fit)


def k_nearest_neighbours(rows: SplitRows, context: Context) -> Outcome:
    """Let the 5 nearest shots vote, as in scikit-learn's defaults.

    If the largest class has fewer than 5 shots, as many shots vote as this class has.
    """
    from sklearn.neighbors import KNeighborsClassifier

    neighbours = min(NEIGHBOURS, int(np.bincount(rows.labels).max()))
    return _on_features(rows, context, lambda x, y: KNeighborsClassifier(neighbours).fit(x, y).predict_proba)


def setfit(rows: SplitRows, context: Context) -> Outcome:
    """Run SetFit in its own environment. The training seconds are those of SetFit's Trainer, which fits encoder and head."""
    request = {
        "encoder": str(context.source.folder.absolute()),
        "seed": context.seed,
        "max_steps": context.setfit_steps,
        "classes": len(rows.classes),
        "texts": rows.texts,
        "labels": rows.labels.tolist(),
        "query": rows.query,
        "out_of_scope": rows.out_of_scope,
    }
    with tempfile.TemporaryDirectory() as folder:
        paths = Path(folder) / "request.json", Path(folder) / "answer.npz"
        paths[0].write_text(json.dumps({**request, "folder": folder}), "utf-8")
        subprocess.run([setfit_python(context.cache), WORKER, *paths], check=True, stdout=subprocess.DEVNULL)
        with np.load(paths[1], allow_pickle=False) as answer:
            probabilities, outside, said = answer["query"], answer["out_of_scope"], json.loads(str(answer["figures"]))
    details = {key: said[key] for key in ("steps", "steps_of_an_epoch", "versions")}
    return Outcome(
        probabilities,
        probabilities.max(axis=1),
        _top(outside),
        said["train_seconds"],
        None,
        details=details,
        peak_megabytes=said["peak_megabytes"],
    )


def _on_features(
    rows: SplitRows, context: Context, fit: Callable[[Array, NDArray[np.int64]], Callable[[Array], Array]]
) -> Outcome:
    """Fit a head on last-layer features. Training and extraction seconds are reported separately."""
    x, extract_seconds = context.shots(rows)
    started = time.perf_counter()
    answer = fit(x, rows.labels)
    seconds = time.perf_counter() - started
    probabilities = answer(context.last_layer("test"))
    outside = _top(answer(context.last_layer("oos_test"))) if rows.out_of_scope else np.empty(0)
    return Outcome(probabilities, probabilities.max(axis=1), outside, seconds, extract_seconds)


def _top(probabilities: Array) -> Array:
    return probabilities.max(axis=1) if len(probabilities) else np.empty(0)


def _softmax(logits: Array) -> Array:
    shifted: Array = np.exp(logits - logits.max(axis=1, keepdims=True))
    shifted /= shifted.sum(axis=1, keepdims=True)
    return shifted
