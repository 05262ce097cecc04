"""The context that a method gets, the outcome that it returns, and the figures that are computed from the outcome."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.data import Shift, SplitRows
from benchmarks.features import FeatureCache, encoder_source
from fsat_tasks.encoders.source import EncoderSource
from fsat_tasks.numerics.evidence.calibration import expected_calibration_error, reliability_bins
from fsat_tasks.numerics.evidence.metrics import confusion_matrix, macro_f1

__all__ = ["Context", "Outcome", "figures"]

Array = NDArray[np.float64]
Labels = NDArray[np.int64]

LEAST_PROBABILITY = 1e-12
"""Minimum probability of the true class in the log-loss. Without this minimum, a probability of 0, as from k nearest neighbours,
would make the log-loss infinite."""


@dataclass(frozen=True)
class Context:
    """Settings of a method, and the places of its encoder and features."""

    set_folder: Path
    cache: Path
    encoder: str
    track: str
    seed: int
    setfit_steps: int  # 0 for a full epoch
    budget_seconds: float  # budget of fsat's ladder

    @property
    def source(self) -> EncoderSource:
        return encoder_source(self.encoder)

    @property
    def features(self) -> FeatureCache:
        return FeatureCache(self.cache / "features", self.encoder, self.source.revision)

    def shots(self, rows: SplitRows) -> tuple[Array, float]:
        """Return last-layer features (n, dim) of the shots, and the seconds that their extraction took."""
        features, seconds = self.features.load(self.set_folder / f"{rows.source}.jsonl")
        return _last(features[rows.row_numbers]), seconds * len(rows.texts)

    def last_layer(self, file: str) -> Array:
        """Return last-layer features (n, dim) of all rows of a file, such as `test`."""
        return _last(self.features.load(self.set_folder / f"{file}.jsonl")[0])


@dataclass(frozen=True)
class Outcome:
    """A method's answers to the query rows, and its costs."""

    probabilities: Array  # (queries, classes)
    scope: Array  # (queries,) scope scores; higher means more in scope
    out_of_scope: Array  # (out-of-scope rows,) scope scores
    train_seconds: float
    extract_seconds: float | None  # for shots and, if used, unlabelled rows; None if training includes it
    shifted: list[Array] | None = None
    """Probabilities of each shifted query set. None if a row has the same probabilities in every query set. In that
    case, they are taken from `probabilities`."""
    details: dict[str, Any] = field(default_factory=dict)
    peak_megabytes: float | None = None
    """Peak memory, if the work was done in another process."""


def figures(outcome: Outcome, rows: SplitRows) -> dict[str, Any]:
    """Compute all figures of one cell, as JSON values."""
    probabilities = np.asarray(outcome.probabilities, np.float64)
    expected = (len(rows.query), len(rows.classes))
    if probabilities.shape != expected or not np.isfinite(probabilities).all():
        raise ValueError(f"expected finite probabilities of shape {expected}, got {probabilities.shape}")
    shifted = outcome.shifted or [probabilities[shift.rows] for shift in rows.shifts]
    return {
        "rows": len(rows.query),
        "classes": len(rows.classes),
        "shot_rows": len(rows.texts),
        **_answers(probabilities, rows.truth),
        **_scope(outcome.scope, outcome.out_of_scope),
        "train_seconds": outcome.train_seconds,
        "extract_seconds": outcome.extract_seconds,
        "reliability": reliability_bins(probabilities.max(axis=1), probabilities.argmax(axis=1) == rows.truth),
        "label_shift": [_shift(shift, p, rows.truth) for shift, p in zip(rows.shifts, shifted, strict=True)],
        "details": outcome.details,
    }


def _answers(probabilities: Array, truth: Labels) -> dict[str, float]:
    predicted = probabilities.argmax(axis=1)
    chances = np.maximum(probabilities[np.arange(len(truth)), truth], LEAST_PROBABILITY)
    return {
        "accuracy": float((predicted == truth).mean()),
        "macro_f1": macro_f1(confusion_matrix(truth, predicted, probabilities.shape[1])),
        "log_loss": float(-np.log(chances).mean()),
        "ece": expected_calibration_error(probabilities.max(axis=1), predicted == truth),
    }


def _shift(shift: Shift, probabilities: Array, truth: Labels) -> dict[str, Any]:
    answers = _answers(probabilities, truth[shift.rows])
    return {"concentration": shift.concentration, "seed": shift.seed, "rows": len(shift.rows), **answers}


def _scope(inside: Array, outside: Array) -> dict[str, float]:
    """Compute two figures of the scope score.

    They are the AUROC, and the share of out-of-scope rows above the score that 95 % of the in-scope rows reach.

    If there are no out-of-scope rows, the result is empty.
    """
    if len(outside) == 0:
        return {}
    from sklearn.metrics import roc_auc_score

    truth = np.concatenate([np.ones(len(inside)), np.zeros(len(outside))])
    bound = np.quantile(inside, 0.05, method="lower")
    return {
        "oos_auroc": float(roc_auc_score(truth, np.concatenate([inside, outside]))),
        "oos_fpr95": float((outside >= bound).mean()),
    }


def _last(features: NDArray[np.float32]) -> Array:
    return np.asarray(features[:, -1], np.float64)
